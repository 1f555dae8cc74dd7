//! What `check` promises, against engines and sinks that answer, fail or stay silent.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use async_trait::async_trait;
use model::{ContainerId, ContainerRecord, ContainerState, CpuClock, HostName, OsFamily, Timestamp};
use pipeline::ports::{
    Appetite, DeliverError, EngineError, EngineFailure, EngineImage, EventFeed, FailureClass, FrameFeed, LogFeed,
    LogQuery, Range, Receipt,
};

use super::*;
use crate::config::Environment;

enum Answer {
    Good,
    Bad(&'static str),
    None,
}

struct TestEngine(HostName, Answer);

#[async_trait]
impl EngineApi for TestEngine {
    fn host(&self) -> &HostName {
        &self.0
    }
    fn url(&self) -> &str {
        "unix:///test.sock"
    }
    async fn identify(&self) -> Result<EngineInfo, EngineError> {
        match self.1 {
            Answer::Good => Ok(EngineInfo {
                engine: "docker".into(),
                version: "20.10.24".into(),
                api_version: (1, 41),
                os: OsFamily::Linux,
                cpu_clock: CpuClock::System,
                kernel: None,
                cgroup_version: Some(1),
                cpus: None,
                memory_bytes: None,
                clock: None,
            }),
            Answer::Bad(message) => Err(EngineError { failure: EngineFailure::Unreachable, message: message.into() }),
            Answer::None => std::future::pending().await,
        }
    }
    async fn ping(&self) -> Result<Duration, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn list(&self) -> Result<Vec<(ContainerId, ContainerState)>, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn inspect(&self, _: &ContainerId) -> Result<ContainerRecord, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn images(&self) -> Result<Vec<EngineImage>, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn logs(&self, _: &ContainerId, _: LogQuery) -> Result<LogFeed, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn events(&self, _: Option<Timestamp>) -> Result<EventFeed, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn stats(&self, _: &ContainerId) -> Result<FrameFeed, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    async fn stats_once(&self, _: &ContainerId) -> Result<bytes::Bytes, EngineError> {
        unreachable!("a check identifies, and nothing else")
    }
    fn connections(&self) -> u64 {
        0
    }
}

struct TestSink(Answer);

#[async_trait]
impl Deliver for TestSink {
    fn kind(&self) -> &'static str {
        "kafka"
    }
    fn target(&self) -> String {
        "127.0.0.1:9092".into()
    }
    fn appetite(&self) -> Appetite {
        Appetite { rows: 1, bytes: 1, linger: Duration::ZERO, streams: Vec::new() }
    }
    async fn prepare(&mut self) -> Result<(), DeliverError> {
        match self.0 {
            Answer::Good => Ok(()),
            Answer::Bad(message) => Err(DeliverError::new(FailureClass::Config, message)),
            Answer::None => std::future::pending().await,
        }
    }
    async fn deliver(&mut self, _: &Range) -> Result<Receipt, DeliverError> {
        unreachable!("a check delivers nothing")
    }
}

fn engine(name: &str, answer: Answer) -> Arc<dyn EngineApi> {
    Arc::new(TestEngine(HostName::try_new(name).unwrap(), answer))
}

fn sink(answer: Answer) -> (Arc<str>, Box<dyn Deliver>) {
    ("kafka".into(), Box::new(TestSink(answer)))
}

fn loaded(folder: &Path) -> Loaded {
    let mut loaded = crate::config::load(&Default::default(), &Environment::default(), folder).unwrap();
    loaded.config.data_dir = folder.join("data");
    loaded.config.api.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    loaded
}

async fn lines(
    loaded: &Loaded,
    engines: Vec<Arc<dyn EngineApi>>,
    sinks: Vec<(Arc<str>, Box<dyn Deliver>)>,
) -> (Exit, Vec<String>) {
    let mut lines = Vec::new();
    let store = store::SqliteStore::open(loaded.config.sqlite_path());
    let exit = check(loaded, engines, sinks, (&store, None), |finding| lines.push(finding.to_string())).await;
    (exit, lines)
}

