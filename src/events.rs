//! Handlers of events: code of your own that hears of what happens on every host.
//!
//! ```no_run
//! use dockstream::events::{EventHandler, EventHandlerPlan, EventRecord, async_trait};
//! use dockstream::{commands, config};
//!
//! /// Tells of every container that was killed for memory.
//! struct OutOfMemory;
//!
//! #[async_trait]
//! impl EventHandler for OutOfMemory {
//!     async fn handle(&mut self, event: &EventRecord) {
//!         if event.action == "die" && event.exit_cause.as_deref().is_some_and(|cause| cause.contains("out of memory")) {
//!             println!("{} on {}", event.container_name.as_deref().unwrap_or("?"), event.host);
//!         }
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let environment = config::Environment::of_process();
//!     let handlers = vec![EventHandlerPlan::new("out-of-memory", || Box::new(OutOfMemory))];
//!     let exit = match config::load(&config::Overrides::default(), &environment, std::path::Path::new(".")) {
//!         Ok(loaded) => commands::run_with(&loaded, None, handlers),
//!         Err(error) => commands::refuse(&error),
//!     };
//!     exit.into()
//! }
//! ```
//!
//! Each handler is an actor on a thread of its own, behind a queue of 4 096 events. What it does may take its time:
//! nobody waits for it. What it misses because its queue is full is counted
//! (`dockstream_event_handler_events_total`), and so is an event on which it panics; then it is made anew. One that
//! fails six times in a minute is set aside for five, and one that is busy with a single event for 30 s while others
//! wait is taken for hung and made anew. At the end it has two seconds for what waits.

pub use async_trait::async_trait;
pub use model::EventRecord;
pub use pipeline::ports::{EventHandler, EventHandlerPlan};
