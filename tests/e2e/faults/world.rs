//! The ground of every scenario: a simulated engine, dockstream, the three stores, and what lies between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simulator::{Control, SimulatedHost};
use tempfile::TempDir;
use test_support::{ClickHouse, Kafka, SmallDisk, SteppedClock, wait_until};

use super::audit::Audit;
use super::books::Books;
use super::life::Life;
use super::report::Outcome;
use super::servers::{Lent, Lines};
use super::stir::{Restarts, Stir};
use crate::binary::Launch;

/// Nothing that goes well takes so long, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The sinks, each before a real server.
pub const SINKS: [&str; 3] = ["sqlite", "kafka", "clickhouse"];

/// Everything, at work. Fields are dropped in this order: dockstream first.
pub struct World {
    pub(super) life: Option<Life>,
    pub(super) stir: Option<Stir>,
    pub(super) past: Past,
    pub engine: SimulatedHost,
    pub kafka: Lent<Kafka>,
    pub clickhouse: Lent<ClickHouse>,
    /// Of its topics, `name.stats`, and of its database in ClickHouse.
    pub(super) name: String,
    pub(super) lines: Option<Lines>,
    pub(super) disk: Option<SmallDisk>,
    pub(super) clock: Option<SteppedClock>,
    pub(super) folder: Arc<TempDir>,
    /// Between two frames of a container.
    pub(super) pace: Duration,
}

/// What happened so far.
#[derive(Default)]
pub struct Past {
    recoveries: Vec<Duration>,
    /// Lives that were ended by force.
    killed: u64,
    /// What those had dropped, when last seen.
    losses: BTreeMap<String, u64>,
    /// Connections to the engine broke: frames were lost on the way.
    engine_was_away: bool,
    /// Stages panicked.
    panics: bool,
}

impl World {
    /// The proxies.
    pub fn lines(&self) -> &Lines {
        self.lines.as_ref().expect("the setting has lines")
    }

