//! What is done beside the deliveries, on a connection of its own: partitions for the days to come, and the end of old rows.

use model::{ContainerState, HostStatus, ImageState, Timestamp};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error};

use super::config::PostgresConfig;
use super::errors::{PostgresFailure, told};
use super::partitions::{self, Parted, midnight};
use super::schema::{Layout, look};
use super::session;
use super::value::micros;

/// Rows that go in one statement.
const STEP: u64 = 5_000;

/// How long the ledger remembers: longer than any journal waits.
const LEDGER_DAYS: i64 = 90;

/// Does the housekeeping until it is dropped.
pub(super) struct Housekeeper(JoinHandle<()>);

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Housekeeper {
    pub(super) fn start(config: PostgresConfig) -> Self {
        Self(tokio::spawn(async move {
            loop {
                if let Err(error) = sweep(&config).await {
                    tracing::warn!(%error, "old rows could not be removed from postgres; tried again later");
                }
                tokio::time::sleep(config.housekeeping).await;
            }
        }))
    }
}

async fn sweep(config: &PostgresConfig) -> Result<(), PostgresFailure> {
    let mut session = session::open(config).await?;
    let swept = Box::pin(whole(config, &mut session.client)).await;
    session.close().await;
    swept.map_err(|error| PostgresFailure::Server {
        place: config.place.to_string(),
        class: pipeline::ports::FailureClass::Retry,
        error,
    })
}

/// One thing after the other, whatever becomes of the others; the first error.
async fn whole(config: &PostgresConfig, client: &mut Client) -> Result<(), Error> {
    let now = partitions::now();
    let mut first = Ok(());
    let mut note = |done: Result<(), Error>| {
        if first.is_ok() {
            first = done;
        } else if let Err(error) = done {
            tracing::debug!(error = told(&error), "postgres housekeeping");
        }
    };
    let layout = look(client, &config.place.schema).await?.layout();
    if layout == Layout::Native {
        for parted in Parted::all(config) {
            note(parts(client, &parted, now).await);
        }
    }
    for (table, condition) in old(config, layout, now) {
        note(delete(client, table, &condition).await);
    }
    first
}

/// Makes the partitions of the days ahead, and of days that lie in the default one; drops the old ones.
async fn parts(client: &mut Client, parted: &Parted, now: Timestamp) -> Result<(), Error> {
    let there = partitions::there(client, std::slice::from_ref(parted)).await?;
    let window = parted.window(now);
    for part in there.iter().filter(|(_, day)| day < window.start()) {
        partitions::remove(client, *part).await?;
    }
    let (default, time) = (parted.default(), parted.time);
    let misplaced = client
        .query(
            &format!(
                "SELECT DISTINCT floor(extract(epoch FROM {time}) / 86400)::bigint FROM {default}
                 WHERE {time} >= {} AND {time} < {}",
                midnight(*window.start()),
                midnight(*window.end() + 1)
            ),
            &[],
        )
        .await?;
    let misplaced = misplaced.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, Error>>()?;
    for day in (now.day()..=*window.end()).chain(misplaced) {
        if !there.contains(&(parted.table, day)) {
            partitions::make(client, parted, day).await?;
        }
    }
    delete(client, &default, &before(time, (now - parted.kept).day() * 86_400_000_000_000)).await
}

/// Tables that are no parts of days, and which of their rows are old.
fn old(config: &PostgresConfig, layout: Layout, now: Timestamp) -> Vec<(&'static str, String)> {
    let retention = &config.retention;
    let ago = |time, age| before(time, (now - age).as_nanos());
    let gone = |state: &str, word: &str| format!("{state} = '{word}' AND {}", ago("observed_at", retention.events));
    let mut old = vec![
        ("host_health", ago("observed_at", retention.events)),
        ("losses", ago("last_at", retention.events)),
        ("containers", gone("state", ContainerState::Removed.name())),
        ("docker_images", gone("state", ImageState::Removed.name())),
        ("hosts", gone("status", HostStatus::Removed.name())),
        ("dockstream_ledger", format!("landed_at < now() - INTERVAL '{LEDGER_DAYS} days'")),
    ];
    if layout == Layout::Native {
        old.push(("rollup_1h", ago("timestamp", retention.hours)));
        old.push(("rollup_1d", ago("timestamp", retention.days)));
    }
    old
}

fn before(time: &str, nanos: i64) -> String {
    format!("{time} < to_timestamp({}::double precision / 1000000)", micros(Timestamp::from_nanos(nanos)))
}

/// In steps, so that no transaction is long.
async fn delete(client: &Client, table: &str, condition: &str) -> Result<(), Error> {
    let step = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} WHERE {condition} LIMIT {STEP}))"
    );
    while client.execute(&step, &[]).await? >= STEP {}
    Ok(())
}
