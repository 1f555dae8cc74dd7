//! Events: their order, the ring, filters, and what goes wrong with them.

use std::time::Duration;

use serde_json::Value;
use simulator::{
    ContainerSpec, Event, Health, Load, OnSigterm, Profile, RestartPolicy, SimulatedHost, Simulator, State,
};

use crate::client::{Client, Next, get, stream};

fn host(profile: Profile) -> SimulatedHost {
    let web = ContainerSpec::new("web").label("team", "shop").load(Load::steady(0.1));
    Simulator::host("sim-1").engine(profile).manual().container(web).start().unwrap()
}

/// Reads so many events and gives their actions, with the network's told apart.
fn actions(events: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| action(&events.next().json())).collect()
}

fn action(event: &Value) -> String {
    let action = event["Action"].as_str().unwrap();
    if event["Type"] == "network" { format!("net {action}") } else { action.to_owned() }
}

/// What a request with an `until` in the past gives.
fn replay(host: &SimulatedHost, query: &str) -> Vec<Value> {
    host.control().advance(Duration::from_secs(10));
    let mut events = stream(host.socket(), &format!("/events?{query}"));
    let mut found = Vec::new();
    loop {
        match events.next() {
            Next::End => return found,
            line => found.push(line.json()),
        }
    }
}

#[test]
fn each_change_tells_the_events_of_the_real_engine_in_its_order() {
    for (profile, stop) in [
        (Profile::Docker20, ["kill", "die", "net disconnect", "stop"]),
        (Profile::Docker28, ["kill", "net disconnect", "die", "stop"]),
    ] {
        let host = host(profile);
        let mut events = stream(host.socket(), "/events");
        let control = host.control();
        control.stop("web").unwrap();
        assert_eq!(actions(&mut events, 4), stop);
        control.start("web").unwrap();
        assert_eq!(actions(&mut events, 2), ["net connect", "start"]);
        control.restart("web").unwrap();
        assert_eq!(actions(&mut events, 4), stop);
        assert_eq!(actions(&mut events, 3), ["net connect", "start", "restart"]);
        control.pause("web").unwrap();
        control.unpause("web").unwrap();
        control.exec("web", "ls -l /").unwrap();
        control.set_health("web", Health::Unhealthy).unwrap();
        assert_eq!(
            actions(&mut events, 6),
            ["pause", "unpause", "exec_create: ls -l /", "exec_start: ls -l /", "exec_die", "health_status: unhealthy"]
        );
        control.oom("web").unwrap();
        assert_eq!(action(&events.next().json()), "oom");
        assert!(actions(&mut events, 2).contains(&"die".to_owned()));
        control.add(ContainerSpec::new("job")).unwrap();
        assert_eq!(actions(&mut events, 3), ["create", "net connect", "start"]);
        control.remove("job").unwrap();
        let removal = actions(&mut events, 4);
        assert_eq!((removal[0].as_str(), removal[3].as_str()), ("kill", "destroy"));
    }
}

#[test]
fn events_carry_labels_image_name_and_what_belongs_to_the_action() {
    let host = host(Profile::Docker28);
    let mut events = stream(host.socket(), "/events");
    host.control().advance(Duration::from_secs(7));
    host.control().rename("web", "front").unwrap();
    host.control().kill("front").unwrap();
    let rename = events.next().json();
    let attributes = &rename["Actor"]["Attributes"];
    assert_eq!((&attributes["oldName"], &attributes["name"]), (&"/web".into(), &"front".into()));
    assert_eq!((&attributes["team"], &attributes["image"]), (&"shop".into(), &"busybox:1.36".into()));
    assert_eq!(rename["Actor"]["ID"], host.control().id("front").unwrap());
    assert_eq!(rename["timeNano"].as_i64().unwrap() / 1_000_000_000, rename["time"].as_i64().unwrap());
    assert_eq!(events.next().json()["Actor"]["Attributes"]["signal"], "9");
    events.next();
    let die = events.next().json();
    assert_eq!(
        (&die["Actor"]["Attributes"]["exitCode"], &die["Actor"]["Attributes"]["execDuration"]),
        (&"137".into(), &"7".into())
    );
}

