//! Waiting for what happens elsewhere: polled, with a deadline, and a panic that says what did not come.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds. Panics with `what` once `within` has passed.
pub fn wait_until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(within, what, || condition().then_some(()));
}

/// Waits until `probe` yields a value. Panics with `what` once `within` has passed.
pub fn wait_for<T>(within: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// [`wait_until`] for an async condition, on a tokio runtime. Real time, also where tokio's clock is paused.
pub async fn wait_until_async(within: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_for_async(within, what, async || condition().await.then_some(())).await;
}

/// [`wait_for`] for an async probe, on a tokio runtime. Real time, also where tokio's clock is paused.
pub async fn wait_for_async<T>(within: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}
