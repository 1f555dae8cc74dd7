//! How old what a request was told is, where it is older than it should be.

use std::cell::Cell;
use std::time::Duration;

tokio::task_local! {
    static OLDEST: Cell<Option<Duration>>;
}

/// Runs `work`, and tells the age of the oldest stale answer that it was given; `None` where all were as new as they
/// should be.
pub async fn noting_staleness<T>(work: impl Future<Output = T>) -> (T, Option<Duration>) {
    OLDEST
        .scope(Cell::new(None), async {
            let done = work.await;
            (done, staleness())
        })
        .await
}

/// The age of the oldest stale answer so far, inside [`noting_staleness`].
pub fn staleness() -> Option<Duration> {
    OLDEST.try_with(Cell::get).ok().flatten()
}

pub(super) fn note(age: Duration) {
    // Nobody may want to know.
    let _ = OLDEST.try_with(|oldest| oldest.set(oldest.get().max(Some(age))));
}
