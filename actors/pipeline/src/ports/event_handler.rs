//! The event handler port: how code outside of dockstream hears of events.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use model::EventRecord;

/// Hears of every event that is recorded, as soon as it is parsed: those of one actor (a container, a network …) in
/// their order.
///
/// It hears of an event once, as a rule: again where the event was lost on its way to the journal and had to be asked
/// for again, and not at all where the handler was so far behind that its queue was full, which is counted.
///
/// A handler lives on a thread of its own, and one that panics, hangs or is slow costs only itself: it is made anew,
/// without the event it failed on.
#[async_trait]
pub trait EventHandler: Send + 'static {
    /// Takes one event. The next one is handed over once this is done.
    async fn handle(&mut self, event: &EventRecord);
}

/// A handler to be registered.
#[derive(Clone)]
pub struct EventHandlerPlan {
    /// Its name, in metrics and in the supervision tree.
    pub name: Arc<str>,
    /// Makes it, at the start and after each of its failures.
    pub make: Arc<dyn Fn() -> Box<dyn EventHandler> + Send + Sync>,
}

impl EventHandlerPlan {
    /// A handler of that name, made by `make`.
    pub fn new(name: &str, make: impl Fn() -> Box<dyn EventHandler> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), make: Arc::new(make) }
    }
}

impl fmt::Debug for EventHandlerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHandlerPlan").field("name", &self.name).finish_non_exhaustive()
    }
}
