//! The server as an actor: restarts, drains.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_runtime::Exit;
use api::ApiConfig;

use crate::http::{Reply, connect, get};
use crate::served::Served;
use crate::stuck::StuckStore;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_address_survives_a_restart_of_the_server() {
    let served = Served::filled(ApiConfig::default());
    assert_eq!(get(served.address, "/api/containers/web").status, 200);
    let mut old = connect(served.address);
    served.restart();
    // The restart closes what was open.
    assert_eq!(old.read(&mut [0; 16]).unwrap_or(0), 0);
    for _ in 0..10 {
        assert_eq!(get(served.address, "/api/containers/web").status, 200);
    }
}

#[test]
fn a_connection_made_while_the_server_restarts_only_waits() {
    let served = Served::filled(ApiConfig::default());
    for _ in 0..5 {
        let mut old = connect(served.address);
        assert_eq!(ask(&mut old, served.address).status, 200);
        served.restart();
        old.read_to_end(&mut Vec::new()).ok();
        assert_eq!(get(served.address, "/healthz").status, 200);
    }
}

#[test]
fn a_drain_ends_at_once_though_idle_connections_are_open() {
    // Open requests would be waited for until long after the test has given up.
    let served = Served::filled(ApiConfig { drain: Duration::from_secs(3600), ..ApiConfig::default() });
    let mut idle: Vec<TcpStream> = (0..8).map(|_| connect(served.address)).collect();
    for stream in &mut idle[..4] {
        assert_eq!(ask(stream, served.address).status, 200);
    }
    served.drain();
    let report = served.ended();
    assert!(matches!(report.exit, Exit::Drained), "{:?}", report.exit);
    assert_eq!(report.cut_short, Vec::<String>::new());
}

#[test]
fn a_drain_lets_an_open_request_have_its_answer() {
    let config = ApiConfig { request_timeout: Duration::from_millis(700), drain: PATIENCE, ..ApiConfig::default() };
    let served = Served::over(config, Arc::new(StuckStore));
    let mut open = connect(served.address);
    send(&mut open, served.address, "/api/containers");
    // Once it answers others, it has read this one too: it came first.
    assert_eq!(get(served.address, "/healthz").status, 200);
    served.drain();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).unwrap();
    assert_eq!(Reply::parse(&answer).status, 504);
    assert!(matches!(served.ended().exit, Exit::Drained));
}

#[test]
fn a_drain_does_not_wait_longer_than_it_may_for_an_answer() {
    let served = Served::over(ApiConfig::default(), Arc::new(StuckStore));
    let mut open = connect(served.address);
    send(&mut open, served.address, "/api/containers");
    assert_eq!(get(served.address, "/healthz").status, 200);
    served.drain();
    // The answer never comes: it is the server that ends the wait.
    let report = served.ended();
    assert!(matches!(report.exit, Exit::Drained), "{:?}", report.exit);
    assert_eq!(report.cut_short, Vec::<String>::new());
}

#[test]
fn after_a_drain_nobody_is_answered() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let address = served.address;
    served.drain();
    served.ended();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the address is still taken");
    }
}

fn send(stream: &mut TcpStream, address: std::net::SocketAddr, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
}

/// One request on a connection that stays open.
fn ask(stream: &mut TcpStream, address: std::net::SocketAddr) -> Reply {
    send(stream, address, "/healthz");
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    while !answer.ends_with(b"{\"status\":\"ok\"}") {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed early: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    Reply::parse(&answer)
}
