//! A sink against a server, a client and a log that misbehave.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_runtime::testkit::{run, wait_for};
use actor_runtime::{Backoff, ChildSpec, GroupSpec, Intensity, RestartPolicy, Root, Shutdown, Strategy, mailbox};
use async_trait::async_trait;
use model::{Batch, BatchId, LossReason, LossRecord, NodeName, Rows, Stream, Timestamp, Trigger};
use pipeline::books::Books;
use pipeline::faults::Faults;
use pipeline::metrics::Metrics;
use pipeline::ports::{
    Appetite, DeadLetter, DeadLetterError, Deliver, DeliverError, FailureClass, Journal, Kept, Letter, Range, Receipt,
    SinkBooks,
};
use pipeline::sink::{Sink, SinkDeps, SinkHealth};
use tokio::time::{Instant, sleep};

use crate::logs::OddLog;
use crate::world::{MINUTE, millis, seconds};

/// What the server of a client does. Shared by all clients of a sink.
#[derive(Default)]
struct Server {
    taken: Mutex<Vec<u64>>,
    calls: AtomicU32,
    /// So many calls fail.
    failing: AtomicU32,
    /// So many calls do not return.
    hanging: AtomicU32,
    unprepared: AtomicU32,
    /// A row that is never taken.
    refused: Option<u64>,
    /// Whoever is given this row panics.
    deadly: Option<u64>,
    slowness: Duration,
    /// So many calls are refused as too large.
    splitting: AtomicU32,
    /// So many calls for rows that are not the first panic.
    dying: AtomicU32,
}

#[derive(Clone)]
struct Client(Arc<Server>);

