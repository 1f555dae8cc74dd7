//! Panics in every stage, one after the other, under load. Afterwards the books balance, to the record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use model::{LossReason, Stream};
use pipeline::faults::{Faults, Point};
use simulator::Profile;

use crate::pipeline::{PATIENCE, Recorder, Simulated, count, eventually, on_a_system, sqlite, start};

/// Panics at a point as often as it is told to.
#[derive(Clone, Default)]
pub struct Saboteur {
    orders: Arc<Mutex<HashMap<Point, u32>>>,
}

impl Saboteur {
    pub fn faults(&self) -> Faults {
        let saboteur = self.clone();
        Faults::armed(move |point| {
            let is_due = match saboteur.orders.lock().unwrap().get_mut(&point) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            };
            assert!(!is_due, "sabotage at {point:?}");
        })
    }

    pub fn order(&self, point: Point, panics: u32) {
        self.orders.lock().unwrap().insert(point, panics);
    }

    pub fn is_done(&self, point: Point) -> bool {
        self.orders.lock().unwrap().get(&point) == Some(&0)
    }
}

/// How often each stage panics. The budgets of the groups are 5 (delivery), 20 (parsing) and 10 (a host)
/// in a minute; none is to be exceeded here.
const PANICS: [(Point, u32); 11] = [
    (Point::Parser, 6),
    (Point::ParserChunk, 6),
    (Point::Batcher, 1),
    (Point::BatcherHandOver, 1),
    (Point::Journal, 1),
    (Point::SinkBefore, 1),
    (Point::SinkAfter, 1),
    (Point::StatsStream, 6),
    (Point::EventMonitor, 2),
    (Point::Inventory, 2),
    (Point::StreamSet, 2),
];

#[test]
fn a_panic_in_each_stage_under_load_loses_only_what_was_in_hand_and_the_books_balance() {
    let world = Simulated::new(
        |engine| engine.engine(Profile::Docker20).containers(50).churn(20.0),
        &[("DOCKSTREAM_COLLECT_DISCOVERY_INTERVAL", "1s"), ("DOCKSTREAM_RETRY_MIN", "10ms")],
    );
    let config = &world.config;
    let (saboteur, recorder) = (Saboteur::default(), Recorder::default());
    let report = on_a_system(async {
        let topology = start(config, vec![sqlite(config), recorder.plan("recorder")], saboteur.faults());
        eventually("samples flow", || (topology.books(Stream::Stats).journaled > 500).then_some(())).await;
        for (point, panics) in PANICS {
            saboteur.order(point, panics);
            eventually(&format!("{point:?} panics {panics} times"), || saboteur.is_done(point).then_some(())).await;
            let journaled = topology.books(Stream::Stats).journaled;
            eventually(&format!("samples flow after {point:?}"), || {
                (topology.books(Stream::Stats).journaled > journaled + 200).then_some(())
            })
            .await;
        }
        let restarts: u64 = topology.tree().restarts().iter().map(|(_, count)| count).sum();
        // Books are lent out: they are read when nothing runs any more.
        let (books, journal) = (topology.all_books(), topology.journal());
        let drained = topology.drain(PATIENCE).await;
        (drained, books, journal, restarts)
    });
    let (drained, books, journal, restarts) = report;
    assert!(drained.cut_short.is_empty(), "still running: {:?}", drained.cut_short);
    let panics: u64 = PANICS.iter().map(|(_, panics)| u64::from(*panics)).sum();
    assert!(restarts >= panics, "{restarts} restarts after {panics} panics");

    for stream in Stream::ALL {
        let books = books.of(stream);
        assert!(books.is_settled(), "{books:?}");
    }
    let stats = books.of(Stream::Stats);
    let lost =
        |drops: &[(LossReason, u64)], reason| drops.iter().find(|(of, _)| *of == reason).map_or(0, |(_, count)| *count);
    // What a parser has in hand may be an event or a state as well.
    let in_hand: u64 =
        Stream::ALL.iter().map(|stream| lost(&books.of(*stream).dropped_before_parsing, LossReason::Panic)).sum();
    assert!(in_hand >= 6 + 6, "{in_hand} lost in the hands of Parser and StatsStream");
    assert!(lost(&stats.dropped_after_parsing, LossReason::Panic) > 0, "records in hand: {stats:?}");
    for sink in journal.books() {
        assert_eq!(sink.journaled, sink.delivered + sink.rejected + sink.dropped + sink.pending, "{sink:?}");
        assert_eq!((sink.pending, sink.dropped, sink.rejected), (0, 0, 0), "{sink:?}");
        let journaled: u64 = Stream::ALL.iter().map(|stream| books.of(*stream).journaled).sum();
        assert_eq!(sink.delivered, journaled, "{sink:?}");
    }
    // Every record is there, and where it was sent twice the embedded store has it once.
    let (distinct, repeated) = recorder.rows(Stream::Stats);
    assert_eq!(distinct, stats.journaled);
    assert_eq!(count(config, "SELECT count(*) FROM container_stats"), stats.journaled);
    assert_eq!(count(config, "SELECT count(*) FROM container_events"), books.of(Stream::Events).journaled);
    eprintln!(
        "{} frames received, {} journaled, {restarts} restarts, {repeated} rows sent again",
        stats.received, stats.journaled
    );
}

#[test]
fn a_stage_that_fails_over_and_over_has_its_group_built_anew_and_data_flows_again() {
    let world = Simulated::new(
        |engine| engine.containers(10),
        &[("DOCKSTREAM_RETRY_MIN", "5ms"), ("DOCKSTREAM_RETRY_MAX", "20ms")],
    );
    let config = &world.config;
    let (saboteur, recorder) = (Saboteur::default(), Recorder::default());
    on_a_system(async {
        let topology = start(config, vec![recorder.plan("recorder")], saboteur.faults());
        eventually("samples flow", || (topology.books(Stream::Stats).journaled > 100).then_some(())).await;
        saboteur.order(Point::Batcher, 6);
        eventually("the delivery group gives up", || {
            let view = topology.tree().view();
            (view.children.iter().any(|group| group.name == "delivery" && group.restarts == 1)).then_some(())
        })
        .await;
        let journaled = topology.books(Stream::Stats).journaled;
        eventually("samples flow again", || (topology.books(Stream::Stats).journaled > journaled + 100).then_some(()))
            .await;
        let (books, journal) = (topology.all_books(), topology.journal());
        let drained = topology.drain(PATIENCE).await;
        assert!(drained.cut_short.is_empty(), "still running: {:?}", drained.cut_short);
        assert!(books.of(Stream::Stats).is_settled(), "{:?}", books.of(Stream::Stats));
        assert_eq!(recorder.rows(Stream::Stats).0, books.of(Stream::Stats).journaled);
        assert!(journal.books().iter().all(|sink| sink.pending == 0));
    });
}
