//! Queries to the server, each within its turn, its time and its size.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, RowOwned, RowRead};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ClickHouseStoreConfig;
use super::conditions::Conditions;
use crate::{NOTHING_STORED, StoreError};

/// Rows of an answer at most, whatever a query says.
const MAX_ROWS: u32 = 100_000;
/// Bytes of an answer at most, as the server holds them.
const MAX_BYTES: u32 = 256 << 20;
/// What the server has to end a query by itself, beyond the query's time.
const GRACE: Duration = Duration::from_millis(500);

pub(super) struct Server {
    client: Client,
    turns: Arc<Semaphore>,
    limit: Duration,
}

impl Server {
    pub(super) fn new(config: &ClickHouseStoreConfig) -> Self {
        let turns = Arc::new(Semaphore::new(config.connections.max(1)));
        Self { client: client(config), turns, limit: config.time_limit }
    }

    /// The rows of `sql`, whose columns have the names of `T`'s fields in JSON.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        conditions: Conditions,
    ) -> Result<Vec<T>, StoreError> {
        let bytes = self
            .within(async {
                let mut cursor = self.query(sql, conditions).fetch_bytes("JSONEachRow")?;
                cursor.collect().await
            })
            .await?;
        let rows = serde_json::Deserializer::from_slice(&bytes).into_iter();
        rows.collect::<Result<_, _>>().map_err(|error| StoreError::Unreadable(error.to_string()))
    }

    /// The same for rows of numbers, in binary.
    pub(super) async fn numbers<T: RowOwned + RowRead>(
        &self,
        sql: &str,
        conditions: Conditions,
    ) -> Result<Vec<T>, StoreError> {
        self.within(self.query(sql, conditions).fetch_all()).await
    }

    fn query(&self, sql: &str, conditions: Conditions) -> clickhouse::query::Query {
        let query = self.client.query_raw(sql);
        conditions.values().into_iter().fold(query, |query, (name, value)| query.param(&name, value))
    }

    /// A query that is dropped ends on the server too, which sees its connection go.
    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let turn = timeout(self.limit, self.turns.acquire()).await.map_err(|_| StoreError::Busy)?;
        let _turn = turn.expect("the semaphore is never closed");
        match timeout(self.limit + GRACE, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(told(&error, self.limit)),
            Err(_) => Err(StoreError::Timeout(self.limit)),
        }
    }

    #[cfg(test)]
    pub(super) fn hold_every_turn(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.turns.available_permits()).unwrap();
        self.turns.clone().try_acquire_many_owned(all).unwrap()
    }
}

fn client(config: &ClickHouseStoreConfig) -> Client {
    let mut connector = HttpConnector::new();
    // Without it Nagle's algorithm and delayed acknowledgements cost 40 ms on every query.
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector.set_connect_timeout(Some(Duration::from_secs(2).min(config.time_limit)));
    let http = legacy::Client::builder(TokioExecutor::new())
        // Below the 3 s after which older servers close an idle connection.
        .pool_idle_timeout(Duration::from_secs(2))
        .build(connector);
    let seconds = config.time_limit.as_secs() + u64::from(config.time_limit.subsec_nanos() > 0);
    let settings = [
        ("max_execution_time", seconds.to_string()),
        ("max_result_rows", MAX_ROWS.to_string()),
        ("max_result_bytes", MAX_BYTES.to_string()),
        ("result_overflow_mode", "throw".to_owned()),
        ("cancel_http_readonly_queries_on_client_close", "1".to_owned()),
        // An error comes instead of the answer, never in the middle of it.
        ("wait_end_of_query", "1".to_owned()),
        ("date_time_output_format", "iso".to_owned()),
        ("output_format_json_quote_64bit_integers", "0".to_owned()),
        ("output_format_json_named_tuples_as_objects", "1".to_owned()),
    ];
    let mut client = Client::with_http_client(http)
        .with_url(&config.url)
        .with_database(&config.database)
        .with_product_info("dockstream", env!("CARGO_PKG_VERSION"));
    for (name, value) in settings {
        client = client.with_setting(name, value);
    }
    if let Some(user) = &config.user {
        client = client.with_user(user);
    }
    if let Some(password) = &config.password {
        client = client.with_password(password);
    }
    client
}

fn told(error: &Error, limit: Duration) -> StoreError {
    let text = one_line(error);
    match error {
        Error::BadResponse(words) => match code_of(words) {
            // TIMEOUT_EXCEEDED, TOO_SLOW.
            Some(159 | 160) => StoreError::Timeout(limit),
            // UNKNOWN_TABLE, UNKNOWN_DATABASE.
            Some(60 | 81) => StoreError::Unavailable(NOTHING_STORED.into()),
            // TOO_MANY_SIMULTANEOUS_QUERIES.
            Some(202) => StoreError::Busy,
            // TOO_MANY_ROWS, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES.
            Some(158 | 307 | 396) => StoreError::BadQuery("the answer is too large: ask for less".into()),
            // UNKNOWN_IDENTIFIER, NO_SUCH_COLUMN_IN_TABLE.
            Some(16 | 47) => StoreError::Unavailable(format!("its tables are older than this dockstream: {text}")),
            // SYNTAX_ERROR, BAD_ARGUMENTS, TYPE_MISMATCH and their like are ours.
            Some(36 | 43 | 53 | 62 | 386) => StoreError::Unreadable(text),
            _ => StoreError::Unavailable(text),
        },
        Error::Network(_) | Error::TimedOut => StoreError::Unavailable(text),
        _ => StoreError::Unreadable(text),
    }
}

/// The code in the server's words: `Code: 60. DB::Exception: …`.
fn code_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The error in one line of bounded length, with its causes.
fn one_line(error: &Error) -> String {
    let mut text = match error {
        Error::BadResponse(words) => words.clone(),
        other => other.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}
