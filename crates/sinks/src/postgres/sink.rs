//! The sink: a range is one transaction, with what the ledger says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use async_trait::async_trait;
use futures_util::future::join_all;
use model::{Batch, Rows, Stream};
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt};
use tokio::time::{Duration, Instant, timeout};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Transaction};

use super::columns::{columns, table_names, type_of};
use super::config::PostgresConfig;
use super::encode;
use super::errors::{PostgresFailure, classify, code_of, told};
use super::housekeeping::Housekeeper;
use super::ledger::{self, Missing};
use super::migrate::migrate;
use super::partitions::{self, Part, Parted};
use super::rollup::{self, Buckets, ROLLUPS};
use super::schema::{Layout, look, trouble};
use super::session;
use super::statements::{COPIED, copy, insert};

/// Rows on their way at once, where each is a statement.
const AT_ONCE: usize = 256;

/// After a partition could not be made, its rows go to the default one, and it is not tried for so long.
const PARTITION_PAUSE: Duration = Duration::from_secs(60);

/// Delivers to the tables of one PostgreSQL schema.
pub struct PostgresSink {
    config: PostgresConfig,
    session: Option<session::Session>,
    layout: Option<Layout>,
    /// Partitions that are there.
    parts: BTreeSet<Part>,
    no_parts_before: Option<Instant>,
    housekeeper: Option<Housekeeper>,
    /// Failures of the range under delivery, whole or in halves, by code.
    failures: BTreeMap<String, u32>,
    /// Journal position after the range before: what lies before it never comes again.
    behind: u64,
}

impl PostgresSink {
    /// A sink for the schema that `config` names. Connects at `prepare`.
    pub fn new(config: PostgresConfig) -> Self {
        Self {
            config,
            session: None,
            layout: None,
            parts: BTreeSet::new(),
            no_parts_before: None,
            housekeeper: None,
            failures: BTreeMap::new(),
            behind: 0,
        }
    }

    fn server(&self, error: Error, number: u32) -> PostgresFailure {
        PostgresFailure::Server { place: self.config.place.to_string(), class: classify(&error, number), error }
    }

    fn tables(&self, what: String) -> PostgresFailure {
        PostgresFailure::Tables { place: self.config.place.to_string(), what }
    }

    async fn prepared(&mut self) -> Result<(), PostgresFailure> {
        // After a failure the server may be another one: begin with a new connection.
        (self.session, self.layout) = (None, None);
        let mut session = session::open(&self.config).await?;
        let layout = if self.config.create_tables {
            let place = self.config.place.to_string();
            let mut tell = |step| tracing::info!(place, step, "postgres migrated");
            migrate(&self.config, &mut session.client, &mut tell).await?
        } else {
            let found = look(&session.client, &self.config.place.schema).await;
            found.map_err(|error| self.server(error, 1))?.layout()
        };
        let wrong = trouble(&self.config, &session.client).await.map_err(|error| self.server(error, 1))?;
        match wrong {
            None => {}
            Some(what) if self.config.create_tables => return Err(self.tables(what)),
            Some(what) => return Err(self.tables(format!("{what}; set create_tables = true, or make them"))),
        }
        if layout == Layout::Native {
            let parts = partitions::there(&session.client, &Parted::all(&self.config)).await;
            self.parts = parts.map_err(|error| self.server(error, 1))?;
        }
        (self.session, self.layout) = (Some(session), Some(layout));
        if self.housekeeper.is_none() {
            self.housekeeper = Some(Housekeeper::start(self.config.clone()));
        }
        Ok(())
    }

    /// Delivers in one transaction: all or nothing.
    async fn attempt(&mut self, layout: Layout, range: &Range) -> Result<(), PostgresFailure> {
        let mut session = match self.session.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => session::open(&self.config).await?,
        };
        let written = async {
            if layout == Layout::Native {
                self.make_room(&mut session, &range.batches).await?;
            }
            write(&mut session, layout, &range.batches).await
        };
        let written = Box::pin(written).await;
        // Not put back where this is given up half-way: a connection in an unknown state is cut.
        self.session = Some(session);
        written.map_err(|error| {
            let seen = self.failures.entry(code_of(&error).unwrap_or_default().to_owned()).or_default();
            *seen += 1;
            let number = *seen;
            self.server(error, number)
        })
    }

    /// Makes the partitions that `batches` need and that are to be. Where that fails their rows find the default one.
    async fn make_room(&mut self, session: &mut session::Session, batches: &[Batch]) -> Result<(), Error> {
        if self.no_parts_before.is_some_and(|pause| Instant::now() < pause) {
            return Ok(());
        }
        let (parted, now) = (Parted::all(&self.config), partitions::now());
        let needed = partitions::needed(batches);
        let unmade: Vec<Part> = needed.difference(&self.parts).copied().collect();
        for (table, day) in unmade {
            let Some(parted) = parted.iter().find(|parted| parted.table == table) else { continue };
            if !parted.window(now).contains(&day) {
                continue;
            }
            match partitions::make(&mut session.client, parted, day).await {
                Ok(()) => drop(self.parts.insert((table, day))),
                Err(error) if error.as_db_error().is_some() && !session.is_closed() => {
                    let (part, error) = (partitions::name_of((table, day)), told(&error));
                    tracing::warn!(
                        part,
                        error,
                        "a partition could not be made; its rows go to the default one for now"
                    );
                    self.no_parts_before = Some(Instant::now() + PARTITION_PAUSE);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn write(session: &mut session::Session, layout: Layout, batches: &[Batch]) -> Result<(), Error> {
    let transaction = session.client.transaction().await?;
    let missing = ledger::missing(&transaction, batches).await?;
    for stream in Stream::ALL {
        let rows = rows_of(stream, &missing);
        if rows.is_empty() {
            continue;
        }
        match table_names(stream) {
            [table] if COPIED.contains(table) => copy_in(&transaction, table, &rows).await?,
            tables => insert_each(&transaction, tables, &rows).await?,
        }
        if stream == Stream::Stats && layout == Layout::Native {
            roll_up(&transaction, &rows).await?;
        }
    }
    ledger::land(&transaction, &missing).await?;
    transaction.commit().await
}

/// A row, by its batch and its place in it.
type Place<'a> = (&'a Batch, usize);

fn rows_of<'a>(stream: Stream, missing: &[Missing<'a>]) -> Vec<Place<'a>> {
    let of_stream = missing.iter().filter(|missing| missing.batch.id.stream == stream);
    let rows = of_stream.flat_map(|missing| missing.rows.iter().cloned().flatten().map(|index| (missing.batch, index)));
    rows.collect()
}

