//! Transactions that carry the cursor: a read-committed consumer sees every record once, whatever ends in between.
//!
//! A range, or a half of it, is one transaction: its records and, in the topic of cursors, how far each stream has
//! come with them. A producer that ends takes its open transaction with it; the next one of the same id makes sure
//! of that, reads the cursor back, and leaves out what Kafka has. So nothing here has to know how an attempt ended:
//! whenever that is in doubt, the producer is thrown away.

mod cursor;
mod read_back;
mod session;

use std::ops::Range as Span;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use model::{Batch, Stream, Timestamp};
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseRecord, Producer};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep};

use super::KafkaConfig;
use super::config::Writer;
use super::encode::{cursor_headers, encode, headers};
use super::errors::{KafkaFailure, classify};
use super::format::Encoder;
use super::topics::{cursors_name, ensure, topic_name};
use super::words::in_words;
use cursor::Cursor;
use session::{Session, Tally, Trouble, Verdict};

pub(crate) use cursor::SCHEMA as CURSOR_SCHEMA;
#[cfg(test)]
pub(crate) use cursor::example as example_cursor;

/// How long the brokers may take to end the transaction of the producer before.
const INIT_WITHIN: Duration = Duration::from_secs(8);
/// How long to stand back while the producer's queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(3);
/// How long to stand back before a call that goes on is made again.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);
/// Records encoded between two chances for others on the same thread.
const PER_TURN: usize = 128;

/// Delivers to the topics of one Kafka cluster, in transactions.
pub struct TransactionalKafkaSink {
    config: KafkaConfig,
    writer: Writer,
    encoder: Encoder,
    session: Option<Session>,
    /// What Kafka has; not known before it has been read back.
    cursor: Option<Cursor>,
    /// Journal position of the range under delivery.
    range: Option<u64>,
}

/// The rows of a batch that Kafka does not have.
struct Piece<'a> {
    batch: &'a Batch,
    left: Span<usize>,
}

impl TransactionalKafkaSink {
    /// A sink for the cluster that `config` names, delivering as `writer`. Connects at `prepare`.
    pub fn new(config: KafkaConfig, writer: Writer) -> Self {
        let config = KafkaConfig { exactly_once: Some(writer.clone()), ..config };
        let encoder = Encoder::new(&config);
        Self { config, writer, encoder, session: None, cursor: None, range: None }
    }

    /// A session that can begin a transaction, and the cursor.
    async fn ready(&mut self) -> Result<(&mut Session, &mut Cursor), KafkaFailure> {
        if self.session.as_ref().is_some_and(|session| !session.is_usable()) {
            self.discard();
        }
        self.encoder.ready().await?;
        if self.session.is_none() {
            self.session = Some(Session::new(self.config.transactional(&self.writer)).await?);
        }
        let session = self.session.as_mut().ok_or(KafkaFailure::NoProducer)?;
        if !session.is_initialized() {
            ensure(&self.config, session.producer(), session.tally().complaints()).await?;
            if let Err(trouble) = session.init(INIT_WITHIN.min(self.config.patience)).await {
                let failure = refused_init(&self.config, &trouble, session.tally());
                if trouble.verdict != Verdict::Again {
                    self.discard();
                }
                return Err(failure);
            }
        }
        if self.cursor.is_none() {
            let (config, writer, within) = (self.config.clone(), self.writer.clone(), self.config.patience);
            let read = spawn_blocking(move || read_back::read_back(&config, &writer, within)).await;
            let cursor = read.map_err(|_| KafkaFailure::NoProducer)??;
            tracing::info!(transactional_id = self.config.transactional_id(&self.writer), "delivers in transactions");
            self.cursor = Some(cursor);
        }
        let (Some(session), Some(cursor)) = (&mut self.session, &mut self.cursor) else {
            return Err(KafkaFailure::NoProducer);
        };
        Ok((session, cursor))
    }

    /// Throws the producer away. What became of its transaction is found out with the next one.
    fn discard(&mut self) {
        self.cursor = None;
        if let Some(session) = self.session.take() {
            // Nobody waits: the next producer does not depend on the end of this one.
            drop(spawn_blocking(move || drop(session)));
        }
    }