#[tokio::test]
async fn what_works_is_told_in_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path());
    let (exit, lines) = lines(&loaded, vec![engine("edge", Answer::Good)], vec![sink(Answer::Good)]).await;
    let bytes = loaded.config.deadletter.bytes;
    let dead_letter = format!("ok   dead letter  {}/deadletter, at most {bytes}", loaded.config.data_dir.display());
    let data = format!("ok   data  {}", loaded.config.data_dir.display());
    let journal = format!("ok   journal  {}/journal, at most 4GiB", loaded.config.data_dir.display());
    assert_eq!(
        lines,
        [
            "ok   config  no file: defaults, environment, flags",
            &data,
            &journal,
            "ok   api  127.0.0.1:0",
            "ok   host edge  docker 20.10.24, API 1.41, cgroup v1",
            "ok   sink kafka  127.0.0.1:9092",
            "ok   store  sqlite, nothing has been stored yet",
            &dead_letter
        ]
    );
    assert_eq!(exit, Exit::Ended);
}

#[tokio::test]
async fn records_that_wait_in_the_dead_letter_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path());
    let letters = loaded.config.dead_letter_folder();
    std::fs::create_dir_all(&letters).unwrap();
    let letter = |sequence| {
        format!(
            r#"{{"sink":"kafka","stream":"stats","node":"n","epoch":1,"sequence":{sequence},"batch_id":"n/1/stats/1-2","refused_at":"2026-01-01T00:00:00Z","error":"too large","record":null}}"#
        )
    };
    std::fs::write(letters.join("kafka.stats.0000000001.jsonl"), format!("{}\n{}\n", letter(1), letter(2))).unwrap();
    let (exit, lines) = lines(&loaded, vec![], vec![]).await;
    let last = lines.last().unwrap();
    assert!(last.ends_with(", 2 refused records wait: see dockstream deadletter list"), "{last}");
    assert_eq!(exit, Exit::Ended);
}

#[tokio::test]
async fn one_failure_is_78_and_the_rest_is_tried_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let engines = vec![
        engine("a", Answer::Bad("no Docker engine at unix:///test.sock:\nthe socket does not exist")),
        engine("b", Answer::Good),
    ];
    let (exit, lines) = lines(
        &loaded(folder.path()),
        engines,
        vec![sink(Answer::Bad("the brokers do not answer")), sink(Answer::Good)],
    )
    .await;
    assert_eq!(
        lines[4..8],
        [
            "fail host a  no Docker engine at unix:///test.sock: the socket does not exist",
            "ok   host b  docker 20.10.24, API 1.41, cgroup v1",
            "fail sink kafka  the brokers do not answer",
            "ok   sink kafka  127.0.0.1:9092"
        ]
    );
    assert_eq!(exit, Exit::Config);
}

#[tokio::test(start_paused = true)]
async fn what_never_answers_is_given_up_after_some_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let begin = tokio::time::Instant::now();
    let engines = (0..8).map(|index| engine(&format!("h{index}"), Answer::None)).collect();
    let (exit, lines) = lines(&loaded(folder.path()), engines, vec![sink(Answer::None)]).await;
    assert_eq!(lines[4], "fail host h0  no answer within 15s");
    assert_eq!(lines[12], "fail sink kafka  no answer within 10s");
    assert_eq!(exit, Exit::Config);
    assert!(begin.elapsed() < Duration::from_secs(26), "engines are asked at the same time: {:?}", begin.elapsed());
}

#[tokio::test]
async fn an_address_that_somebody_else_has_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = loaded(folder.path());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    loaded.config.api.listen = other.local_addr().unwrap();
    let (exit, found) = lines(&loaded, vec![], vec![]).await;
    assert!(
        found[3]
            .starts_with(&format!("fail api  cannot listen on {}: the address is in use", loaded.config.api.listen)),
        "{found:?}"
    );
    assert_eq!(exit, Exit::Config);
}

#[tokio::test]
async fn a_dockstream_that_runs_already_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = loaded(folder.path());
    let _running = DataFolder::open(&loaded.config.data_dir).unwrap();
    let its_api = TcpListener::bind("127.0.0.1:0").unwrap();
    loaded.config.api.listen = its_api.local_addr().unwrap();
    let (exit, found) = lines(&loaded, vec![], vec![]).await;
    assert_eq!(exit, Exit::Ended, "{found:?}");
    assert!(
        found[1..3].iter().all(|line| line.ends_with("in use by a running dockstream"))
            && found[3].ends_with("in use while a dockstream is running"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = loaded(folder.path());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    loaded.config.data_dir = file.join("data");
    let (exit, found) = lines(&loaded, vec![], vec![]).await;
    assert!(found[1].starts_with("fail data  cannot use the data folder"), "{found:?}");
    assert!(found[2].starts_with("fail journal  cannot open the journal"), "{found:?}");
    assert_eq!(exit, Exit::Config);
}
