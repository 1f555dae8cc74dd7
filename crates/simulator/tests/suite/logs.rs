//! Logs are told as the real engine tells them.

use model::LogStream::{Stderr, Stdout};
use simulator::{ContainerSpec, Profile, SimulatedHost, Simulator};

use crate::client::{Client, eventually, get};

fn host(profile: Profile, spec: ContainerSpec) -> SimulatedHost {
    let host = Simulator::host("sim").engine(profile).manual().start().unwrap();
    host.control().add(spec).unwrap();
    host
}

fn web() -> SimulatedHost {
    host(Profile::Docker20, ContainerSpec::new("web"))
}

const ALL: &str = "/containers/web/logs?stdout=1&stderr=1";

/// The frames of a multiplexed log: stream and text.
fn frames(mut body: &[u8]) -> Vec<(u8, String)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        frames.push((head[0], String::from_utf8(rest[..length].to_vec()).unwrap()));
        body = &rest[length..];
    }
    assert!(body.is_empty());
    frames
}

fn texts(host: &SimulatedHost, query: &str) -> Vec<String> {
    let response = get(host.socket(), &format!("{ALL}{query}"));
    assert_eq!(response.status, 200);
    frames(&response.body).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn lines_come_in_frames_with_their_stream_and_their_time_where_it_is_asked_for() {
    let host = web();
    host.control().write("web", Stdout, "out\n").unwrap();
    host.control().write("web", Stderr, "err\n").unwrap();
    let response = get(host.socket(), ALL);
    assert!(!response.head.contains("Content-Type"), "20.10 does not name the form: {}", response.head);
    assert_eq!(frames(&response.body), [(1, "out\n".into()), (2, "err\n".into())]);
    assert_eq!(texts(&host, "&timestamps=1")[0], "2026-01-01T00:00:00.000000000Z out\n");
    let only = get(host.socket(), "/containers/web/logs?stderr=1");
    assert_eq!(frames(&only.body), [(2, "err\n".into())]);
    assert_eq!(get(host.socket(), "/containers/web/logs").status, 400);
    assert_eq!(get(host.socket(), "/containers/nobody/logs?stdout=1").status, 404);
}

#[test]
fn a_long_line_comes_in_pieces_of_16_kib_with_one_time_and_only_the_last_has_an_end() {
    let host = web();
    host.control().write("web", Stdout, "x".repeat(40_000)).unwrap();
    host.control().advance(std::time::Duration::from_secs(1));
    host.control().write("web", Stdout, "\n").unwrap();
    let pieces = texts(&host, "&timestamps=1");
    assert_eq!(pieces.iter().map(|piece| piece.len() - 31).collect::<Vec<_>>(), [16_384, 16_384, 40_000 - 32_768 + 1]);
    assert!(pieces.iter().all(|piece| piece.starts_with("2026-01-01T00:00:00.000000000Z ")));
}

#[test]
fn a_terminal_has_no_frames_and_its_lines_end_in_both() {
    let host = host(Profile::Docker28, ContainerSpec::new("web").terminal());
    host.control().write("web", Stderr, "one\ntwo\n").unwrap();
    let response = get(host.socket(), ALL);
    assert!(response.head.contains("application/vnd.docker.raw-stream"), "{}", response.head);
    assert_eq!(response.body, b"one\r\ntwo\r\n");
    assert_eq!(get(host.socket(), "/containers/web/json").json()["Config"]["Tty"], true);
}

#[test]
fn since_until_and_tail_take_what_they_say() {
    let host = web();
    for _ in 0..4 {
        host.control().write_lines("web", 1).unwrap();
        host.control().advance(std::time::Duration::from_secs(1));
    }
    let start = host.control().now().as_secs() - 4;
    assert_eq!(texts(&host, &format!("&since={}", start + 2)), ["line 3\n", "line 4\n"]);
    assert_eq!(texts(&host, &format!("&since={}.000000001", start + 2)), ["line 4\n"]);
    assert_eq!(texts(&host, &format!("&until={}", start + 1)), ["line 1\n", "line 2\n"]);
    assert_eq!(texts(&host, "&tail=1"), ["line 4\n"]);
    assert_eq!(texts(&host, "&tail=all").len(), 4);
    assert_eq!(get(host.socket(), &format!("{ALL}&since=2026-01-01T00:00:00Z")).status, 500);
}

#[test]
fn a_follower_hears_what_is_written_and_the_end_of_the_run_with_what_was_open() {
    let host = web();
    host.control().write_lines("web", 2).unwrap();
    let follower = Client::send(host.socket(), "GET", &format!("{ALL}&follow=1"));
    eventually("it follows", || host.control().served().log_streams == 1);
    host.control().write_lines("web", 2).unwrap();
    host.control().write("web", Stdout, "half").unwrap();
    host.control().stop("web").unwrap();
    let mut follower = follower;
    let heard = frames(&follower.response().body);
    let heard: Vec<&str> = heard.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(heard, ["line 1\n", "line 2\n", "line 3\n", "line 4\n", "half"]);
    assert_eq!(host.control().served().log_streams, 0);
    assert_eq!(texts(&host, "&follow=1").len(), 5, "one that does not run is not followed");
}

#[test]
fn a_follower_that_does_not_read_is_waited_for_and_loses_nothing() {
    let host = Simulator::host("sim").start().unwrap();
    host.control().add(ContainerSpec::new("web")).unwrap();
    let mut follower = Client::send(host.socket(), "GET", &format!("{ALL}&follow=1"));
    eventually("it follows", || host.control().served().log_streams == 1);
    let line = format!("{}\n", "x".repeat(10_000));
    for _ in 0..1_000 {
        host.control().write("web", Stdout, &line).unwrap();
    }
    host.control().stop("web").unwrap();
    assert_eq!(frames(&follower.response().body).len(), 1_000);
}

#[test]
fn lines_at_a_rate_are_numbered_over_the_runs() {
    let host = host(Profile::Docker28, ContainerSpec::new("web").lines_per_second(10.0));
    for _ in 0..10 {
        host.control().tick();
    }
    assert!(host.control().lines_written("web").unwrap() >= 90);
    host.control().restart("web").unwrap();
    for _ in 0..10 {
        host.control().tick();
    }
    let lines = texts(&host, "");
    assert_eq!(lines.len() as u64, host.control().lines_written("web").unwrap());
    assert!(lines.iter().enumerate().all(|(at, line)| *line == format!("line {}\n", at + 1)));
}

#[test]
fn a_log_driver_that_cannot_be_read_says_so() {
    let host = host(Profile::Docker28, ContainerSpec::new("web").unreadable_log());
    assert_eq!(get(host.socket(), ALL).status, 501);
}
