//! From chunks to the journal, and what happens where it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actor_runtime::testkit::{run, wait_for};
use actor_runtime::{Backoff, ChildSpec, GroupSpec, Intensity, Outlet, Root, Strategy, mailbox};
use journal::{Limits, MemoryJournal, WhenFull};
use model::{HostName, HostRecord, HostStatus, LossReason, NodeName, Stream, Timestamp};
use pipeline::batcher::{BatchLedger, BatchPolicy, Batcher, BatcherDeps};
use pipeline::books::Books;
use pipeline::faults::{Faults, Point};
use pipeline::journal::{Intake, JournalDeps, JournalWriter};
use pipeline::messages::{Append, Chunk, ChunkRows};
use pipeline::metrics::Metrics;
use pipeline::ports::{Appetite, Journal};
use tokio::time::{Instant, sleep};

use crate::logs::OddLog;
use crate::world::{MINUTE, millis, seconds};

fn chunk(books: &Arc<Books>) -> Chunk {
    let host = HostRecord::new(HostName::try_new("h").unwrap(), "", HostStatus::Up, Timestamp::default());
    Chunk { rows: ChunkRows::Host(Box::new(host)), custody: books.receive(Stream::Hosts).parsed() }
}

fn ledger(books: &Arc<Books>) -> BatchLedger {
    let policy = BatchPolicy::try_new(10, 1 << 20, seconds(1)).unwrap();
    BatchLedger::new(NodeName::try_new("n").unwrap(), 1, policy, books)
}

/// A batcher on its own, with the way to its journal.
fn batcher(ledger: BatchLedger, journal: Outlet<Append>) -> (Outlet<Chunk>, Root) {
    let (address, inbox) = mailbox::<Batcher>(8192);
    let mut child = Some(ChildSpec::actor("batcher", inbox, move |cell| {
        Batcher::new(cell, BatcherDeps { ledger, journal, faults: Faults::NONE })
    }));
    let intensity = Intensity::try_new(5, MINUTE).unwrap();
    let root = Root::start(GroupSpec::new("delivery", Strategy::OneForOne, intensity, Backoff::NONE, move |_| {
        child.take().into_iter().collect()
    }));
    (address.outlet(), root)
}

#[test]
fn a_batcher_whose_journal_is_gone_ends_its_drain_and_counts_what_it_holds() {
    run(async {
        let books = Books::new();
        let ledger = ledger(&books);
        let (journal, inbox) = mailbox::<JournalWriter>(8);
        drop(inbox);
        let (outlet, root) = batcher(ledger.clone(), journal.outlet());
        for _ in 0..5 {
            outlet.send(chunk(&books)).await.unwrap();
        }
        books.end();
        root.drain(seconds(5)).await;
        drop(ledger);
        assert_eq!(books.of(Stream::Hosts).dropped_after_parsing, [(LossReason::Shutdown, 5)]);
    });
}

#[test]
fn batches_close_at_their_age_however_many_closed_by_count_before() {
    run(async {
        let books = Books::new();
        let log = Arc::new(MemoryJournal::new(Limits { bytes: 1 << 30, when_full: WhenFull::DropOldest }));
        log.register("s", Appetite { rows: 1000, bytes: 1 << 30, linger: millis(0), streams: vec![Stream::Hosts] });
        let (journal, journal_inbox) = mailbox::<JournalWriter>(8);
        let (address, inbox) = mailbox::<Batcher>(8192);
        let deps = JournalDeps {
            journal: log.clone(),
            intake: Intake::default(),
            backoff: Backoff::NONE,
            metrics: Metrics::new(books.clone()).unwrap(),
            faults: Faults::NONE,
        };
        let (ledger, outlet) = (ledger(&books), journal.outlet());
        let intensity = Intensity::try_new(5, MINUTE).unwrap();
        let mut children = Some(vec![
            ChildSpec::actor("journal", journal_inbox, move |cell| JournalWriter::new(cell, deps)),
            ChildSpec::actor("batcher", inbox, move |cell| {
                Batcher::new(cell, BatcherDeps { ledger, journal: outlet, faults: Faults::NONE })
            }),
        ]);
        let root = Root::start(GroupSpec::new("delivery", Strategy::OneForOne, intensity, Backoff::NONE, move |_| {
            children.take().unwrap_or_default()
        }));
        let outlet: Outlet<Chunk> = address.outlet();
        for _ in 0..7 {
            // Ten close a batch, the eleventh opens the next.
            for _ in 0..11 {
                outlet.send(chunk(&books)).await.unwrap();
            }
            let sent = Instant::now();
            let received = books.of(Stream::Hosts).received;
            wait_for("the rest", || books.of(Stream::Hosts).journaled == received).await;
            let waited = sent.elapsed();
            assert!(waited >= millis(990) && waited <= millis(1010), "closed after {waited:?}");
            sleep(millis(370)).await;
        }
        root.drain(seconds(5)).await;
        assert!(books.of(Stream::Hosts).is_settled());
    });
}

