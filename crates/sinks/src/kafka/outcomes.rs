//! What became of each record that was handed to the producer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{BatchId, Stream};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;

use super::complaints::{Complaints, log};

/// A record's identity, which outlives every attempt to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordId {
    pub stream: Stream,
    pub epoch: u64,
    pub sequence: u64,
}

impl RecordId {
    pub(super) fn new(batch: &BatchId, index: usize) -> Self {
        Self { stream: batch.stream, epoch: batch.epoch, sequence: batch.first + index as u64 }
    }
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// With the producer, which will tell.
    InFlight,
    /// The brokers have it.
    Acknowledged,
    /// They do not, and the producer does not hold it any more.
    Failed(RDKafkaErrorCode),
    /// It was sent alone, and they will never take it.
    Rejected(String),
}

/// The fates of the records of one range. Shared with the producer's own thread.
#[derive(Clone, Default)]
pub(super) struct Outcomes {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    complaints: Complaints,
    /// Told when nothing is in flight any more, or the producer failed for good.
    settled: Notify,
}

#[derive(Default)]
struct State {
    fates: HashMap<RecordId, Fate>,
    in_flight: usize,
    /// Grows with every record that settles.
    progress: u64,
}

impl Outcomes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets records of ranges that are behind. Those still in flight stay.
    pub(super) fn forget_settled(&self) {
        self.state().fates.retain(|_, fate| *fate == Fate::InFlight);
    }

    /// Takes note that the record goes to the producer now. False where it need not: it is there, on its way,
    /// or refused for good.
    pub(super) fn begin(&self, id: RecordId) -> bool {
        let mut state = self.state();
        match state.fates.get(&id) {
            None | Some(Fate::Failed(_)) => {
                state.fates.insert(id, Fate::InFlight);
                state.in_flight += 1;
                true
            }
            Some(_) => false,
        }
    }

    /// The record's delivery ended in `fate`.
    pub(super) fn settle(&self, id: RecordId, fate: Fate) {
        let mut state = self.state();
        if state.fates.insert(id, fate) == Some(Fate::InFlight) {
            state.in_flight -= 1;
            state.progress += 1;
        }
        if state.in_flight == 0 {
            self.shared.settled.notify_one();
        }
    }

    /// The producer did not take the record.
    pub(super) fn hand_back(&self, id: RecordId, code: RDKafkaErrorCode) {
        let mut state = self.state();
        if state.fates.insert(id, Fate::Failed(code)) == Some(Fate::InFlight) {
            state.in_flight -= 1;
        }
    }

    pub(super) fn fate(&self, id: RecordId) -> Option<Fate> {
        self.state().fates.get(&id).cloned()
    }

    /// Records in flight, and a number that grows as they settle.
    pub(super) fn progress(&self) -> (usize, u64) {
        let state = self.state();
        (state.in_flight, state.progress)
    }

    pub(super) async fn changed(&self) {
        self.shared.settled.notified().await;
    }

    /// What the client says of its own troubles.
    pub(super) fn complaints(&self) -> &Complaints {
        &self.shared.complaints
    }

    pub(super) fn fail_for_good(&self, reason: String) {
        self.shared.complaints.fail_for_good(reason);
        self.shared.settled.notify_one();
    }
}

impl ClientContext for Outcomes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.complaints.hear(&error, reason);
        self.shared.settled.notify_one();
    }
}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = Box<RecordId>;

    fn delivery(&self, result: &DeliveryResult<'_>, id: Box<RecordId>) {
        let fate = match result {
            Ok(_) => Fate::Acknowledged,
            Err((error, _)) => Fate::Failed(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        self.settle(*id, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> RecordId {
        RecordId { stream: Stream::Stats, epoch: 1, sequence }
    }

    #[test]
    fn a_record_is_sent_again_only_after_it_has_failed() {
        let outcomes = Outcomes::default();
        assert!(outcomes.begin(id(1)));
        assert!(!outcomes.begin(id(1)), "it is on its way");
        outcomes.settle(id(1), Fate::Failed(RDKafkaErrorCode::MessageTimedOut));
        assert!(outcomes.begin(id(1)));
        outcomes.settle(id(1), Fate::Acknowledged);
        assert!(!outcomes.begin(id(1)), "it is there");
    }

    #[test]
    fn a_report_for_a_record_that_was_settled_counts_nothing() {
        let outcomes = Outcomes::default();
        assert!(outcomes.begin(id(1)));
        outcomes.settle(id(1), Fate::Acknowledged);
        outcomes.settle(id(1), Fate::Acknowledged);
        assert_eq!(outcomes.progress(), (0, 1));
    }

    #[test]
    fn what_is_in_flight_is_not_forgotten_with_the_range_before() {
        let outcomes = Outcomes::default();
        outcomes.begin(id(1));
        outcomes.begin(id(2));
        outcomes.settle(id(2), Fate::Acknowledged);
        outcomes.forget_settled();
        assert_eq!((outcomes.fate(id(1)), outcomes.fate(id(2))), (Some(Fate::InFlight), None));
    }
}
