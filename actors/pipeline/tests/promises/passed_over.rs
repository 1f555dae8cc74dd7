//! The log of a container that is not wanted for a while: what is written then is not read, and nothing comes twice.

use std::collections::BTreeMap;

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerRecord, ContainerState, LogStream};
use pipeline::log_stream::{FirstSight, LogPositions, LogSelection};
use pipeline::ports::Journal;
use pipeline::selection::{Rules, Selection};
use tokio::time::sleep;

use crate::engine::{FakeEngine, id, record};
use crate::world::{MINUTE, Options, World, seconds};

/// A full look every few seconds, so that nobody has to tell of a change.
fn all() -> Options {
    Options { logs: LogSelection { all: true }, discovery: seconds(5), ..Options::default() }
}

/// By now there was a look.
async fn looked() {
    sleep(seconds(10)).await;
}

fn without(names: &[&str], states: &[ContainerState]) -> Options {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    let exclude = Rules { names, states: states.to_vec(), ..Rules::default() };
    Options { selection: Selection { exclude, ..Selection::default() }, ..all() }
}

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

/// A line a second.
async fn writes_on(engine: &FakeEngine, container: u32, range: std::ops::Range<u32>) {
    for number in range {
        write(engine, container, number..number + 1);
        sleep(seconds(1)).await;
    }
}

async fn wait_for_lines(world: &World, number: u32, expected: Vec<String>) {
    wait_for("lines", || lines(world, number).len() >= expected.len()).await;
    sleep(seconds(5)).await;
    assert_eq!(lines(world, number), expected);
}

fn named(number: u32, name: &str) -> ContainerRecord {
    ContainerRecord { container_name: name.into(), ..record(number, ContainerState::Running, 1) }
}

/// What a journal would tell the next life.
fn marks(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut marks = world.seen(|seen| seen.marks.clone());
    marks.extend(world.journal.marks());
    marks
}

#[test]
fn a_container_whose_state_was_not_wanted_for_a_while_loses_no_line_of_a_run_and_repeats_none() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let world = World::start(&engine, without(&[], &[ContainerState::Exited]));
        sleep(seconds(2)).await;
        let (mut written, mut began) = (0, engine.now());
        let at = |state, began| ContainerRecord { started_at: Some(began), ..record(0, state, 1) };
        for _ in 0..3 {
            engine.put(at(ContainerState::Running, began));
            looked().await;
            write(&engine, 0, written..written + 10);
            wait_for_lines(&world, 0, numbers(0..written + 10)).await;
            // The last lines of the run come with its end.
            write(&engine, 0, written + 10..written + 15);
            engine.put(at(ContainerState::Exited, began));
            sleep(2 * MINUTE).await;
            // The first lines of the next run come before it is looked at.
            began = engine.now();
            write(&engine, 0, written + 15..written + 20);
            written += 20;
        }
        engine.put(at(ContainerState::Running, began));
        wait_for_lines(&world, 0, numbers(0..written)).await;
        world.end().await;
    });
}

#[test]
fn what_a_container_writes_while_its_name_is_not_wanted_is_not_read() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let world = World::start(&engine, without(&["tmp-*"], &[]));
        sleep(seconds(2)).await;
        write(&engine, 0, 0..10);
        wait_for_lines(&world, 0, numbers(0..10)).await;
        engine.put(named(0, "tmp-0"));
        looked().await;
        let told = engine.told_lines();
        writes_on(&engine, 0, 100..200).await;
        assert_eq!(engine.told_lines(), told, "nobody asks for them");
        engine.put(named(0, "c0"));
        looked().await;
        write(&engine, 0, 10..20);
        wait_for_lines(&world, 0, numbers(0..20)).await;
        // Whether its connection breaks or not.
        engine.go_down(true);
        sleep(seconds(7)).await;
        write(&engine, 0, 20..25);
        engine.go_down(false);
        wait_for_lines(&world, 0, numbers(0..25)).await;
        world.end().await;
    });
}

#[test]
fn a_container_that_was_never_wanted_before_begins_where_it_comes_in() {
    for (first_sight, expected) in [(FirstSight::Now, numbers(10..20)), (FirstSight::All, numbers(0..20))] {
        run(async {
            let engine = FakeEngine::new();
            engine.put(named(0, "tmp-0"));
            let world = World::start(&engine, Options { first_sight, ..without(&["tmp-*"], &[]) });
            sleep(seconds(2)).await;
            writes_on(&engine, 0, 0..10).await;
            sleep(10 * MINUTE).await;
            assert!(lines(&world, 0).is_empty());
            engine.put(named(0, "web"));
            looked().await;
            write(&engine, 0, 10..20);
            wait_for_lines(&world, 0, expected).await;
            world.end().await;
        });
    }
}

#[test]
fn under_another_selection_and_back_nothing_comes_twice_and_nothing_of_meanwhile() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let positions = Some(LogPositions::default());
        let first = World::start(&engine, Options { positions: positions.clone(), ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..5);
        wait_for_lines(&first, 0, numbers(0..5)).await;
        first.end().await;

        let second = World::start(&engine, Options { positions: positions.clone(), ..without(&["c0"], &[]) });
        sleep(seconds(2)).await;
        writes_on(&engine, 0, 5..200).await;
        assert!(lines(&second, 0).is_empty());
        second.end().await;

        let third = World::start(&engine, Options { positions, ..all() });
        sleep(seconds(2)).await;
        write(&engine, 0, 200..210);
        wait_for_lines(&third, 0, numbers(200..210)).await;
        third.end().await;
    });
}

#[test]
fn a_next_life_reads_on_where_the_one_before_ended_not_where_it_passed_the_container_over() {
    for first_sight in [FirstSight::Now, FirstSight::All] {
        run(async {
            let engine = FakeEngine::new();
            engine.running(0..2);
            let first = World::start(&engine, Options { first_sight, ..without(&["tmp-*"], &[]) });
            sleep(seconds(2)).await;
            write(&engine, 0, 0..5);
            wait_for_lines(&first, 0, numbers(0..5)).await;
            engine.put(named(0, "tmp-0"));
            looked().await;
            writes_on(&engine, 0, 5..100).await;
            sleep(5 * MINUTE).await;
            let kept = marks(&first);
            first.end().await;

            write(&engine, 0, 100..105);
            let second = World::start(&engine, Options { first_sight, marks: kept, ..all() });
            wait_for_lines(&second, 0, numbers(100..105)).await;
            second.end().await;
        });
    }
}

#[test]
fn a_container_that_is_passed_over_and_removed_is_forgotten() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..1);
        let positions = LogPositions::default();
        let options = without(&["tmp-*"], &[]);
        let world = World::start(&engine, Options { positions: Some(positions.clone()), ..options });
        sleep(seconds(2)).await;
        write(&engine, 0, 0..5);
        engine.put(named(0, "tmp-0"));
        looked().await;
        sleep(5 * MINUTE).await;
        assert_eq!(positions.containers(), [id(0)]);
        engine.take_away(0);
        sleep(5 * MINUTE).await;
        assert!(positions.containers().is_empty(), "{positions:?}");
        world.end().await;
    });
}
