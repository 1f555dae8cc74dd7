//! Queries to the server, each within its turn, its time and its size.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use wire::postgres::{OpenError, Session, told};

use super::PostgresStoreConfig;
use super::conditions::Conditions;
use crate::{NOTHING_STORED, StoreError};

/// What the server has to end a query by itself, beyond the query's time.
const GRACE: Duration = Duration::from_millis(500);

pub(super) struct Server {
    config: PostgresStoreConfig,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
}

impl Server {
    pub(super) fn new(config: PostgresStoreConfig) -> Self {
        let turns = Arc::new(Semaphore::new(config.connections.max(1)));
        Self { config, turns, idle: Mutex::default() }
    }

    /// The rows of `sql`, whose columns have the names of `T`'s fields in JSON.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        sql: &str,
        conditions: Conditions,
    ) -> Result<Vec<T>, StoreError> {
        let limit = self.config.time_limit;
        let turn = timeout(limit, self.turns.acquire()).await.map_err(|_| StoreError::Busy)?;
        let _turn = turn.expect("the semaphore is never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle.filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => self.open().await?,
        };
        let sql = format!("SELECT row_to_json(made)::text FROM ({sql}) AS made");
        let values = conditions.values();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
        // A query that is dropped ends on the server too, which sees its connection go.
        let asked = timeout(limit + GRACE, session.client.query_typed(&sql, &parameters)).await;
        let rows = match asked {
            Err(_) => return Err(StoreError::Timeout(limit)),
            Ok(Err(error)) => {
                let told = refusal(&error, limit);
                self.keep(session);
                return Err(told);
            }
            Ok(Ok(rows)) => rows,
        };
        self.keep(session);
        let row = |row: &tokio_postgres::Row| {
            let text: &str = row.try_get(0).map_err(|error| StoreError::Unreadable(told(&error)))?;
            serde_json::from_str(text).map_err(|error| StoreError::Unreadable(error.to_string()))
        };
        rows.iter().map(row).collect()
    }

    async fn open(&self) -> Result<Session, StoreError> {
        let limit = self.config.time_limit;
        let settings = [
            ("statement_timeout", limit.as_millis().max(1).to_string()),
            ("default_transaction_read_only", "on".to_owned()),
        ];
        match Session::open(&self.config.place, limit, &settings).await {
            Ok(session) => Ok(session),
            Err(OpenError::Server(error)) => Err(refusal(&error, limit)),
            Err(OpenError::TimedOut(_)) => Err(StoreError::Timeout(limit)),
            Err(error @ OpenError::Trust(_)) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    fn keep(&self, session: Session) {
        if !session.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }

    #[cfg(test)]
    pub(super) fn hold_every_turn(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.turns.available_permits()).unwrap();
        self.turns.clone().try_acquire_many_owned(all).unwrap()
    }
}

fn refusal(error: &Error, limit: Duration) -> StoreError {
    let text = told(error);
    let code = error.code().map(tokio_postgres::error::SqlState::code);
    match code {
        // query_canceled: its time was over.
        Some("57014") => StoreError::Timeout(limit),
        // undefined_table, invalid_schema_name, invalid_catalog_name.
        Some("42P01" | "3F000" | "3D000") => StoreError::Unavailable(NOTHING_STORED.into()),
        // too_many_connections.
        Some("53300") => StoreError::Busy,
        // undefined_column.
        Some("42703") => StoreError::Unavailable(format!("its tables are older than this dockstream: {text}")),
        // Rights are a person's matter; errors of syntax, of types and of values are ours.
        Some("42501") => StoreError::Unavailable(text),
        Some(code) if code.starts_with("42") || code.starts_with("22") => StoreError::Unreadable(text),
        _ => StoreError::Unavailable(text),
    }
}
