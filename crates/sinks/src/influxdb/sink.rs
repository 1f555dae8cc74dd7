//! The sink: a range is one request, sent as the same bytes until the server has it.

use std::io::Write;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use model::{Batch, BatchId};
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};
use tokio::task::spawn_blocking;

use super::client::{Answer, Client};
use super::config::{Api, InfluxConfig};
use super::encode::{STREAMS, encode};
use super::errors::{InfluxFailure, classify, dropped_all, statement_error};
use crate::client::Unanswered;

/// Line protocol without a point: whoever takes it would take points as well.
const PROBE: &str = "# dockstream\n";

/// Delivers into one database or bucket.
pub struct InfluxSink {
    config: InfluxConfig,
    client: Option<Client>,
    frozen: Option<Frozen>,
}

/// A range as it is sent.
struct Frozen {
    /// What it was made of: ids name content.
    ids: Vec<BatchId>,
    body: Bytes,
}

impl InfluxSink {
    /// A sink for the place that `config` names. Connects at `prepare`.
    pub fn new(config: InfluxConfig) -> Self {
        Self { config, client: None, frozen: None }
    }

    fn client(&mut self) -> Result<&Client, InfluxFailure> {
        if self.client.is_none() {
            self.client = Some(Client::new(&self.config)?);
        }
        Ok(self.client.as_ref().expect("it was made just now"))
    }

    async fn write(&mut self, body: Bytes) -> Result<Answer, InfluxFailure> {
        let answer = self.client()?.write(body).await;
        answer.map_err(|why| self.unanswered(why))
    }

    fn unanswered(&self, why: Unanswered) -> InfluxFailure {
        InfluxFailure::Unanswered { url: self.config.shown_url(), why }
    }

    fn refused(&self, answer: Answer) -> InfluxFailure {
        let Answer { status, words, retry_after } = answer;
        InfluxFailure::Refused { url: self.config.shown_url(), class: classify(status), status, words, retry_after }
    }

    /// Whether points would be taken, without sending one.
    async fn probe(&mut self) -> Result<(), InfluxFailure> {
        let body = packed(PROBE, self.config.gzip).into();
        let answer = self.write(body).await?;
        match (answer.status, classify(answer.status)) {
            // Some servers want a point in every request: all else about this one was well, then.
            (StatusCode::NO_CONTENT, _) | (_, FailureClass::Poison) => Ok(()),
            _ => Err(self.refused(answer)),
        }
    }

    async fn make_database(&mut self, name: &str) -> Result<(), InfluxFailure> {
        let statement = format!("CREATE DATABASE {}", quoted(name));
        let answer = self.client()?.query(&statement).await;
        let answer = answer.map_err(|why| self.unanswered(why))?;
        match (answer.status, statement_error(&answer.words)) {
            (StatusCode::OK, None) => Ok(()),
            (StatusCode::OK, Some(error)) => {
                let what = format!("cannot make the database {name}: {error}");
                Err(InfluxFailure::Settings { url: self.config.shown_url(), what })
            }
            _ => Err(self.refused(answer)),
        }
    }

    /// The database that had to be made, if one had to.
    pub(super) async fn prepared(&mut self) -> Result<Option<String>, InfluxFailure> {
        // Certificates are read again.
        self.client = None;
        let missing = match self.probe().await {
            Err(InfluxFailure::Refused { status: StatusCode::NOT_FOUND, words, .. }) => words,
            probed => return probed.map(|()| None),
        };
        let url = self.config.shown_url();
        match self.config.api.clone() {
            Api::V1 { database, .. } if self.config.create_database && missing.contains("database not found") => {
                self.make_database(&database).await?;
                self.probe().await?;
                Ok(Some(database))
            }
            Api::V1 { database, .. } if missing.contains("database not found") => {
                let what = format!("there is no database {database}: set create_database = true, or make it");
                Err(InfluxFailure::Settings { url, what })
            }
            api => {
                let said = if missing.is_empty() { "404" } else { &missing };
                let what =
                    format!("cannot write to {api} there ({said}): is it made, and `api` what the server speaks?");
                Err(InfluxFailure::Settings { url, what })
            }
        }
    }

    async fn body(&mut self, batches: &[Batch]) -> Result<Bytes, InfluxFailure> {
        if let Some(frozen) = self.frozen.as_ref().filter(|frozen| frozen.is_of(batches)) {
            return Ok(frozen.body.clone());
        }
        let (owned, gzip) = (batches.to_vec(), self.config.gzip);
        let encoded = spawn_blocking(move || packed(&encode(&owned), gzip)).await;
        let body = Bytes::from(encoded.map_err(|panicked| InfluxFailure::Encode(panicked.to_string()))?);
        let ids = batches.iter().map(|batch| batch.id.clone()).collect();
        self.frozen = Some(Frozen { ids, body: body.clone() });
        Ok(body)
    }
}

impl Frozen {
    fn is_of(&self, batches: &[Batch]) -> bool {
        self.ids.iter().eq(batches.iter().map(|batch| &batch.id))
    }
}

/// A name in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn packed(lines: &str, gzip: bool) -> Vec<u8> {
    if !gzip {
        return lines.as_bytes().to_vec();
    }
    let mut packed = GzEncoder::new(Vec::with_capacity(lines.len() / 8), Compression::fast());
    packed.write_all(lines.as_bytes()).and_then(|()| packed.finish()).expect("memory takes what is written")
}

/// Every row of a range, as refused.
fn all_rejected(range: &Range, error: &str) -> Receipt {
    let of = |batch: &Batch| {
        let stream = batch.id.stream;
        (batch.id.first..=batch.id.last).map(move |sequence| (stream, sequence))
    };
    let rejected = range.batches.iter().flat_map(of);
    Receipt {
        rejected: rejected.map(|(stream, sequence)| Rejection { stream, sequence, error: error.to_owned() }).collect(),
    }
}

#[async_trait]
impl Deliver for InfluxSink {
    fn kind(&self) -> &'static str {
        "influxdb"
    }

    fn target(&self) -> String {
        format!("{} ({})", self.config.shown_url(), self.config.api)
    }

    fn appetite(&self) -> Appetite {
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            linger: self.config.linger,
            streams: STREAMS.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(self.prepared().await.map(|_| ())?)
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let points = range.rows();
        if points == 0 {
            return Ok(Receipt::default());
        }
        let body = self.body(&range.batches).await?;
        let answer = self.write(body).await?;
        if answer.status == StatusCode::NO_CONTENT {
            self.frozen = None;
            return Ok(Receipt::default());
        }
        let all = dropped_all(&answer, points);
        let failure = self.refused(answer);
        if all {
            self.frozen = None;
            return Ok(all_rejected(range, &failure.to_string()));
        }
        Err(failure.into())
    }

    async fn close(&mut self) {
        self.client = None;
    }
}
