use model::{LossReason, Stream};
use pipeline::ports::Rejection;
use tempfile::TempDir;

use super::*;
use crate::conformance::{appetite, batch, books_of, conformance, eager, firsts, losses, mark};

mod books;
mod damage;
mod full;
mod killed;

conformance!({
    let folder = TempDir::new().unwrap();
    (Arc::new(open(&folder)), folder)
});

fn options() -> Options {
    Options { sync: Sync::Off, when_full: WhenFull::DropOldest, reserve: 64 << 10, ..Options::default() }
}

fn open(folder: &TempDir) -> DiskJournal {
    DiskJournal::open(folder.path(), options()).unwrap()
}

/// Bytes on disk of `losses(n, 1)`.
fn stored(n: u64) -> u64 {
    let batch = losses(n, 1);
    encode(&Head::of(&batch), &batch).unwrap().len() as u64
}

async fn settle(journal: &DiskJournal, sink: &str) -> Range {
    let range = journal.next(sink).await.unwrap();
    journal.commit(sink, &range, &Receipt::default()).await.unwrap();
    range
}

/// Runs `look` on the store, in the journal's thread.
async fn inspect<T: Send + 'static>(journal: &DiskJournal, look: impl FnOnce(&Store) -> T + Send + 'static) -> T {
    let (reply, seen) = oneshot::channel();
    journal.shared.queue.push(Command::Inspect(Box::new(move |store| drop(reply.send(look(store))))));
    seen.await.unwrap()
}

#[tokio::test]
async fn what_was_not_delivered_is_there_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.register("b", eager());
    for first in 1..=5 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
    }
    settle(&journal, "a").await;
    let before = journal.books();
    journal.stop().await;

    let journal = open(&folder);
    assert_eq!(journal.books(), before, "before any sink has come");
    journal.register("a", eager());
    journal.register("b", eager());
    assert_eq!(journal.books(), before);
    assert_eq!(firsts(&journal.next("b").await.unwrap()), [1, 2, 3, 4, 5]);
    journal.close();
    assert_eq!(journal.next("a").await, None);
}

#[tokio::test]
async fn a_range_that_was_given_out_comes_in_the_same_bounds_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", appetite(3, Duration::ZERO));
    for first in 1..=2 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
    }
    let given = journal.next("a").await.unwrap();
    for first in 3..=9 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
    }
    journal.stop().await;

    let journal = open(&folder);
    journal.register("a", appetite(100, Duration::ZERO));
    assert_eq!(journal.next("a").await.unwrap(), given);
    journal.commit("a", &given, &Receipt::default()).await.unwrap();
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn books_and_losses_go_on_where_they_were() {
    let folder = TempDir::new().unwrap();
    let journal = DiskJournal::open(folder.path(), Options { bytes: 3 * stored(99), ..options() }).unwrap();
    journal.register("a", appetite(1, Duration::ZERO));
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    let refused = Rejection { stream: Stream::Losses, sequence: 1, error: "no".into() };
    journal.commit("a", &range, &Receipt { rejected: vec![refused] }).await.unwrap();
    for first in 2..=7 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
    }
    let (books, lost) = (journal.books(), journal.losses());
    assert_eq!((books[0].journaled, books[0].rejected, books[0].dropped, books[0].pending), (7, 1, 3, 3));
    assert_eq!(
        lost.iter().map(|loss| (loss.reason, loss.count)).collect::<Vec<_>>(),
        [(LossReason::JournalFull, 3), (LossReason::Rejected, 1)]
    );
    journal.stop().await;
    let journal = open(&folder);
    assert_eq!((journal.books(), journal.losses()), (books, lost));
}

#[tokio::test]
async fn marks_and_what_was_noted_of_a_range_are_there_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.append(vec![losses(1, 4)], vec![mark("one", Some(b"1")), mark("two", Some(b"1"))]).await.unwrap();
    journal.append(vec![losses(5, 4)], vec![mark("one", Some(b"2"))]).await.unwrap();
    journal.mark(mark("two", None)).await.unwrap();
    let range = journal.next("a").await.unwrap();
    let refused = Rejection { stream: Stream::Losses, sequence: 1, error: "no".into() };
    let plan = Plan { rows: 8, left: vec![(2, 4), (4, 8)], rejected: vec![refused] };
    journal.note("a", &range, plan.clone()).await.unwrap();
    journal.stop().await;

    let journal = open(&folder);
    assert_eq!(journal.marks().into_iter().collect::<Vec<_>>(), [("one".to_owned(), b"2".to_vec())]);
    journal.register("a", eager());
    assert_eq!(journal.next("a").await.unwrap(), range);
    assert_eq!(journal.plan("a", &range), Some(plan));
}

