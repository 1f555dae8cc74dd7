//! The books balance, whatever happens in whatever order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        losses: bool,
        rows: u64,
        bytes: usize,
        gap: bool,
    },
    Next(usize),
    /// Commits with that many rows refused.
    Commit(usize, u64),
    Register,
}

const SINKS: [&str; 4] = ["losses", "hosts", "all", "late"];

fn streams(sink: usize) -> Vec<Stream> {
    match sink {
        0 => vec![Stream::Losses],
        1 => vec![Stream::Hosts],
        _ => vec![Stream::Losses, Stream::Hosts],
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1u64..20, 1usize..120, prop::bool::weighted(0.1))
            .prop_map(|(losses, rows, bytes, gap)| Step::Append { losses, rows, bytes, gap }),
        3 => (0usize..4).prop_map(Step::Next),
        2 => ((0usize..4), 0u64..4).prop_map(|(sink, refused)| Step::Commit(sink, refused)),
        1 => Just(Step::Register),
    ]
}

proptest! {
    #[test]
    fn journaled_is_delivered_and_rejected_and_dropped_and_pending_at_every_moment(
        steps in prop::collection::vec(step(), 1..120),
        bound in 1usize..600,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let journal = journal(bound);
            for (index, sink) in SINKS[..3].iter().enumerate() {
                journal.register(sink, Appetite { bytes: 200, streams: streams(index), ..appetite(30, Duration::ZERO) });
            }
            let mut held: [Option<Range>; 4] = [const { None }; 4];
            let mut sequence = [0u64; 2];
            let mut given = [const { Vec::<u64>::new() }; 4];
            for step in steps {
                match step {
                    Step::Append { losses, rows, bytes, gap } => {
                        let (slot, stream) = if losses { (0, Stream::Losses) } else { (1, Stream::Hosts) };
                        let first = sequence[slot] + 1 + u64::from(gap);
                        sequence[slot] = first + rows - 1;
                        journal.append(vec![batch(stream, 1, first, rows, bytes)], Vec::new()).await.unwrap();
                    }
                    Step::Next(sink) => {
                        let next = tokio::time::timeout(Duration::from_millis(1), journal.next(SINKS[sink])).await;
                        if let Ok(Some(range)) = next {
                            if let Some(before) = &held[sink] {
                                assert_eq!(before, &range, "a frozen range changed");
                            } else {
                                assert!(!range.batches.is_empty());
                                given[sink].push(range.first);
                            }
                            held[sink] = Some(range);
                        }
                    }
                    Step::Commit(sink, refused) => {
                        if let Some(range) = held[sink].take() {
                            let rejected = range.batches[0].id.first..=range.batches[0].id.last;
                            let rejected = rejected.take(usize::try_from(refused).unwrap()).map(|sequence| Rejection {
                                stream: range.batches[0].id.stream,
                                sequence,
                                error: String::new(),
                            });
                            journal.commit(SINKS[sink], &range, &Receipt { rejected: rejected.collect() }).await.unwrap();
                        }
                    }
                    Step::Register => {
                        journal.register("late", Appetite { streams: streams(3), ..appetite(30, Duration::ZERO) });
                    }
                }
                check(&journal, &held);
            }
            for ranges in &given {
                assert!(ranges.is_sorted(), "a range was given twice, or out of order");
            }
            finish(&journal, held).await;
        });
    }
}

fn check(journal: &MemoryJournal, held: &[Option<Range>; 4]) {
    for books in journal.books() {
        let settled = books.delivered + books.rejected + books.dropped;
        assert_eq!(books.journaled, settled + books.pending, "{books:?}");
        let lost: u64 = journal
            .losses()
            .iter()
            .filter(|loss| loss.sink.as_deref() == Some(&books.sink))
            .map(|loss| loss.count)
            .sum();
        assert_eq!(lost, books.dropped + books.rejected, "every loss has a record");
        assert_eq!(books.pending == 0, books.oldest_pending.is_none());
    }
    let state = journal.state();
    let idle: usize = state.idle.iter().map(|position| state.entries[position].batch.bytes).sum();
    assert_eq!(idle, state.idle_bytes);
    assert!(state.idle_bytes <= state.limits.bytes);
    let in_flight: usize = held.iter().flatten().map(|range| range.batches.len()).sum();
    assert!(state.entries.len() <= state.idle.len() + in_flight);
}

/// After close every sink gets the rest, and nothing is pending or kept.
async fn finish(journal: &MemoryJournal, held: [Option<Range>; 4]) {
    journal.close();
    drop(held);
    for books in journal.books() {
        while let Some(range) = journal.next(&books.sink).await {
            journal.commit(&books.sink, &range, &Receipt::default()).await.unwrap();
        }
    }
    for books in journal.books() {
        assert_eq!((books.pending, books.pending_bytes), (0, 0));
        assert_eq!(books.journaled, books.delivered + books.rejected + books.dropped);
    }
    assert!(journal.state().entries.is_empty());
}
