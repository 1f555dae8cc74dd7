//! The engine port against simulated engines, whose counters are known.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::time::Duration;

use engine::frame::FrameDecoder;
use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::{ContainerId, ContainerState, CpuClock, LossReason, NetworkScope, OsFamily};
use pipeline::ports::{Decode, EngineApi, EngineFailure, FrameFeed};
use simulator::{ContainerSpec, FrameFault, Network, Profile, SimulatedHost, Simulator};

const SOON: Duration = Duration::from_secs(90);

fn connect(simulated: &SimulatedHost) -> Host {
    Host::new("sim-1".parse().unwrap(), &simulated.url().parse().unwrap(), &HostOptions::default()).unwrap()
}

fn id(simulated: &SimulatedHost, name: &str) -> ContainerId {
    simulated.control().id(name).unwrap().parse().unwrap()
}

async fn next(feed: &mut FrameFeed) -> Option<Result<bytes::Bytes, pipeline::ports::EngineError>> {
    tokio::time::timeout(SOON, feed.next()).await.expect("a frame, or an end, comes in time")
}

#[tokio::test]
async fn an_engine_tells_what_it_is_and_agrees_on_a_version() {
    for (profile, api, cgroup) in [(Profile::Docker20, (1, 41), 1), (Profile::Docker28, (1, 51), 2)] {
        let simulated = Simulator::host("sim-1").engine(profile).start().unwrap();
        let host = connect(&simulated);
        let info = host.identify().await.unwrap();
        assert_eq!((info.engine.as_str(), info.api_version, info.cgroup_version), ("docker", api, Some(cgroup)));
        assert_eq!((info.os, info.cpu_clock, info.cpus), (OsFamily::Linux, CpuClock::System, Some(4)));
        assert!(info.version.starts_with(profile.engine_version()) && info.memory_bytes == Some(16 << 30));
        assert!(info.clock.is_some(), "the Date header gives the first cursor");
        assert!(host.ping().await.unwrap() < SOON);
        assert_eq!(host.list().await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_inventory_is_all_containers_running_or_not() {
    let simulated = Simulator::host("sim-1")
        .container(
            ContainerSpec::new("web")
                .compose("shop", "web")
                .image("shop/web:3", "serve")
                .env("TOKEN", "s3cret")
                .port(8080, 80)
                .memory_limit(64 << 20)
                .cpu_limit(0.5),
        )
        .container(ContainerSpec::new("on-host").network(Network::Host))
        .container(ContainerSpec::new("alone").network(Network::None))
        .container(ContainerSpec::new("side").network(Network::SharedWith("web".to_owned())))
        .start()
        .unwrap();
    simulated.control().stop("alone").unwrap();
    let host = connect(&simulated);
    host.identify().await.unwrap();
    let mut listed = host.list().await.unwrap();
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected = ["web", "on-host", "side"].map(|name| (id(&simulated, name), ContainerState::Running)).to_vec();
    expected.push((id(&simulated, "alone"), ContainerState::Exited));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(listed, expected);

    let web = host.inspect(&id(&simulated, "web")).await.unwrap();
    assert_eq!(
        (web.container_name.as_str(), web.image.as_str(), web.state),
        ("web", "shop/web:3", ContainerState::Running)
    );
    assert_eq!((web.compose_project.as_deref(), web.compose_service.as_deref()), (Some("shop"), Some("web")));
    assert_eq!((web.memory_limit_bytes, web.cpu_limit_cores), (Some(64 << 20), Some(0.5)));
    assert_eq!(web.network_scope.as_ref(), Some(&NetworkScope::Own));
    assert!(web.ports.iter().any(|port| port.container_port == 80 && port.host_port == Some(8080)), "{:?}", web.ports);
    assert!(web.started_at.is_some() && !format!("{web:?}").contains("s3cret"));

    let scope = async |name: &str| host.inspect(&id(&simulated, name)).await.unwrap().network_scope;
    assert_eq!(scope("on-host").await, Some(NetworkScope::Host));
    assert_eq!(scope("alone").await, Some(NetworkScope::None));
    assert_eq!(scope("side").await, Some(NetworkScope::Shared(id(&simulated, "web"))));
    let alone = host.inspect(&id(&simulated, "alone")).await.unwrap();
    assert!(
        alone.state == ContainerState::Exited && alone.exit_code.is_some() && alone.finished_at.is_some(),
        "{alone:?}"
    );

    let nobody = "0".repeat(64).parse().unwrap();
    assert_eq!(host.inspect(&nobody).await.unwrap_err().failure, EngineFailure::Gone);
    assert_eq!(host.stats(&nobody).await.err().unwrap().failure, EngineFailure::Gone);
}

#[tokio::test]
async fn every_frame_of_a_stream_decodes_to_the_counters_that_were_sent() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let simulated = Simulator::host("sim-1").containers(3).engine(profile).manual().keep_truth(20).start().unwrap();
        let host = connect(&simulated);
        host.identify().await.unwrap();
        for name in ["web-1", "api-1", "db-1"] {
            let mut feed = host.stats(&id(&simulated, name)).await.unwrap();
            for _ in 0..5 {
                simulated.control().tick();
                let frame = FrameDecoder.decode(&next(&mut feed).await.unwrap().unwrap()).unwrap();
                let truth = simulated.control().truth(name).unwrap();
                assert_eq!(frame.read, Some(truth.read));
                assert_eq!(
                    (frame.cpu.total, frame.cpu.system),
                    (Some(truth.counters.cpu.total_ns), Some(truth.counters.cpu.system_ns))
                );
                assert_eq!(
                    model::compute::memory_usage(&frame.memory, OsFamily::Linux),
                    Some(truth.memory_shown_bytes())
                );
                assert_eq!(frame.network.map(|network| (network.rx_bytes, network.tx_bytes)), truth.network_bytes());
                assert_eq!((frame.pids, frame.pids_limit), (Some(truth.counters.pids), truth.counters.pids_limit));
            }
        }
    }
}

#[tokio::test]
async fn spoiled_frames_are_told_apart_and_the_stream_goes_on() {
    let simulated = Simulator::host("sim-1").containers(1).manual().start().unwrap();
    let host = connect(&simulated);
    let mut feed = host.stats(&id(&simulated, "web-1")).await.unwrap();
    for (fault, reason) in [
        (FrameFault::Garbage, LossReason::NotJson),
        (FrameFault::Truncated, LossReason::Truncated),
        (FrameFault::OtherShape, LossReason::UnexpectedShape),
        (FrameFault::EngineError, LossReason::EngineError),
    ] {
        simulated.control().spoil_next(1, "web-1", fault).unwrap();
        simulated.control().tick();
        assert_eq!(FrameDecoder.decode(&next(&mut feed).await.unwrap().unwrap()), Err(reason), "{fault:?}");
    }
    simulated.control().spoil_next(1, "web-1", FrameFault::Split(5)).unwrap();
    simulated.control().tick();
    assert!(
        FrameDecoder.decode(&next(&mut feed).await.unwrap().unwrap()).is_ok(),
        "a frame in five writes is one frame"
    );
    simulated.control().spoil_next(1, "web-1", FrameFault::Twice).unwrap();
    simulated.control().tick();
    let pair = [next(&mut feed).await.unwrap().unwrap(), next(&mut feed).await.unwrap().unwrap()];
    assert!(pair[0] == pair[1] && FrameDecoder.decode(&pair[0]).is_ok(), "two frames in a chunk are two frames");
}

#[tokio::test]
async fn a_stream_broken_off_in_a_frame_gives_the_rest_and_then_the_error() {
    let simulated = Simulator::host("sim-1").containers(1).manual().start().unwrap();
    let host = connect(&simulated);
    let mut feed = host.stats(&id(&simulated, "web-1")).await.unwrap();
    simulated.control().spoil_next(1, "web-1", FrameFault::Cut).unwrap();
    simulated.control().tick();
    let cut = next(&mut feed).await.unwrap().unwrap();
    assert_eq!(FrameDecoder.decode(&cut), Err(LossReason::Truncated));
    assert_eq!(next(&mut feed).await.unwrap().unwrap_err().failure, EngineFailure::Unreachable);
    assert!(next(&mut feed).await.is_none());
}

#[tokio::test]
async fn a_removed_container_ends_its_stream_cleanly_and_a_stopped_one_does_not() {
    let simulated = Simulator::host("sim-1").containers(1).manual().start().unwrap();
    let host = connect(&simulated);
    let mut feed = host.stats(&id(&simulated, "web-1")).await.unwrap();
    simulated.control().stop("web-1").unwrap();
    simulated.control().tick();
    assert_eq!(FrameDecoder.decode(&next(&mut feed).await.unwrap().unwrap()).unwrap().read, None, "a placeholder");
    simulated.control().remove("web-1").unwrap();
    while let Some(frame) = next(&mut feed).await {
        assert_eq!(FrameDecoder.decode(&frame.unwrap()).unwrap().read, None);
    }
}

#[tokio::test]
async fn a_poll_gives_one_frame_asked_for_now() {
    let simulated = Simulator::host("sim-1").containers(2).start().unwrap();
    let host = connect(&simulated);
    for name in ["web-1", "api-1"] {
        let frame = FrameDecoder.decode(&host.stats_once(&id(&simulated, name)).await.unwrap()).unwrap();
        assert!(frame.read.is_some() && frame.cpu.total.is_some());
    }
    assert!(simulated.control().served().accepted <= 2, "polls reuse their connection");
}

#[tokio::test]
async fn events_come_live_and_again_from_a_cursor() {
    let simulated = Simulator::host("sim-1").containers(2).start().unwrap();
    let host = connect(&simulated);
    let mut live = host.events(None).await.unwrap();
    assert!(simulated.control().until(SOON, |served| served.event_streams == 1).await);
    simulated.control().stop("web-1").unwrap();
    simulated.control().start("web-1").unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &model::EngineEvent| event.action != "start") {
        seen.push(tokio::time::timeout(SOON, live.next()).await.unwrap().unwrap().unwrap());
    }
    let actions: Vec<_> =
        seen.iter().filter(|event| event.kind == "container").map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["kill", "die", "stop", "start"]);
    assert!(
        seen.iter()
            .filter(|event| event.kind == "container")
            .all(|event| event.actor_id == id(&simulated, "web-1").as_str())
    );

    let again: Vec<_> =
        host.events(Some(seen[0].timestamp)).await.unwrap().take(seen.len()).map(Result::unwrap).collect().await;
    assert_eq!(again, seen, "the cursor is inclusive to the nanosecond");
}

