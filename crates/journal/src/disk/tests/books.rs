//! The books balance, whatever happens in whatever order, and whenever the process ends.

use std::fs;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        losses: bool,
        rows: u64,
        gap: bool,
    },
    Next(usize),
    Commit(usize, u64),
    /// Ends in order and starts again.
    Restart,
    /// Goes on with a copy of the folder as it is at this moment.
    Crash,
    Forget,
}

/// In order of name, as books are after a restart.
const SINKS: [&str; 3] = ["a losses", "b hosts", "c all"];

fn wants(sink: usize) -> Appetite {
    let streams = match sink {
        0 => vec![Stream::Losses],
        1 => vec![Stream::Hosts],
        _ => vec![Stream::Losses, Stream::Hosts],
    };
    Appetite { streams, ..appetite(30, Duration::ZERO) }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), 1u64..20, prop::bool::weighted(0.1))
            .prop_map(|(losses, rows, gap)| Step::Append { losses, rows, gap }),
        6 => (0usize..3).prop_map(Step::Next),
        4 => ((0usize..3), 0u64..4).prop_map(|(sink, refused)| Step::Commit(sink, refused)),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => Just(Step::Forget),
    ]
}

fn opened(folder: &TempDir, bytes: u64) -> DiskJournal {
    let journal = DiskJournal::open(folder.path(), Options { bytes, ..options() }).unwrap();
    for (index, sink) in SINKS.iter().enumerate() {
        journal.register(sink, wants(index));
    }
    journal
}

fn copied(from: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    // The write-ahead log last: what is moved from it to the file meanwhile is in both.
    for name in ["journal.db", "journal.db-wal"] {
        if from.path().join(name).exists() {
            fs::copy(from.path().join(name), to.path().join(name)).unwrap();
        }
    }
    to
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn journaled_is_delivered_and_rejected_and_dropped_and_pending_at_every_moment_and_across_crashes(
        steps in prop::collection::vec(step(), 1..80),
        bound in 300u64..6000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async move {
            let mut folder = TempDir::new().unwrap();
            let mut journal = opened(&folder, bound);
            let mut held: [Option<Range>; 3] = [const { None }; 3];
            let mut sequence = [0u64; 2];
            for step in steps {
                match step {
                    Step::Append { losses, rows, gap } => {
                        let (slot, stream) = if losses { (0, Stream::Losses) } else { (1, Stream::Hosts) };
                        let first = sequence[slot] + 1 + u64::from(gap);
                        sequence[slot] = first + rows - 1;
                        journal.append(vec![batch(stream, 1, first, rows, 100)], Vec::new()).await.unwrap();
                    }
                    Step::Next(sink) => {
                        if books_of(&journal, SINKS[sink]).pending == 0 {
                            continue;
                        }
                        let range = journal.next(SINKS[sink]).await.unwrap();
                        if let Some(before) = &held[sink] {
                            assert_eq!(before, &range, "a frozen range changed");
                        }
                        held[sink] = Some(range);
                    }
                    Step::Commit(sink, refused) => {
                        if let Some(range) = held[sink].take() {
                            let id = &range.batches[0].id;
                            let refused = (id.first..=id.last).take(usize::try_from(refused).unwrap());
                            let rejected = refused.map(|sequence| Rejection {
                                stream: id.stream,
                                sequence,
                                error: String::new(),
                            });
                            let receipt = Receipt { rejected: rejected.collect() };
                            journal.commit(SINKS[sink], &range, &receipt).await.unwrap();
                        }
                    }
                    Step::Restart => {
                        let before = (journal.books(), journal.losses());
                        journal.stop().await;
                        journal = opened(&folder, bound);
                        assert_eq!((journal.books(), journal.losses()), before, "after a restart");
                    }
                    Step::Crash => {
                        // Acknowledged is stored: a copy has all of it, dropped entries may be there again.
                        let before = journal.books();
                        let copy = copied(&folder);
                        journal.stop().await;
                        journal = opened(&copy, bound);
                        folder = copy;
                        for (now, before) in journal.books().iter().zip(&before) {
                            assert_eq!(now.journaled, before.journaled);
                            assert_eq!(now.delivered + now.rejected, before.delivered + before.rejected);
                        }
                    }
                    Step::Forget => {
                        journal.forget_sinks_except(&SINKS[..2]);
                        held[2] = None;
                        journal.register(SINKS[2], wants(2));
                        // Stored before anything else happens.
                        inspect(&journal, |_| ()).await;
                        inspect(&journal, |_| ()).await;
                    }
                }
                check(&journal);
            }
            journal.close();
            drop(held);
            for sink in SINKS {
                while let Some(range) = journal.next(sink).await {
                    journal.commit(sink, &range, &Receipt::default()).await.unwrap();
                }
            }
            check(&journal);
            assert!(journal.books().iter().all(|books| (books.pending, books.pending_bytes) == (0, 0)));
            assert_eq!(journal.storage().bytes, 0);
        });
    }
}

fn check(journal: &DiskJournal) {
    let losses = journal.losses();
    for books in journal.books() {
        let settled = books.delivered + books.rejected + books.dropped;
        assert_eq!(books.journaled, settled + books.pending, "{books:?}");
        let lost = losses.iter().filter(|loss| loss.sink.as_deref() == Some(&books.sink));
        assert_eq!(lost.map(|loss| loss.count).sum::<u64>(), books.dropped + books.rejected);
        assert_eq!(books.pending == 0, books.oldest_pending.is_none());
    }
}
