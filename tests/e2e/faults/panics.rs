//! Every stage panics while something else is wrong.

use std::time::Duration;

use pipeline::faults::Point;
use test_support::Line;

use super::chance::Chance;
use super::report::{Outcome, scenario};
use super::setting::Setting;
use super::world::{SINKS, World};
use crate::chaos::Saboteur;

/// The group that delivers is made anew, with all before it, where more than these fail in a minute.
const BUDGET: usize = 5;

/// The points of this run, in any order, in rounds a minute apart: each one that there is, in a short run those for which there
/// is time.
fn rounds(chance: &mut Chance) -> Vec<Vec<Point>> {
    let (delivering, others): (Vec<Point>, Vec<Point>) = Point::ALL.into_iter().partition(|point| point.delivers());
    let delivering = chance.shuffled(delivering);
    let (now, later) = delivering.split_at(BUDGET);
    let first = chance.shuffled([others.as_slice(), now].concat());
    chance.scale(vec![first.clone()], vec![first, later.to_vec()])
}

/// Lets stages panic, each once, while `begin` has happened and `end` has not.
fn play(
    chance: &mut Chance,
    what: &str,
    setting: impl FnOnce(Setting) -> Setting,
    begin: impl FnOnce(&mut World),
    end: impl FnOnce(&mut World),
) -> Outcome {
    let saboteur = Saboteur::default();
    let mut world = setting(Setting::new(chance)).begin_inside(saboteur.faults());
    world.panics_happen();
    world.flows_into(&SINKS, chance.number(1..300));
    begin(&mut world);
    let rounds = rounds(chance);
    for (number, round) in rounds.iter().enumerate() {
        if number > 0 {
            std::thread::sleep(Duration::from_secs(61));
        }
        for point in round {
            saboteur.order(*point, 1);
            std::thread::sleep(chance.millis(0..200));
        }
    }
    let longest = chance.scale(1500, 10_000);
    std::thread::sleep(chance.millis(500..longest));
    end(&mut world);
    let points = rounds.concat();
    let left = || points.iter().filter(|point| !saboteur.is_done(**point)).collect::<Vec<_>>();
    world.waits_until("every stage has panicked", |_| left().is_empty());
    world.recovers(&SINKS);
    world.flows_into(&SINKS, 100);
    world.end(format!("a panic at each of {} points while {what}", points.len()))
}

#[test]
fn a_panic_in_each_stage_while_the_broker_is_down() {
    scenario("panics, broker killed", |chance| {
        let begin = |world: &mut World| world.kafka.kill9();
        play(chance, "the broker is down", Setting::with_its_own_servers, begin, |world| world.kafka.restart())
    });
}

#[test]
fn a_panic_in_each_stage_while_clickhouse_is_down() {
    scenario("panics, ClickHouse down", |chance| {
        let begin = |world: &mut World| world.clickhouse.kill9();
        play(chance, "ClickHouse is down", Setting::with_its_own_servers, begin, |world| world.clickhouse.restart())
    });
}

#[test]
fn a_panic_in_each_stage_while_the_network_fails() {
    scenario("panics, network", |chance| {
        let begin = |world: &mut World| {
            world.lines().kafka.set(Line::Deaf);
            world.lines().clickhouse.set(Line::Brittle { after: 5000 });
        };
        let end = |world: &mut World| {
            for line in [&world.lines().kafka, &world.lines().clickhouse] {
                line.reset();
                line.set(Line::Clear);
            }
        };
        play(chance, "answers of Kafka are lost and inserts are torn", Setting::with_lines, begin, end)
    });
}

#[test]
fn a_panic_in_each_stage_while_the_engine_is_out_of_reach() {
    scenario("panics, engine away", |chance| {
        let begin = |world: &mut World| {
            world.engine_goes_away();
            world.lines().engine.set(Line::Cut);
        };
        let end = |world: &mut World| {
            world.lines().engine.set(Line::Clear);
            world.samples_of_every_container_come();
        };
        play(chance, "the engine is out of reach", Setting::with_lines, begin, end)
    });
}

#[test]
fn a_panic_in_each_stage_while_the_disk_is_full() {
    scenario("panics, disk full", |chance| {
        let begin = |world: &mut World| world.disk_is_full();
        play(chance, "the disk is full", |setting| setting.on_a_disk_of(64 << 20), begin, |world| world.disk().clear())
    });
}

#[test]
fn a_panic_in_each_stage_while_the_clock_is_stepped() {
    scenario("panics, clock stepped", |chance| {
        let begin = |world: &mut World| world.control().clock_behind(Duration::from_secs(3600));
        let end = |world: &mut World| world.control().clock_ahead(Duration::from_secs(3600));
        play(chance, "the engine's clock is stepped", |setting| setting, begin, end)
    });
}