#[tokio::test]
async fn garbled_and_unknown_events_do_not_end_the_feed() {
    let simulated = Simulator::host("sim-1").containers(1).start().unwrap();
    let host = connect(&simulated);
    let mut live = host.events(None).await.unwrap();
    assert!(simulated.control().until(SOON, |served| served.event_streams == 1).await);
    simulated.control().garble_events(b"{\"Type\":\"conta\n");
    simulated.control().emit(simulator::Event::new("quantum", "entangle: now", "x"));
    let event = tokio::time::timeout(SOON, live.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (event.kind.as_str(), event.action.as_str(), event.argument.as_deref()),
        ("quantum", "entangle", Some("now"))
    );
    assert_eq!(host.skipped_events(), 1);
}

#[tokio::test]
async fn a_daemon_that_goes_away_breaks_its_streams_and_is_found_again() {
    let simulated = Simulator::host("sim-1").containers(1).start().unwrap();
    let host = connect(&simulated);
    host.identify().await.unwrap();
    let mut feed = host.stats(&id(&simulated, "web-1")).await.unwrap();
    let mut events = host.events(None).await.unwrap();
    simulated.control().stop_daemon();
    let error = loop {
        if let Err(error) = next(&mut feed).await.expect("no clean end") {
            break error;
        }
    };
    assert_eq!(error.failure, EngineFailure::Unreachable, "{error}");
    assert_eq!(events.next().await.unwrap().unwrap_err().failure, EngineFailure::Unreachable);
    let error = host.list().await.unwrap_err();
    assert!(error.failure == EngineFailure::Unreachable && error.message.contains("does not exist"), "{error}");
    simulated.control().start_daemon().unwrap();
    assert_eq!(host.list().await.unwrap().len(), 1, "a dead pooled connection is not used again");
}

