//! The top of the tree, as the process sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::child::{Command, Seed};
use crate::group::{self, GroupEvent, GroupSpec};
use crate::tree::Node;
use crate::{Exit, Tree};

/// The root group, running on the thread that started it (a `LocalSet` or an actix system).
///
/// Dropping it ends the tree: every actor is killed, unseen.
#[derive(Debug)]
pub struct Root {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::UnboundedReceiver<GroupEvent>,
    node: Arc<Node>,
    exit: Option<Exit>,
}

/// How a drain went.
#[derive(Clone, Debug)]
pub struct DrainReport {
    /// `Drained` where every actor handed on what it had.
    pub exit: Exit,
    /// Paths of the actors that were still running at their deadline, in the order of the alphabet.
    pub cut_short: Vec<String>,
}

impl Root {
    /// Starts the tree under `spec`.
    ///
    /// # Panics
    /// Outside of a `LocalSet` and an actix system there is no thread to run it on.
    pub fn start(spec: GroupSpec) -> Self {
        let node = Node::root(&spec.name);
        #[expect(clippy::disallowed_methods, reason = "supervision events: a few in the life of a process")]
        let ((commands, receiver), (reports, events)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        tokio::task::spawn_local(group::run(spec, Seed::new(0, node.clone(), receiver, reports)));
        Self { commands, events, node, exit: None }
    }

    /// The tree, for readers on any thread.
    pub fn tree(&self) -> Tree {
        Tree::new(self.node.clone())
    }

    /// Waits until the root gives up on its own; how it ended. Cancel safe; it may be asked again.
    pub async fn ended(&mut self) -> Exit {
        while self.exit.is_none() {
            match self.events.recv().await {
                Some(GroupEvent::Exited { exit, .. } | GroupEvent::Ended { exit: Some(exit), .. }) => {
                    self.exit = Some(exit)
                }
                Some(_) => {}
                None => self.exit = Some(Exit::Killed),
            }
        }
        self.exit.clone().expect("the loop above ends with an exit")
    }

    /// Drains the tree, source to sink, within `grace`; then nothing of it runs any more, but for actors
    /// whose thread is blocked.
    pub async fn drain(self, grace: Duration) -> DrainReport {
        self.drain_unless(grace, std::future::pending()).await
    }

    /// Drains as [`Root::drain`] does; once `hurry` is done, what still runs is ended as if the time were over.
    pub async fn drain_unless(mut self, grace: Duration, hurry: impl Future<Output = ()>) -> DrainReport {
        let until = Instant::now().checked_add(grace).unwrap_or_else(crate::group::far_future);
        // What was removed before, and did not drain in its time, says nothing about this.
        self.node.forget_cut_short();
        self.commands.send(Command::Drain { until }).ok();
        tokio::select! {
            _ = self.ended() => return self.finish().await,
            () = hurry => {}
        }
        self.kill().await
    }

    /// Ends everything now.
    pub async fn kill(self) -> DrainReport {
        self.finish().await
    }

    async fn finish(mut self) -> DrainReport {
        self.commands.send(Command::Kill).ok();
        let exit = self.ended().await;
        while self.events.recv().await.is_some() {}
        DrainReport { exit, cut_short: self.node.all_cut_short() }
    }
}
