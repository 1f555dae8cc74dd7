//! A hand that restarts containers at random, so that there are events, and remembers what it did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use simulator::Control;

/// The engine remembers 256 events, and a restart is seven: nobody may be away for longer than 36 of these.
pub const PAUSE: Duration = Duration::from_millis(400);

/// Restarts by container.
pub type Restarts = BTreeMap<String, u64>;

/// The hand at work.
pub struct Stir {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Restarts>,
}

impl Stir {
    /// Restarts any of `containers` after every `pause`, as `seed` has it.
    pub fn begin(control: Control, containers: Vec<String>, seed: u64, pause: Duration) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let (mut random, mut restarts) = (fastrand::Rng::with_seed(seed), Restarts::new());
            while !told.load(Ordering::Relaxed) {
                let container = &containers[random.usize(..containers.len())];
                control.restart(container).expect("a container that is there can be restarted");
                *restarts.entry(container.clone()).or_default() += 1;
                std::thread::sleep(pause);
            }
            restarts
        });
        Self { ends, thread }
    }

    /// Ends it; what it did.
    pub fn end(self) -> Restarts {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}
