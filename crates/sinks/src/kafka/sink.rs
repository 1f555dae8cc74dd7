//! The sink: hands records to the producer and waits until each has settled.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use model::{Batch, Stream, Timestamp};
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep, timeout};

use super::KafkaConfig;
use super::encode::{encode, headers};
use super::errors::{KafkaFailure, classify, graver};
use super::format::Encoder;
use super::outcomes::{Fate, Outcomes, RecordId};
use super::topics::{ensure, topic_name};
use super::words::in_words;

/// How often a wait looks whether there is progress.
const LOOK: Duration = Duration::from_millis(250);
/// How long to stand back while the producer's queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(3);
/// Records encoded between two chances for others on the same thread.
const PER_TURN: usize = 128;

/// Delivers to the topics of one Kafka cluster.
pub struct KafkaSink {
    config: KafkaConfig,
    producer: Option<Arc<ThreadedProducer<Outcomes>>>,
    outcomes: Outcomes,
    encoder: Encoder,
    /// Journal position after the range before: what lies before it never comes again.
    behind: u64,
}

/// What the records of a batch share.
struct Parcel<'a> {
    batch: &'a Batch,
    topic: String,
    headers: OwnedHeaders,
}

impl<'a> Parcel<'a> {
    fn new(sink: &KafkaSink, batch: &'a Batch) -> Self {
        let topic = topic_name(&sink.config.topic_prefix, batch.id.stream);
        Self { batch, topic, headers: headers(&sink.encoder, &batch.id) }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let row = |index| Row { parcel: self, index, id: RecordId::new(&self.batch.id, index) };
        (0..self.batch.rows.len()).map(row)
    }
}

/// One row on its way.
struct Row<'a> {
    parcel: &'a Parcel<'a>,
    index: usize,
    id: RecordId,
}

impl KafkaSink {
    /// A sink for the cluster that `config` names. Connects at `prepare`.
    pub fn new(config: KafkaConfig) -> Self {
        let encoder = Encoder::new(&config);
        Self { config, producer: None, outcomes: Outcomes::default(), encoder, behind: 0 }
    }

    /// A producer that can send. One that failed for good is made anew.
    async fn connect(&mut self) -> Result<Arc<ThreadedProducer<Outcomes>>, KafkaFailure> {
        if let Some(reason) = self.outcomes.complaints().fatal() {
            tracing::warn!(reason, "the kafka producer failed for good and is made anew");
            self.disconnect().await;
        }
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        self.outcomes.complaints().renew();
        let (client, outcomes) = (self.config.client(), self.outcomes.clone());
        let made = spawn_blocking(move || client.create_with_context(outcomes)).await;
        let producer: Arc<ThreadedProducer<Outcomes>> = Arc::new(made.map_err(|_| KafkaFailure::NoProducer)??);
        self.producer = Some(producer.clone());
        Ok(producer)
    }

    /// Ends the producer. What it still holds is told as failed.
    async fn disconnect(&mut self) {
        if let Some(producer) = self.producer.take() {
            // Joins its thread. A panic there leaves nothing to do here.
            let _ = spawn_blocking(move || drop(producer)).await;
        }
    }

