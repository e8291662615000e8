//! Watching holders: what this node says of what it keeps, what others have said to it, and who is
//! no use as a holder. Only where trust anchors are set: without them a key is anybody's.
//!
//! | module | what it holds |
//! |---|---|
//! | `stated` | answers signed: what this node keeps, and promises to keep |
//! | `receipts` | what others have promised; gets that look whether they keep it |
//! | `score` | members that are silent, or deny what they have taken |

mod receipts;
mod score;
#[cfg(test)]
pub(super) use score::SCORE_BYTES;
mod stated;

use crate::rng::Rng;

/// All of that.
pub(super) struct Watch {
    stated: stated::Statements,
    receipts: receipts::Receipts,
    score: score::Score,
}

impl Watch {
    /// Nothing was said. `seed` is the node's.
    pub(super) fn new(start_count: u32, seed: [u8; 32]) -> Self {
        let boot = Rng::new(seed).fork("watch").next_u32();
        Self {
            stated: stated::Statements::new(start_count, boot),
            receipts: receipts::Receipts::new(),
            score: score::Score::new(),
        }
    }
}
