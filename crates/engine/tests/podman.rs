//! The engine port against a real Podman engine.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::time::Duration;

use engine::frame::FrameDecoder;
use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::{ContainerId, ContainerState, CpuClock, NetworkScope};
use pipeline::ports::{Decode, EngineApi, EngineFailure};
use test_support::{Podman, unique};

const SOON: Duration = Duration::from_secs(90);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes in time")
}

#[tokio::test]
async fn a_podman_engine_is_watched_through_dockers_api() {
    let podman = Podman::start();
    let host = Host::new("pod".parse().unwrap(), &podman.url().parse().unwrap(), &HostOptions::default()).unwrap();
    let info = soon(host.identify()).await.unwrap();
    assert_eq!((info.engine.as_str(), info.cpu_clock), ("podman", CpuClock::Wall));
    let mut events = soon(host.events(info.clock)).await.unwrap();

    let name = unique("pod");
    let id: ContainerId = podman.run(&name, "while :; do :; done").parse().unwrap();
    assert!(soon(host.list()).await.unwrap().contains(&(id.clone(), ContainerState::Running)));
    let record = soon(host.inspect(&id)).await.unwrap();
    assert_eq!((record.container_name.as_str(), record.network_scope), (name.as_str(), Some(NetworkScope::None)));

    let mut stats = soon(host.stats(&id)).await.unwrap();
    let mut frames = Vec::new();
    while frames.len() < 2 {
        frames.push(FrameDecoder.decode(&soon(stats.next()).await.unwrap().unwrap()).unwrap());
    }
    assert!(frames[1].read > frames[0].read && frames[1].cpu.total > frames[0].cpu.total, "{frames:?}");
    let polled = FrameDecoder.decode(&soon(host.stats_once(&id)).await.unwrap()).unwrap();
    assert!(polled.cpu.total >= frames[1].cpu.total);

    podman.remove(&name);
    soon(async { while stats.next().await.is_some_and(|frame| frame.is_ok()) {} }).await;
    assert_eq!(soon(host.inspect(&id)).await.unwrap_err().failure, EngineFailure::Gone);
    let mut actions = Vec::new();
    while actions.last().is_none_or(|action| action != "destroy") {
        let event = soon(events.next()).await.unwrap().unwrap();
        if event.actor_id == id.as_str() {
            actions.push(event.action);
        }
    }
    for action in ["create", "start", "die", "destroy"] {
        assert!(actions.iter().any(|told| told == action), "{action} is not in {actions:?}");
    }
}
