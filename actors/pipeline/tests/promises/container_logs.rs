//! Every line of a container comes once and in order, whatever restarts, and no container's lines cost another's.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerState, LogRecord, LogStream, LossReason, Stream, Timestamp};
use pipeline::faults::{Faults, Point};
use pipeline::log_stream::{FirstSight, LABEL, LogPositions, LogSelection, RateLimit};
use pipeline::ports::EngineFailure;
use tokio::time::sleep;

use crate::engine::{FakeEngine, event, id, record};
use crate::world::{LineFate, MINUTE, Options, World, millis, seconds};

fn all() -> Options {
    Options { logs: LogSelection { all: true }, ..Options::default() }
}

/// The lines that came, of one container.
fn lines(world: &World, number: u32) -> Vec<String> {
    world.seen(|seen| {
        let own = seen.logs.iter().filter(|line| line.meta.container_id == id(number));
        own.map(|line| line.line.clone()).collect()
    })
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn write(engine: &FakeEngine, container: u32, range: std::ops::Range<u32>) {
    range.for_each(|number| engine.writes(container, LogStream::Stdout, &number.to_string()));
}

/// The fate of lines that come for the first time; then they are journaled.
fn at_first(fate: fn(u32) -> Option<LineFate>) -> impl Fn(&LogRecord) -> LineFate {
    let came = Mutex::new(HashSet::new());
    move |line| {
        let is_first = came.lock().unwrap().insert(line.line.clone());
        fate(line.line.parse().unwrap()).filter(|_| is_first).unwrap_or(LineFate::Journaled)
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| line.parse::<u32>().unwrap());
    lines
}

async fn wait_for_lines(world: &World, number: u32, expected: Vec<String>) {
    wait_for("lines", || lines(world, number).len() >= expected.len()).await;
    sleep(seconds(5)).await;
    assert_eq!(lines(world, number), expected);
}

#[test]
fn logs_are_read_only_where_they_are_wanted_and_the_label_wins() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let mut labelled = record(1, ContainerState::Running, 1);
        labelled.labels.insert(LABEL.into(), "true".into());
        engine.put(labelled);
        let world = World::start(&engine, Options { first_sight: FirstSight::All, ..Options::default() });
        write(&engine, 0, 0..3);
        write(&engine, 1, 0..3);
        wait_for_lines(&world, 1, numbers(0..3)).await;
        assert!(lines(&world, 0).is_empty());
        world.end().await;
    });
}

#[test]
fn what_was_written_before_the_first_sight_is_read_only_where_all_is_wanted() {
    for (first_sight, expected) in [(FirstSight::Now, numbers(5..8)), (FirstSight::All, numbers(0..8))] {
        run(async {
            let engine = FakeEngine::new();
            engine.running(0..1);
            write(&engine, 0, 0..5);
            sleep(seconds(10)).await;
            let world = World::start(&engine, Options { first_sight, ..all() });
            sleep(seconds(10)).await;
            write(&engine, 0, 5..8);
            wait_for_lines(&world, 0, expected).await;
            world.end().await;
        });
    }
}

#[test]
fn a_container_that_appears_later_is_read_from_its_first_line_and_to_its_last() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let world = World::start(&engine, all());
        sleep(seconds(5)).await;
        // It has ended before anybody looks.
        write(&engine, 7, 0..3);
        engine.put(record(7, ContainerState::Exited, 2_000_000));
        feed.send(event(7, "start", 1_000_005_000)).await.unwrap();
        feed.send(event(7, "die", 1_000_005_000)).await.unwrap();
        wait_for_lines(&world, 7, numbers(0..3)).await;
        world.end().await;
    });
}

#[test]
fn the_first_lines_of_the_first_container_are_read_although_nothing_was_followed_before() {
    run(async {
        let engine = FakeEngine::new();
        let world = World::start(&engine, Options { discovery: seconds(5), ..Options::default() });
        sleep(10 * MINUTE).await;
        write(&engine, 0, 0..3);
        sleep(seconds(3)).await;
        let mut labelled = record(0, ContainerState::Running, 1_000_600);
        labelled.labels.insert(LABEL.into(), "true".into());
        engine.put(labelled);
        wait_for_lines(&world, 0, numbers(0..3)).await;
        world.end().await;
    });
}

