//! Supervision and bounded mailboxes for [actix](https://docs.rs/actix) actors.
//!
//! actix alone neither restarts an actor that panicked nor applies backpressure between actors. This
//! crate repairs both with actix's public API:
//!
//! - A **cell** owns the task that polls an actor, under `catch_unwind`. After a panic the actor is
//!   restarted in place: its address and its queued messages survive.
//! - A **group** supervises cells and other groups: OTP strategies, policies, a sliding restart
//!   intensity, backoff, escalation, ordered shutdown ([`GroupSpec`]).
//! - An [`Outlet`] is the way data is sent: awaited, bounded by weighted permits, measured; it gives the
//!   message back where the receiver is gone. A [`Control`] carries signals, which never wait for data.
//! - An [`Exit`] is a value, kept with restarts and depths in a [`Tree`] that any thread may read.
//! - [`Progress`] tells a stage that waits from one that hangs; one that hangs is restarted.
//!
//! The guarantees, one by one, are in `docs/runtime-semantics.md`; each is a test of this crate.
//! Profiles must keep `panic = "unwind"`.

mod cell;
mod child;
mod exit;
mod group;
mod mailbox;
mod panics;
mod policy;
mod progress;
mod root;
pub mod testkit;
mod tree;
mod turn;

pub use cell::{Cell, Drain, Supervised};
pub use child::{ChildSpec, Placement, Shutdown};
pub use exit::{Exit, ExitKind};
pub use group::{ChildExit, GroupHandle, GroupSpec, Quarantine};
pub use mailbox::{
    Closed, Control, Envelope, Inbox, Mailbox, MailboxGauge, Outlet, Permit, Room, TrySendError, Weight, mailbox,
};
pub use panics::{current_actor, install_panic_hook};
pub use policy::{Backoff, Intensity, InvalidPolicy, RestartPolicy, Strategy};
pub use progress::{Progress, Protected};
pub use root::{DrainReport, Root};
pub use tree::{NodeKind, NodeState, NodeView, Tree};
pub use turn::TurnBudget;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
