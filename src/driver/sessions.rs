//! Sessions of those who connect to the daemon's own sockets: so many at a time, each for so long.

use super::reactor::{Reactor, Source, start};
use crate::limits::{CONTROL_SESSION, CONTROL_SESSIONS_MAX};
use crate::time::Duration;
use smol::future::yield_now;
use std::io;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};

/// Accepts connections for as long as the task lives, and answers each in a task of its own. Who
/// finds no room is turned away.
pub(super) async fn serve<L: AsFd, S, F: Future<Output = io::Result<()>> + 'static>(
    reactor: Rc<Reactor>,
    executor: Weak<smol::LocalExecutor<'static>>,
    listener: Source<L>,
    accept: impl Fn(&L) -> io::Result<S>,
    answer: impl Fn(Rc<Reactor>, S) -> F,
) {
    // Shared by the sessions that are open.
    let room = Rc::new(());
    loop {
        match listener.done(&accept).await {
            Ok(stream) => {
                let Some(executor) = executor.upgrade() else { return };
                if Rc::strong_count(&room) <= CONTROL_SESSIONS_MAX {
                    let (reactor, place) = (reactor.clone(), room.clone());
                    let answered = answer(reactor.clone(), stream);
                    let session = async move {
                        let _place = place;
                        // A session that fails or takes too long just ends.
                        let _ = reactor.within(CONTROL_SESSION, answered).await;
                    };
                    start(&executor, session).detach();
                }
            }
            Err(_) => reactor.sleep(Duration::from_secs(1)).await,
        }
        yield_now().await;
    }
}