#[test]
fn a_restart_of_the_container_loses_no_line_and_repeats_none() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let world = World::start(&engine, all());
        sleep(seconds(2)).await;
        write(&engine, 0, 0..10);
        sleep(seconds(1)).await;
        // The last line of the run comes with its end.
        write(&engine, 0, 10..11);
        engine.put(record(0, ContainerState::Exited, 1));
        feed.send(event(0, "die", 1_000_003_000)).await.unwrap();
        sleep(seconds(20)).await;
        engine.put(record(0, ContainerState::Running, 1_000_023));
        feed.send(event(0, "start", 1_000_023_000)).await.unwrap();
        write(&engine, 0, 11..20);
        wait_for_lines(&world, 0, numbers(0..20)).await;
        let runs = world.seen(|seen| seen.logs.iter().map(|line| line.meta.run).collect::<Vec<_>>());
        assert_eq!(runs[10], Some(Timestamp::from_millis(1_000)));
        assert_eq!(runs[19], Some(Timestamp::from_millis(1_000_023_000)));
        let (calls, _) = (engine.calls("logs"), sleep(MINUTE).await);
        assert_eq!(engine.calls("logs"), calls, "a log that is followed is not opened again and again");
        world.end().await;
    });
}

#[test]
fn an_engine_that_goes_away_for_a_while_costs_no_line() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        let world = World::start(&engine, all());
        sleep(seconds(2)).await;
        for round in 0..4 {
            (0..3).for_each(|container| write(&engine, container, round * 10..round * 10 + 5));
            engine.go_down(true);
            sleep(seconds(7)).await;
            (0..3).for_each(|container| write(&engine, container, round * 10 + 5..round * 10 + 10));
            engine.go_down(false);
            sleep(seconds(20)).await;
        }
        for container in 0..3 {
            wait_for_lines(&world, container, numbers(0..40)).await;
        }
        world.end().await;
    });
}

#[test]
fn a_new_life_goes_on_behind_the_lines_that_the_journal_has() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        // The journal keeps the first three lines of one of them, and all of the other.
        let lines_of = |number: u32| move |line: &&LogRecord| line.meta.container_id == id(number);
        let fate = |line: &LogRecord| {
            let is_kept = line.meta.container_id != id(0) || ["0", "1", "2"].contains(&line.line.as_str());
            if is_kept { LineFate::Journaled } else { LineFate::Held }
        };
        let first = World::start(&engine, Options { lines: Arc::new(fate), ..all() });
        sleep(seconds(2)).await;
        // Two hands, and lines of the same nanosecond.
        let moment = engine.now();
        for number in 0..6 {
            engine.wrote(
                0,
                moment,
                if number % 2 == 0 { LogStream::Stdout } else { LogStream::Stderr },
                &number.to_string(),
            );
        }
        write(&engine, 1, 0..4);
        wait_for("lines", || lines(&first, 0).len() + lines(&first, 1).len() == 7).await;
        sleep(seconds(1)).await;
        let marks = first.seen(|seen| seen.marks.clone());
        first.end().await;
        write(&engine, 1, 4..6);
        engine.running(2..3);
        write(&engine, 2, 0..2);

        let second = World::start(&engine, Options { marks, ..all() });
        wait_for_lines(&second, 0, numbers(3..6)).await;
        wait_for_lines(&second, 1, numbers(4..6)).await;
        wait_for_lines(&second, 2, numbers(0..2)).await;
        let ordinals =
            second.seen(|seen| seen.logs.iter().filter(lines_of(0)).map(|line| line.ordinal).collect::<Vec<_>>());
        assert_eq!(ordinals, [1, 2, 2], "a line keeps its name");
        second.end().await;
    });
}

#[test]
fn a_stream_that_panics_reads_the_lines_in_its_hand_again() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let strikes = AtomicU32::new(0);
        let faults = Faults::armed(move |point| {
            if point == Point::LogStream && strikes.fetch_add(1, Ordering::Relaxed) % 20 == 7 {
                std::panic::resume_unwind(Box::new("as told"));
            }
        });
        let world = World::start(&engine, Options { faults, ..all() });
        sleep(seconds(2)).await;
        for number in 0..60 {
            engine.writes(0, LogStream::Stdout, &number.to_string());
            sleep(seconds(1)).await;
        }
        wait_for_lines(&world, 0, numbers(0..60)).await;
        assert!(world.restarts().0 >= 2);
        let books = world.books.of(Stream::Logs);
        assert_eq!((books.received, books.parsed), (60, 60));
        world.end().await;
    });
}

