//! What a host makes of sockets and of answers, one engine answer at a time.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Host, HostOptions, HostUrl};
use futures_util::StreamExt;
use model::ContainerId;
use pipeline::ports::{EngineApi, EngineError, EngineFailure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn host(socket: &Path) -> Host {
    patient(socket, Duration::from_secs(60))
}

/// A host whose calls are given up after `patience`.
fn patient(socket: &Path, patience: Duration) -> Host {
    let options = HostOptions { call_timeout: patience, head_timeout: patience, ..HostOptions::default() };
    Host::new("edge-1".parse().unwrap(), &HostUrl::Unix(socket.to_owned()), &options).unwrap()
}

fn id() -> ContainerId {
    "ab".repeat(32).parse().unwrap()
}

/// An engine that gives every connection the same bytes once it has read a request, and keeps what it read.
struct Canned {
    _folder: TempDir,
    socket: PathBuf,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Canned {
    fn answering(answer: impl Into<Vec<u8>>, close: bool) -> Self {
        let folder = folder();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (answer, kept) = (answer.into(), requests.clone());
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                kept.lock().unwrap().push(request);
                stream.write_all(&answer).await.unwrap();
                if !close {
                    open.push(stream);
                }
            }
        });
        Self { _folder: folder, socket, requests, task }
    }

    fn host(&self) -> Host {
        host(&self.socket)
    }

    fn first_line(&self) -> String {
        self.requests.lock().unwrap()[0].lines().next().unwrap().to_owned()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn request(stream: &mut UnixStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

async fn stats_error(host: &Host) -> EngineError {
    match host.stats(&id()).await {
        Ok(_) => panic!("a stream opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_missing_socket_is_named_and_the_engine_asked_about() {
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let expected =
        format!("no Docker engine at unix://{}: the socket does not exist (is the engine running?)", socket.display());
    let host = host(&socket);
    for error in [host.ping().await.unwrap_err(), host.list().await.unwrap_err(), stats_error(&host).await] {
        assert_eq!((error.failure, error.message), (EngineFailure::Unreachable, expected.clone()));
    }
}

#[tokio::test]
async fn a_path_that_is_no_socket_is_told_from_one_nobody_listens_on() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = stats_error(&host(&file)).await;
    assert_eq!(error.failure, EngineFailure::Unreachable);
    assert!(error.message.ends_with("this is not a socket"), "{error}");

    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    let error = host(&dead).identify().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Unreachable);
    assert!(error.message.contains("nobody listens"), "{error}");
}

#[tokio::test]
async fn a_full_listen_queue_is_waited_out() {
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let listener = {
        let socket = tokio::net::UnixSocket::new_stream().and_then(|unix| unix.bind(&socket).map(|()| unix)).unwrap();
        socket.listen(1).unwrap()
    };
    // Connections nobody accepts, until the queue takes no more.
    let mut queued = Vec::new();
    let full = loop {
        match UnixStream::connect(&socket).await {
            Ok(stream) => queued.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    let (host, id) = (host(&socket), id());
    let opening = host.stats(&id);
    let serving = async {
        // They come in the order in which they connected.
        for _ in &queued {
            listener.accept().await.unwrap();
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n").await.unwrap();
        stream
    };
    let (feed, _stream) = tokio::join!(opening, serving);
    assert_eq!(feed.unwrap().next().await.unwrap().unwrap(), "{}");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_given_up_on_in_time() {
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let host = patient(&socket, Duration::from_millis(300));
    for error in [host.ping().await.unwrap_err(), host.inspect(&id()).await.unwrap_err(), stats_error(&host).await] {
        assert_eq!(error.failure, EngineFailure::Timeout, "{error}");
        assert!(error.message.contains("300ms") && error.message.contains("docker.sock"), "{error}");
    }
}

#[tokio::test]
async fn calls_at_once_are_bounded_and_a_ping_does_not_wait_for_them() {
    let folder = folder();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let inspecting = Arc::new(AtomicUsize::new(0));
    let seen = inspecting.clone();
    let engine = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if request(&mut stream).await.starts_with("GET /_ping") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").await.unwrap();
            } else {
                seen.fetch_add(1, Ordering::SeqCst);
                open.push(stream);
            }
        }
    });
    let options = HostOptions { max_connections: 2, call_timeout: Duration::from_secs(120), ..HostOptions::default() };
    let host = Arc::new(Host::new("h".parse().unwrap(), &HostUrl::Unix(socket), &options).unwrap());
    let calls: Vec<_> =
        (0..4).map(|_| host.clone()).map(|host| tokio::spawn(async move { host.inspect(&id()).await })).collect();
    test_support::wait_until_async(Duration::from_secs(60), "two calls arrive", async || {
        inspecting.load(Ordering::SeqCst) == 2
    })
    .await;
    host.ping().await.unwrap();
    assert_eq!(inspecting.load(Ordering::SeqCst), 2, "the others wait for their turn");
    calls.into_iter().for_each(|call| call.abort());
    engine.abort();
}

#[tokio::test]
async fn an_error_answer_carries_the_engines_own_words_and_a_class() {
    for (status, body, failure) in [
        ("404 Not Found", "{\"message\":\"No such container: x\"}\n", EngineFailure::Gone),
        ("409 Conflict", "{\"message\":\"container x is not running\"}\n", EngineFailure::Gone),
        ("400 Bad Request", "{\"message\":\"bad parameter\"}\n", EngineFailure::Request),
        (
            "500 Internal Server Error",
            "{\"cause\":\"broken\",\"message\":\"it is broken\",\"response\":500}\n",
            EngineFailure::Server,
        ),
        ("502 Bad Gateway", "<html>\n<b>proxy</b>\n", EngineFailure::Server),
    ] {
        let engine =
            Canned::answering(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()), true);
        let host = engine.host();
        for error in [
            stats_error(&host).await,
            host.inspect(&id()).await.unwrap_err(),
            host.stats_once(&id()).await.unwrap_err(),
        ] {
            assert_eq!(error.failure, failure, "{error}");
            assert!(error.message.contains(&status[..3]) && error.message.contains("abababababab"), "{error}");
            assert!(!error.message.contains('\n'), "{error}");
        }
    }
}

#[tokio::test]
async fn the_stream_is_read_past_the_head_it_came_with() {
    let engine = Canned::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n3\r\n[]\n\r\n0\r\n\r\n",
        false,
    );
    let frames: Vec<_> = engine.host().stats(&id()).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(frames, ["{}", "[]"]);
    assert_eq!(engine.first_line(), format!("GET /containers/{}/stats?stream=1 HTTP/1.1", id()));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_malformed_and_an_early_end_is_a_broken_connection() {
    let error = stats_error(&Canned::answering("SSH-2.0-OpenSSH_9.2\r\n", true).host()).await;
    assert_eq!(error.failure, EngineFailure::Malformed, "{error}");
    let error = stats_error(&Canned::answering("HTTP/1.1 200 OK\r\nServer: Doc", true).host()).await;
    assert_eq!(error.failure, EngineFailure::Unreachable, "{error}");
    let error =
        Canned::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{", true).host().list().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Unreachable, "{error}");
    let error =
        Canned::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true).host().list().await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Malformed, "{error}");
}

