//! Stats streams and polls, by hand-driven ticks.

use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::{ContainerSpec, Load, Network, Order, Profile, SimulatedHost, Simulator, Truth};

use crate::client::{Client, Next, eventually, get, stream};

const PROFILES: [Profile; 2] = [Profile::Docker20, Profile::Docker28];

fn host_with(profile: Profile, load: Load) -> SimulatedHost {
    Simulator::host("sim-1").engine(profile).manual().container(ContainerSpec::new("web").load(load)).start().unwrap()
}

fn assert_true(frame: &Value, truth: &Truth) {
    let counters = &truth.counters;
    let cpu = &frame["cpu_stats"];
    assert_eq!(cpu["cpu_usage"]["total_usage"], counters.cpu.total_ns);
    assert_eq!(cpu["cpu_usage"]["usage_in_usermode"], counters.cpu.user_ns);
    assert_eq!(cpu["cpu_usage"]["usage_in_kernelmode"], counters.cpu.kernel_ns);
    assert_eq!(cpu["system_cpu_usage"], counters.cpu.system_ns);
    assert_eq!(cpu["online_cpus"], counters.online_cpus);
    assert_eq!(cpu["throttling_data"]["throttled_periods"], counters.cpu.throttled_periods);
    assert_eq!(frame["memory_stats"]["usage"], counters.memory.usage_bytes);
    assert_eq!(frame["memory_stats"]["limit"], counters.memory.limit_bytes);
    assert_eq!(frame["memory_stats"]["stats"]["inactive_file"], counters.memory.inactive_file_bytes);
    assert_eq!(frame["networks"]["eth0"]["rx_bytes"], counters.networks.as_ref().unwrap()[0].rx_bytes);
    assert_eq!(frame["pids_stats"]["current"], counters.pids);
    let operations = frame["blkio_stats"]["io_service_bytes_recursive"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| {
        operations
            .iter()
            .find(|o| o["op"].as_str().unwrap().eq_ignore_ascii_case(name))
            .map_or(0, |o| o["value"].as_u64().unwrap())
    };
    assert_eq!((of("read"), of("write")), (counters.block_read_bytes, counters.block_write_bytes));
    assert_eq!(frame["read"].as_str().unwrap().parse::<model::Timestamp>().unwrap(), truth.read);
}

#[test]
fn a_frame_holds_the_truth() {
    for profile in PROFILES {
        let host = host_with(profile, Load::database(0.7));
        let mut stats = stream(host.socket(), "/containers/web/stats");
        for sequence in 1..=20 {
            host.control().tick();
            let truth = host.control().truth("web").unwrap();
            assert_eq!(truth.sequence, sequence);
            assert_true(&stats.next().json(), &truth);
        }
    }
}

#[test]
fn truths_are_kept_as_long_as_asked_for() {
    let host = Simulator::host("sim-1").manual().keep_truth(3).containers(1).start().unwrap();
    let _stats = stream(host.socket(), "/containers/web-1/stats");
    assert_eq!(host.control().truth("web-1"), None);
    (0..5).for_each(|_| host.control().tick());
    let sequences: Vec<_> = host.control().truths("web-1").iter().map(|truth| truth.sequence).collect();
    assert_eq!(sequences, [3, 4, 5]);
}

#[test]
fn the_first_frame_of_a_stream_knows_nothing_of_before_and_the_next_repeats_the_last() {
    for profile in PROFILES {
        let host = host_with(profile, Load::steady(0.25));
        let mut stats = stream(host.socket(), "/containers/web/stats?stream=1");
        host.control().tick();
        host.control().tick();
        let (first, second) = (stats.next().json(), stats.next().json());
        assert_eq!(first["preread"], "0001-01-01T00:00:00Z");
        assert_eq!(first["precpu_stats"]["cpu_usage"]["total_usage"], 0);
        assert!(first["precpu_stats"].get("system_cpu_usage").is_none());
        assert_eq!(second["preread"], first["read"]);
        assert_eq!(second["precpu_stats"], first["cpu_stats"]);
    }
}

#[test]
fn a_steady_load_gives_its_share_to_the_digit_by_the_formula_of_docker_stats() {
    for profile in PROFILES {
        let host = host_with(profile, Load::steady(0.5));
        let mut stats = stream(host.socket(), "/containers/web/stats");
        for _ in 0..3 {
            host.control().tick();
        }
        stats.next();
        for _ in 0..2 {
            let frame = stats.next().json();
            let number = |path: &str| frame.pointer(path).and_then(Value::as_u64).unwrap() as f64;
            let cpu = number("/cpu_stats/cpu_usage/total_usage") - number("/precpu_stats/cpu_usage/total_usage");
            let system = number("/cpu_stats/system_cpu_usage") - number("/precpu_stats/system_cpu_usage");
            assert_eq!((cpu / system) * number("/cpu_stats/online_cpus") * 100.0, 50.0);
        }
    }
}

#[test]
fn streams_of_one_container_share_their_samples() {
    let host = host_with(Profile::Docker28, Load::database(0.5));
    let mut first = stream(host.socket(), "/containers/web/stats");
    host.control().tick();
    first.next();
    let mut second = stream(host.socket(), "/containers/web/stats");
    host.control().tick();
    let (one, other) = (first.next().json(), second.next().json());
    assert_eq!((&one["read"], &one["cpu_stats"]), (&other["read"], &other["cpu_stats"]));
    assert_eq!(other["preread"], "0001-01-01T00:00:00Z", "but each has its own past");
}

#[test]
fn a_stopped_container_gives_zero_frames_for_ever_and_the_first_still_has_the_past() {
    for profile in PROFILES {
        let host = host_with(profile, Load::steady(0.5));
        let mut stats = stream(host.socket(), "/containers/web/stats");
        host.control().tick();
        let last = stats.next().json();
        host.control().stop("web").unwrap();
        for _ in 0..3 {
            host.control().tick();
        }
        let zeros: Vec<Value> = (0..3).map(|_| stats.next().json()).collect();
        assert!(
            zeros
                .iter()
                .all(|zero| zero["read"] == "0001-01-01T00:00:00Z" && zero["memory_stats"] == serde_json::json!({}))
        );
        assert_eq!((&zeros[0]["preread"], &zeros[0]["precpu_stats"]), (&last["read"], &last["cpu_stats"]));
        assert_eq!(zeros[1]["preread"], "0001-01-01T00:00:00Z");
        assert_eq!(zeros[1], zeros[2]);
        host.control().start("web").unwrap();
        host.control().tick();
        let again = stats.next().json();
        assert_eq!(
            (&again["preread"], &again["precpu_stats"]["cpu_usage"]["total_usage"]),
            (&"0001-01-01T00:00:00Z".into(), &0.into())
        );
        assert_eq!(host.control().frames("web").unwrap().zero, 3);
    }
}

#[test]
fn a_restart_within_a_tick_makes_counters_fall_without_a_zero_frame() {
    let host = host_with(Profile::Docker20, Load::steady(0.5));
    let mut stats = stream(host.socket(), "/containers/web/stats");
    (0..5).for_each(|_| host.control().tick());
    host.control().restart("web").unwrap();
    host.control().tick();
    let frames: Vec<Value> = (0..6).map(|_| stats.next().json()).collect();
    let total = |stats: &Value| stats["cpu_usage"]["total_usage"].as_u64().unwrap();
    assert_eq!((total(&frames[5]["precpu_stats"]), total(&frames[5]["cpu_stats"])), (2_500_000_000, 500_000_000));
    let truth = host.control().truth("web").unwrap();
    assert_eq!(truth.started_at, truth.read - Duration::from_secs(1), "it belongs to the new run");
}

#[test]
fn a_paused_container_sends_whole_frames_with_its_cpu_frozen() {
    let host = host_with(Profile::Docker28, Load::steady(0.5));
    let mut stats = stream(host.socket(), "/containers/web/stats");
    host.control().tick();
    host.control().pause("web").unwrap();
    host.control().tick();
    let (before, paused) = (stats.next().json(), stats.next().json());
    assert_eq!(before["cpu_stats"]["cpu_usage"], paused["cpu_stats"]["cpu_usage"]);
    assert!(paused["cpu_stats"]["system_cpu_usage"].as_u64() > before["cpu_stats"]["system_cpu_usage"].as_u64());
    host.control().unpause("web").unwrap();
    host.control().tick();
    assert_eq!(stats.next().json()["cpu_stats"]["cpu_usage"]["total_usage"], 1_000_000_000);
}

#[test]
fn a_removed_container_ends_its_streams_properly_and_the_connection_lives_on() {
    let host = host_with(Profile::Docker28, Load::idle());
    let mut stats = stream(host.socket(), "/containers/web/stats");
    host.control().remove("web").unwrap();
    assert_eq!(stats.next(), Next::End);
    stats.request("GET", "/containers/web/stats");
    assert_eq!(stats.response().status, 404);
}

#[test]
fn a_one_shot_poll_is_answered_at_once_by_new_engines_without_a_name() {
    let host = host_with(Profile::Docker28, Load::steady(0.5));
    host.control().advance(Duration::from_secs(4));
    let frame = get(host.socket(), "/containers/web/stats?stream=0&one-shot=1").json();
    assert_eq!(frame["cpu_stats"]["cpu_usage"]["total_usage"], 2_000_000_000u64);
    assert!(frame.get("id").is_none() && frame.get("name").is_none());
    assert_eq!(frame["preread"], "0001-01-01T00:00:00Z");
    assert_true(&frame, &host.control().truth("web").unwrap());
}

#[test]
fn a_one_shot_poll_waits_for_the_tick_on_old_engines() {
    let host = host_with(Profile::Docker20, Load::steady(0.5));
    let mut poll = Client::send(host.socket(), "GET", "/containers/web/stats?stream=0&one-shot=1");
    eventually("the poll is known", || host.control().served().calls.contains_key("GET /containers/{id}/stats"));
    assert!(poll.is_silent());
    host.control().tick();
    let frame = poll.response().json();
    assert_eq!((&frame["name"], &frame["preread"]), (&"/web".into(), &"0001-01-01T00:00:00Z".into()));
}

#[test]
fn a_poll_without_one_shot_waits_two_ticks_and_has_a_past() {
    for profile in PROFILES {
        let host = host_with(profile, Load::steady(0.5));
        let mut poll = Client::send(host.socket(), "GET", "/containers/web/stats?stream=false");
        eventually("the poll is known", || host.control().served().calls.contains_key("GET /containers/{id}/stats"));
        host.control().tick();
        assert!(poll.is_silent());
        host.control().tick();
        let frame = poll.response().json();
        assert_eq!(frame["precpu_stats"]["cpu_usage"]["total_usage"], 500_000_000);
        assert_eq!(frame["cpu_stats"]["cpu_usage"]["total_usage"], 1_000_000_000);
    }
}

#[test]
fn a_poll_of_a_stopped_container_is_a_zero_frame_at_once() {
    for profile in PROFILES {
        let host = host_with(profile, Load::idle());
        host.control().stop("web").unwrap();
        let frame = get(host.socket(), "/containers/web/stats?stream=0&one-shot=1").json();
        assert_eq!((&frame["read"], &frame["name"]), (&"0001-01-01T00:00:00Z".into(), &"/web".into()));
    }
}

#[test]
fn a_stream_cannot_be_one_shot() {
    let host = host_with(Profile::Docker28, Load::idle());
    assert_eq!(get(host.socket(), "/containers/web/stats?stream=1&one-shot=1").status, 400);
}

#[test]
fn networks_are_shown_by_scope() {
    let host = Simulator::host("sim-1")
        .manual()
        .container(ContainerSpec::new("own").load(Load::steady(0.1)).network(Network::Own(2)))
        .container(ContainerSpec::new("guest").network(Network::SharedWith("own".into())))
        .container(ContainerSpec::new("host").network(Network::Host))
        .container(ContainerSpec::new("none").network(Network::None))
        .start()
        .unwrap();
    host.control().advance(Duration::from_secs(10));
    let networks = |name: &str| {
        get(host.socket(), &format!("/containers/{name}/stats?stream=0&one-shot=1")).json()["networks"].clone()
    };
    let own = networks("own");
    assert_eq!(own["eth0"]["rx_bytes"].as_u64().unwrap() + own["eth1"]["rx_bytes"].as_u64().unwrap(), 200_000);
    assert_eq!(host.control().truth("own").unwrap().network_bytes(), Some((200_000, 300_000)));
    assert_eq!(networks("guest"), own, "a shared network repeats its owner's counters");
    assert_eq!((networks("host"), networks("none")), (Value::Null, Value::Null));
}

#[test]
fn two_hosts_of_one_seed_send_the_same_bytes() {
    let lines = || {
        let host = Simulator::host("sim-1").seed(42).manual().containers(4).start().unwrap();
        let mut stats = stream(host.socket(), "/containers/db-1/stats");
        (0..10)
            .map(|_| {
                host.control().tick();
                stats.next()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(), lines());
}

fn streams_of_all(host: &SimulatedHost) -> Vec<Client> {
    host.control().ids().iter().map(|id| stream(host.socket(), &format!("/containers/{id}/stats"))).collect()
}

#[test]
fn every_container_is_visited_and_none_faster_than_the_interval() {
    let interval = Duration::from_millis(100);
    let host = Simulator::host("sim-1").interval(interval).containers(20).start().unwrap();
    let before = Instant::now();
    for mut client in streams_of_all(&host) {
        for _ in 0..10 {
            client.next().json();
        }
    }
    // A machine that stood still may owe two visits, but never more.
    assert!(before.elapsed() >= interval * 7, "{:?}", before.elapsed());
}

#[test]
fn a_sequential_collector_slows_down_with_each_stream() {
    let host = Simulator::host("sim-1")
        .interval(Duration::from_millis(50))
        .sequential(Duration::from_millis(10), Order::Random)
        .containers(10)
        .start()
        .unwrap();
    // The last stream to be opened has no frame from a time with fewer streams.
    let mut streams = streams_of_all(&host);
    let last = streams.last_mut().unwrap();
    let times: Vec<model::Timestamp> =
        (0..5).map(|_| last.next().json()["read"].as_str().unwrap().parse().unwrap()).collect();
    // Four passes of 50 ms rest and ten visits of 10 ms, less what the random order may move a visit within its pass.
    assert!(times[4].since(times[0]) >= Duration::from_millis(4 * 150 - 100), "{times:?}");
}
