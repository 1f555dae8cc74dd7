//! Starts servers, names their folders and dies without a chance to clean up: the victim of a test of this crate.

use test_support::{ClickHouse, Dockerd};

fn main() {
    let (engine, server) = (Dockerd::shared(), ClickHouse::shared());
    engine.run("orphan", &[], "sleep 1000");
    println!("{}\n{}", engine.folder().display(), server.folder().display());
    std::process::abort();
}