#[tokio::test]
async fn a_poll_without_a_frame_says_that_the_container_cannot_be_asked() {
    let engine = Canned::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true);
    let error = engine.host().stats_once(&id()).await.unwrap_err();
    assert_eq!(error.failure, EngineFailure::Gone, "{error}");
}

#[tokio::test]
async fn lines_that_are_no_events_are_skipped_and_counted() {
    let event = r#"{"Type":"container","Action":"start","Actor":{"ID":"x"},"timeNano":5}"#;
    let body = format!("{event}\nnot json\n{{}}\n{event}\n{{\"message\":\"daemon is going away\"}}\n{event}\n");
    let engine = Canned::answering(format!("HTTP/1.1 200 OK\r\n\r\n{body}"), false);
    let host = engine.host();
    let items: Vec<_> = host.events(Some(model::Timestamp::from_nanos(1_000_000_005))).await.unwrap().collect().await;
    assert_eq!(engine.first_line(), "GET /events?since=1.000000005 HTTP/1.1");
    assert_eq!(items.len(), 3, "an error is the last item");
    assert!(items[0].is_ok() && items[1].is_ok());
    let error = items[2].as_ref().unwrap_err();
    assert_eq!(error.failure, EngineFailure::Server);
    assert!(error.message.contains("daemon is going away"), "{error}");
    assert_eq!(host.skipped_events(), 2);
}

#[tokio::test]
async fn after_the_engine_was_identified_every_path_carries_a_version_both_know() {
    for (newest, oldest, spoken) in [("1.41", "1.12", "v1.41"), ("1.99", "1.44", "v1.51")] {
        let body = format!(r#"{{"Version":"1","ApiVersion":"{newest}","MinAPIVersion":"{oldest}"}}"#);
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nApi-Version: {newest}\r\nContent-Length: {}", body.len());
        let engine = Canned::answering(format!("{head}\r\n\r\n{body}"), true);
        let host = engine.host();
        assert_eq!(host.identify().await.unwrap().engine, "docker");
        host.list().await.unwrap_err();
        let _feeds = (host.stats(&id()).await.unwrap(), host.events(None).await.unwrap());
        let requests = engine.requests.lock().unwrap();
        let paths: Vec<_> = requests.iter().filter_map(|request| request.split_whitespace().nth(1)).collect();
        let expected = [
            "/_ping".to_owned(),
            "/version".to_owned(),
            format!("/{spoken}/info"),
            format!("/{spoken}/containers/json?all=1"),
            format!("/{spoken}/containers/{}/stats?stream=1", id()),
            format!("/{spoken}/events"),
        ];
        assert_eq!(paths, expected);
    }
}
