//! The network between dockstream and a server is cut, slowed, silenced, reset in the middle, left half open.

use test_support::Line;

use super::chance::Chance;
use super::report::{Outcome, scenario};
use super::setting::Setting;
use super::stir::PAUSE;
use super::world::{SINKS, World};

/// What happens to a line.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Connections are reset, and new ones refused.
    Cut,
    /// Nothing passes any more, and then again.
    Silence,
    /// Nothing passes any more, and then connections are reset.
    SilenceAndReset,
    /// What is sent arrives, the answers do not, and then connections are reset.
    LostAnswers,
    /// Everything is late and thin.
    Slowness,
    /// Connections are reset in the middle of what is sent.
    Brittleness,
    /// Connections stay open and carry nothing any more; new ones are well.
    HalfOpen,
}

impl Trouble {
    /// What a short run has time for: a half open connection is seen when the client's patience ends, after half a minute.
    pub const BRIEF: [Self; 6] =
        [Self::Cut, Self::Silence, Self::SilenceAndReset, Self::LostAnswers, Self::Slowness, Self::Brittleness];
    pub const ALL: [Self; 7] = [
        Self::Cut,
        Self::Silence,
        Self::SilenceAndReset,
        Self::LostAnswers,
        Self::Slowness,
        Self::Brittleness,
        Self::HalfOpen,
    ];

    /// Those of this run, in any order.
    pub fn of_this_run(chance: &mut Chance) -> Vec<Self> {
        let all = chance.scale(Self::BRIEF.to_vec(), [Self::ALL, Self::ALL].concat());
        chance.shuffled(all)
    }

    /// How the line is meanwhile.
    pub fn line(self, chance: &mut Chance) -> Line {
        match self {
            Self::Cut => Line::Cut,
            Self::Silence | Self::SilenceAndReset => Line::Silent,
            Self::LostAnswers => Line::Deaf,
            Self::Slowness => Line::Slow {
                delay: chance.millis(20..200),
                rate: u32::try_from(chance.number(20_000..200_000)).expect("it fits"),
            },
            Self::Brittleness => Line::Brittle { after: chance.number(1..60_000) },
            Self::HalfOpen => Line::Clear,
        }
    }
}

fn play(chance: &mut Chance, sink: &'static str) -> Outcome {
    let others: Vec<&str> = SINKS.into_iter().filter(|other| *other != sink).collect();
    let longest = chance.scale(800, 15_000);
    let mut world = Setting::new(chance).with_lines().begin();
    let troubles = Trouble::of_this_run(chance);
    for trouble in &troubles {
        world.flows_into(&[sink], chance.number(1..300));
        befall(&mut world, chance, sink, *trouble);
        world.lasts(chance.millis(300..longest), &others);
        let line = world.lines().to(sink);
        if matches!(trouble, Trouble::SilenceAndReset | Trouble::LostAnswers) {
            line.reset();
        }
        line.set(Line::Clear);
        world.recovers(&[sink]);
    }
    world.end(format!(
        "cut, silent, reset, deaf, slow, brittle{}: {} times",
        chance.scale("", ", half open"),
        troubles.len()
    ))
}

fn befall(world: &mut World, chance: &mut Chance, sink: &str, trouble: Trouble) {
    let line = world.lines().to(sink);
    if matches!(trouble, Trouble::HalfOpen) {
        line.abandon();
    }
    line.set(trouble.line(chance));
}

#[test]
fn a_network_that_fails_before_kafka_costs_no_record_and_doubles_none() {
    scenario("network to Kafka", |chance| play(chance, "kafka"));
}

#[test]
fn a_network_that_fails_before_clickhouse_costs_no_record_and_doubles_none() {
    scenario("network to ClickHouse", |chance| play(chance, "clickhouse"));
}

#[test]
fn a_network_that_fails_before_the_engine_costs_what_it_carried_and_no_event() {
    scenario("network to the engine", |chance| {
        // The engine remembers the events of so long: a half open connection is noticed after 30 s.
        let (longest, restarts) = chance.scale((800, PAUSE), (8000, 4 * PAUSE));
        let mut world = Setting::new(chance).with_lines().restarts_every(restarts).begin();
        world.engine_goes_away();
        let troubles = Trouble::of_this_run(chance);
        for trouble in &troubles {
            world.flows_into(&["sqlite"], chance.number(1..300));
            let line = &world.lines().engine;
            if matches!(trouble, Trouble::HalfOpen) {
                line.abandon();
            }
            line.set(trouble.line(chance));
            std::thread::sleep(chance.millis(300..longest));
            if matches!(trouble, Trouble::SilenceAndReset | Trouble::LostAnswers) {
                line.reset();
            }
            line.set(Line::Clear);
            world.samples_of_every_container_come();
        }
        world.end(format!(
            "cut, silent, reset, deaf, slow, brittle{}: {} times",
            chance.scale("", ", half open"),
            troubles.len()
        ))
    });
}
