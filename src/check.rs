//! `dockstream check`: tries out what the configuration names, a line each.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use pipeline::ports::{Deliver, EngineApi, EngineInfo};
use sinks::deadletter::Folder;
use store::cache::{RedisCache, RedisConfig};
use store::{Store, StoreError};

use crate::cli::Exit;
use crate::config::{Config, DeadLetterPlace, JournalKind, Loaded};
use crate::data_folder::{DataFolder, DataFolderError};
use crate::topology::open_journal;

/// A sink is not waited for longer than that.
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine's client says itself what hangs, after its `connect_timeout`: it is given the time for that.
const MORE_PATIENCE: Duration = Duration::from_secs(5);

/// Engines asked at the same time.
const AT_ONCE: usize = 8;

/// What came of one try: `ok   host edge  docker 20.10.24, API 1.41, cgroup v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried: `host edge`, `sink kafka` …
    pub subject: String,
    /// What was found, or what is wrong and what to do about it; one line.
    pub outcome: Result<String, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.outcome {
            Ok(text) => ("ok  ", text),
            Err(text) => ("fail", text),
        };
        write!(f, "{word} {}  {}", self.subject, text.replace('\n', " "))
    }
}

/// Tries out the data folder, the journal, the API's address, every engine, every sink, the store that is read and the dead letter, and tells each finding as it comes.
///
/// Sinks make what they miss: tables, topics. A dockstream that runs with the same configuration is no failure.
pub async fn check(
    loaded: &Loaded,
    engines: Vec<Arc<dyn EngineApi>>,
    sinks: Vec<(Arc<str>, Box<dyn Deliver>)>,
    (store, redis): (&dyn Store, Option<RedisConfig>),
    mut tell: impl FnMut(&Finding),
) -> Exit {
    let mut exit = Exit::Ended;
    let mut found = |subject: String, outcome| {
        let finding = Finding { subject, outcome };
        if finding.outcome.is_err() {
            exit = Exit::Config;
        }
        tell(&finding);
    };
    found(
        "config".into(),
        Ok(loaded
            .file
            .as_ref()
            .map_or_else(|| "no file: defaults, environment, flags".into(), |file| file.display().to_string())),
    );

    // Held to the end, so that no dockstream starts in between.
    let (_folder, running, outcome) = data_folder(&loaded.config);
    found("data".into(), outcome);
    found("journal".into(), journal(&loaded.config, running).await);
    if loaded.config.api.enabled {
        found("api".into(), address(&loaded.config, running));
    }

    let asked = engines.iter().map(|engine| {
        let host = loaded.config.hosts.iter().find(|host| host.name == *engine.host());
        let patience = host.map_or(PATIENCE, |host| host.connect_timeout) + MORE_PATIENCE;
        async move { (engine.host().to_string(), identify(engine.as_ref(), patience).await) }
    });
    let mut answers = stream::iter(asked).buffered(AT_ONCE);
    while let Some((host, outcome)) = answers.next().await {
        found(format!("host {host}"), outcome);
    }
    for (name, mut sink) in sinks {
        let prepared = in_time(PATIENCE, sink.prepare()).await.map(|()| sink.target());
        found(format!("sink {name}"), prepared);
        sink.close().await;
    }
    if loaded.config.api.enabled {
        // After the sinks, which make what is read.
        found("store".into(), read(store).await);
        if let Some(redis) = redis {
            found("cache".into(), ping(&redis).await.map(|()| format!("redis {}", redis.url)));
        }
    }
    if loaded.config.sinks.sqlite.enabled {
        let aside = ::sinks::sqlite::moved_aside(&loaded.config.sqlite_path());
        for file in aside {
            let text = format!(
                "{}, damaged and moved aside: `sqlite3 … .recover` reads it out; remove it then",
                file.display()
            );
            found("sink sqlite".into(), Ok(text));
        }
    }
    found("dead letter".into(), dead_letter(&loaded.config));
    exit
}

