//! Logs, of simulated engines and of a real one.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::time::Duration;

use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::LogStream::{Stderr, Stdout};
use model::{ContainerId, MAX_LINE_BYTES};
use pipeline::ports::{EngineApi, EngineFailure, LogFeed, LogLine, LogQuery, LogStart};
use simulator::{ContainerSpec, Profile, SimulatedHost, Simulator};
use test_support::{Dockerd, unique};

const SOON: Duration = Duration::from_secs(90);

const ALL: LogQuery = LogQuery { start: LogStart::Beginning, follow: false, tail: None };
const FOLLOW: LogQuery = LogQuery { follow: true, ..ALL };

fn connect(url: &str) -> Host {
    Host::new("host-1".parse().unwrap(), &url.parse().unwrap(), &HostOptions::default()).unwrap()
}

async fn simulated(profile: Profile, spec: ContainerSpec) -> (SimulatedHost, Host, ContainerId) {
    let simulated = Simulator::host("sim-1").engine(profile).start().unwrap();
    let id = simulated.control().add(spec).unwrap().parse().unwrap();
    let host = connect(&simulated.url());
    host.identify().await.unwrap();
    (simulated, host, id)
}

/// So many lines of a feed.
async fn take(feed: &mut LogFeed, count: usize) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let more = tokio::time::timeout(SOON, feed.next()).await.expect("lines come in time");
        lines.extend(more.expect("the log goes on").unwrap());
    }
    lines
}

/// All lines up to the end, which must be one in order.
async fn rest(mut feed: LogFeed) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while let Some(more) = tokio::time::timeout(SOON, feed.next()).await.expect("the log ends in time") {
        lines.extend(more.unwrap());
    }
    lines
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

#[tokio::test]
async fn a_log_is_read_and_followed_to_the_end_of_the_run_with_or_without_a_terminal() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        for is_terminal in [false, true] {
            let spec = ContainerSpec { is_terminal, ..ContainerSpec::new("web") };
            let (simulated, host, id) = simulated(profile, spec).await;
            let control = simulated.control();
            control.write_lines("web", 3).unwrap();
            let mut feed = host.logs(&id, FOLLOW).await.unwrap();
            assert_eq!(texts(&take(&mut feed, 3).await), numbered(1..=3));
            control.write("web", Stdout, format!("{}\n", "x".repeat(40_000))).unwrap();
            control.write("web", Stdout, "half").unwrap();
            let long = take(&mut feed, 1).await;
            assert_eq!((long[0].bytes.len(), long[0].is_truncated), (40_000, false), "terminal: {is_terminal}");
            control.stop("web").unwrap();
            let last = rest(feed).await;
            assert_eq!((texts(&last), last[0].is_partial), (vec!["half".to_owned()], true));
            assert_eq!(
                rest(host.logs(&id, FOLLOW).await.unwrap()).await.len(),
                5,
                "one that has ended is not followed"
            );
        }
    }
}

#[tokio::test]
async fn a_log_goes_on_behind_a_known_line_without_a_gap() {
    for is_terminal in [false, true] {
        let spec = ContainerSpec { is_terminal, ..ContainerSpec::new("web") };
        let (simulated, host, id) = simulated(Profile::Docker20, spec).await;
        let control = simulated.control();
        control.write_lines("web", 5).unwrap();
        control.write("web", Stdout, "half").unwrap();
        control.restart("web").unwrap();
        let known = rest(host.logs(&id, ALL).await.unwrap()).await;
        let half = if is_terminal { known.iter().find(|line| line.bytes.starts_with(b"half")) } else { known.last() };
        let newest = half.unwrap().timestamp;
        control.write_lines("web", 5).unwrap();
        let start = LogStart::After { newest, is_partial: true };
        let lines = texts(&rest(host.logs(&id, LogQuery { start, ..ALL }).await.unwrap()).await);
        // Without a terminal the lines before come again; with one, those would swallow what is behind.
        assert!(lines.ends_with(&numbered(6..=10)), "{lines:?}");
        assert_eq!(lines.len(), if is_terminal { 5 } else { 11 });
    }
}

#[tokio::test]
async fn a_reader_that_pauses_holds_up_the_engine_and_loses_nothing() {
    let (simulated, host, id) = simulated(Profile::Docker28, ContainerSpec::new("web")).await;
    let mut feed = host.logs(&id, FOLLOW).await.unwrap();
    let line = "x".repeat(10_000);
    for _ in 0..1_000 {
        simulated.control().write("web", Stdout, format!("{line}\n")).unwrap();
    }
    assert_eq!(take(&mut feed, 1_000).await.len(), 1_000);
}

#[tokio::test]
async fn what_cannot_be_read_says_whether_it_ever_can() {
    let (simulated, host, id) = simulated(Profile::Docker28, ContainerSpec::new("web").unreadable_log()).await;
    let failure = |outcome: Result<LogFeed, pipeline::ports::EngineError>| outcome.err().unwrap().failure;
    assert_eq!(failure(host.logs(&id, ALL).await), EngineFailure::Request);
    let nobody = "0".repeat(64).parse().unwrap();
    assert_eq!(failure(host.logs(&nobody, ALL).await), EngineFailure::Gone);
    simulated.control().fail_next(2, "/containers/", 500);
    assert_eq!(failure(host.logs(&id, ALL).await), EngineFailure::Server);
    simulated.control().stop_daemon();
    assert_eq!(failure(host.logs(&id, ALL).await), EngineFailure::Unreachable);
}