#[test]
fn a_container_that_ignores_sigterm_needs_a_second_kill() {
    let spec = ContainerSpec::new("web").on_sigterm(OnSigterm::Ignores);
    let host = Simulator::host("sim-1").engine(Profile::Docker20).manual().container(spec).start().unwrap();
    let mut events = stream(host.socket(), "/events?filters=%7B%22type%22:%5B%22container%22%5D%7D");
    host.control().stop("web").unwrap();
    assert_eq!(actions(&mut events, 4), ["kill", "kill", "die", "stop"]);
}

#[test]
fn a_restart_policy_starts_again_what_ended_by_itself_and_not_what_was_killed() {
    let spec = ContainerSpec::new("web").restart(RestartPolicy::OnFailure);
    let host = Simulator::host("sim-1").manual().container(spec).start().unwrap();
    let control = host.control();
    let state = || control.state("web").unwrap();
    control.exit("web", 1).unwrap();
    assert_eq!(state(), State::Restarting);
    control.advance(Duration::from_millis(100));
    assert_eq!(state(), State::Running);
    control.exit("web", 1).unwrap();
    control.advance(Duration::from_millis(100));
    assert_eq!(state(), State::Restarting, "the second delay is longer");
    control.advance(Duration::from_millis(100));
    assert_eq!(state(), State::Running);
    assert_eq!(get(host.socket(), "/containers/web/json").json()["RestartCount"], 2);
    control.exit("web", 0).unwrap();
    assert_eq!(state(), State::Exited);
    control.start("web").unwrap();
    control.kill("web").unwrap();
    assert_eq!(state(), State::Exited);
}

#[test]
fn a_leak_is_killed_for_memory_and_starts_again() {
    let spec =
        ContainerSpec::new("leak").load(Load::leak(16 << 20)).memory_limit(64 << 20).restart(RestartPolicy::Always);
    let host = Simulator::host("sim-1").engine(Profile::Docker20).manual().container(spec).start().unwrap();
    let mut events = stream(host.socket(), "/events");
    (0..4).for_each(|_| host.control().tick());
    assert_eq!(actions(&mut events, 5), ["oom", "die", "net disconnect", "net connect", "start"]);
}

#[test]
fn since_is_inclusive_and_has_a_fraction() {
    let host = host(Profile::Docker28);
    host.control().advance(Duration::from_millis(1500));
    host.control().pause("web").unwrap();
    host.control().unpause("web").unwrap();
    // The pause is stamped at 1.5 s sharp, the unpause a microsecond later.
    let second = |fraction: &str| format!("since=1767225601.{fraction}&until=1767225601.999");
    let found = |fraction: &str| replay(&host, &second(fraction)).iter().map(action).collect::<Vec<_>>();
    assert_eq!(found("5"), ["pause", "unpause"]);
    assert_eq!(found("500000001"), ["unpause"]);
    assert_eq!(found("500001"), ["unpause"]);
    assert_eq!(found("500001001"), [""; 0]);
    assert_eq!(replay(&host, "since=0&until=1767225601.499").len(), 3, "create, connect and start of the beginning");
}

#[test]
fn the_ring_remembers_256_events_and_filters_do_not_make_it_longer() {
    let host = host(Profile::Docker28);
    let control = host.control();
    control.pause("web").unwrap();
    (0..300).for_each(|number| control.emit(Event::new("volume", "mount", format!("v{number}"))));
    control.unpause("web").unwrap();
    assert_eq!(replay(&host, "since=0&until=1767225600.9").len(), 256);
    let containers = replay(&host, "since=0&until=1767225600.9&filters=%7B%22type%22:%5B%22container%22%5D%7D");
    assert_eq!(containers.iter().map(action).collect::<Vec<_>>(), ["unpause"]);
}

#[test]
fn a_replay_goes_over_into_live_events_without_a_hole() {
    let host = host(Profile::Docker28);
    host.control().pause("web").unwrap();
    let mut events = stream(host.socket(), "/events?since=1767225600.000002500");
    host.control().unpause("web").unwrap();
    assert_eq!(actions(&mut events, 2), ["pause", "unpause"]);
}

#[test]
fn a_stream_with_an_until_in_the_future_ends_when_it_comes() {
    let host = host(Profile::Docker28);
    let mut events = stream(host.socket(), "/events?until=1767225605");
    assert_eq!(actions(&mut events, 3), ["create", "net connect", "start"], "an until alone replays the whole ring");
    host.control().pause("web").unwrap();
    assert_eq!(actions(&mut events, 1), ["pause"]);
    host.control().advance(Duration::from_secs(5));
    assert_eq!(events.next(), Next::End);
}