#[test]
fn lines_that_are_lost_behind_the_stream_are_read_again_and_come_once() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let fate = at_first(|number| match number {
            20..35 | 60 | 100..110 | 199 => Some(LineFate::Lost),
            _ => None,
        });
        let world = World::start(&engine, Options { lines: Arc::new(fate), ..all() });
        sleep(seconds(2)).await;
        for round in 0..10 {
            write(&engine, 0, round * 20..round * 20 + 20);
            sleep(seconds(1)).await;
        }
        // These are the last of their run, and nothing comes behind them.
        engine.put(record(0, ContainerState::Exited, 1));
        wait_for("lines", || lines(&world, 0).len() >= 200).await;
        sleep(MINUTE).await;
        assert_eq!(sorted(lines(&world, 0)), numbers(0..200));
        let books = world.books.of(Stream::Logs);
        assert_eq!((books.received, books.journaled), (227, 200));
        let marks = world.seen(|seen| seen.marks.clone());
        assert!(marks.values().all(|mark| !String::from_utf8_lossy(mark).contains("kept")), "{marks:?}");
        world.end().await;
    });
}

#[test]
fn the_last_lines_of_a_run_are_read_again_where_they_were_lost() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let fate = at_first(|number| (number == 4).then_some(LineFate::Lost));
        let world = World::start(&engine, Options { lines: Arc::new(fate), ..all() });
        sleep(seconds(2)).await;
        world.open_gate(false);
        write(&engine, 0, 0..5);
        engine.put(record(0, ContainerState::Exited, 1));
        feed.send(event(0, "die", 1_000_003_000)).await.unwrap();
        sleep(MINUTE).await;
        world.open_gate(true);
        wait_for_lines(&world, 0, numbers(0..5)).await;
        let (calls, _) = (engine.calls("logs"), sleep(10 * MINUTE).await);
        assert_eq!(engine.calls("logs"), calls, "then it is over");
        world.end().await;
    });
}

#[test]
fn a_line_that_is_lost_again_and_again_is_given_up_and_the_log_goes_on() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let fate = |line: &LogRecord| if line.line == "7" { LineFate::Lost } else { LineFate::Journaled };
        let world = World::start(&engine, Options { lines: Arc::new(fate), ..all() });
        sleep(seconds(2)).await;
        for number in 0..20 {
            write(&engine, 0, number..number + 1);
            sleep(millis(10)).await;
        }
        let expected: Vec<_> = numbers(0..20).into_iter().filter(|line| line != "7").collect();
        wait_for("lines", || lines(&world, 0).len() >= 19).await;
        sleep(MINUTE).await;
        assert_eq!(sorted(lines(&world, 0)), expected);
        assert_eq!(world.lost(Stream::Logs, LossReason::Panic), 2);
        world.end().await;
    });
}

#[test]
fn a_life_that_ends_between_a_loss_and_its_repair_leaves_both_to_the_next() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        // Lines 3 to 5 are lost once; when they come again the journal takes nothing more.
        let tries = Mutex::new(HashMap::new());
        let fate = move |line: &LogRecord| {
            let mut tries = tries.lock().unwrap();
            let tried = tries.entry(line.line.clone()).or_insert(0);
            *tried += 1;
            match (line.line.as_str(), *tried) {
                ("3" | "4" | "5", 1) => LineFate::Lost,
                ("3" | "4" | "5", _) => LineFate::Held,
                _ => LineFate::Journaled,
            }
        };
        let first = World::start(&engine, Options { lines: Arc::new(fate), ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..10);
        wait_for("lines", || lines(&first, 0).len() == 7).await;
        sleep(seconds(5)).await;
        let (marks, kept) = (first.seen(|seen| seen.marks.clone()), lines(&first, 0));
        first.end().await;
        write(&engine, 0, 10..12);
        let second = World::start(&engine, Options { marks, ..all() });
        wait_for("lines", || lines(&second, 0).len() >= 5).await;
        sleep(seconds(5)).await;
        assert_eq!(sorted([kept, lines(&second, 0)].concat()), numbers(0..12));
        second.end().await;
    });
}

#[test]
fn a_clock_that_was_set_back_hides_no_line_and_a_rotated_log_goes_on() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let first = World::start(&engine, all());
        sleep(seconds(2)).await;
        write(&engine, 0, 0..5);
        wait_for_lines(&first, 0, numbers(0..5)).await;
        let marks = first.seen(|seen| seen.marks.clone());
        first.end().await;
        engine.set_clock(-3_600);
        write(&engine, 0, 5..10);
        let second = World::start(&engine, Options { marks, ..all() });
        wait_for_lines(&second, 0, numbers(5..10)).await;
        // While it is followed, too; a life that begins now goes on behind it.
        write(&engine, 0, 10..12);
        wait_for_lines(&second, 0, numbers(5..12)).await;
        let marks = second.seen(|seen| seen.marks.clone());
        second.end().await;
        write(&engine, 0, 12..15);
        engine.rotate(0, 13);
        let third = World::start(&engine, Options { marks, ..all() });
        wait_for_lines(&third, 0, numbers(13..15)).await;
        let metrics = third.metrics.text();
        assert!(metrics.contains("dockstream_log_gaps_total{host=\"h\"} 1"), "lines are gone: {metrics}");
        third.end().await;
    });
}