/// The folder where nobody has it, and whether another dockstream has it.
pub(crate) fn data_folder(config: &Config) -> (Option<DataFolder>, bool, Result<String, String>) {
    let folder = config.data_dir.display();
    match DataFolder::open(&config.data_dir) {
        Ok(held) => (Some(held), false, Ok(folder.to_string())),
        Err(DataFolderError::InUse { .. }) => (None, true, Ok(format!("{folder}, in use by a running dockstream"))),
        Err(error) => (None, false, Err(error.to_string())),
    }
}

/// Opens the journal where nobody has it; what waits in it.
async fn journal(config: &Config, running: bool) -> Result<String, String> {
    if config.journal.kind == JournalKind::Memory {
        return Ok(format!("in memory, at most {}", config.journal.memory_bytes));
    }
    let mut text = format!("{}, at most {}", config.journal_folder().display(), config.journal.bytes);
    if running {
        text.push_str(", in use by a running dockstream");
        return Ok(text);
    }
    let journal = open_journal(config).map_err(|error| error.to_string())?;
    for books in journal.books().iter().filter(|books| books.pending > 0) {
        text.push_str(&format!(", {} records wait for {}", books.pending, books.sink));
    }
    journal.stop().await;
    Ok(text)
}

/// Asks the store: it is there also where nothing is in it.
async fn read(store: &dyn Store) -> Result<String, String> {
    match tokio::time::timeout(PATIENCE, store.hosts()).await {
        Ok(Ok(hosts)) => Ok(format!("{}, knows {} hosts", store.source(), hosts.len())),
        Ok(Err(StoreError::Unavailable(nothing))) if nothing == store::NOTHING_STORED => {
            Ok(format!("{}, {nothing}", store.source()))
        }
        Ok(Err(error)) => Err(format!("{}: {error}", store.source())),
        Err(_) => Err(format!("{}: no answer within {}", store.source(), humantime::format_duration(PATIENCE))),
    }
}

async fn ping(redis: &RedisConfig) -> Result<(), String> {
    RedisCache::new(redis, Arc::default())?
        .ping(PATIENCE)
        .await
        .map_err(|error| format!("redis {}: {error}", redis.url))
}

/// Where refused records go, and how many wait there in files.
fn dead_letter(config: &Config) -> Result<String, String> {
    let folder = Folder::new(config.dead_letter_folder());
    let path = folder.path().display();
    let mut text = match config.deadletter.to {
        DeadLetterPlace::File => format!("{path}, at most {}", config.deadletter.bytes),
        DeadLetterPlace::Topic => "a topic of sinks.kafka".to_owned(),
    };
    let waiting = folder.all().and_then(|all| all.iter().map(|of| Ok(folder.read(of)?.entries.len())).sum());
    match waiting {
        Ok(0) => {}
        Ok(count) => text.push_str(&format!(", {count} refused records wait: see dockstream deadletter list")),
        Err::<usize, std::io::Error>(error) => return Err(format!("cannot read the dead letter in {path}: {error}")),
    }
    Ok(text)
}

fn address(config: &Config, running: bool) -> Result<String, String> {
    let listen = config.api.listen;
    match api::bind(api::ApiConfig { listen, ..api::ApiConfig::default() }) {
        Ok(_) => Ok(listen.to_string()),
        Err(api::BindError::InUse(_)) if running => Ok(format!("{listen}, in use while a dockstream is running")),
        Err(error) => Err(error.to_string()),
    }
}

async fn identify(engine: &dyn EngineApi, patience: Duration) -> Result<String, String> {
    in_time(patience, engine.identify()).await.map(|info| describe(&info))
}

fn describe(info: &EngineInfo) -> String {
    let (major, minor) = info.api_version;
    let mut text = format!("{} {}, API {major}.{minor}", info.engine, info.version);
    if let Some(version) = info.cgroup_version {
        text.push_str(&format!(", cgroup v{version}"));
    }
    text
}

async fn in_time<T, E: fmt::Display>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {}", humantime::format_duration(patience))),
    }
}

#[cfg(test)]
mod tests;
