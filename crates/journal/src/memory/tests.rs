use std::time::Duration;

use model::{LossReason, Stream, Timestamp};
use pipeline::ports::Rejection;

use super::*;
use crate::conformance::{appetite, batch, books_of, conformance, eager, firsts, losses};

mod books;

conformance!((Arc::new(journal(1 << 20)), ()));

fn journal(bytes: usize) -> MemoryJournal {
    MemoryJournal::new(Limits { bytes, when_full: WhenFull::DropOldest })
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_drops_the_oldest_and_counts_it_for_the_laggard_alone() {
    let journal = journal(300);
    journal.register("dead", eager());
    journal.register("well", eager());
    for first in 1..=5 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
        let range = journal.next("well").await.unwrap();
        journal.commit("well", &range, &Receipt::default()).await.unwrap();
    }
    let (dead, well) = (books_of(&journal, "dead"), books_of(&journal, "well"));
    assert_eq!((dead.journaled, dead.dropped, dead.pending, dead.pending_bytes), (5, 2, 3, 300));
    assert_eq!((well.delivered, well.dropped), (5, 0));
    assert_eq!(
        journal.losses(),
        [LossRecord {
            stream: Stream::Losses,
            sink: Some("dead".into()),
            reason: LossReason::JournalFull,
            count: 2,
            first_at: Timestamp::from_millis(1),
            last_at: Timestamp::from_millis(2),
        }]
    );
    assert_eq!(firsts(&journal.next("dead").await.unwrap()), [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_range_under_delivery_is_never_dropped() {
    let journal = journal(300);
    journal.register("a", appetite(2, Duration::ZERO));
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    journal.append(vec![losses(2, 1)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    for first in 3..=7 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
    }
    assert_eq!(journal.next("a").await.unwrap(), range);
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    let books = books_of(&journal, "a");
    assert_eq!((books.delivered, books.dropped, books.pending), (2, 2, 3));
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn memory_is_free_as_soon_as_every_sink_has_an_entry() {
    let journal = journal(1 << 20);
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    assert!(journal.state().entries.is_empty(), "nobody wants it");
    journal.register("a", eager());
    journal.register("b", eager());
    journal.append(vec![losses(2, 1)], Vec::new()).await.unwrap();
    for (sink, left) in [("a", 1), ("b", 0)] {
        let range = journal.next(sink).await.unwrap();
        journal.commit(sink, &range, &Receipt::default()).await.unwrap();
        assert_eq!(journal.state().entries.len(), left);
    }
    assert_eq!(journal.state().idle_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_lock_is_held_does_not_wedge_the_journal() {
    let journal = Arc::new(journal(1 << 20));
    journal.register("a", eager());
    let poisoner = journal.clone();
    let panicked = std::thread::spawn(move || {
        let _held = poisoner.state();
        panic!("on purpose");
    })
    .join();
    assert!(panicked.is_err());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    assert!(journal.next("a").await.is_some());
}

#[tokio::test]
async fn a_full_journal_that_blocks_takes_more_as_soon_as_there_is_room_in_order_and_drops_nothing() {
    let journal = Arc::new(MemoryJournal::new(Limits { bytes: 250, when_full: WhenFull::Block }));
    journal.register("a", appetite(2, Duration::ZERO));
    let writers: Vec<_> = (1..=9)
        .map(|first| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap() })
        })
        .collect();
    while !journal.storage().is_full {
        tokio::task::yield_now().await;
    }
    let mut got = Vec::new();
    while got.len() < 9 {
        let range = journal.next("a").await.unwrap();
        got.extend(firsts(&range));
        journal.commit("a", &range, &Receipt::default()).await.unwrap();
        assert!(books_of(&*journal, "a").pending <= 3);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!((got, journal.storage().is_full), ((1..=9).collect::<Vec<_>>(), false));
    assert_eq!(books_of(&*journal, "a").dropped, 0);
}

#[tokio::test]
async fn what_waits_for_room_when_collecting_ends_is_taken() {
    let journal = Arc::new(MemoryJournal::new(Limits { bytes: 100, when_full: WhenFull::Block }));
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let writer = journal.clone();
    let waiting = tokio::spawn(async move { writer.append(vec![losses(2, 1)], Vec::new()).await });
    while !journal.storage().is_full {
        tokio::task::yield_now().await;
    }
    journal.last_call();
    waiting.await.unwrap().unwrap();
    assert_eq!(books_of(&*journal, "a").pending, 2);
}

#[tokio::test]
async fn an_append_that_waits_for_room_ends_when_the_journal_closes() {
    let journal = Arc::new(MemoryJournal::new(Limits { bytes: 100, when_full: WhenFull::Block }));
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let writer = journal.clone();
    let waiting = tokio::spawn(async move { writer.append(vec![losses(2, 1)], Vec::new()).await });
    tokio::task::yield_now().await;
    journal.close();
    assert!(matches!(waiting.await.unwrap(), Err(JournalError::Closed)));
}
