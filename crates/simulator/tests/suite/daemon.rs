//! The daemon's own life, and the host's.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use simulator::{ContainerSpec, DemoSpec, Simulator, StartError, State};

use crate::client::{Next, eventually, get, stream};

#[test]
fn a_dead_daemon_leaves_no_socket_breaks_every_stream_and_forgets_events() {
    let host = Simulator::host("sim-1").manual().containers(2).start().unwrap();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    let mut events = stream(host.socket(), "/events");
    host.control().tick();
    host.control().stop_daemon();
    assert_eq!(UnixStream::connect(host.socket()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(stats.next(), Next::Line(_)), "what was sent before still arrives");
    assert_eq!((stats.next(), events.next()), (Next::Cut, Next::Cut));

    host.control().add(ContainerSpec::new("newcomer")).unwrap();
    host.control().stop("api-1").unwrap();
    host.control().start_daemon().unwrap();
    host.control().advance(Duration::from_secs(9));
    let mut replay = stream(host.socket(), "/events?since=0&until=1767225609");
    assert_eq!(replay.next(), Next::End, "the ring is empty, also of what happened meanwhile");
    assert_eq!(get(host.socket(), "/containers/newcomer/json").status, 200);
    assert_eq!(host.control().state("api-1").unwrap(), State::Exited);
}

#[test]
fn counters_go_on_over_a_restart_of_the_daemon() {
    let host = Simulator::host("sim-1").manual().containers(1).start().unwrap();
    let total = || {
        let mut stats = stream(host.socket(), "/containers/web-1/stats");
        host.control().tick();
        stats.next().json()["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().unwrap()
    };
    let before = total();
    host.control().stop_daemon();
    host.control().start_daemon().unwrap();
    assert!(total() > before);
}

#[test]
fn a_restarted_daemon_is_back_after_its_time() {
    let host = Simulator::host("sim-1").containers(1).start().unwrap();
    let before = std::time::Instant::now();
    host.control().restart_daemon(Duration::from_millis(80));
    eventually("the socket is back", || UnixStream::connect(host.socket()).is_ok());
    assert!(before.elapsed() >= Duration::from_millis(80));
    assert_eq!(get(host.socket(), "/_ping").status, 200);
}

#[test]
fn a_skewed_clock_is_seen_in_frames_and_headers() {
    let host = Simulator::host("sim-1").manual().containers(1).start().unwrap();
    host.control().clock_ahead(Duration::from_secs(3600));
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().tick();
    assert_eq!(stats.next().json()["read"], "2026-01-01T01:00:01Z");
    assert!(get(host.socket(), "/_ping").head.contains("Date: Thu, 01 Jan 2026 01:00:01 GMT"));
    host.control().clock_behind(Duration::from_secs(1));
    assert_eq!(host.control().now().to_string(), "2026-01-01T00:00:00.000000000Z");
}

#[test]
fn dropping_a_host_ends_its_streams_and_removes_its_socket() {
    let host = Simulator::host("sim-1").containers(1).start().unwrap();
    let (socket, control) = (host.socket().to_owned(), host.control().clone());
    let mut events = stream(&socket, "/events");
    drop(host);
    assert_eq!(events.next(), Next::Cut);
    assert!(!socket.exists() && !socket.parent().unwrap().exists());
    // A handle that outlives its host is harmless.
    control.tick();
    control.start_daemon().unwrap();
    assert!(!socket.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let host = Simulator::host("first").socket(&path).start().unwrap();
    let second = Simulator::host("second").socket(&path).start();
    assert!(matches!(second, Err(StartError::Socket { .. })));
    assert_eq!(get(host.socket(), "/info").json()["Name"], "first");
}

#[test]
fn two_containers_of_one_name_are_refused() {
    let twice = Simulator::host("sim-1").container(ContainerSpec::new("web")).container(ContainerSpec::new("web"));
    assert!(matches!(twice.start(), Err(StartError::Container(_))));
}

#[test]
fn the_demo_is_three_hosts_of_twelve_containers() {
    let folder = tempfile::tempdir().unwrap();
    let hosts: Vec<_> =
        DemoSpec::default().hosts(folder.path()).into_iter().map(|host| host.start().unwrap()).collect();
    assert_eq!(hosts.iter().map(|host| host.name()).collect::<Vec<_>>(), ["shop-1", "shop-2", "shop-3"]);
    for host in &hosts {
        let list = get(
            host.socket(),
            "/containers/json?filters=%7B%22label%22:%5B%22com.docker.compose.project=shop%22%5D%7D",
        )
        .json();
        assert_eq!(host.control().ids().len(), 12);
        assert_eq!(list.as_array().unwrap().len(), 7);
        assert_eq!(host.socket().parent().unwrap(), folder.path());
    }
}

#[test]
fn calls_and_events_are_kept_on_demand_and_what_nobody_could_hear_is_not() {
    let host = Simulator::host("sim-1").containers(1).manual().keep_log().start().unwrap();
    let control = host.control();
    let before = control.events().len();
    assert!(control.calls().is_empty() && before > 0);
    let _open = stream(host.socket(), "/events");
    get(host.socket(), "/v1.41/containers/web-1/json");
    eventually("the answer is noted", || control.calls()[1].answered.is_some());
    control.stop_daemon();
    control.pause("web-1").unwrap();
    control.start_daemon().unwrap();
    control.unpause("web-1").unwrap();
    let calls = control.calls();
    let paths: Vec<_> = calls.iter().map(|call| (call.path.as_str(), call.answered.is_some())).collect();
    assert_eq!(paths, [("/events", false), ("/containers/web-1/json", true)]);
    let actions: Vec<_> = control.events()[before..].iter().map(|(_, event)| event.action.clone()).collect();
    assert_eq!(actions, ["unpause"]);
}
