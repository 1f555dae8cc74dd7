//! Losses as data: what the stream `losses` tells is what was lost, to the record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dockstream::topology::SinkPlan;
use model::{LossReason, LossRecord, Stream};
use pipeline::faults::{Faults, Point};
use pipeline::ports::{Appetite, Deliver, DeliverError, Range, Receipt, Rejection};

use crate::chaos::Saboteur;
use crate::pipeline::{PATIENCE, Recorder, Simulated, count, eventually, on_a_system, sqlite, start};

type Sums = BTreeMap<(Option<String>, Stream, LossReason), u64>;

fn sums(records: impl IntoIterator<Item = LossRecord>) -> Sums {
    records.into_iter().fold(Sums::new(), |mut sums, loss| {
        *sums.entry((loss.sink, loss.stream, loss.reason)).or_default() += loss.count;
        sums
    })
}

/// Losses are made at both ends of the pipeline, and every stage that tells of them fails while it does. The
/// budget of the delivery group is 5 restarts in a minute: with the last one it is built anew.
const PANICS: [(Point, u32); 7] = [
    (Point::Parser, 4),
    (Point::ParserChunk, 4),
    (Point::LossReporter, 2),
    (Point::Batcher, 1),
    (Point::Journal, 1),
    (Point::StatsStream, 3),
    (Point::LossReporter, 2),
];

#[test]
fn the_records_of_losses_tell_what_was_lost_to_the_record_whoever_panics_meanwhile() {
    let world = Simulated::new(
        |engine| engine.containers(20).churn(10.0),
        &[
            ("DOCKSTREAM_COLLECT_MODE", "stream"),
            ("DOCKSTREAM_LOSSES_INTERVAL", "100ms"),
            ("DOCKSTREAM_RETRY_MIN", "5ms"),
            ("DOCKSTREAM_RETRY_MAX", "20ms"),
        ],
    );
    let config = &world.config;
    let (saboteur, recorder) = (Saboteur::default(), Recorder::default());
    let books = on_a_system(async {
        let topology = start(config, vec![sqlite(config), recorder.plan("recorder")], saboteur.faults());
        eventually("samples flow", || (topology.books(Stream::Stats).journaled > 100).then_some(())).await;
        for (point, panics) in PANICS {
            saboteur.order(point, panics);
            // Something to tell, for those who fail while they tell it.
            let told = recorder.losses().len();
            saboteur.order(Point::ParserChunk, 1);
            eventually(&format!("{point:?} panics {panics} times"), || {
                if saboteur.is_done(Point::ParserChunk) && !saboteur.is_done(point) {
                    saboteur.order(Point::ParserChunk, 1);
                }
                saboteur.is_done(point).then_some(())
            })
            .await;
            eventually("losses are told", || (recorder.losses().len() > told).then_some(())).await;
        }
        let books = topology.all_books();
        let drained = topology.drain(PATIENCE).await;
        assert!(drained.cut_short.is_empty(), "still running: {:?}", drained.cut_short);
        books
    });
    for stream in Stream::ALL {
        assert!(books.of(stream).is_settled(), "{:?}", books.of(stream));
    }
    let (lost, told) = (sums(books.losses()), sums(recorder.losses()));
    assert!(lost.keys().any(|(_, _, reason)| *reason == LossReason::Panic), "{lost:?}");
    assert_eq!(told, lost, "what is told is what was lost");
    let of_losses = books.of(Stream::Losses);
    assert!(
        !of_losses.dropped_after_parsing.is_empty(),
        "a record of losses was itself lost, and told again: {of_losses:?}"
    );
    // What is expected is counted, and is no loss.
    let stats = books.of(Stream::Stats).dropped_before_parsing;
    assert!(stats.iter().any(|(reason, _)| reason.is_expected()), "{stats:?}");
    let stored = count(config, "SELECT sum(count) FROM losses");
    assert_eq!(stored, lost.values().sum::<u64>(), "and what the store has");
    for loss in recorder.losses() {
        assert!(loss.first_at <= loss.last_at && loss.count > 0, "{loss:?}");
    }
}

/// A sink whose server refuses the first sample of every batch while it is told to.
#[derive(Clone)]
struct Picky(Arc<AtomicBool>);

#[async_trait]
impl Deliver for Picky {
    fn kind(&self) -> &'static str {
        "picky"
    }

    fn target(&self) -> String {
        "memory".into()
    }

    fn appetite(&self) -> Appetite {
        Appetite { rows: 1000, bytes: 1 << 20, linger: Duration::ZERO, streams: vec![Stream::Stats] }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(())
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let refusals = range.batches.iter().filter(|_| self.0.load(Ordering::Relaxed)).map(|batch| Rejection {
            stream: batch.id.stream,
            sequence: batch.id.first,
            error: "no good".into(),
        });
        Ok(Receipt { rejected: refusals.collect() })
    }
}

#[test]
fn what_a_sink_lost_is_told_once_over_restarts_also_what_it_lost_at_the_very_end() {
    let world = Simulated::new(|engine| engine.containers(5), &[("DOCKSTREAM_LOSSES_INTERVAL", "100ms")]);
    let config = &world.config;
    let (recorder, refuses) = (Recorder::default(), Arc::new(AtomicBool::new(true)));
    let picky = Picky(refuses.clone());
    let of_picky = |losses: Vec<LossRecord>| sums(losses.into_iter().filter(|loss| loss.sink.is_some()));
    let mut lost = Sums::new();
    // The last life loses nothing more: it tells what is left to tell.
    for refusing in [true, true, false] {
        refuses.store(refusing, Ordering::Relaxed);
        let told = recorder.losses().len();
        lost = on_a_system(async {
            let picky = picky.clone();
            let plans = vec![recorder.plan("recorder"), SinkPlan::new("picky", move || Box::new(picky.clone()))];
            let topology = start(config, plans, Faults::NONE);
            let journal = topology.journal();
            eventually("samples flow", || (topology.books(Stream::Stats).journaled > 50).then_some(())).await;
            if refusing {
                eventually("losses are told", || (recorder.losses().len() > told + 2).then_some(())).await;
            }
            let drained = topology.drain(PATIENCE).await;
            assert!(drained.cut_short.is_empty(), "still running: {:?}", drained.cut_short);
            of_picky(journal.losses())
        });
    }
    let expected = (Some("picky".to_owned()), Stream::Stats, LossReason::Rejected);
    assert_eq!(lost.keys().collect::<Vec<_>>(), [&expected]);
    assert_eq!(of_picky(recorder.losses()), lost, "each once, whoever told it");
}
