//! Panics: one log line that names the actor, and no abort.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Once};

thread_local! {
    static CURRENT: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// The path of the actor being polled on this thread, if any.
pub fn current_actor() -> Option<Arc<str>> {
    // The panic hook asks as well, even while a thread takes down its thread locals.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Marks `actor` as being polled until the guard is dropped.
pub(crate) struct Entered {
    before: Option<Arc<str>>,
}

impl Entered {
    pub fn new(actor: &Arc<str>) -> Self {
        Self { before: CURRENT.with(|current| current.replace(Some(actor.clone()))) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        CURRENT.with(|current| *current.borrow_mut() = before);
    }
}

/// Logs a panic inside an actor as one error event with the actor's path; every other panic goes to the
/// hook that was there before. Installing it twice does nothing.
pub fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match current_actor() {
            Some(actor) => {
                let place =
                    info.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
                tracing::error!(actor = &*actor, place, panic = text_of(info.payload()), "actor panicked");
            }
            None => before(info),
        }));
    });
}

/// The message of a panic.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