#[tokio::test]
async fn a_daemon_that_dies_breaks_the_log_off() {
    let (simulated, host, id) = simulated(Profile::Docker20, ContainerSpec::new("web")).await;
    let mut feed = host.logs(&id, FOLLOW).await.unwrap();
    simulated.control().write("web", Stdout, "x".repeat(20_000)).unwrap();
    simulated.control().stop_daemon();
    let end = tokio::time::timeout(SOON, feed.next()).await.expect("it breaks in time").expect("an error");
    assert_eq!(end.unwrap_err().failure, EngineFailure::Unreachable, "the open line is left to the next reading");
}

#[tokio::test]
async fn a_real_engines_lines_come_whole() {
    let docker = Dockerd::shared();
    let host = connect(&docker.url());
    host.identify().await.unwrap();
    let name = unique("speaks");
    let script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'dos\\r\\n'; printf 'bytes \\377\\376\\n'; echo; \
                  head -c 40000 /dev/zero | tr '\\0' x; echo; head -c 16384 /dev/zero | tr '\\0' y; echo; \
                  head -c 1500000 /dev/zero | tr '\\0' z; echo; printf half";
    let id: ContainerId = docker.run(&name, &[], script).parse().unwrap();
    let followed = rest(host.logs(&id, FOLLOW).await.unwrap()).await;
    // Docker 20.10 ends a follower with its container, and may owe it the last lines: only then is the log whole.
    docker.docker(&["wait", &name]);
    let lines = rest(host.logs(&id, ALL).await.unwrap()).await;
    assert!(lines.starts_with(&followed) && followed.len() >= 3, "{} of {} lines", followed.len(), lines.len());
    assert_eq!(texts(&lines[..3]), ["out", "err", "dos"]);
    assert_eq!((lines[0].stream, lines[1].stream), (Stdout, Stderr));
    // This log driver keeps text only: what is none it replaces itself.
    assert_eq!((&lines[3].bytes[..], &lines[4].bytes[..]), ("bytes \u{fffd}\u{fffd}".as_bytes(), &b""[..]));
    let lengths: Vec<_> = lines[5..].iter().map(|line| line.bytes.len()).collect();
    assert_eq!(lengths, [40_000, 16_384, MAX_LINE_BYTES, 4]);
    assert_eq!(lines[5..].iter().map(|line| line.is_truncated).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(lines[8].is_partial && lines[..8].iter().all(|line| !line.is_partial));
    assert!(lines.is_sorted_by_key(|line| line.timestamp));
    docker.remove(&name);
}

#[tokio::test]
async fn a_real_engines_terminal_is_read_without_the_times_in_its_long_lines() {
    let docker = Dockerd::shared();
    let host = connect(&docker.url());
    host.identify().await.unwrap();
    let name = unique("terminal");
    let script = "stty -onlcr 2>/dev/null; stty onlcr; echo one; head -c 40000 /dev/zero | tr '\\0' x; echo; \
                  head -c 16383 /dev/zero | tr '\\0' y; echo; echo err >&2; printf half";
    let id: ContainerId = docker.run(&name, &["--tty"], script).parse().unwrap();
    docker.docker(&["wait", &name]);
    let lines = rest(host.logs(&id, ALL).await.unwrap()).await;
    let shapes: Vec<_> = lines.iter().map(|line| (line.bytes.len(), line.is_partial)).collect();
    assert_eq!(shapes, [(3, false), (40_000, false), (16_383, false), (3, false), (4, true)]);
    assert!(lines.iter().all(|line| line.stream == Stdout));
    assert!(lines[1].bytes.iter().all(|byte| *byte == b'x'));

    // Another run, behind a line without an end.
    docker.docker(&["start", &name]);
    docker.docker(&["wait", &name]);
    let newest = lines[4].timestamp;
    let start = LogStart::After { newest, is_partial: true };
    let more = rest(host.logs(&id, LogQuery { start, ..ALL }).await.unwrap()).await;
    assert_eq!(more.iter().map(|line| line.bytes.len()).collect::<Vec<_>>(), [3, 40_000, 16_383, 3, 4]);
    docker.remove(&name);
}

#[tokio::test]
async fn a_real_engines_log_is_behind_a_driver_that_can_be_read_or_it_says_so() {
    let docker = Dockerd::shared();
    let host = connect(&docker.url());
    host.identify().await.unwrap();
    for (driver, readable) in [("local", true), ("none", false)] {
        let name = unique(driver);
        let id: ContainerId = docker.run(&name, &[&format!("--log-driver={driver}")], "echo said").parse().unwrap();
        docker.docker(&["wait", &name]);
        match host.logs(&id, ALL).await {
            Ok(feed) => assert_eq!((readable, texts(&rest(feed).await)), (true, vec!["said".to_owned()])),
            Err(error) => assert_eq!((readable, error.failure), (false, EngineFailure::Request), "{error}"),
        }
        docker.remove(&name);
    }
}
