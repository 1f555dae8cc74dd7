//! What a group is made of: the description of a child, and the line between the two.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::group::{self, GroupEvent, GroupSpec};
use crate::tree::Node;
use crate::{Cell, Exit, Inbox, MailboxGauge, NodeKind, RestartPolicy, Supervised, cell};

/// The thread an actor lives on.
#[derive(Clone, Debug, Default)]
pub enum Placement {
    /// The thread of its group.
    #[default]
    Here,
    /// The thread of an arbiter.
    On(ArbiterHandle),
}

/// How a child is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It may drain for so long, then it is killed.
    Timeout(Duration),
    /// It is killed at once.
    Kill,
}

/// A child of a group, described before it lives.
pub struct ChildSpec {
    pub(crate) id: String,
    pub(crate) policy: RestartPolicy,
    pub(crate) shutdown: Shutdown,
    placement: Placement,
    stall_after: Option<Duration>,
    body: Body,
}

enum Body {
    Actor { launch: Box<dyn FnOnce(Option<Duration>, Seed) + Send>, gauge: Arc<MailboxGauge> },
    Group(Box<GroupSpec>),
}

impl ChildSpec {
    /// An actor: permanent, given 5 s to drain, on its group's thread, not watched for stalls.
    ///
    /// `build` runs once, on the actor's own thread; restarts happen in place.
    pub fn actor<A: Supervised>(
        id: impl Into<String>,
        inbox: Inbox<A>,
        build: impl FnOnce(Cell) -> A + Send + 'static,
    ) -> Self {
        let gauge = inbox.open.gauge().clone();
        let launch = Box::new(move |stall_after, seed| {
            tokio::task::spawn_local(cell::run(inbox, build, stall_after, seed));
        });
        Self::new(id.into(), Body::Actor { launch, gauge })
    }

    /// A group: permanent, drained within what its parent has left. Groups live on their parent's thread.
    pub fn group(spec: GroupSpec) -> Self {
        let mut child = Self::new(spec.name.clone(), Body::Group(Box::new(spec)));
        child.shutdown = Shutdown::Timeout(Duration::MAX);
        child
    }

    fn new(id: String, body: Body) -> Self {
        let shutdown = Shutdown::Timeout(Duration::from_secs(5));
        Self { id, policy: RestartPolicy::Permanent, shutdown, placement: Placement::Here, stall_after: None, body }
    }

    /// Sets which exits lead to a restart.
    pub fn policy(mut self, policy: RestartPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how it is ended.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the thread an actor lives on; a group stays where it is.
    pub fn on(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Restarts the actor when it has work and makes no progress for so long.
    pub fn stall_after(mut self, after: Duration) -> Self {
        self.stall_after = Some(after);
        self
    }

    /// Its name inside its group.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn node_parts(&self) -> (NodeKind, Option<Arc<MailboxGauge>>) {
        match &self.body {
            Body::Actor { gauge, .. } => (NodeKind::Actor, Some(gauge.clone())),
            Body::Group(_) => (NodeKind::Group, None),
        }
    }

    /// Brings it to life.
    pub(crate) fn launch(self, seed: Seed) {
        match (self.body, self.placement) {
            (Body::Actor { launch, .. }, Placement::Here) => launch(self.stall_after, seed),
            (Body::Actor { launch, .. }, Placement::On(arbiter)) => {
                // If the arbiter is gone the closure is dropped, and the seed with it reports the end.
                arbiter.spawn_fn(move || launch(self.stall_after, seed));
            }
            (Body::Group(spec), _) => {
                tokio::task::spawn_local(group::run(*spec, seed));
            }
        }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec").field("id", &self.id).field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// From a group to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Begin anew, whatever you do.
    Restart {
        /// The number of the life that begins.
        epoch: u64,
    },
    /// Hand on what you have and end.
    Drain { until: Instant },
    /// End now.
    Kill,
}

/// The child's end of the line to its group. Dropping it, for whatever reason, tells the group.
#[derive(Debug)]
pub(crate) struct Seed {
    pub key: u64,
    /// The number of this life; a report of a former one is stale.
    pub epoch: u64,
    pub node: Arc<Node>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub reports: mpsc::UnboundedSender<GroupEvent>,
    /// A restart told while the child was busy with its end.
    pub postponed: Option<u64>,
    last_word: Option<Exit>,
}

impl Seed {
    pub fn new(
        key: u64,
        node: Arc<Node>,
        commands: mpsc::UnboundedReceiver<Command>,
        reports: mpsc::UnboundedSender<GroupEvent>,
    ) -> Self {
        Self { key, epoch: 0, node, commands, reports, postponed: None, last_word: None }
    }

    /// Tells the group how the child ended; the child then waits for [`Seed::next_restart`].
    pub fn report(&self, exit: Exit) {
        self.node.exited(&exit);
        self.reports.send(GroupEvent::Exited { key: self.key, epoch: self.epoch, exit }).ok();
    }

    /// Tells the group that this one, itself a group, has built its children.
    pub fn begun(&self) {
        self.reports.send(GroupEvent::Begun { key: self.key, epoch: self.epoch }).ok();
    }

    /// Tells the group that the child is over, and how it ended.
    pub fn leave(mut self, exit: Exit) {
        self.node.exited(&exit);
        self.last_word = Some(exit);
    }

    /// True: begin anew. False: it is over.
    pub async fn next_restart(&mut self) -> bool {
        loop {
            let command = match self.postponed.take() {
                Some(epoch) => Some(Command::Restart { epoch }),
                None => self.commands.recv().await,
            };
            match command {
                Some(Command::Restart { epoch }) => {
                    self.epoch = epoch;
                    return true;
                }
                // The group hears of the exit, and asks again after the restart.
                Some(Command::Drain { .. }) => {}
                Some(Command::Kill) | None => return false,
            }
        }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.reports.send(GroupEvent::Ended { key: self.key, exit: self.last_word.take() }).ok();
    }
}