    /// Delivers `pieces` and moves the cursor behind them, both or neither.
    async fn transact(&mut self, pieces: &[Piece<'_>], refused: Option<&str>) -> Result<(), KafkaFailure> {
        let (config, writer, encoder) = (self.config.clone(), self.writer.clone(), self.encoder.clone());
        let (session, cursor) = self.ready().await?;
        let mut next = cursor.clone();
        let mut attempt = Attempt { config: &config, writer: &writer, encoder: &encoder, session };
        match attempt.run(pieces, refused, &mut next).await {
            Ok(()) => {
                *cursor = next;
                Ok(())
            }
            Err(trouble) => {
                let rows = pieces.iter().map(|piece| piece.left.len()).sum();
                let failure = attempt.explain(&trouble, rows);
                if trouble.verdict != Verdict::Abort || attempt.abort().await.is_err() {
                    self.discard();
                }
                Err(failure)
            }
        }
    }
}

/// Why no producer could take its place.
fn refused_init(config: &KafkaConfig, trouble: &Trouble, tally: &Tally) -> KafkaFailure {
    let complaint = tally.complaints().last().filter(|_| trouble.verdict == Verdict::Again);
    let (code, reason) = complaint.unwrap_or_else(|| (trouble.code, trouble.reason.clone()));
    let reason = in_words(config, code, reason);
    KafkaFailure::Brokers { brokers: config.brokers.join(","), class: classify(code), reason }
}

/// One transaction.
struct Attempt<'a> {
    config: &'a KafkaConfig,
    writer: &'a Writer,
    encoder: &'a Encoder,
    session: &'a mut Session,
}