    async fn send_all(&self, producer: &ThreadedProducer<Outcomes>, rows: &[Row<'_>]) -> Result<(), KafkaFailure> {
        for (count, row) in rows.iter().enumerate() {
            if count % PER_TURN == PER_TURN - 1 {
                yield_now().await;
            }
            if self.outcomes.begin(row.id) {
                self.send(producer, row).await?;
            }
        }
        Ok(())
    }

    /// Hands one record to the producer, which tells its fate later. Its fate is known already where the
    /// producer does not take it.
    async fn send(&self, producer: &ThreadedProducer<Outcomes>, row: &Row<'_>) -> Result<(), KafkaFailure> {
        let parcel = row.parcel;
        let encoded = match encode(&self.encoder, &parcel.batch.rows, row.index).transpose() {
            Ok(Some(encoded)) => encoded,
            Ok(None) => {
                self.outcomes.settle(row.id, Fate::Rejected("the batch has no such row".into()));
                return Ok(());
            }
            Err(error) => {
                self.outcomes.settle(row.id, Fate::Rejected(error.to_string()));
                return Ok(());
            }
        };
        let mut record = BaseRecord::with_opaque_to(&parcel.topic, Box::new(row.id))
            .key(&encoded.key)
            .timestamp(encoded.timestamp_ms(Timestamp::from(SystemTime::now())))
            .headers(parcel.headers.clone());
        record.payload = encoded.value.as_ref();
        let mut waiting = Waiting::new(self);
        loop {
            let (error, back) = match producer.send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            if code == RDKafkaErrorCode::MessageSizeTooLarge {
                let bytes = encoded.value.map_or(0, |value| value.len());
                self.outcomes.settle(row.id, Fate::Rejected(format!("{bytes} bytes are more than message.max.bytes")));
                return Ok(());
            }
            // While it waits it is not with the producer: a delivery that is given up here leaves nothing behind.
            self.outcomes.hand_back(row.id, code);
            match code {
                RDKafkaErrorCode::QueueFull => {
                    waiting.look()?;
                    sleep(QUEUE_FULL).await;
                    self.outcomes.begin(row.id);
                    record = back;
                }
                RDKafkaErrorCode::Fatal => {
                    self.outcomes.fail_for_good(error.to_string());
                    return Err(KafkaFailure::fatal(producer.client(), error.to_string()));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Waits until nothing is in flight, as long as there is progress.
    async fn settled(&self, producer: &ThreadedProducer<Outcomes>) -> Result<(), KafkaFailure> {
        let mut waiting = Waiting::new(self);
        loop {
            if let Some(reason) = self.outcomes.complaints().fatal() {
                return Err(KafkaFailure::fatal(producer.client(), reason));
            }
            if waiting.look()? == 0 {
                return Ok(());
            }
            let _ = timeout(LOOK, self.outcomes.changed()).await;
        }
    }

    /// Records that failed as too large: a broker refuses all that were in one request, so each is sent again
    /// alone, and the one that fails alone is refused for good.
    async fn isolate(&self, producer: &ThreadedProducer<Outcomes>, rows: &[Row<'_>]) -> Result<(), KafkaFailure> {
        for row in rows {
            let too_large = |fate: Option<Fate>| match fate {
                Some(Fate::Failed(code)) => classify(code) == FailureClass::Split,
                _ => false,
            };
            if too_large(self.outcomes.fate(row.id)) && self.outcomes.begin(row.id) {
                self.send(producer, row).await?;
                self.settled(producer).await?;
                if too_large(self.outcomes.fate(row.id)) {
                    self.outcomes.settle(row.id, Fate::Rejected("larger than the broker takes".into()));
                }
            }
        }
        Ok(())
    }

    fn judge(&self, rows: &[Row<'_>]) -> Result<Receipt, KafkaFailure> {
        let mut rejected = Vec::new();
        let mut failed = 0;
        let mut worst = None;
        for row in rows {
            match self.outcomes.fate(row.id) {
                Some(Fate::Acknowledged) => {}
                Some(Fate::Rejected(error)) => {
                    rejected.push(Rejection { stream: row.id.stream, sequence: row.id.sequence, error });
                }
                Some(Fate::Failed(code)) => {
                    failed += 1;
                    worst = graver(worst, code);
                }
                Some(Fate::InFlight) | None => {
                    failed += 1;
                    worst = worst.or(Some(RDKafkaErrorCode::Unknown));
                }
            }
        }
        match worst {
            Some(code) => Err(KafkaFailure::Records { failed, sent: rows.len(), code }),
            None => Ok(Receipt { rejected }),
        }
    }
}

/// Watches a wait: it may last as long as records settle.
struct Waiting<'a> {
    sink: &'a KafkaSink,
    seen: u64,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(sink: &'a KafkaSink) -> Self {
        Self { sink, seen: sink.outcomes.progress().1, since: Instant::now() }
    }

    /// How many are in flight; an error once nothing has settled for too long.
    fn look(&mut self) -> Result<usize, KafkaFailure> {
        let (in_flight, progress) = self.sink.outcomes.progress();
        if progress != self.seen {
            (self.seen, self.since) = (progress, Instant::now());
        }
        if in_flight == 0 || self.since.elapsed() < self.sink.config.patience {
            return Ok(in_flight);
        }
        let complaint = self.sink.outcomes.complaints().last();
        Err(KafkaFailure::Waiting {
            class: complaint.as_ref().map_or(FailureClass::Retry, |(code, _)| classify(*code)),
            waited_s: self.since.elapsed().as_secs(),
            in_flight,
            reason: complaint
                .map_or_else(String::new, |(code, reason)| format!(": {}", in_words(&self.sink.config, code, reason))),
        })
    }
}

#[async_trait]
impl Deliver for KafkaSink {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn target(&self) -> String {
        format!("{} ({}*)", self.config.brokers.join(","), self.config.topic_prefix)
    }

    fn appetite(&self) -> Appetite {
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            // The producer lingers.
            linger: Duration::ZERO,
            streams: Stream::ALL.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        let producer = self.connect().await?;
        ensure(&self.config, &producer, self.outcomes.complaints()).await?;
        Ok(self.encoder.ready().await?)
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        if range.first >= self.behind {
            self.outcomes.forget_settled();
        }
        self.behind = range.end;
        if self.producer.is_none() {
            return Err(KafkaFailure::NoProducer.into());
        }
        let producer = self.connect().await?;
        self.encoder.ready().await?;
        let parcels: Vec<Parcel<'_>> = range.batches.iter().map(|batch| Parcel::new(self, batch)).collect();
        let rows: Vec<Row<'_>> = parcels.iter().flat_map(Parcel::rows).collect();
        self.send_all(&producer, &rows).await?;
        self.settled(&producer).await?;
        self.isolate(&producer, &rows).await?;
        Ok(self.judge(&rows)?)
    }

    async fn close(&mut self) {
        self.disconnect().await;
    }
}
