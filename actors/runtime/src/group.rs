//! Groups: OTP supervision over cells and other groups.

use std::fmt;
use std::time::Duration;

use actix::prelude::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::child::Seed;
use crate::{Backoff, ChildSpec, Control, Exit, Intensity, Strategy};

mod ending;
mod living;
mod timers;

type Build = Box<dyn FnMut(&GroupHandle) -> Vec<ChildSpec> + Send>;

type Exits = Box<dyn Fn(ChildExit) + Send>;

/// A group, described before it lives.
///
/// Children named by `build` are static: started in order, ended in reverse order, supervised by the
/// group's strategy and intensity. Children added through a [`GroupHandle`] are dynamic: supervised one
/// for one, and with a [`Quarantine`] each on a budget of its own, never a reason to escalate.
pub struct GroupSpec {
    pub(crate) name: String,
    strategy: Strategy,
    intensity: Intensity,
    backoff: Backoff,
    quarantine: Option<Quarantine>,
    exits: Option<Exits>,
    last_drain: Option<Duration>,
    build: Build,
    handle: GroupHandle,
    events: mpsc::UnboundedReceiver<GroupEvent>,
}

/// What happens to a dynamic child that fails more often than `intensity` allows: it is set aside for
/// `lasting`, then tried again.
#[derive(Clone, Copy, Debug)]
pub struct Quarantine {
    /// The budget of each dynamic child.
    pub intensity: Intensity,
    /// How long it is set aside.
    pub lasting: Duration,
}

/// Tells the owner of a group that a dynamic child has ended for good, by itself or because it was removed.
///
/// When a group ends or begins anew, its dynamic children end with it; that is not told one by one.
#[derive(Clone, Debug)]
pub struct ChildExit {
    /// The child's id.
    pub id: String,
    /// How it ended.
    pub exit: Exit,
}

impl Message for ChildExit {
    type Result = ();
}

impl GroupSpec {
    /// A group whose static children are made by `build`, at its start and again at each restart of the group.
    pub fn new(
        name: impl Into<String>,
        strategy: Strategy,
        intensity: Intensity,
        backoff: Backoff,
        build: impl FnMut(&GroupHandle) -> Vec<ChildSpec> + Send + 'static,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "supervision events: a few per child, and a supervisor must never block"
        )]
        let (sender, events) = mpsc::unbounded_channel();
        let (name, build, handle) = (name.into(), Box::new(build), GroupHandle { events: sender });
        Self {
            name,
            strategy,
            intensity,
            backoff,
            quarantine: None,
            exits: None,
            last_drain: None,
            build,
            handle,
            events,
        }
    }

    /// Sets the budget of dynamic children; without one they share the group's intensity.
    pub fn quarantine(mut self, quarantine: Quarantine) -> Self {
        self.quarantine = Some(quarantine);
        self
    }

    /// Names who is told when a dynamic child has ended for good.
    pub fn report_exits_to(self, exits: Control<ChildExit>) -> Self {
        self.on_child_exit(move |exit| {
            exits.signal(exit);
        })
    }

    /// Calls `told` when a dynamic child has ended for good: on the group's thread, so it neither waits nor panics.
    pub fn on_child_exit(mut self, told: impl Fn(ChildExit) + Send + 'static) -> Self {
        self.exits = Some(Box::new(told));
        self
    }

    /// Before the group gives up, what still lives may drain for so long. For the root: below it,
    /// the parent's restart is what data waits for.
    pub fn drain_before_escalation(mut self, grace: Duration) -> Self {
        self.last_drain = Some(grace);
        self
    }

    /// The handle by which children are added; usable before the group lives.
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }
}

impl fmt::Debug for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupSpec").field("name", &self.name).field("strategy", &self.strategy).finish_non_exhaustive()
    }
}

/// Adds children to a living group, and takes them away. Outlives restarts of the group.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    events: mpsc::UnboundedSender<GroupEvent>,
}

impl GroupHandle {
    /// Starts a dynamic child; false where the group is gone. Where the group is between two lives, the child waits
    /// for the next.
    ///
    /// An id may be used again as soon as it was removed, but then a [`ChildExit`] does not say whose it is: where
    /// that matters, an id is used once. The id of a child that lives is refused with a warning.
    pub fn add(&self, child: ChildSpec) -> bool {
        self.events.send(GroupEvent::Add(Box::new(child))).is_ok()
    }

    /// Ends the dynamic child of that id: it drains for as long as its [`Shutdown`](crate::Shutdown) says. One
    /// that fails meanwhile, or waits for its restart, is ended at once.
    pub fn remove(&self, id: impl Into<String>) -> bool {
        self.events.send(GroupEvent::Remove(id.into())).is_ok()
    }
}

/// What a group reacts to.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// A child has ended and waits for a command; stale where its epoch has passed.
    Exited {
        key: u64,
        epoch: u64,
        exit: Exit,
    },
    /// A child's task is gone; without an exit, because its thread died under it.
    Ended {
        key: u64,
        exit: Option<Exit>,
    },
    /// A group below has built its children; stale where its epoch has passed.
    Begun {
        key: u64,
        epoch: u64,
    },
    /// A backoff or a quarantine is over; stale where the child's epoch has passed.
    RestartDue {
        key: u64,
        epoch: u64,
    },
    /// A child's time to drain is over.
    KillDue {
        key: u64,
    },
    /// A killed child's time to go is over: its thread must be blocked.
    GoneDue {
        key: u64,
    },
    /// The group's time to drain is over.
    DrainOver,
    Add(Box<ChildSpec>),
    Remove(String),
}

/// How a stretch of a group's life ended.
enum Ending {
    /// Its parent ended it.
    Told(Exit),
    /// It gave up; its parent decides.
    Failed(Exit),
}

/// Runs a group until its parent ends it.
pub(crate) async fn run(spec: GroupSpec, mut seed: Seed) {
    let (mut group, mut build) = living::Group::new(spec, seed.node.clone());
    loop {
        match group.live(&mut build, &mut seed).await {
            Ending::Told(exit) => break seed.leave(exit),
            Ending::Failed(exit) => {
                let kind = exit.kind();
                seed.report(exit);
                if !seed.next_restart().await {
                    break;
                }
                seed.node.restarted(kind);
            }
        }
    }
}

/// An instant nobody lives to see, for durations that do not fit the clock.
pub(crate) fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(60 * 60 * 24 * 365 * 30)
}
