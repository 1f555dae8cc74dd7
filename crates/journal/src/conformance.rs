//! What every journal promises: one suite, run on each.

use std::sync::Arc;
use std::time::Duration;

use model::{Batch, BatchId, LossReason, LossRecord, NodeName, Rows, Stream, Timestamp, Trigger};
use pipeline::ports::{Appetite, Journal, JournalError, Mark, Plan, Range, Receipt, Rejection, SinkBooks};
use tokio::time::Instant;

/// `count` loss records of `stream`'s sequence, as light as records get; the log looks at ids only.
pub(crate) fn batch(stream: Stream, epoch: u64, first: u64, count: u64, bytes: usize) -> Batch {
    let at = |sequence: u64| Timestamp::from_millis(i64::try_from(sequence).unwrap());
    let rows: Vec<LossRecord> = (first..first + count)
        .map(|sequence| LossRecord {
            stream,
            sink: None,
            reason: LossReason::Coalesced,
            count: 1,
            first_at: at(sequence),
            last_at: at(sequence),
        })
        .collect();
    let rows = match stream {
        Stream::Losses => Rows::Losses(rows.into()),
        Stream::Hosts => Rows::Hosts(rows.iter().map(host).collect()),
        other => panic!("no test rows for {other}"),
    };
    Batch {
        id: BatchId { node: NodeName::try_new("n").unwrap(), epoch, stream, first, last: first + count - 1 },
        trigger: Trigger::Count,
        bytes,
        opened_at: at(first),
        rows,
    }
}

pub(crate) fn host(loss: &LossRecord) -> model::HostRecord {
    let host = model::HostName::try_new("h").unwrap();
    model::HostRecord::new(host, "", model::HostStatus::Up, loss.first_at)
}

pub(crate) fn losses(first: u64, count: u64) -> Batch {
    batch(Stream::Losses, 1, first, count, 100)
}

pub(crate) fn appetite(rows: usize, linger: Duration) -> Appetite {
    Appetite { rows, bytes: 1 << 20, linger, streams: vec![Stream::Losses] }
}

pub(crate) fn eager() -> Appetite {
    appetite(10, Duration::ZERO)
}

pub(crate) fn firsts(range: &Range) -> Vec<u64> {
    range.batches.iter().map(|batch| batch.id.first).collect()
}

pub(crate) fn books_of(journal: &dyn Journal, sink: &str) -> SinkBooks {
    journal.books().into_iter().find(|books| books.sink == sink).unwrap()
}

pub(crate) async fn a_range_is_returned_again_until_it_is_committed_however_much_arrives_meanwhile(
    journal: Arc<dyn Journal>,
) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 4)], Vec::new()).await.unwrap();
    let first = journal.next("a").await.unwrap();
    journal.append(vec![losses(5, 4)], Vec::new()).await.unwrap();
    assert_eq!(journal.next("a").await.unwrap(), first);
    journal.register("a", eager());
    assert_eq!(journal.next("a").await.unwrap(), first, "a restarted sink gets the same range");
    journal.commit("a", &first, &Receipt::default()).await.unwrap();
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [5]);
}

pub(crate) async fn a_range_waits_for_linger_and_no_longer(journal: Arc<dyn Journal>) {
    journal.register("a", appetite(10, Duration::from_secs(5)));
    let start = Instant::now();
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    journal.append(vec![losses(2, 1)], Vec::new()).await.unwrap();
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [1, 2]);
    assert_eq!(start.elapsed().as_secs(), 5);
}

pub(crate) async fn a_full_range_does_not_wait(journal: Arc<dyn Journal>) {
    journal.register("rows", appetite(4, Duration::from_secs(5)));
    journal.register("bytes", Appetite { bytes: 250, ..appetite(100, Duration::from_secs(5)) });
    let start = Instant::now();
    for first in [1, 3, 5] {
        journal.append(vec![losses(first, 2)], Vec::new()).await.unwrap();
    }
    assert_eq!(firsts(&journal.next("rows").await.unwrap()), [1, 3]);
    assert_eq!(firsts(&journal.next("bytes").await.unwrap()), [1, 3]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

pub(crate) async fn a_batch_larger_than_the_appetite_is_a_range_of_its_own(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 50)], Vec::new()).await.unwrap();
    journal.append(vec![losses(51, 1)], Vec::new()).await.unwrap();
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [1]);
}

pub(crate) async fn a_waiting_sink_wakes_when_something_arrives(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    let waiting = {
        let journal = journal.clone();
        async move { journal.next("a").await }
    };
    let appending = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    };
    let (range, ()) = tokio::join!(waiting, appending);
    assert_eq!(firsts(&range.unwrap()), [1]);
}

