#![allow(clippy::unwrap_used, dead_code, missing_docs)]
#[path = "../promises/engine.rs"]
mod engine;
#[path = "../promises/world.rs"]
mod world;
use actor_runtime::testkit::{run, wait_for};
use engine::*;
use model::ContainerState;
use tokio::time::sleep;
use world::*;
fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap();
    s.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.split(' ').collect();
    (f[13].parse::<f64>().unwrap() + f[14].parse::<f64>().unwrap()) / 100.0
}
#[test]
fn memory() {
    run(async {
        let engine = FakeEngine::new();
        (0..5000).for_each(|n| engine.put(record(n, ContainerState::Exited, 1)));
        let _feed = engine.feed();
        let world = World::start(&engine, Options { discovery: seconds(10), ..Options::default() });
        sleep(seconds(60)).await;
        world.forget();
        let before = rss();
        (0..5000).for_each(|n| engine.put(record(n, ContainerState::Running, 1)));
        let c = cpu();
        wait_for("all", || (0..5000).all(|n| engine.streams(n).0 == 1)).await;
        eprintln!("opened 5000 in {} cpu s", cpu() - c);
        sleep(seconds(5)).await;
        world.forget();
        let after = rss();
        eprintln!("{} B a stream", (after - before) / 5000);
        let c = cpu();
        sleep(seconds(20)).await;
        eprintln!("{} us a frame", (cpu() - c) * 1e6 / 100_000.0);
        world.forget();
        world.end().await;
    });
}