    /// The disk of the data folder.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the setting has a disk")
    }

    /// Dockstream's clock.
    pub fn clock(&self) -> &SteppedClock {
        self.clock.as_ref().expect("the setting has a clock")
    }

    /// The engine's handle.
    pub fn control(&self) -> &Control {
        self.engine.control()
    }

    /// Dockstream as it runs.
    pub fn life(&self) -> &Life {
        self.life.as_ref().expect("it is alive")
    }

    /// The books at this moment; they balance.
    pub fn books(&self) -> Books {
        self.life().books()
    }

    /// From now on frames may be lost between the engine and dockstream.
    pub fn engine_goes_away(&mut self) {
        self.past.engine_was_away = true;
    }

    /// Waits until each of `sinks` has delivered so many more records than now.
    pub fn flows_into(&self, sinks: &[&str], more: u64) {
        let before = self.books();
        wait_until(PATIENCE, &format!("{more} more records flow into {sinks:?}"), || {
            let now = self.books();
            sinks.iter().all(|sink| now.sink(sink).delivered >= before.sink(sink).delivered + more)
        });
    }

    /// Fills the disk of the data folder until nothing can be kept any more, whatever had been set aside.
    pub fn disk_is_full(&self) {
        self.waits_until("dockstream says that its journal cannot be written", |world| {
            world.disk().fill();
            let (status, body) = world.life().ask("/readyz");
            status == 503 && body["reason"].as_str().is_some_and(|reason| reason.contains("journal"))
        });
    }

    /// Lets a fault last for so long, during which records flow into `others`.
    pub fn lasts(&self, time: Duration, others: &[&str]) {
        let end = Instant::now() + time;
        loop {
            self.flows_into(others, 50);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(500)));
        }
    }

    /// The fault is over: waits until each of `sinks` has all that was journaled by now, and takes the time.
    pub fn recovers(&mut self, sinks: &[&str]) {
        let (since, owed) = (Instant::now(), self.books());
        wait_until(PATIENCE, &format!("{sinks:?} have what was journaled while they were away"), || {
            let now = self.books();
            sinks.iter().all(|sink| now.sink(sink).settled() >= owed.sink(sink).journaled)
        });
        self.past.recoveries.push(since.elapsed());
    }

    /// The engine can be reached again: waits until a sample of every container is stored that came after this, and
    /// takes the time.
    pub fn samples_of_every_container_come(&mut self) {
        let (since, containers) = (Instant::now(), self.control().ids().len());
        let now = self.control().now().as_nanos();
        let sql = format!("SELECT count(DISTINCT container_id) FROM container_stats WHERE timestamp > {now}");
        self.waits_until("a sample of every container is stored", |world| world.stored(&sql) == containers);
        self.past.recoveries.push(since.elapsed());
    }

    /// Waits for a condition.
    pub fn waits_until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        wait_until(PATIENCE, what, || condition(self));
    }

    /// A count out of the embedded store.
    fn stored(&self, sql: &str) -> usize {
        let database = rusqlite::Connection::open(self.database()).expect("the database opens");
        let count: i64 = database.query_row(sql, [], |row| row.get(0)).expect("a count");
        usize::try_from(count).expect("a count")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("data/dockstream.db")
    }

    /// Kills dockstream where it stands.
    pub fn kill9(&mut self) {
        for (reason, count) in self.books().losses() {
            *self.past.losses.entry(reason).or_default() += count;
        }
        self.past.killed += 1;
        match self.life.take() {
            Some(Life::Binary(dockstream)) => drop(dockstream.kill9()),
            _ => panic!("only a process can be killed"),
        }
    }

    /// Starts dockstream again, as it was configured.
    pub fn start_again(&mut self) {
        let variables = self.clock.as_ref().map(|clock| clock.variables().to_vec()).unwrap_or_default();
        self.life = Some(Life::binary(&self.folder, &variables));
    }

    /// Starts dockstream again and kills it so long after.
    pub fn starts_and_dies(&mut self, after: Duration) {
        let dockstream = Launch::in_folder(self.folder.clone()).with(&["--listen", "127.0.0.1:0"]).spawn();
        std::thread::sleep(after);
        drop(dockstream.kill9());
    }

    /// From now on stages panic, and lose what they have in hand.
    pub fn panics_happen(&mut self) {
        self.past.panics = true;
    }

    /// Ends everything in order, and compares what every store holds with the others, with the books, and with what the
    /// engine told. Fails where anything is missing or is there twice.
    pub fn end(mut self, done: String) -> Outcome {
        let restarts = self.stir.take().expect("it is ended once").end();
        self.becomes_quiet(&restarts);
        let books = self.books();
        self.life.take().expect("it is alive").end();
        let single = self.past.killed == 0;
        let audit = Audit::of(&self.database(), &self.kafka, &self.clickhouse, &self.name);
        audit.stores_agree();
        audit.nothing_is_missing(if single { books.dropped_after_parsing() } else { 0 });
        audit.all_was_sent(self.control());
        audit.all_restarts_are_told(&restarts, books.stream("events").dropped());
        for (sink, books) in &books.sinks {
            assert_eq!((books.rejected, books.dropped, books.pending), (0, 0, 0), "{sink}: {books:?}");
        }
        if single {
            audit.holds_what_was_journaled(&books);
        }
        let mut lost = self.past.losses;
        for (reason, count) in books.losses() {
            *lost.entry(reason).or_default() += count;
        }
        Outcome {
            done,
            journaled: audit.journaled(),
            held: audit.held(),
            twice: audit.twice(),
            lost,
            recoveries: self.past.recoveries,
        }
    }

    /// Waits until all that was told by the engine has arrived, nothing more comes, and nothing is on its way.
    fn becomes_quiet(&self, restarts: &Restarts) {
        let control = self.control();
        self.everything_is_heard(restarts);
        for container in control.ids() {
            control.stall(&container).expect("a container that is there can be stalled");
        }
        if self.past.killed == 0 && !self.past.engine_was_away && !self.past.panics {
            // A container that ends takes its stream with it, and what nobody had read of it: of some seconds, on a
            // busy machine.
            let seconds = Duration::from_secs(5).as_millis() / self.pace.as_millis();
            let unread = restarts.values().sum::<u64>() * u64::try_from(seconds).expect("it fits");
            let missing = || {
                let sent = control.served().frames;
                (sent.sent + sent.zero).saturating_sub(self.books().stream("stats").received)
            };
            wait_until(PATIENCE, &format!("every frame that was sent is received, but for {unread}"), || {
                missing() <= unread
            });
            eprintln!(
                "{} frames were not read of containers that ended {} times",
                missing(),
                restarts.values().sum::<u64>()
            );
        }
        control.stop_daemon();
        wait_until(PATIENCE, "nothing is on its way", || self.books().are_settled());
    }

    /// Events come in order: where the last one has arrived, all have that ever will.
    fn everything_is_heard(&self, restarts: &Restarts) {
        let last = restarts.keys().next().expect("something was restarted");
        let begun = self.control().now().as_nanos();
        let sql = format!(
            "SELECT count(*) FROM container_events
             WHERE container_id = '{last}' AND action = 'exec_die' AND timestamp >= {begun}"
        );
        wait_until(PATIENCE, "the last event is told", || {
            self.control().exec(last, "true").expect("a container that runs takes commands");
            // One that is lost in the hands of a stage that panics is not told.
            let soon = Instant::now() + Duration::from_secs(1);
            while Instant::now() < soon {
                if self.stored(&sql) > 0 {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            false
        });
    }
}
