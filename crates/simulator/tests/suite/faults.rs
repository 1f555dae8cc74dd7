//! Faults of stats streams and of API calls.

use std::time::{Duration, Instant};

use simulator::{FrameFault, SimulatedHost, Simulator};

use crate::client::{Chunk, Client, Next, eventually, get, stream};

fn host() -> SimulatedHost {
    Simulator::host("sim-1").manual().containers(2).start().unwrap()
}

/// What comes of one tick with this fault, and of the tick after it.
fn spoiled(fault: FrameFault) -> (SimulatedHost, Next, Next) {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().spoil_next(1, "web-1", fault).unwrap();
    host.control().tick();
    host.control().tick();
    let next = [stats.next(), stats.next()];
    let [bad, good] = next;
    (host, bad, good)
}

#[test]
fn a_spoiled_frame_is_one_line_and_the_stream_goes_on() {
    for (fault, check) in [
        (FrameFault::Garbage, "this is no JSON"),
        (FrameFault::OtherShape, r#""read":17"#),
        (FrameFault::EngineError, r#""response":500"#),
    ] {
        let (host, bad, good) = spoiled(fault);
        assert!(matches!(&bad, Next::Line(line) if line.contains(check)), "{bad:?}");
        assert_eq!(good.json()["name"], "/web-1");
        let frames = host.control().frames("web-1").unwrap();
        assert_eq!((frames.sent, frames.spoiled), (1, 1));
        assert_eq!(host.control().truths("web-1").len(), 1, "only what was sent whole is true");
    }
}

#[test]
fn a_truncated_frame_begins_well_and_is_no_json() {
    let (_host, bad, good) = spoiled(FrameFault::Truncated);
    let Next::Line(line) = bad else { panic!("{bad:?}") };
    assert!(line.starts_with(r#"{"name":"/web-1""#) && serde_json::from_str::<serde_json::Value>(&line).is_err());
    assert_eq!(good.json()["name"], "/web-1");
}

#[test]
fn a_zero_frame_may_come_while_the_container_runs() {
    let (_host, bad, good) = spoiled(FrameFault::Zero);
    assert_eq!(bad.json()["read"], "0001-01-01T00:00:00Z");
    assert_eq!(good.json()["preread"], "0001-01-01T00:00:00Z");
}

#[test]
fn a_cut_frame_ends_the_connection_in_the_middle() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().spoil_next(1, "web-1", FrameFault::Cut).unwrap();
    host.control().tick();
    let Chunk::Cut(rest) = stats.chunk() else { panic!("the frame came whole") };
    assert!(rest.len() > 500, "half of it was sent: {}", rest.len());
    eventually("the stream is gone", || host.control().served().stats_streams == 0);
}

#[test]
fn a_split_frame_comes_in_pieces_and_is_whole() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().spoil_next(1, "web-1", FrameFault::Split(4)).unwrap();
    host.control().tick();
    host.control().tick();
    let first = stats.read_once().unwrap();
    assert!(first < 1000, "only a piece: {first}");
    assert_eq!(stats.next().json()["name"], "/web-1");
    assert_eq!(stats.next().json()["name"], "/web-1", "the next frame waits behind the pieces");
    assert_eq!(host.control().frames("web-1").unwrap().sent, 2);
}

#[test]
fn a_frame_sent_twice_is_one_chunk_of_two_equal_lines() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().spoil_next(1, "web-1", FrameFault::Twice).unwrap();
    host.control().tick();
    let Chunk::Data(data) = stats.chunk() else { panic!("no chunk") };
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    assert_eq!((lines.len(), lines[0]), (3, lines[1]));
}

#[test]
fn a_stalled_stream_is_open_and_silent_until_it_goes_on() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    let mut other = stream(host.socket(), "/containers/api-1/stats");
    host.control().stall("web-1").unwrap();
    host.control().tick();
    assert!(stats.is_silent());
    assert_eq!(other.next().json()["name"], "/api-1");
    host.control().resume("web-1").unwrap();
    host.control().tick();
    assert_eq!(stats.next().json()["name"], "/web-1");
    assert_eq!(host.control().frames("web-1").unwrap().withheld, 1);
}

#[test]
fn a_stream_can_be_cut_between_frames() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().cut("web-1").unwrap();
    assert_eq!(stats.next(), Next::Cut);
}

#[test]
fn a_reader_that_lags_loses_frames_and_they_are_counted() {
    let host = host();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    for _ in 0..3000 {
        host.control().tick();
    }
    let frames = host.control().frames("web-1").unwrap();
    assert!(frames.dropped > 0 && frames.sent + frames.dropped == 3000, "{frames:?}");
    for _ in 0..frames.sent {
        assert_eq!(stats.next().json()["name"], "/web-1");
    }
    assert!(stats.is_silent());
}

#[test]
fn so_many_calls_fail_and_then_all_is_well() {
    let host = host();
    host.control().fail_next(2, "/containers", 500);
    assert_eq!(get(host.socket(), "/_ping").status, 200);
    let failed = get(host.socket(), "/v1.51/containers/json");
    assert_eq!((failed.status, &failed.json()["message"]), (500, &"simulated failure of GET /containers/json".into()));
    assert_eq!(get(host.socket(), "/containers/web-1/stats").status, 500);
    assert_eq!(get(host.socket(), "/containers/json").status, 200);
    assert_eq!(host.control().served().calls_spoiled, 2);
}

#[test]
fn a_hanging_call_is_never_answered_and_its_connection_lives() {
    let host = host();
    host.control().hang_next(1, "/_ping");
    let mut hung = Client::send(host.socket(), "GET", "/_ping");
    eventually("the call was taken", || host.control().served().calls_spoiled == 1);
    assert!(hung.is_silent());
    assert_eq!(get(host.socket(), "/_ping").status, 200);
    drop(hung);
    eventually("the connection is forgotten", || host.control().served().connections == 0);
}

#[test]
fn a_delayed_call_is_answered_late_and_a_reset_one_not_at_all() {
    let host = host();
    host.control().delay_next(1, "/_ping", Duration::from_millis(60));
    let before = Instant::now();
    assert_eq!(get(host.socket(), "/_ping").status, 200);
    assert!(before.elapsed() >= Duration::from_millis(60));
    host.control().reset_next(1, "/_ping");
    assert_eq!(Client::send(host.socket(), "GET", "/_ping").read_once(), None);
}

#[test]
fn healing_takes_waiting_faults_back() {
    let host = host();
    host.control().fail_next(5, "/", 500);
    host.control().spoil_next(5, "web-1", FrameFault::Garbage).unwrap();
    host.control().heal();
    let mut stats = stream(host.socket(), "/containers/web-1/stats");
    host.control().tick();
    assert_eq!(stats.next().json()["name"], "/web-1");
}