#[tokio::test]
async fn batches_and_marks_of_one_append_are_kept_together_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], vec![mark("one", Some(b"1"))]).await.unwrap();
    inspect(&journal, |store| store.limit_to(Some(store.pages() + 4))).await;
    let group = (2..300).map(|first| batch(Stream::Losses, 1, first, 1, 100)).collect();
    let refused = journal.append(group, vec![mark("one", Some(b"2"))]).await;
    assert!(matches!(refused, Err(JournalError::Storage(_))), "{refused:?}");
    assert_eq!((books_of(&journal, "a").journaled, &journal.marks()["one"]), (1, &b"1".to_vec()));
    journal.stop().await;
    let journal = open(&folder);
    assert_eq!((books_of(&journal, "a").journaled, &journal.marks()["one"]), (1, &b"1".to_vec()));
}

#[tokio::test]
async fn what_every_sink_has_leaves_the_file() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.register("b", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    for (sink, left) in [("a", 1), ("b", 0)] {
        settle(&journal, sink).await;
        let stored = inspect(&journal, |store| {
            let mut count = 0;
            store.heads(|_| count += 1).unwrap();
            (count, store.body(0).unwrap().is_some())
        });
        assert_eq!(stored.await, (left, left == 1));
    }
    assert_eq!((journal.storage().failing, journal.storage().bytes), (None, 0));
}

#[tokio::test]
async fn a_sink_that_is_no_longer_configured_holds_nothing() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.register("old", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    settle(&journal, "a").await;
    assert!(journal.storage().bytes > 0);
    journal.next("old").await.unwrap();
    journal.forget_sinks_except(&["a"]);
    assert_eq!(journal.storage().bytes, 0);
    assert_eq!(journal.books().len(), 1);
    journal.stop().await;
    let journal = open(&folder);
    assert_eq!(journal.books().len(), 1);
    journal.register("old", eager());
    assert_eq!(books_of(&journal, "old").pending, 0, "it starts anew");
}

#[tokio::test]
async fn a_sink_that_takes_another_stream_gets_it_from_then_on() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.register("all", Appetite { streams: vec![Stream::Losses, Stream::Hosts], ..eager() });
    journal.append(vec![batch(Stream::Hosts, 1, 1, 1, 10)], Vec::new()).await.unwrap();
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    journal.register("a", Appetite { streams: vec![Stream::Hosts], ..eager() });
    journal.append(vec![losses(2, 1)], Vec::new()).await.unwrap();
    journal.append(vec![batch(Stream::Hosts, 1, 2, 1, 10)], Vec::new()).await.unwrap();
    journal.stop().await;
    let journal = open(&folder);
    assert_eq!(books_of(&journal, "a").journaled, 2);
    journal.register("a", Appetite { streams: vec![Stream::Hosts], ..eager() });
    let ids: Vec<_> = settle(&journal, "a").await.batches.into_iter().map(|b| (b.id.stream, b.id.first)).collect();
    assert_eq!(ids, [(Stream::Losses, 1), (Stream::Hosts, 2)]);
}

#[tokio::test]
async fn an_entry_older_than_the_journal_keeps_is_dropped_and_counted() {
    let folder = TempDir::new().unwrap();
    let age = Some(Duration::from_millis(20));
    let journal = DiskJournal::open(folder.path(), Options { age, ..options() }).unwrap();
    journal.register("a", eager());
    journal.append(vec![losses(1, 2)], Vec::new()).await.unwrap();
    until(|| books_of(&journal, "a").pending == 0).await;
    assert_eq!(books_of(&journal, "a").dropped, 2);
    assert_eq!(journal.losses()[0].reason, LossReason::Expired);
}

#[tokio::test]
async fn a_second_process_is_told_that_the_journal_is_in_use() {
    let folder = TempDir::new().unwrap();
    let _journal = open(&folder);
    assert!(matches!(DiskJournal::open(folder.path(), options()), Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn many_appends_at_once_share_transactions() {
    let folder = TempDir::new().unwrap();
    let journal = DiskJournal::open(folder.path(), Options { sync: Sync::Always, ..options() }).unwrap();
    journal.register("a", Appetite { rows: 1000, ..eager() });
    futures_join((1..=200).map(|first| journal.append(vec![losses(first, 1)], Vec::new()))).await;
    let range = journal.next("a").await.unwrap();
    assert_eq!(firsts(&range), (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn entries_beyond_the_memory_of_recent_ones_are_read_from_the_file() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.register("a", Appetite { bytes: 1 << 30, ..appetite(1000, Duration::ZERO) });
    for first in 1..=20 {
        journal.append(vec![batch(Stream::Losses, 1, first, 1, 1 << 20)], Vec::new()).await.unwrap();
    }
    let range = journal.next("a").await.unwrap();
    let expected: Vec<Batch> = (1..=20).map(|first| batch(Stream::Losses, 1, first, 1, 1 << 20)).collect();
    assert_eq!(range.batches, expected);
}

/// All at once, in order.
async fn futures_join<T, E: std::fmt::Debug>(all: impl Iterator<Item = impl Future<Output = Result<T, E>>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).map(Result::unwrap).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Waits for `condition`, at most as long as a busy machine takes.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Clock::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Clock::now() < deadline, "it did not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