/// Takes one off a count; true where there was one.
fn spend(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Deliver for Client {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn target(&self) -> String {
        "memory".into()
    }

    fn appetite(&self) -> Appetite {
        Appetite { rows: 64, bytes: 1 << 20, linger: Duration::ZERO, streams: vec![Stream::Losses] }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        if spend(&self.0.unprepared) { Err(DeliverError::new(FailureClass::Retry, "refused")) } else { Ok(()) }
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        sleep(self.0.slowness).await;
        if spend(&self.0.hanging) {
            std::future::pending::<()>().await;
        }
        if spend(&self.0.failing) {
            return Err(DeliverError::new(FailureClass::Retry, "reset"));
        }
        let rows: Vec<u64> = range.batches.iter().flat_map(|batch| batch.id.first..=batch.id.last).collect();
        assert!(self.0.deadly.is_none_or(|deadly| !rows.contains(&deadly)), "a row this client cannot stand");
        if self.0.refused.is_some_and(|refused| rows.contains(&refused)) {
            return Err(DeliverError::new(FailureClass::Poison, "no good"));
        }
        if spend(&self.0.splitting) {
            return Err(DeliverError::new(FailureClass::Split, "too large"));
        }
        assert!(rows.contains(&0) || !spend(&self.0.dying), "the end of this client");
        self.0.taken.lock().unwrap().extend(rows);
        Ok(Receipt::default())
    }
}

/// A dead letter that fails for a while.
#[derive(Default)]
struct Letters {
    kept: Mutex<Vec<Letter>>,
    failing: AtomicU32,
}

#[async_trait]
impl DeadLetter for Letters {
    async fn keep(&self, letters: &[Letter]) -> Result<Kept, DeadLetterError> {
        if spend(&self.failing) {
            return Err(DeadLetterError { target: "memory".into(), reason: "no space left".into() });
        }
        self.kept.lock().unwrap().extend(letters.iter().cloned());
        Ok(Kept { new: [(Stream::Losses, letters.len() as u64)].into(), ..Kept::default() })
    }
}

struct Delivery {
    journal: Arc<OddLog>,
    letters: Arc<Letters>,
    metrics: Arc<Metrics>,
    health: Arc<SinkHealth>,
    root: Root,
    next: u64,
}

impl Delivery {
    fn start(server: &Arc<Server>) -> Self {
        let journal = Arc::new(OddLog::new());
        let health = Arc::<SinkHealth>::default();
        let metrics = Metrics::new(Books::new()).unwrap();
        let letters = Arc::<Letters>::default();
        let (client, shared, shown) = (Client(server.clone()), journal.clone(), health.clone());
        let (dead_letter, counted) = (letters.clone(), metrics.clone());
        let backoff = Backoff::try_new(millis(100), seconds(10), 0.0).unwrap();
        let budget = Intensity::try_new(5, MINUTE).unwrap();
        let root = Root::start(GroupSpec::new("delivery", Strategy::OneForOne, budget, backoff, move |_| {
            let (_, inbox) = mailbox::<Sink>(1);
            let client = client.clone();
            let deps = SinkDeps {
                name: "fake".into(),
                connect: Arc::new(move || Box::new(client.clone())),
                journal: shared.clone(),
                dead_letter: dead_letter.clone(),
                backoff,
                health: shown.clone(),
                metrics: counted.clone(),
                faults: Faults::NONE,
            };
            let sink = ChildSpec::actor("fake", inbox, move |cell| Sink::new(cell, deps));
            let sink = sink.policy(RestartPolicy::Transient).shutdown(Shutdown::Timeout(Duration::MAX));
            vec![sink.stall_after(seconds(30))]
        }));
        Self { journal, letters, metrics, health, root, next: 0 }
    }

    /// Appends a batch of so many rows.
    async fn append(&mut self, rows: u64) {
        let row = LossRecord {
            stream: Stream::Stats,
            sink: None,
            reason: LossReason::Panic,
            count: 1,
            first_at: Timestamp::default(),
            last_at: Timestamp::default(),
        };
        let (node, first) = (NodeName::try_new("n").unwrap(), self.next);
        self.next += rows;
        let batch = Batch {
            id: BatchId { node, epoch: 1, stream: Stream::Losses, first, last: self.next - 1 },
            trigger: Trigger::Count,
            bytes: 100,
            opened_at: Timestamp::default(),
            rows: Rows::Losses(vec![row; usize::try_from(rows).unwrap()].into()),
        };
        self.journal.append(vec![batch], Vec::new()).await.unwrap();
    }

    fn books(&self) -> SinkBooks {
        let books = self.journal.books().into_iter().next().unwrap_or_default();
        assert_eq!(books.journaled, books.delivered + books.rejected + books.dropped + books.pending, "{books:?}");
        books
    }

    fn restarts(&self) -> u64 {
        self.root.tree().restarts().iter().map(|(_, count)| count).sum()
    }
}

/// Waits up to an hour, which passes at once.
async fn settled(delivery: &Delivery) {
    let began = Instant::now();
    while delivery.books().pending > 0 {
        assert!(began.elapsed() < 60 * MINUTE, "{:?}", delivery.books());
        sleep(millis(100)).await;
    }
}

#[test]
fn a_server_that_fails_for_a_while_gets_everything_once() {
    run(async {
        let server = Arc::new(Server { failing: 20.into(), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        for _ in 0..10 {
            delivery.append(10).await;
        }
        settled(&delivery).await;
        assert_eq!(*server.taken.lock().unwrap(), (0..100).collect::<Vec<_>>());
        assert_eq!(delivery.health.state().failures, 20);
        assert_eq!(delivery.restarts(), 0);
        delivery.root.kill().await;
    });
}

#[test]
fn a_server_slower_than_the_stall_watch_is_waited_for() {
    run(async {
        let server = Arc::new(Server { slowness: seconds(100), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.append(10).await;
        settled(&delivery).await;
        assert_eq!((server.calls.load(Ordering::Relaxed), delivery.restarts()), (1, 0));
        delivery.root.kill().await;
    });
}

#[test]
fn a_client_that_never_returns_is_asked_again_and_hurts_nobody_else() {
    run(async {
        let server = Arc::new(Server { hanging: 3.into(), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.append(10).await;
        settled(&delivery).await;
        assert_eq!(server.taken.lock().unwrap().len(), 10);
        assert_eq!(delivery.restarts(), 0, "its group has a budget it shares with others");
        delivery.root.kill().await;
    });
}

#[test]
fn a_row_on_which_the_client_panics_is_rejected_alone_within_the_budget_of_the_group() {
    run(async {
        let server = Arc::new(Server { deadly: Some(37), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        for _ in 0..8 {
            delivery.append(10).await;
        }
        settled(&delivery).await;
        let books = delivery.books();
        assert_eq!((books.delivered, books.rejected), (79, 1));
        assert_eq!(*server.taken.lock().unwrap(), (0..80).filter(|row| *row != 37).collect::<Vec<_>>());
        assert_eq!(delivery.restarts(), 2);
        assert_eq!(delivery.journal.losses()[0].reason, LossReason::Rejected);
        let letter = delivery.letters.kept.lock().unwrap()[0].clone();
        assert_eq!(
            (letter.sink.as_str(), letter.sequence(), letter.batch.first, letter.batch.last),
            ("fake", 37, 30, 39)
        );
        assert_eq!((letter.record.rows.len(), letter.error.as_str()), (1, "the client panicked"));
        delivery.root.kill().await;
    });
}

#[test]
fn a_refused_row_is_in_the_dead_letter_before_the_cursor_moves() {
    run(async {
        let server = Arc::new(Server { refused: Some(3), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.letters.failing.store(u32::MAX, Ordering::Relaxed);
        delivery.append(10).await;
        wait_for("a failure", || delivery.health.state().failures > 3).await;
        let why = delivery.health.state().failing.unwrap();
        assert!(why.contains("cannot keep refused records in memory: no space left"), "{why}");
        assert_eq!((delivery.books().pending, delivery.books().rejected), (10, 0), "nothing is settled before that");
        delivery.letters.failing.store(0, Ordering::Relaxed);
        settled(&delivery).await;
        let kept: Vec<u64> = delivery.letters.kept.lock().unwrap().iter().map(Letter::sequence).collect();
        assert_eq!((kept, delivery.books().rejected, delivery.health.state().failing), (vec![3], 1, None));
        assert_eq!(*server.taken.lock().unwrap(), [0, 1, 2, 4, 5, 6, 7, 8, 9], "and nothing was sent again meanwhile");
        let counted = "dockstream_deadletter_records_total{sink=\"fake\",stream=\"losses\"} 1";
        assert!(delivery.metrics.text().contains(counted), "{}", delivery.metrics.text());
        delivery.root.kill().await;
    });
}

#[test]
fn a_cursor_that_cannot_be_moved_sends_nothing_twice() {
    run(async {
        let server = Arc::new(Server::default());
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.journal.failing.store(10, Ordering::Relaxed);
        delivery.append(10).await;
        settled(&delivery).await;
        assert_eq!(server.calls.load(Ordering::Relaxed), 1);
        delivery.root.kill().await;
    });
}

#[test]
fn a_sink_that_found_its_server_is_well_before_there_is_anything_to_deliver() {
    run(async {
        let server = Arc::new(Server { unprepared: 5.into(), ..Server::default() });
        let delivery = Delivery::start(&server);
        wait_for("a failure", || delivery.health.state().failing.is_some()).await;
        wait_for("the server", || delivery.health.state().failing.is_none()).await;
        assert_eq!(delivery.health.state().delivered_at, None);
        delivery.root.kill().await;
    });
}

#[test]
fn a_drain_delivers_what_is_left_and_names_a_sink_that_cannot() {
    run(async {
        for (failing, is_clean) in [(3, true), (u32::MAX, false)] {
            let server = Arc::new(Server { failing: failing.into(), ..Server::default() });
            let mut delivery = Delivery::start(&server);
            wait_for("the sink", || !delivery.journal.books().is_empty()).await;
            delivery.append(10).await;
            delivery.journal.close();
            let journal = delivery.journal.clone();
            let report = delivery.root.drain(seconds(8)).await;
            assert_eq!(report.cut_short.is_empty(), is_clean, "{:?}", report.cut_short);
            assert_eq!(journal.books()[0].pending, if is_clean { 0 } else { 10 });
        }
    });
}

#[test]
fn a_sink_in_a_long_pause_tries_again_soon_once_it_drains() {
    run(async {
        let server = Arc::new(Server { failing: u32::MAX.into(), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.append(10).await;
        sleep(seconds(60)).await;
        server.failing.store(0, Ordering::Relaxed);
        delivery.journal.close();
        let report = delivery.root.drain(seconds(2)).await;
        assert!(report.cut_short.is_empty(), "{:?}", report.cut_short);
    });
}

#[test]
fn a_range_in_parts_goes_on_where_it_was_after_the_sink_was_restarted() {
    run(async {
        // The whole is refused once, as a busy server does; the second half ends the sink's life, once.
        let server = Arc::new(Server { splitting: 1.into(), dying: 1.into(), ..Server::default() });
        let mut delivery = Delivery::start(&server);
        wait_for("the sink", || !delivery.journal.books().is_empty()).await;
        delivery.append(10).await;
        settled(&delivery).await;
        assert_eq!(*server.taken.lock().unwrap(), (0..10).collect::<Vec<_>>(), "no row under another name");
        assert_eq!(delivery.restarts(), 1);
        delivery.root.kill().await;
    });
}
