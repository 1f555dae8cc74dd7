//! A producer that writes in transactions. librdkafka's calls block, so each runs where that is allowed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::kafka::complaints::{Complaints, log};
use crate::kafka::errors::{KafkaFailure, graver};

/// How long a call blocks before somebody looks whether there is progress.
const SLICE: Duration = Duration::from_millis(500);

/// Counts the reports of one producer. Shared with the producer's own threads.
#[derive(Clone, Default)]
pub(super) struct Tally {
    shared: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    settled: AtomicU64,
    /// Of the open transaction.
    failure: Mutex<Option<RDKafkaErrorCode>>,
    complaints: Complaints,
}

impl Tally {
    /// Grows with every record whose fate is known.
    pub(super) fn settled(&self) -> u64 {
        self.shared.settled.load(Ordering::Relaxed)
    }

    /// Why records of the transaction failed: of several reasons the gravest.
    fn failure(&self) -> Option<RDKafkaErrorCode> {
        *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, code: RDKafkaErrorCode) {
        let mut failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = graver(*failure, code);
    }

    fn forget_failure(&self) {
        *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn complaints(&self) -> &Complaints {
        &self.shared.complaints
    }
}

impl ClientContext for Tally {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.complaints.hear(&error, reason);
    }
}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use RDKafkaErrorCode as C;
        match result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code()) {
            // Thrown away with the transaction: that has a reason of its own.
            None | Some(C::PurgeQueue | C::PurgeInflight) => {}
            Some(code) => self.fail(code),
        }
        self.shared.settled.fetch_add(1, Ordering::Relaxed);
    }
}

/// What follows from a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet: the same call again.
    Again,
    /// The transaction has to be aborted; the producer lives on.
    Abort,
    /// The producer is of no more use, or nobody knows what became of the transaction. The next one finds out.
    Discard,
}

/// A failed call.
#[derive(Debug)]
pub(super) struct Trouble {
    pub verdict: Verdict,
    pub code: RDKafkaErrorCode,
    pub reason: String,
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let (verdict, reason) = match &error {
            KafkaError::Transaction(said) if said.is_fatal() => (Verdict::Discard, said.string()),
            KafkaError::Transaction(said) if said.txn_requires_abort() => (Verdict::Abort, said.string()),
            KafkaError::Transaction(said) if said.is_retriable() => (Verdict::Again, said.string()),
            KafkaError::Transaction(said) => (Verdict::Discard, said.string()),
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => (Verdict::Again, code.to_string()),
            other => (Verdict::Discard, other.to_string()),
        };
        Self { verdict, code, reason }
    }
}

/// A producer, and where it is between two transactions.
pub(super) struct Session {
    producer: Arc<ThreadedProducer<Tally>>,
    tally: Tally,
    initialized: bool,
    /// When the open transaction began. Set before it does, and taken back once its end is certain: whoever finds
    /// it set between two deliveries knows that one was given up midway.
    begun: Option<Instant>,
}

impl Session {
    pub(super) async fn new(client: ClientConfig) -> Result<Self, KafkaFailure> {
        let tally = Tally::default();
        let context = tally.clone();
        let made = spawn_blocking(move || client.create_with_context(context)).await;
        let producer = made.map_err(|_| KafkaFailure::NoProducer)??;
        Ok(Self { producer: Arc::new(producer), tally, initialized: false, begun: None })
    }

    pub(super) fn producer(&self) -> &Arc<ThreadedProducer<Tally>> {
        &self.producer
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Whether it can be used for another transaction.
    pub(super) fn is_usable(&self) -> bool {
        self.begun.is_none() && self.tally.complaints().fatal().is_none()
    }

    /// For how long the transaction has been open.
    pub(super) fn age(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    async fn call<F>(&self, call: F) -> Result<(), Trouble>
    where
        F: FnOnce(&ThreadedProducer<Tally>) -> KafkaResult<()> + Send + 'static,
    {
        let producer = self.producer.clone();
        match spawn_blocking(move || call(&producer)).await {
            Ok(answered) => Ok(answered?),
            Err(panicked) => Err(Trouble {
                verdict: Verdict::Discard,
                code: RDKafkaErrorCode::Unknown,
                reason: panicked.to_string(),
            }),
        }
    }

    /// Takes the place of every producer of the same id. Their open transaction is over when this returns.
    pub(super) async fn init(&mut self, within: Duration) -> Result<(), Trouble> {
        self.call(move |producer| producer.init_transactions(within)).await?;
        self.initialized = true;
        Ok(())
    }

    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        self.begun = Some(Instant::now());
        self.tally.forget_failure();
        self.call(Producer::begin_transaction).await
    }

    /// A part of a commit: `Again` while it goes on.
    pub(super) async fn commit(&mut self) -> Result<(), Trouble> {
        let committed = self.call(|producer| producer.commit_transaction(SLICE)).await;
        if let Err(mut trouble) = committed {
            // What librdkafka says of the whole is that something failed; the reports say what.
            if let Some(code) = self.tally.failure().and_then(|failure| graver(Some(failure), trouble.code))
                && code != trouble.code
            {
                (trouble.code, trouble.reason) = (code, code.to_string());
            }
            return Err(trouble);
        }
        self.begun = None;
        Ok(())
    }

    /// A part of an abort: `Again` while it goes on.
    pub(super) async fn abort(&mut self) -> Result<(), Trouble> {
        self.call(|producer| producer.abort_transaction(SLICE)).await?;
        self.begun = None;
        Ok(())
    }

    /// Ends the producer; its open transaction stays open for the next one to end.
    pub(super) async fn end(self) {
        // Joins its thread. A panic there leaves nothing to do here.
        let _ = spawn_blocking(move || drop(self)).await;
    }
}
