//! What an inventory is told, by others and by itself.

use actix::prelude::Message;
use model::{ContainerId, ContainerRecord};

use super::table::Missed;

/// An event told of a container.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which.
    pub id: ContainerId,
    /// What.
    pub action: String,
}

/// Something may have been missed: look at everything.
#[derive(Clone, Copy, Debug)]
pub struct Reconcile;

/// Something is odd about this container: look at it.
#[derive(Clone, Debug)]
pub struct Look(pub ContainerId);

/// The stream set begins anew: tell it everything.
#[derive(Clone, Copy, Debug)]
pub struct Resync;

/// Images have other digests than before: fill them in.
#[derive(Clone, Copy, Debug)]
pub struct DigestsChanged;

/// The time for a full look has come, unless one came meanwhile.
pub(super) struct Due(pub u64);

/// A full look has had its time: who has not been looked at by now holds up nobody else.
pub(super) struct RoundOver(pub u64);

/// An event that would explain a change is overdue.
pub(super) struct Overdue {
    pub record: Box<ContainerRecord>,
    pub missed: Missed,
    /// How often it was put off because nobody could have heard it.
    pub put_off: u32,
}

macro_rules! signals {
    ($($signal:ty),*) => {
        $(impl Message for $signal {
            type Result = ();
        })*
    };
}

signals!(Heard, Reconcile, Look, Resync, DigestsChanged, Due, RoundOver, Overdue);
