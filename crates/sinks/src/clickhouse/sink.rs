//! The sink: sends the inserts of a range one after the other, and only those that the server does not have.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use model::Stream;
use pipeline::ports::{Appetite, Deliver, DeliverError, Range, Receipt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::errors::{Attempt, ClickHouseFailure, INSERT_WAS_DEDUPLICATED, classify, code_of, told};
use super::freeze::{Frozen, Insert, Part};
use super::migrate::migrate;
use super::{ClickHouseConfig, schema, table_name};

/// Bytes compressed and sent at a time.
const PIECE: usize = 1 << 20;

/// Delivers to the tables of one ClickHouse database.
pub struct ClickHouseSink {
    config: ClickHouseConfig,
    client: Client,
    /// Settings of every insert, as far as the server knows them.
    settings: Vec<(&'static str, &'static str)>,
    frozen: Option<Frozen>,
    /// What the server has of the range under delivery.
    landed: Vec<Part>,
    /// Failures of the range under delivery, whole or in halves, by code.
    failures: BTreeMap<u32, u32>,
    /// Journal position after the range before: what lies before it never comes again.
    behind: u64,
}

impl ClickHouseSink {
    /// A sink for the database that `config` names. Connects at `prepare`.
    pub fn new(config: ClickHouseConfig) -> Self {
        let client = config.client().with_database(&config.database);
        Self {
            config,
            client,
            settings: Vec::new(),
            frozen: None,
            landed: Vec::new(),
            failures: BTreeMap::new(),
            behind: 0,
        }
    }

    fn failure(&self, error: &Error, attempt: Attempt) -> ClickHouseFailure {
        ClickHouseFailure::Server { url: self.config.shown_url(), class: classify(error, attempt), text: told(error) }
    }

    fn tables(&self, what: String) -> ClickHouseFailure {
        let (url, database) = (self.config.shown_url(), self.config.database.clone());
        ClickHouseFailure::Tables { url, database, what }
    }

    async fn prepared(&mut self) -> Result<Option<String>, Error> {
        if self.config.create_tables {
            let database = &self.config.database;
            let mut tell = |step| tracing::info!(database, step, "clickhouse migrated");
            migrate(&self.config, &mut tell).await?;
        }
        if let Some(trouble) = schema::trouble(&self.config, &self.client).await? {
            return Ok(Some(trouble));
        }
        self.settings = schema::known_settings(&self.client).await?;
        let unsafe_tables = schema::without_window(&self.client).await?;
        if !unsafe_tables.is_empty() {
            tracing::warn!(
                tables = unsafe_tables.join(", "),
                "these clickhouse tables have no deduplication window: a resent insert doubles rows"
            );
        }
        Ok(None)
    }

    async fn send(&self, insert: &Insert) -> Result<(), Error> {
        let sql = format!("INSERT INTO {} FORMAT RowBinaryWithNamesAndTypes", table_name(insert.part.stream()));
        let mut request = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.config.send_timeout), Some(self.config.end_timeout))
            .with_setting("insert_deduplication_token", insert.part.token());
        for (name, value) in &self.settings {
            request = request.with_setting(*name, *value);
        }
        for piece in pieces(&insert.body) {
            request.send(piece).await?;
        }
        match request.end().await {
            Err(error) if code_of(&error) == Some(INSERT_WAS_DEDUPLICATED) => Ok(()),
            ended => ended,
        }
    }
}

fn pieces(body: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    (0..body.len()).step_by(PIECE).map(|start| body.slice(start..body.len().min(start + PIECE)))
}

#[async_trait]
impl Deliver for ClickHouseSink {
    fn kind(&self) -> &'static str {
        "clickhouse"
    }

    fn target(&self) -> String {
        format!("{} ({})", self.config.shown_url(), self.config.database)
    }

    fn appetite(&self) -> Appetite {
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            linger: self.config.linger,
            streams: Stream::ALL.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        let within = self.config.end_timeout;
        let prepared = timeout(within, self.prepared()).await.unwrap_or(Err(Error::TimedOut));
        match prepared {
            Ok(None) => Ok(()),
            Ok(Some(trouble)) if self.config.create_tables => Err(self.tables(trouble).into()),
            Ok(Some(trouble)) => Err(self.tables(format!("{trouble}; set create_tables = true, or make them")).into()),
            Err(error) => Err(self.failure(&error, Attempt::default()).into()),
        }
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        if range.first >= self.behind {
            self.landed.clear();
            self.failures.clear();
        }
        self.behind = range.end;
        let mut frozen = match self.frozen.take() {
            Some(frozen) if frozen.is_of(&range.batches) => frozen,
            _ => {
                let (batches, landed) = (range.batches.clone(), self.landed.clone());
                let encoded = spawn_blocking(move || Frozen::new(&batches, &landed)).await;
                encoded.map_err(|panicked| ClickHouseFailure::Encode(panicked.to_string()))?
            }
        };
        let mut failed = None;
        for insert in frozen.inserts.iter_mut().filter(|insert| !insert.done) {
            match self.send(insert).await {
                Ok(()) => {
                    tracing::debug!(token = insert.part.token(), rows = insert.rows, "inserted");
                    insert.done = true;
                    self.landed.push(insert.part.clone());
                }
                Err(error) => {
                    let seen = self.failures.entry(code_of(&error).unwrap_or(0)).or_default();
                    *seen += 1;
                    let attempt = Attempt { number: *seen, rows: insert.rows };
                    failed = Some(self.failure(&error, attempt));
                    break;
                }
            }
        }
        match failed {
            None => Ok(Receipt::default()),
            Some(failure) => {
                self.frozen = Some(frozen);
                Err(failure.into())
            }
        }
    }
}
