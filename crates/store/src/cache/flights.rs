//! One question at a time for each key: who comes later waits for the answer of the first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Questions that are being asked.
pub(super) struct Flights<T>(Mutex<HashMap<String, Arc<OnceCell<T>>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// The answer of `ask`, or of another who asks the same already; and whether it is that of another. Where the asker
    /// goes away, one of those who wait asks in its place.
    pub(super) async fn join(&self, key: &str, ask: impl Future<Output = T>) -> (T, bool) {
        let flight = self.lock().entry(key.to_owned()).or_default().clone();
        let _landing = Landing { flights: self, key, flight: &flight };
        let mut is_mine = false;
        let mine = &mut is_mine;
        let ask = || async move {
            *mine = true;
            ask.await
        };
        let answer = flight.get_or_init(ask).await.clone();
        (answer, !is_mine)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<OnceCell<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever asks after an answer is there asks anew; a flight that all have left is forgotten.
struct Landing<'a, T: Clone> {
    flights: &'a Flights<T>,
    key: &'a str,
    flight: &'a Arc<OnceCell<T>>,
}

impl<T: Clone> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let is_it = flights.get(self.key).is_some_and(|other| Arc::ptr_eq(other, self.flight));
        // Two hold it where nobody else does: the map, and the one who leaves.
        if is_it && (self.flight.initialized() || Arc::strong_count(self.flight) <= 2) {
            flights.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_ask_once_and_the_next_one_anew() {
        let (flights, asked) = (Flights::default(), AtomicU64::new(0));
        let ask = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            asked.fetch_add(1, Ordering::Relaxed)
        };
        let (one, two, three) =
            tokio::join!(flights.join("a", ask()), flights.join("a", ask()), flights.join("b", ask()));
        assert_eq!(one.0, two.0, "one answer for both");
        assert_eq!([one.1, two.1].into_iter().filter(|is_of_another| *is_of_another).count(), 1);
        assert!(!three.1 && three.0 != one.0);
        assert_eq!(flights.join("a", ask()).await, (2, false));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_asker_goes_away_another_asks_and_nothing_is_left_behind() {
        let flights = Flights::default();
        let never = flights.join("a", std::future::pending::<u64>());
        let (gone, answer) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(1), never), flights.join("a", async { 7 }));
        assert!(gone.is_err());
        assert_eq!(answer, (7, false));
        assert!(flights.lock().is_empty());
        let alone = flights.join("a", std::future::pending::<u64>());
        assert!(tokio::time::timeout(Duration::from_secs(1), alone).await.is_err());
        assert!(flights.lock().is_empty());
    }
}
