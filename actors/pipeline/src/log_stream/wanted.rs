//! Since when a log is wanted: what is written while its container is passed over is not read.

use model::Timestamp;

use super::memory::LogMemory;

/// Whether a log is wanted, and what of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All that follows what was read.
    #[default]
    On,
    /// Of that, what was written then or later, by the engine's clock.
    Since(Timestamp),
    /// Nothing: its container is passed over. It was in this run when it was last looked at.
    Not(Option<Timestamp>),
    /// Nothing, when the life of the process before this one ended.
    NotBefore,
}

impl Wanted {
    /// Its container comes in, in `run`: from where its log is wanted. A run that began meanwhile is wanted whole; of
    /// one that went on, what is written from `now` on. What went on between two lives is read from `floor`.
    pub fn come_in(self, run: Option<Timestamp>, floor: Option<Timestamp>, now: Timestamp) -> Self {
        match self {
            Self::On | Self::Since(_) => self,
            Self::Not(passed) => Self::Since(run.filter(|_| run != passed).unwrap_or(now)),
            Self::NotBefore => Self::Since(floor.unwrap_or(now)),
        }
    }

    /// True where nothing is wanted now.
    pub fn is_not(self) -> bool {
        matches!(self, Self::Not(_) | Self::NotBefore)
    }

    /// The time before which nothing is wanted, where that is later than `last`, the time of the last line that was read.
    pub fn from(self, last: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Since(from) => Some(from).filter(|from| last.is_none_or(|last| last < *from)),
            _ => None,
        }
    }
}

impl LogMemory {
    /// Its container is there, in this run, and passed over.
    pub(super) fn pass_over(&self, run: Option<Timestamp>) {
        let mut state = self.lock();
        (state.wanted, state.is_gone) = (Wanted::Not(run), false);
    }

    /// Its container is wanted in this run, which goes on or is over; `floor` is where one begins that was never read.
    pub(super) fn come_in(&self, run: Option<Timestamp>, is_live: bool, floor: Option<Timestamp>, now: Timestamp) {
        let mut state = self.lock();
        if state.wanted == Wanted::Not(run) && !is_live {
            state.finished = Some(run);
        }
        (state.wanted, state.is_gone) = (state.wanted.come_in(run, floor, now), false);
    }

    /// Its container is gone.
    pub(super) fn leave(&self) {
        self.lock().is_gone = true;
    }

    /// True where its container is gone.
    pub(super) fn is_left(&self) -> bool {
        self.lock().is_gone
    }

    /// True where its container is passed over.
    pub(super) fn is_passed_over(&self) -> bool {
        self.lock().wanted.is_not()
    }

    /// True where something was read of it, and nothing is on its way: its mark can be set as it is.
    pub(super) fn is_at_rest(&self) -> bool {
        let state = self.lock();
        state.on_their_way == 0 && state.taken.last().is_some()
    }

    /// True where this run was read to its end, or ended before anything of it is wanted.
    pub(super) fn has_finished(&self, run: Option<Timestamp>, ended_at: Option<Timestamp>) -> bool {
        let state = self.lock();
        state.finished == Some(run) || ended_at.is_some_and(|end| state.wanted.from(Some(end)).is_some())
    }
}
