//! How much the property tests try.

use proptest::prelude::ProptestConfig;

/// So many cases; a tenth of them where the processor is a router's, which tests have emulated.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let emulated = cfg!(any(target_arch = "mips", target_arch = "arm"));
    ProptestConfig::with_cases(if emulated { count.div_ceil(10) } else { count })
}
