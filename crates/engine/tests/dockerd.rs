//! The engine port against a real Docker engine.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::time::Duration;

use engine::frame::FrameDecoder;
use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::compute::sample;
use model::{ContainerId, ContainerState, CpuClock, NetworkScope, OsFamily};
use pipeline::ports::{Decode, EngineApi, EngineFailure};
use test_support::{Dockerd, Release, on_every_engine, unique};

on_every_engine!(
    a_real_engine_is_identified_listed_inspected_and_its_stats_computed,
    a_real_engines_events_are_told_live_and_from_a_cursor,
    containers_without_a_network_of_their_own_say_so,
);

const SOON: Duration = Duration::from_secs(90);

fn connect(docker: &Dockerd) -> Host {
    Host::new("real".parse().unwrap(), &docker.url().parse().unwrap(), &HostOptions::default()).unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes in time")
}

#[tokio::main(flavor = "current_thread")]
async fn a_real_engine_is_identified_listed_inspected_and_its_stats_computed(release: Release) {
    let docker = Dockerd::shared_of(release);
    let name = unique("busy");
    let id: ContainerId = docker
        .run(
            &name,
            &["--memory=64m", "--label=tier=1"],
            "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.05; done",
        )
        .parse()
        .unwrap();
    let host = connect(docker);

    let info = host.identify().await.unwrap();
    assert_eq!(info.engine, "docker");
    assert!(
        info.api_version >= (1, 41) && info.cpus.is_some() && info.kernel.is_some() && info.clock.is_some(),
        "{info:?}"
    );
    assert!(host.list().await.unwrap().contains(&(id.clone(), ContainerState::Running)));

    let record = host.inspect(&id).await.unwrap();
    assert_eq!((record.container_name.as_str(), record.image.as_str()), (name.as_str(), Dockerd::IMAGE));
    assert_eq!((record.network_scope, record.memory_limit_bytes), (Some(NetworkScope::Own), Some(64 << 20)));
    assert_eq!(record.labels.get("tier").map(String::as_str), Some("1"));

    let mut feed = host.stats(&id).await.unwrap();
    let mut frames = Vec::new();
    while frames.len() < 3 {
        frames.push(FrameDecoder.decode(&soon(feed.next()).await.unwrap().unwrap()).unwrap());
    }
    let sample = sample(Some(&frames[1]), &frames[2], OsFamily::Linux, CpuClock::System);
    assert!(sample.cpu_usage_percent.is_some_and(|percent| percent > 0.0), "{sample:?}");
    assert!(
        sample.memory_usage_bytes.is_some_and(|bytes| bytes > 0) && sample.memory_limit_bytes == Some(64 << 20),
        "{sample:?}"
    );
    assert!(
        sample.network_rx_bytes.is_some() && sample.interval_ns.is_some_and(|nanos| nanos > 500_000_000),
        "{sample:?}"
    );

    let polled = FrameDecoder.decode(&host.stats_once(&id).await.unwrap()).unwrap();
    assert!(polled.read > frames[2].read && polled.cpu.total >= frames[2].cpu.total);

    docker.remove(&name);
    soon(async { while feed.next().await.transpose().unwrap().is_some() {} }).await;
    assert_eq!(host.inspect(&id).await.unwrap_err().failure, EngineFailure::Gone);
}

#[tokio::main(flavor = "current_thread")]
async fn a_real_engines_events_are_told_live_and_from_a_cursor(release: Release) {
    let docker = Dockerd::shared_of(release);
    let host = connect(docker);
    let clock = host.identify().await.unwrap().clock;
    let mut live = host.events(clock).await.unwrap();
    let name = unique("brief");
    let id = docker.run(&name, &[], "exit 3");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &model::EngineEvent| event.action != "die") {
        let event = soon(live.next()).await.unwrap().unwrap();
        if event.actor_id == id {
            seen.push(event);
        }
    }
    let actions: Vec<_> = seen.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["create", "start", "die"]);
    assert_eq!(seen[2].attributes.get("exitCode").map(String::as_str), Some("3"));
    let mut again = host.events(Some(seen[0].timestamp)).await.unwrap();
    assert_eq!(soon(again.next()).await.unwrap().unwrap(), seen[0]);
    docker.remove(&name);
}

#[tokio::main(flavor = "current_thread")]
async fn containers_without_a_network_of_their_own_say_so(release: Release) {
    let docker = Dockerd::shared_of(release);
    let host = connect(docker);
    let owner = unique("owner");
    let owner_id: ContainerId = docker.run(&owner, &[], "sleep 600").parse().unwrap();
    let shared = format!("--network=container:{owner}");
    for (option, scope) in [("--network=none", NetworkScope::None), (shared.as_str(), NetworkScope::Shared(owner_id))] {
        let name = unique("scope");
        let id: ContainerId = docker.run(&name, &[option], "sleep 600").parse().unwrap();
        assert_eq!(host.inspect(&id).await.unwrap().network_scope, Some(scope));
        docker.remove(&name);
    }
    docker.remove(&owner);
}

#[tokio::test]
async fn a_real_engines_images_are_listed_as_it_lists_them() {
    let docker = Dockerd::shared();
    let host = connect(docker);
    host.identify().await.unwrap();
    let (name, tag) = (unique("origin"), format!("{}:1", unique("made")));
    docker.run(&name, &[], "sleep 600");
    let id = docker.docker(&["commit", "--change", "LABEL tier=front", &name, &tag]);
    let images = host.images().await.unwrap();
    let image = images.iter().find(|image| image.image_id == id).unwrap();
    assert_eq!((image.tags.as_slice(), image.digests.len()), (&[tag.clone()][..], 0));
    assert_eq!(image.labels.get("tier").map(String::as_str), Some("front"));
    let size = docker.docker(&["inspect", "--format", "{{.Size}}", &id]);
    assert_eq!(image.size_bytes, size.parse().ok());
    let of = host.inspect(&docker.docker(&["inspect", "--format", "{{.Id}}", &name]).parse().unwrap()).await.unwrap();
    assert!(images.iter().any(|image| Some(&image.image_id) == of.image_id.as_ref()));
    docker.remove(&name);
    docker.docker(&["rmi", &tag]);
}