#[test]
fn while_the_pipeline_is_full_the_engine_waits_with_logs_and_stats_go_on() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let world = World::start(&engine, all());
        sleep(seconds(2)).await;
        world.open_gate(false);
        write(&engine, 0, 0..5_000);
        sleep(seconds(30)).await;
        let told = engine.told_lines();
        assert!(told < 1_000, "{told} lines were read ahead");
        world.open_gate(true);
        wait_for_lines(&world, 0, numbers(0..5_000)).await;
        assert!(world.books.of(Stream::Logs).dropped_before_parsing.is_empty());
        world.end().await;
    });
}

#[test]
fn a_container_that_floods_is_cut_to_its_rate_counted_and_another_is_not() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let world = World::start(&engine, Options { rate: RateLimit::new(10), ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..1_000);
        write(&engine, 1, 0..50);
        wait_for_lines(&world, 1, numbers(0..50)).await;
        wait_for("the flood", || world.books.of(Stream::Logs).received == 1_050).await;
        assert_eq!(lines(&world, 0), numbers(0..100));
        assert_eq!(world.lost(Stream::Logs, LossReason::RateLimited), 900);
        sleep(seconds(60)).await;
        write(&engine, 0, 2_000..2_010);
        wait_for("the rate again", || lines(&world, 0).len() == 110).await;
        world.end().await;
    });
}

#[test]
fn an_engine_that_forgets_its_follower_is_found_out() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let world = World::start(&engine, Options { quiet: MINUTE, ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..3);
        sleep(seconds(1)).await;
        engine.deafen();
        write(&engine, 0, 3..6);
        sleep(seconds(50)).await;
        assert_eq!(lines(&world, 0), numbers(0..3));
        wait_for_lines(&world, 0, numbers(0..6)).await;
        world.end().await;
    });
}

#[test]
fn a_log_that_cannot_be_read_is_asked_for_once_a_run_and_costs_no_other() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        engine.fail_logs(0, EngineFailure::Request);
        let world = World::start(&engine, all());
        sleep(seconds(2)).await;
        write(&engine, 1, 0..3);
        sleep(10 * MINUTE).await;
        assert!(engine.calls("logs") < 20, "{} calls", engine.calls("logs"));
        assert_eq!(world.restarts(), (0, 0));
        wait_for_lines(&world, 1, numbers(0..3)).await;
        world.end().await;
    });
}

#[test]
fn a_container_that_is_removed_is_read_to_its_end_and_forgotten() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let positions = LogPositions::default();
        let world = World::start(&engine, Options { positions: Some(positions.clone()), ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..100);
        engine.take_away(0);
        feed.send(event(0, "die", 1_000_002_000)).await.unwrap();
        feed.send(event(0, "destroy", 1_000_002_000)).await.unwrap();
        wait_for_lines(&world, 0, numbers(0..100)).await;
        sleep(MINUTE).await;
        assert!(positions.containers().is_empty(), "{positions:?}");
        let (calls, _) = (engine.calls("logs"), sleep(10 * MINUTE).await);
        assert_eq!(engine.calls("logs"), calls);
        world.end().await;
    });
}

#[test]
fn a_drain_leaves_what_is_not_handed_on_to_the_next_life() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let positions = LogPositions::default();
        let world = World::start(&engine, Options { positions: Some(positions.clone()), ..all() });
        sleep(seconds(2)).await;
        world.open_gate(false);
        write(&engine, 0, 0..3_000);
        sleep(seconds(5)).await;
        let seen = world.share();
        let report = world.end().await;
        assert!(report.cut_short.is_empty(), "{report:?}");
        let first = seen.lock().unwrap().logs.len();
        assert!(first < 3_000);
        let second = World::start(&engine, Options { positions: Some(positions), ..all() });
        wait_for("the rest", || first + lines(&second, 0).len() >= 3_000).await;
        sleep(millis(100)).await;
        assert_eq!(lines(&second, 0)[0], first.to_string());
        assert_eq!(lines(&second, 0).len(), 3_000 - first);
        second.end().await;
    });
}
