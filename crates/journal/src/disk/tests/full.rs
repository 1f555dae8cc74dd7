//! No room: in the journal, and on the disk.

use super::*;

fn blocking(entries: u64) -> Options {
    Options { bytes: entries * stored(99), when_full: WhenFull::Block, ..options() }
}

#[tokio::test]
async fn a_full_journal_that_blocks_takes_more_as_soon_as_there_is_room_and_drops_nothing() {
    let folder = TempDir::new().unwrap();
    let journal = Arc::new(DiskJournal::open(folder.path(), blocking(3)).unwrap());
    journal.register("a", appetite(2, Duration::ZERO));
    let writer = journal.clone();
    let written = tokio::spawn(async move {
        for first in 1..=9 {
            writer.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
        }
    });
    until(|| books_of(&*journal, "a").journaled == 3).await;
    assert!(!written.is_finished());
    let mut got = Vec::new();
    while got.len() < 9 {
        got.extend(firsts(&settle(&journal, "a").await));
        assert!(books_of(&*journal, "a").pending <= 3);
    }
    written.await.unwrap();
    assert_eq!(got, (1..=9).collect::<Vec<_>>());
    assert_eq!(books_of(&*journal, "a").dropped, 0);
}

#[tokio::test]
async fn what_waits_for_room_when_collecting_ends_is_taken_in_order_and_the_next_life_has_it() {
    let folder = TempDir::new().unwrap();
    let journal = Arc::new(DiskJournal::open(folder.path(), blocking(1)).unwrap());
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let writer = journal.clone();
    let waiting = tokio::spawn(async move {
        for first in 2..=5 {
            writer.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
        }
    });
    until(|| journal.storage().is_full).await;
    journal.last_call();
    waiting.await.unwrap();
    journal.stop().await;
    drop(journal);
    let journal = DiskJournal::open(folder.path(), blocking(1)).unwrap();
    journal.register("a", eager());
    let mut got = Vec::new();
    while got.len() < 5 {
        got.extend(firsts(&settle(&journal, "a").await));
    }
    assert_eq!(got, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_append_that_waits_for_room_ends_when_the_journal_closes() {
    let folder = TempDir::new().unwrap();
    let journal = Arc::new(DiskJournal::open(folder.path(), blocking(1)).unwrap());
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let writer = journal.clone();
    let waiting = tokio::spawn(async move { writer.append(vec![losses(2, 1)], Vec::new()).await });
    tokio::task::yield_now().await;
    journal.close();
    assert!(matches!(waiting.await.unwrap(), Err(JournalError::Closed)));
}

#[tokio::test]
async fn a_full_journal_drops_the_oldest_and_counts_it_for_the_laggard_alone() {
    let folder = TempDir::new().unwrap();
    let journal = DiskJournal::open(folder.path(), Options { bytes: 3 * stored(99), ..options() }).unwrap();
    journal.register("dead", eager());
    journal.register("well", eager());
    for first in 1..=5 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
        settle(&journal, "well").await;
    }
    let (dead, well) = (books_of(&journal, "dead"), books_of(&journal, "well"));
    assert_eq!((dead.journaled, dead.dropped, dead.pending), (5, 2, 3));
    assert_eq!((well.delivered, well.dropped), (5, 0));
    let lost = &journal.losses()[0];
    assert_eq!((lost.sink.as_deref(), lost.reason, lost.count), (Some("dead"), LossReason::JournalFull, 2));
    assert_eq!(firsts(&journal.next("dead").await.unwrap()), [3, 4, 5]);
}

#[tokio::test]
async fn a_range_under_delivery_is_never_dropped() {
    let folder = TempDir::new().unwrap();
    let journal = DiskJournal::open(folder.path(), Options { bytes: 3 * stored(99), ..options() }).unwrap();
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

#[tokio::test]
async fn a_full_disk_refuses_appends_lets_sinks_go_on_and_recovers_by_itself() {
    let folder = TempDir::new().unwrap();
    let journal = DiskJournal::open(folder.path(), Options { when_full: WhenFull::Block, ..options() }).unwrap();
    journal.register("a", appetite(500, Duration::ZERO));
    journal.append(vec![losses(1, 500)], Vec::new()).await.unwrap();
    let pages = inspect(&journal, |store| {
        store.limit_to(Some(store.pages() + 20));
        store.pages()
    });
    assert!(pages.await > 0);
    let mut next = 501;
    while journal.append(vec![losses(next, 500)], Vec::new()).await.is_ok() {
        next += 500;
        assert!(next < 1_000_000, "the disk never filled");
    }
    assert!(journal.storage().failing.is_some());
    let pending = books_of(&journal, "a").pending;
    assert_eq!(pending, next - 1, "what was refused is not in the books");
    let mut delivered = 0;
    while delivered < pending {
        delivered += settle(&journal, "a").await.rows() as u64;
    }
    inspect(&journal, |store| store.limit_to(None)).await;
    until(|| journal.storage().failing.is_none()).await;
    journal.append(vec![losses(next, 500)], Vec::new()).await.unwrap();
    assert_eq!(firsts(&settle(&journal, "a").await), [next]);
}