#[tokio::test]
async fn failing_calls_have_the_class_of_their_status() {
    let simulated = Simulator::host("sim-1").containers(1).start().unwrap();
    let host = connect(&simulated);
    for (status, failure) in [(500, EngineFailure::Server), (503, EngineFailure::Server), (400, EngineFailure::Request)]
    {
        simulated.control().fail_next(1, "/containers/json", status);
        assert_eq!(host.list().await.unwrap_err().failure, failure);
    }
    simulated.control().fail_next(1, "/version", 500);
    assert_eq!(host.identify().await.unwrap_err().failure, EngineFailure::Server);
    simulated.control().fail_next(1, "/info", 403);
    let info = host.identify().await.unwrap();
    assert_eq!((info.cpus, info.engine.as_str()), (None, "docker"), "a proxy that keeps /info back is put up with");
    simulated.control().reset_next(1, "/containers/json");
    assert_eq!(host.list().await.unwrap_err().failure, EngineFailure::Unreachable);
}

#[tokio::test]
async fn images_are_listed_with_their_tags_and_digests() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let spec = ContainerSpec::new("web").image("shop/web:3", "serve");
        let simulated = Simulator::host("sim-1").engine(profile).container(spec).start().unwrap();
        let host = connect(&simulated);
        host.identify().await.unwrap();
        let pulled = simulated.control().pull("shop/web:3");
        simulated.control().tag(&pulled, "shop/web:latest").unwrap();
        let made_of = host.inspect(&id(&simulated, "web")).await.unwrap().image_id.unwrap();
        let mut images = host.images().await.unwrap();
        images.sort_by_key(|image| image.tags.len());
        let [old, new] = &images[..] else { panic!("{images:?}") };
        assert_eq!((old.image_id.as_str(), old.tags.len()), (made_of.as_str(), 0));
        assert_eq!(
            (new.image_id.as_str(), new.tags.as_slice()),
            (pulled.as_str(), &["shop/web:3", "shop/web:latest"].map(str::to_owned)[..])
        );
        assert!(new.digests[0].starts_with("shop/web@sha256:") && new.size_bytes.is_some() && new.created_at.is_some());
    }
}
