//! Hosts elsewhere: TCP, TLS and SSH, against real servers.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod ssh;
mod tls;

use std::time::Duration;

use engine::frame::FrameDecoder;
use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::{ContainerId, ContainerState};
use pipeline::ports::{Decode, EngineApi, EngineError};
use test_support::{Dockerd, unique};

const SOON: Duration = Duration::from_secs(90);

fn host(url: &str, options: &HostOptions) -> Host {
    Host::new("edge-1".parse().unwrap(), &url.parse().unwrap(), options).unwrap()
}

/// Options that leave real servers the time they take on a busy machine.
fn patient() -> HostOptions {
    HostOptions { head_timeout: SOON, call_timeout: SOON, ..HostOptions::default() }
}

/// Why the host at `url` cannot be identified.
async fn refusal(url: &str, options: &HostOptions) -> EngineError {
    soon(host(url, options).identify()).await.unwrap_err()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes in time")
}

/// Every call of the port works over the way to `host`, which is `docker`.
async fn everything_works(host: &Host, docker: &Dockerd) {
    let clock = soon(host.identify()).await.unwrap().clock;
    let mut events = soon(host.events(clock)).await.unwrap();
    let name = unique("remote");
    let id: ContainerId = docker.run(&name, &[], "sleep 600").parse().unwrap();
    assert!(soon(host.list()).await.unwrap().contains(&(id.clone(), ContainerState::Running)));
    assert_eq!(soon(host.inspect(&id)).await.unwrap().container_name, name);
    let mut stats = soon(host.stats(&id)).await.unwrap();
    for _ in 0..2 {
        FrameDecoder.decode(&soon(stats.next()).await.unwrap().unwrap()).unwrap();
    }
    FrameDecoder.decode(&soon(host.stats_once(&id)).await.unwrap()).unwrap();
    docker.remove(&name);
    soon(async { while stats.next().await.transpose().unwrap().is_some() {} }).await;
    let mut actions = Vec::new();
    while actions.last().is_none_or(|action| action != "destroy") {
        let event = soon(events.next()).await.unwrap().unwrap();
        if event.actor_id == id.as_str() {
            actions.push(event.action);
        }
    }
    assert_eq!(actions, ["create", "start", "kill", "die", "destroy"]);
    soon(host.ping()).await.unwrap();
}