/// A batcher and a writer in front of `log`, and the way in.
fn delivery(log: Arc<dyn Journal>, books: &Arc<Books>, faults: Faults) -> (Outlet<Chunk>, Root) {
    let (journal, journal_inbox) = mailbox::<JournalWriter>(8);
    let (address, inbox) = mailbox::<Batcher>(8192);
    let backoff = Backoff::try_new(millis(10), millis(10), 0.0).unwrap();
    let metrics = Metrics::new(books.clone()).unwrap();
    let deps = JournalDeps { journal: log, intake: Intake::default(), backoff, metrics, faults };
    let (ledger, outlet) = (ledger(books), journal.outlet());
    let mut children = Some(vec![
        ChildSpec::actor("journal", journal_inbox, move |cell| JournalWriter::new(cell, deps)),
        ChildSpec::actor("batcher", inbox, move |cell| {
            Batcher::new(cell, BatcherDeps { ledger, journal: outlet, faults: Faults::NONE })
        }),
    ]);
    let intensity = Intensity::try_new(100, MINUTE).unwrap();
    let root = Root::start(GroupSpec::new("delivery", Strategy::OneForOne, intensity, backoff, move |_| {
        children.take().unwrap_or_default()
    }));
    (address.outlet(), root)
}

fn memory() -> Arc<MemoryJournal> {
    let log = Arc::new(MemoryJournal::new(Limits { bytes: 1 << 30, when_full: WhenFull::Block }));
    log.register("s", appetite());
    log
}

fn appetite() -> Appetite {
    Appetite { rows: 10_000, bytes: 1 << 30, linger: millis(0), streams: vec![Stream::Hosts] }
}

#[test]
fn a_writer_that_panics_with_batches_in_hand_loses_none_and_doubles_none() {
    run(async {
        for point in [Point::Journal, Point::JournalAfter] {
            let (books, log, passed) = (Books::new(), memory(), Arc::new(AtomicU32::new(0)));
            let faults = Faults::armed(move |at| {
                assert!(at != point || passed.fetch_add(1, Ordering::Relaxed) % 2 == 1, "sabotage");
            });
            let (outlet, root) = delivery(log.clone(), &books, faults);
            for _ in 0..200 {
                outlet.send(chunk(&books)).await.unwrap();
                sleep(millis(5)).await;
            }
            let report = root.drain(seconds(60)).await;
            assert!(report.cut_short.is_empty(), "{:?}", report.cut_short);
            let of = books.of(Stream::Hosts);
            assert_eq!((of.journaled, of.dropped_after_parsing.len(), log.books()[0].journaled), (200, 0, 200));
            let range = log.next("s").await.unwrap();
            let mut next = 0;
            for batch in &range.batches {
                assert_eq!(batch.id.first, next, "in order");
                next = batch.id.last + 1;
            }
            assert_eq!(next, 200);
        }
    });
}

#[test]
fn batches_that_gather_while_others_are_written_are_written_in_one_step() {
    run(async {
        let (books, log) = (Books::new(), Arc::new(OddLog { slowness: millis(50), ..OddLog::new() }));
        log.register("s", appetite());
        let (outlet, root) = delivery(log.clone(), &books, Faults::NONE);
        for _ in 0..400 {
            outlet.send(chunk(&books)).await.unwrap();
        }
        wait_for("all of them", || books.of(Stream::Hosts).journaled == 400).await;
        let appends = log.appends.load(Ordering::Relaxed);
        assert!((2..=10).contains(&appends), "40 batches in {appends} steps");
        root.drain(seconds(5)).await;
    });
}
