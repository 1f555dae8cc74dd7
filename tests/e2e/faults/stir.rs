//! A hand that restarts containers at random, lets them write lines and pulls images, so that there is something of every stream;
//! and remembers what it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::OpenFlags;
use simulator::Control;

/// The engine remembers 256 events, and a restart is seven, a pull one: after so many of which none was stored, it waits for one that is.
const AHEAD: u64 = 16;

/// A second has room for so few of these that a wait is seldom needed.
pub const PAUSE: Duration = Duration::from_millis(400);

/// Restarts by container.
pub type Restarts = BTreeMap<String, u64>;

/// How many events are stored; unknown where the database cannot be asked just now.
fn events_in(database: &Path) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(database, flags).ok()?;
    let count: i64 = database.query_row("SELECT count(*) FROM container_events", [], |row| row.get(0)).ok()?;
    count.try_into().ok()
}

/// The hand at work.
pub struct Stir {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Restarts>,
}

impl Stir {
    /// Restarts any of `containers` after every `pause`, as `seed` has it. `database` is where their events are stored.
    pub fn begin(control: Control, containers: Vec<String>, seed: u64, pause: Duration, database: PathBuf) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let (mut random, mut restarts) = (fastrand::Rng::with_seed(seed), Restarts::new());
            let (mut ahead, mut stored) = (0, 0);
            while !told.load(Ordering::Relaxed) {
                let now = events_in(&database).unwrap_or(stored);
                if now > stored {
                    (ahead, stored) = (0, now);
                } else if ahead >= AHEAD {
                    std::thread::sleep(pause);
                    continue;
                }
                ahead += 1;
                let container = &containers[random.usize(..containers.len())];
                control.restart(container).expect("a container that is there can be restarted");
                let made = restarts.entry(container.clone()).or_default();
                *made += 1;
                control.write_lines(container, 5).expect("it runs");
                if *made % 4 == 1 {
                    control.pull(&format!("stirred-{made}:latest"));
                }
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
