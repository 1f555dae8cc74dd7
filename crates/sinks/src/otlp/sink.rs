//! The sink: a range is a request of metrics and one of logs, each sent as the same bytes until the receiver has it.

use std::collections::BTreeMap;
use std::mem::take;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Batch, BatchId, Stream};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};
use tokio::task::spawn_blocking;

use super::client::{Client, Signal, Taken, body};
use super::config::OtlpConfig;
use super::encode::{LOGS, METRICS, logs, metrics};
use super::errors::OtlpFailure;

/// Delivers to one receiver.
pub struct OtlpSink {
    config: OtlpConfig,
    client: Option<Client>,
    frozen: Option<Frozen>,
    /// What was refused and not named since this was asked for, by unit.
    unnamed: BTreeMap<&'static str, u64>,
}

/// A range as it is sent.
struct Frozen {
    /// What it was made of: ids name content.
    ids: Vec<BatchId>,
    parts: Vec<Part>,
}

/// The request of one signal.
struct Part {
    signal: Signal,
    body: Bytes,
    /// Points, or log records, in it.
    count: u64,
    /// The rows it was made of.
    rows: Vec<BatchId>,
    /// What became of it; `None` until the receiver has it.
    rejected: Option<Vec<Rejection>>,
}

impl OtlpSink {
    /// A sink for the receiver that `config` names. Connects at `prepare`.
    pub fn new(config: OtlpConfig) -> Self {
        Self { config, client: None, frozen: None, unnamed: BTreeMap::new() }
    }

    async fn export(&mut self, signal: Signal, body: Bytes) -> Result<Taken, OtlpFailure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(&self.config)?,
        };
        let taken = client.export(signal, body).await;
        // A connection on which nothing comes is not asked again.
        if !matches!(taken, Err(OtlpFailure::Unanswered { .. })) {
            self.client = Some(client);
        }
        taken
    }

    /// Whether metrics and logs would be taken, without sending any.
    async fn probe(&mut self) -> Result<(), OtlpFailure> {
        // Certificates are read again.
        self.client = None;
        let probes = [
            (Signal::Metrics, self.config.metrics, body(&ExportMetricsServiceRequest::default(), &self.config)),
            (Signal::Logs, self.config.logs, body(&ExportLogsServiceRequest::default(), &self.config)),
        ];
        for (signal, wanted, nothing) in probes {
            if !wanted {
                continue;
            }
            match self.export(signal, nothing).await {
                Ok(_) => {}
                // Some receivers want something in every request: all else about this one was well, then.
                Err(failure) if failure.class() == FailureClass::Poison => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// The requests of a range: those of its last delivery, where that failed.
    async fn freeze(&mut self, batches: &[Batch]) -> Result<Frozen, OtlpFailure> {
        if let Some(frozen) = self.frozen.take().filter(|frozen| frozen.is_of(batches)) {
            return Ok(frozen);
        }
        let (owned, config) = (batches.to_vec(), self.config.clone());
        let encoded = spawn_blocking(move || parts(&owned, &config)).await;
        let parts = encoded.map_err(|panicked| OtlpFailure::Encode(panicked.to_string()))?;
        Ok(Frozen { ids: batches.iter().map(|batch| batch.id.clone()).collect(), parts })
    }

    /// Sends what the receiver does not have yet.
    async fn send(&mut self, frozen: &mut Frozen) -> Result<(), OtlpFailure> {
        for part in frozen.parts.iter_mut().filter(|part| part.rejected.is_none()) {
            let taken = self.export(part.signal, part.body.clone()).await?;
            part.rejected = Some(self.rejections(part, &taken));
        }
        Ok(())
    }

    /// What of a request that was taken was refused: all of it by name, or some of it by number. It is not sent again.
    fn rejections(&mut self, part: &Part, taken: &Taken) -> Vec<Rejection> {
        let (target, signal) = (self.config.shown_url(), part.signal);
        let Taken { rejected, words } = taken;
        if *rejected == 0 {
            if !words.is_empty() {
                tracing::warn!(target, %signal, words, "the receiver has something to say of what it took");
            }
            return Vec::new();
        }
        if *rejected < part.count {
            *self.unnamed.entry(signal.unit()).or_default() += rejected;
            tracing::error!(
                target,
                %signal,
                rejected,
                sent = part.count,
                words,
                "the receiver refuses a part of what it took, and does not say which"
            );
            return Vec::new();
        }
        let error = format!("otlp {target}: {signal}: refused: {words}");
        let of = |id: &BatchId| (id.first..=id.last).map(|sequence| (id.stream, sequence)).collect::<Vec<_>>();
        let rows = part.rows.iter().flat_map(of);
        rows.map(|(stream, sequence)| Rejection { stream, sequence, error: error.clone() }).collect()
    }
}

impl Frozen {
    fn is_of(&self, batches: &[Batch]) -> bool {
        self.ids.iter().eq(batches.iter().map(|batch| &batch.id))
    }
}

/// The requests that `batches` become.
fn parts(batches: &[Batch], config: &OtlpConfig) -> Vec<Part> {
    let rows = |streams: &[Stream]| -> Vec<BatchId> {
        let of_signal = batches.iter().filter(|batch| streams.contains(&batch.id.stream));
        of_signal.map(|batch| batch.id.clone()).collect()
    };
    let part = |signal, body, count, rows| Part { signal, body, count, rows, rejected: None };
    let mut parts = Vec::new();
    let (message, count) = metrics(batches, &config.labels);
    if config.metrics && count > 0 {
        parts.push(part(Signal::Metrics, body(&message, config), count, rows(&METRICS)));
    }
    let (message, count) = logs(batches);
    if config.logs && count > 0 {
        parts.push(part(Signal::Logs, body(&message, config), count, rows(&LOGS)));
    }
    parts
}

#[async_trait]
impl Deliver for OtlpSink {
    fn kind(&self) -> &'static str {
        "otlp"
    }

    fn target(&self) -> String {
        format!("{} ({})", self.config.shown_url(), self.config.protocol)
    }

    fn appetite(&self) -> Appetite {
        let metrics = METRICS.iter().filter(|_| self.config.metrics);
        let logs = LOGS.iter().filter(|_| self.config.logs);
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            linger: self.config.linger,
            streams: metrics.chain(logs).copied().collect(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(self.probe().await?)
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let mut frozen = self.freeze(&range.batches).await?;
        let sent = self.send(&mut frozen).await;
        if let Err(failure) = sent {
            self.frozen = Some(frozen);
            return Err(failure.into());
        }
        let rejected = frozen.parts.into_iter().filter_map(|part| part.rejected).flatten();
        Ok(Receipt { rejected: rejected.collect() })
    }

    fn unnamed_refusals(&mut self) -> Vec<(&'static str, u64)> {
        take(&mut self.unnamed).into_iter().collect()
    }

    async fn close(&mut self) {
        self.client = None;
    }
}