impl Attempt<'_> {
    async fn run(&mut self, pieces: &[Piece<'_>], refused: Option<&str>, next: &mut Cursor) -> Result<(), Trouble> {
        self.session.begin().await?;
        for piece in pieces {
            match refused {
                Some(error) => piece.left.clone().for_each(|index| next.refuse(&piece.batch.id, index, error)),
                None => self.send_rows(piece, next).await?,
            }
            next.advance(&piece.batch.id);
        }
        self.send_cursor(next).await?;
        let mut waiting = Waiting::new(self);
        loop {
            match self.session.commit().await {
                Err(trouble) if trouble.verdict == Verdict::Again => {
                    waiting.look(self, trouble)?;
                    // It has waited by itself already, unless it refused to.
                    sleep(BETWEEN_CALLS).await;
                }
                ended => return ended,
            }
        }
    }

    async fn send_rows(&mut self, piece: &Piece<'_>, next: &mut Cursor) -> Result<(), Trouble> {
        let id = &piece.batch.id;
        let topic = topic_name(&self.config.topic_prefix, id.stream);
        let headers = headers(self.encoder, id);
        let now = Timestamp::from(SystemTime::now());
        for index in piece.left.clone() {
            if index % PER_TURN == PER_TURN - 1 {
                yield_now().await;
            }
            let encoded = match encode(self.encoder, &piece.batch.rows, index).transpose() {
                Ok(Some(encoded)) => encoded,
                Ok(None) => {
                    next.refuse(id, index, "the batch has no such row");
                    continue;
                }
                Err(error) => {
                    next.refuse(id, index, &error.to_string());
                    continue;
                }
            };
            let mut record =
                BaseRecord::to(&topic).key(&encoded.key).timestamp(encoded.timestamp_ms(now)).headers(headers.clone());
            record.payload = encoded.value.as_ref();
            match self.send(record).await {
                Err(trouble) if trouble.code == Code::MessageSizeTooLarge => {
                    let bytes = encoded.value.map_or(0, |value| value.len());
                    next.refuse(id, index, &format!("{bytes} bytes are more than message.max.bytes"));
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    async fn send_cursor(&mut self, next: &Cursor) -> Result<(), Trouble> {
        let (topic, key) = (cursors_name(&self.config.topic_prefix), cursor::key(self.writer));
        let value = next.value(self.writer);
        self.send(BaseRecord::to(&topic).partition(0).key(&key).payload(&value).headers(cursor_headers())).await
    }

    /// Hands one record to the producer.
    async fn send(&mut self, record: BaseRecord<'_, String, Vec<u8>>) -> Result<(), Trouble> {
        let mut record = record;
        let mut waiting = None;
        loop {
            let (error, back) = match self.session.producer().send(record) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            let trouble = |verdict| Trouble { verdict, code, reason: code.to_string() };
            match code {
                Code::QueueFull => {
                    waiting.get_or_insert_with(|| Waiting::new(self)).look(self, trouble(Verdict::Again))?;
                    sleep(QUEUE_FULL).await;
                    record = back;
                }
                // The transaction has failed, and so will its commit, which says why.
                Code::State | Code::Fatal => return Err(self.why_failed().await),
                _ => return Err(trouble(Verdict::Abort)),
            }
        }
    }

    async fn why_failed(&mut self) -> Trouble {
        match self.session.commit().await {
            Err(trouble) if trouble.verdict != Verdict::Again => trouble,
            _ => Trouble {
                verdict: Verdict::Discard,
                code: Code::State,
                reason: "the producer takes no records and does not say why".into(),
            },
        }
    }

    async fn abort(&mut self) -> Result<(), Trouble> {
        let mut waiting = Waiting::new(self);
        loop {
            match self.session.abort().await {
                Err(trouble) if trouble.verdict == Verdict::Again => {
                    waiting.look(self, trouble)?;
                    // It has waited by itself already, unless it refused to.
                    sleep(BETWEEN_CALLS).await;
                }
                ended => return ended,
            }
        }
    }

    /// What `trouble` means for a delivery of so many rows.
    fn explain(&self, trouble: &Trouble, rows: usize) -> KafkaFailure {
        let age = self.session.age();
        // Brokers look for old transactions every few seconds, so one that was ended by them is older than that.
        let too_slow = age >= self.config.transaction_timeout().mul_f32(0.9);
        let fenced = matches!(trouble.code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
        match trouble.code {
            Code::MessageTimedOut | Code::OperationTimedOut if too_slow && trouble.verdict == Verdict::Abort => {
                KafkaFailure::SlowTransaction { rows, seconds: age.as_secs() }
            }
            _ if fenced && too_slow => KafkaFailure::SlowTransaction { rows, seconds: age.as_secs() },
            _ if fenced => KafkaFailure::Fenced {
                id: self.config.transactional_id(self.writer),
                node: self.writer.node.to_string(),
            },
            code => KafkaFailure::Transaction { class: classify(code), rows, reason: trouble.reason.clone() },
        }
    }
}

/// Watches a wait: it may last as long as records settle.
struct Waiting {
    settled: u64,
    since: Instant,
}

impl Waiting {
    fn new(attempt: &Attempt<'_>) -> Self {
        Self { settled: attempt.session.tally().settled(), since: Instant::now() }
    }

    /// Goes on waiting after `trouble`, or ends it once nothing has settled for too long: the producer is thrown away
    /// with its transaction.
    fn look(&mut self, attempt: &Attempt<'_>, trouble: Trouble) -> Result<(), Trouble> {
        let settled = attempt.session.tally().settled();
        if settled != self.settled {
            *self = Self { settled, since: Instant::now() };
        }
        if self.since.elapsed() < attempt.config.patience {
            return Ok(());
        }
        let (code, reason) = attempt.session.tally().complaints().last().unwrap_or((trouble.code, trouble.reason));
        let in_flight = attempt.session.producer().in_flight_count();
        let reason = in_words(attempt.config, code, reason);
        let reason = format!(
            "nothing acknowledged for {} s, {in_flight} records under way: {reason}",
            self.since.elapsed().as_secs()
        );
        Err(Trouble { verdict: Verdict::Discard, code, reason })
    }
}

#[async_trait]
impl Deliver for TransactionalKafkaSink {
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
            // What comes while a transaction is under way is the next one.
            linger: Duration::ZERO,
            streams: Stream::ALL.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        self.ready().await?;
        if let Some(session) = &self.session {
            ensure(&self.config, session.producer(), session.tally().complaints()).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let another = self.range.replace(range.first).is_some_and(|before| before != range.first);
        let (_, cursor) = self.ready().await?;
        if another {
            cursor.forget_refused();
        }
        let pieces: Vec<Piece<'_>> = range
            .batches
            .iter()
            .map(|batch| Piece { batch, left: cursor.left(batch) })
            .filter(|piece| !piece.left.is_empty())
            .collect();
        if !pieces.is_empty()
            && let Err(failure) = self.transact(&pieces, None).await
        {
            let refused = matches!(failure.class(), FailureClass::Split | FailureClass::Poison);
            match pieces.as_slice() {
                // A record that is refused alone: the cursor has to pass it, and to remember.
                [piece] if refused && piece.left.len() == 1 => {
                    self.transact(&pieces, Some(failure.refusal())).await?;
                }
                _ => return Err(failure.into()),
            }
        }
        let rejected = self.cursor.as_ref().map_or_else(Vec::new, |cursor| cursor.rejections(&range.batches));
        Ok(Receipt { rejected })
    }

    async fn close(&mut self) {
        self.cursor = None;
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }
}

#[cfg(test)]
mod tests;
