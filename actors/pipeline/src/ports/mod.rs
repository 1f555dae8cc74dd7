//! What the pipeline needs of the outside world.

mod dead_letter;
mod deliver;
mod engine;
mod event_handler;
mod journal;
mod kernel;

pub use dead_letter::{DeadLetter, DeadLetterError, Kept, Letter};
pub use deliver::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt, Rejection};
pub use engine::{
    Decode, EngineApi, EngineError, EngineFailure, EngineImage, EngineInfo, EventFeed, FrameFeed, LogFeed, LogLine,
    LogQuery, LogStart,
};
pub use event_handler::{EventHandler, EventHandlerPlan};
pub use journal::{Journal, JournalError, Mark, Plan, SinkBooks, StorageState};
pub use kernel::{Counters, Kernel, KernelError, Process};
