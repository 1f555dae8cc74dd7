//! A connection for deliveries.

use std::time::Duration;

use tokio_postgres::{Client, Error};
use wire::postgres::OpenError;
pub(super) use wire::postgres::{Session, identifier};

use super::config::PostgresConfig;
use super::errors::{PostgresFailure, classify};

/// Connects, with bounds on how long a statement takes and waits. A commit has to be on disk when it is acknowledged, whatever the
/// settings of the role say.
pub(super) async fn open(config: &PostgresConfig) -> Result<Session, PostgresFailure> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let settings = [
        ("statement_timeout", millis(config.timeout)),
        ("lock_timeout", millis(config.lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(config.timeout)),
    ];
    let place = config.place.to_string();
    let session = match Session::open(&config.place, config.connect_timeout, &settings).await {
        Ok(session) => session,
        Err(OpenError::Server(error)) => {
            return Err(PostgresFailure::Server { place, class: classify(&error, 1), error });
        }
        Err(OpenError::TimedOut(within)) => return Err(PostgresFailure::TimedOut { place, within }),
        Err(OpenError::Trust(what)) => return Err(PostgresFailure::Settings { place, what }),
    };
    match commit_to_disk(&session.client).await {
        Ok(()) => Ok(session),
        Err(error) => Err(PostgresFailure::Server { place, class: classify(&error, 1), error }),
    }
}

async fn commit_to_disk(client: &Client) -> Result<(), Error> {
    let weaker = "SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local')";
    client.batch_execute(weaker).await
}