#[test]
fn events_can_be_replayed_reversed_lost_and_invented() {
    let host = host(Profile::Docker28);
    let control = host.control();
    let mut events = stream(host.socket(), "/events");
    control.pause("web").unwrap();
    control.unpause("web").unwrap();
    assert_eq!(control.replay_events(2), 2);
    assert_eq!(actions(&mut events, 4), ["pause", "unpause", "pause", "unpause"]);

    control.reverse_events(2);
    control.pause("web").unwrap();
    assert!(events.is_silent());
    control.unpause("web").unwrap();
    let reversed = [events.next().json(), events.next().json()];
    assert_eq!(reversed.each_ref().map(action), ["unpause", "pause"]);
    assert!(reversed[0]["timeNano"].as_i64() > reversed[1]["timeNano"].as_i64());

    control.lose_events(1);
    control.pause("web").unwrap();
    control.unpause("web").unwrap();
    assert_eq!(actions(&mut events, 1), ["unpause"]);
    assert_eq!(control.served().events_lost, 1);

    control.emit(Event::new("system", "refresh", "").attribute("why", "nobody knows"));
    let invented = events.next().json();
    assert_eq!(
        (&invented["Type"], &invented["Actor"]["Attributes"]["why"]),
        (&"system".into(), &"nobody knows".into())
    );
    control.garble_events(b"{\"Type\":\n");
    assert_eq!(events.next(), Next::Line("{\"Type\":".into()));
}

#[test]
fn an_event_stream_can_stall_and_be_cut_in_the_middle_of_a_line() {
    let host = host(Profile::Docker28);
    let mut events = stream(host.socket(), "/events");
    host.control().stall_events();
    host.control().pause("web").unwrap();
    assert!(events.is_silent());
    host.control().heal();
    host.control().unpause("web").unwrap();
    assert_eq!(actions(&mut events, 1), ["unpause"]);
    host.control().cut_events();
    assert_eq!(events.next(), Next::Cut);
    assert_eq!(host.control().served().event_streams, 0);
}

#[test]
fn health_probes_flood_the_events_and_end_the_starting_phase() {
    let spec = ContainerSpec::new("web").health_check(Duration::from_secs(1));
    let host = Simulator::host("sim-1").manual().container(spec).start().unwrap();
    let mut events = stream(host.socket(), "/events");
    host.control().tick();
    let probe = actions(&mut events, 4);
    assert!(probe[0].starts_with("exec_create: ") && probe[1].starts_with("exec_start: ") && probe[2] == "exec_die");
    assert_eq!(probe[3], "health_status: healthy");
    host.control().tick();
    assert!(actions(&mut events, 3)[2] == "exec_die");
}

#[test]
fn churn_is_the_same_for_the_same_seed() {
    let run = |seed| {
        let host = Simulator::host("sim-1").seed(seed).manual().churn(1.0).start().unwrap();
        let mut events = stream(host.socket(), "/events?filters=%7B%22event%22:%5B%22start%22,%22destroy%22%5D%7D");
        (0..60).for_each(|_| host.control().tick());
        host.control().churn(0.0);
        let told = host.control().served().events_sent as usize;
        actions(&mut events, told)
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first, run(6));
    assert!(first.contains(&"start".to_owned()) && first.contains(&"destroy".to_owned()), "{first:?}");
}

#[test]
fn images_tell_what_becomes_of_them() {
    let host = host(Profile::Docker28);
    let control = host.control();
    let pulled = control.pull("shop/web:2");
    control.tag(&pulled, "shop/web:latest").unwrap();
    control.push("shop/web:latest").unwrap();
    control.remove_image(&pulled).unwrap();
    let filter = "filters=%7B%22type%22:%5B%22image%22%5D%7D";
    let told: Vec<(String, String)> = replay(&host, &format!("since=0&until=1767225609&{filter}"))
        .iter()
        .map(|event| (action(event), event["Actor"]["ID"].as_str().unwrap().to_owned()))
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(action, actor)| (action.as_str(), actor.as_str())).collect();
    let expected = [
        ("pull", "shop/web:2"),
        ("tag", &pulled),
        ("push", "shop/web:latest"),
        ("untag", &pulled),
        ("untag", &pulled),
        ("delete", &pulled),
    ];
    assert_eq!(told, expected);
}