async fn copy_in(transaction: &Transaction<'_>, table: &str, rows: &[Place<'_>]) -> Result<(), Error> {
    let types: Vec<Type> = columns(table).iter().map(|(_, kind)| type_of(kind)).collect();
    let sink = transaction.copy_in(&copy(table)).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for (batch, index) in rows {
        for values in encode::values(&batch.id, &batch.rows, *index) {
            if let Err(error) = writer.as_mut().write_raw(values).await {
                // Where the server said why, its words come at the end.
                return if error.is_closed() { writer.finish().await.map(drop).and(Err(error)) } else { Err(error) };
            }
        }
    }
    writer.finish().await.map(drop)
}

/// Rows into tables that know them by a key, many on their way at once.
async fn insert_each(transaction: &Transaction<'_>, tables: &[&str], rows: &[Place<'_>]) -> Result<(), Error> {
    let mut statements = Vec::with_capacity(tables.len());
    for table in tables {
        let types: Vec<Type> = columns(table).iter().map(|(_, kind)| type_of(kind)).collect();
        statements.push(transaction.prepare_typed(&insert(table), &types).await?);
    }
    for rows in rows.chunks(AT_ONCE) {
        let mut sent = Vec::with_capacity(rows.len() * tables.len());
        for (batch, index) in rows {
            for (statement, values) in statements.iter().zip(encode::values(&batch.id, &batch.rows, *index)) {
                sent.push(transaction.execute_raw(statement, values));
            }
        }
        // The first to fail, in order, tells why: those behind it are told only that the transaction is lost.
        join_all(sent).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// Adds samples to the rollups.
async fn roll_up(transaction: &Transaction<'_>, samples: &[Place<'_>]) -> Result<(), Error> {
    for (table, length) in ROLLUPS {
        let arrays = buckets(samples, length).arrays();
        let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| &**array as _).collect();
        transaction.execute(&rollup::upsert(table), &parameters).await?;
    }
    Ok(())
}

fn buckets<'a>(samples: &[Place<'a>], length: i64) -> Buckets<'a> {
    let mut buckets = Buckets::default();
    for (batch, index) in samples {
        if let Rows::Stats(rows) = &batch.rows {
            buckets.add(&rows[*index], length);
        }
    }
    buckets
}

#[async_trait]
impl Deliver for PostgresSink {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn target(&self) -> String {
        self.config.place.to_string()
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
        let within = self.config.timeout;
        let silent = PostgresFailure::TimedOut { place: self.config.place.to_string(), within };
        Ok(timeout(within, self.prepared()).await.unwrap_or(Err(silent))?)
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        if range.first >= self.behind {
            self.failures.clear();
        }
        self.behind = range.end;
        let Some(layout) = self.layout else {
            return Err(DeliverError::new(FailureClass::Schema, "the tables have not been looked at yet"));
        };
        let within = self.config.timeout;
        let silent = PostgresFailure::TimedOut { place: self.config.place.to_string(), within };
        match timeout(within, self.attempt(layout, range)).await.unwrap_or(Err(silent)) {
            Ok(()) => Ok(Receipt::default()),
            Err(failure) if range.rows() == 1 && is_there_already(&failure) => {
                tracing::debug!(error = %failure, "a row is there already");
                Ok(Receipt::default())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn close(&mut self) {
        self.housekeeper = None;
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// A unique index of somebody's says that the row is there.
fn is_there_already(failure: &PostgresFailure) -> bool {
    match failure {
        PostgresFailure::Server { class: FailureClass::Poison, error, .. } => code_of(error) == Some("23505"),
        _ => false,
    }
}