pub(crate) async fn a_sink_is_passed_over_for_streams_it_does_not_take(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![batch(Stream::Hosts, 1, 1, 3, 100)], Vec::new()).await.unwrap();
    journal.append(vec![losses(1, 2)], Vec::new()).await.unwrap();
    journal.append(vec![batch(Stream::Hosts, 1, 4, 3, 100)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    assert_eq!(range.batches.len(), 1);
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    let books = books_of(&*journal, "a");
    assert_eq!((books.journaled, books.delivered, books.pending), (2, 2, 0));
    journal.close();
    assert_eq!(journal.next("a").await, None);
}

pub(crate) async fn a_slow_sink_does_not_hold_back_another(journal: Arc<dyn Journal>) {
    journal.register("slow", eager());
    journal.register("fast", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let stuck = journal.next("slow").await.unwrap();
    for first in 2..100 {
        journal.append(vec![losses(first, 1)], Vec::new()).await.unwrap();
        let range = journal.next("fast").await.unwrap();
        journal.commit("fast", &range, &Receipt::default()).await.unwrap();
    }
    assert_eq!(books_of(&*journal, "fast").pending, 0);
    assert_eq!(books_of(&*journal, "slow").pending, 99);
    assert_eq!(journal.next("slow").await.unwrap(), stuck);
}

pub(crate) async fn a_range_never_mixes_epochs_of_one_stream(journal: Arc<dyn Journal>) {
    journal.register("a", Appetite { streams: vec![Stream::Losses, Stream::Hosts], ..eager() });
    journal.append(vec![batch(Stream::Losses, 1, 7, 1, 10)], Vec::new()).await.unwrap();
    journal.append(vec![batch(Stream::Hosts, 2, 1, 1, 10)], Vec::new()).await.unwrap();
    journal.append(vec![batch(Stream::Losses, 2, 1, 1, 10)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    assert_eq!(range.batches.len(), 2, "another stream may have another epoch");
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    assert_eq!(journal.next("a").await.unwrap().batches[0].id.epoch, 2);
}

pub(crate) async fn a_range_never_spans_a_gap_in_a_sequence(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    journal.append(vec![losses(3, 1)], Vec::new()).await.unwrap();
    assert_eq!(firsts(&journal.next("a").await.unwrap()), [1]);
}

pub(crate) async fn a_commit_of_another_range_changes_nothing(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    for stale in [Range { end: range.end + 1, ..range.clone() }, Range { first: range.first + 1, ..range.clone() }] {
        journal.commit("a", &stale, &Receipt::default()).await.unwrap();
        assert_eq!(books_of(&*journal, "a").delivered, 0);
    }
    for _ in 0..2 {
        journal.commit("a", &range, &Receipt::default()).await.unwrap();
        assert_eq!(books_of(&*journal, "a").delivered, 1);
    }
}

pub(crate) async fn rejected_rows_are_counted_once_and_are_losses(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 4)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    let refuse = |sequence| Rejection { stream: Stream::Losses, sequence, error: "too large".into() };
    let receipt = Receipt { rejected: vec![refuse(2), refuse(2), refuse(99)] };
    journal.commit("a", &range, &receipt).await.unwrap();
    let books = books_of(&*journal, "a");
    assert_eq!((books.delivered, books.rejected, books.pending), (3, 1, 0));
    let lost = &journal.losses()[0];
    assert_eq!((lost.reason, lost.count, lost.first_at), (LossReason::Rejected, 1, Timestamp::from_millis(2)));
}

pub(crate) async fn a_closed_journal_takes_nothing_gives_what_is_left_at_once_and_then_ends(journal: Arc<dyn Journal>) {
    journal.register("a", appetite(10, Duration::from_secs(3600)));
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    journal.close();
    assert!(matches!(journal.append(vec![losses(2, 1)], Vec::new()).await, Err(JournalError::Closed)));
    let start = Instant::now();
    let range = journal.next("a").await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    assert_eq!(journal.next("a").await, None);
}

pub(crate) fn the_log_can_be_written_on_one_runtime_and_read_on_another(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reader = {
        let journal = journal.clone();
        std::thread::spawn(move || runtime().block_on(async { journal.next("a").await }))
    };
    runtime().block_on(async { journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap() });
    assert_eq!(firsts(&reader.join().unwrap().unwrap()), [1]);
}

pub(crate) async fn a_batch_that_comes_again_is_kept_once(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 2), losses(3, 1)], Vec::new()).await.unwrap();
    journal.append(vec![losses(3, 1), losses(4, 1)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    assert_eq!(firsts(&range), [1, 3, 4]);
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    journal.append(vec![losses(4, 1), batch(Stream::Losses, 2, 4, 1, 10)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    assert_eq!(range.batches[0].id.epoch, 2, "one of another life has the same numbers, and is another one");
    assert_eq!((range.batches.len(), books_of(&*journal, "a").journaled), (1, 5));
}

pub(crate) fn mark(source: &str, position: Option<&[u8]>) -> Mark {
    Mark { source: source.to_owned(), position: position.map(<[u8]>::to_vec) }
}

pub(crate) async fn the_newest_mark_of_each_source_is_kept(journal: Arc<dyn Journal>) {
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], vec![mark("one", Some(b"1")), mark("two", Some(b"1"))]).await.unwrap();
    // Nobody takes these, and their sources may go on all the same.
    journal.append(vec![batch(Stream::Hosts, 1, 1, 1, 10)], vec![mark("one", Some(b"2"))]).await.unwrap();
    journal.append(Vec::new(), vec![mark("one", Some(b"3"))]).await.unwrap();
    journal.mark(mark("three", Some(b""))).await.unwrap();
    journal.mark(mark("two", None)).await.unwrap();
    let marks: Vec<_> = journal.marks().into_iter().collect();
    assert_eq!(marks, [("one".to_owned(), b"3".to_vec()), ("three".to_owned(), Vec::new())]);
}

pub(crate) async fn what_was_noted_of_a_range_is_known_until_it_is_committed(journal: Arc<dyn Journal>) {
    journal.register("a", appetite(4, Duration::ZERO));
    journal.append(vec![losses(1, 4), losses(5, 4)], Vec::new()).await.unwrap();
    let range = journal.next("a").await.unwrap();
    assert_eq!(journal.plan("a", &range), None);
    let plan = Plan { rows: 4, left: vec![(2, 4)], rejected: Vec::new() };
    journal.note("a", &Range { end: range.end + 1, ..range.clone() }, Plan::default()).await.unwrap();
    assert_eq!(journal.plan("a", &range), None, "a note of another range is none of this one");
    journal.note("a", &range, plan.clone()).await.unwrap();
    assert_eq!((journal.next("a").await.unwrap(), journal.plan("a", &range)), (range.clone(), Some(plan)));
    journal.commit("a", &range, &Receipt::default()).await.unwrap();
    let next = journal.next("a").await.unwrap();
    assert_eq!((firsts(&next), journal.plan("a", &next), journal.plan("a", &range)), (vec![5], None, None));
}

/// The suite as tests; `$journal` makes an empty, roomy journal and what must live as long as it.
macro_rules! conformance {
    ($journal:expr) => {
        #[tokio::test(start_paused = true)]
        async fn a_range_is_returned_again_until_it_is_committed_however_much_arrives_meanwhile() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_range_is_returned_again_until_it_is_committed_however_much_arrives_meanwhile(
                journal,
            )
            .await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_range_waits_for_linger_and_no_longer() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_range_waits_for_linger_and_no_longer(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_full_range_does_not_wait() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_full_range_does_not_wait(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_batch_larger_than_the_appetite_is_a_range_of_its_own() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_batch_larger_than_the_appetite_is_a_range_of_its_own(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_waiting_sink_wakes_when_something_arrives() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_waiting_sink_wakes_when_something_arrives(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_sink_is_passed_over_for_streams_it_does_not_take() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_sink_is_passed_over_for_streams_it_does_not_take(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_slow_sink_does_not_hold_back_another() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_slow_sink_does_not_hold_back_another(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_range_never_mixes_epochs_of_one_stream() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_range_never_mixes_epochs_of_one_stream(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_range_never_spans_a_gap_in_a_sequence() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_range_never_spans_a_gap_in_a_sequence(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_commit_of_another_range_changes_nothing() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_commit_of_another_range_changes_nothing(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn rejected_rows_are_counted_once_and_are_losses() {
            let (journal, _kept) = $journal;
            $crate::conformance::rejected_rows_are_counted_once_and_are_losses(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_closed_journal_takes_nothing_gives_what_is_left_at_once_and_then_ends() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_closed_journal_takes_nothing_gives_what_is_left_at_once_and_then_ends(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn a_batch_that_comes_again_is_kept_once() {
            let (journal, _kept) = $journal;
            $crate::conformance::a_batch_that_comes_again_is_kept_once(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn the_newest_mark_of_each_source_is_kept() {
            let (journal, _kept) = $journal;
            $crate::conformance::the_newest_mark_of_each_source_is_kept(journal).await;
        }
        #[tokio::test(start_paused = true)]
        async fn what_was_noted_of_a_range_is_known_until_it_is_committed() {
            let (journal, _kept) = $journal;
            $crate::conformance::what_was_noted_of_a_range_is_known_until_it_is_committed(journal).await;
        }
        #[test]
        fn the_log_can_be_written_on_one_runtime_and_read_on_another() {
            let (journal, _kept) = $journal;
            $crate::conformance::the_log_can_be_written_on_one_runtime_and_read_on_another(journal);
        }
    };
}
pub(crate) use conformance;
