//! The promises of `docs/runtime-semantics.md`, one test each.

#![allow(clippy::unwrap_used, reason = "tests")]

mod document;
mod drain;
mod dynamic;
mod escalation;
mod fairness;
mod mailboxes;
mod model;
mod panics;
mod restarts;
mod soak;
mod stalls;
mod strategies;
mod threads;

use std::time::Duration;

use actor_runtime::testkit::Cast;
use actor_runtime::{Backoff, ChildSpec, GroupSpec, Intensity, NodeView, Root, Strategy, Tree, install_panic_hook};

const MINUTE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(8);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// At most that many failures in a minute.
fn at_most(failures: u32) -> Intensity {
    Intensity::try_new(failures, MINUTE).unwrap()
}

/// A group of actors of those names, with three failures a minute and no backoff.
fn group(cast: &Cast, name: &str, strategy: Strategy, actors: &'static [&'static str]) -> GroupSpec {
    let cast = cast.clone();
    GroupSpec::new(name, strategy, at_most(3), Backoff::NONE, move |_| {
        actors.iter().map(|name| cast.actor(name)).collect()
    })
}

/// A group whose only child `make` makes, once.
fn group_of(
    intensity: Intensity,
    backoff: Backoff,
    mut make: impl FnMut() -> Vec<ChildSpec> + Send + 'static,
) -> GroupSpec {
    GroupSpec::new("root", Strategy::OneForOne, intensity, backoff, move |_| make())
}

/// Starts a tree, and waits until everybody is at work.
async fn start(spec: GroupSpec) -> Root {
    install_panic_hook();
    let root = Root::start(spec);
    settle().await;
    root
}

/// Waits until everybody waits: under a paused clock a sleep ends when nobody has anything left to do.
async fn settle() {
    tokio::time::sleep(millis(1)).await;
}

/// The node at a path below the root, such as `delivery/batcher`.
fn node(tree: &Tree, path: &str) -> NodeView {
    find(tree, path).unwrap_or_else(|| panic!("no node at {path}"))
}

fn find(tree: &Tree, path: &str) -> Option<NodeView> {
    path.split('/').try_fold(tree.view(), |node, name| {
        // The newest, where a former child of that name is still shown.
        node.children.into_iter().rfind(|child| child.name == name)
    })
}

fn restarts<const N: usize>(tree: &Tree, paths: [&str; N]) -> [u64; N] {
    paths.map(|path| node(tree, path).restarts)
}
