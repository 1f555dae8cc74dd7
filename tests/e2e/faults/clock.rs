//! Clocks are stepped: dockstream's own, and the engine's.

use std::time::Duration;

use super::report::scenario;
use super::setting::Setting;
use super::world::SINKS;

/// Seconds from the true time.
const OFFSETS: [i64; 7] = [90, -90, 2 * 3600, -2 * 3600, 26 * 3600, -26 * 3600, 0];

#[test]
fn clocks_that_are_stepped_cost_no_record_and_double_none() {
    scenario("clocks stepped", |chance| {
        let rounds = chance.scale(1, 4);
        let mut world = Setting::new(chance).with_a_clock().begin();
        let mut steps = 0;
        for _ in 0..rounds {
            for offset in chance.shuffled(OFFSETS.to_vec()) {
                world.clock().step(offset);
                world.flows_into(&SINKS, 100);
                steps += 1;
            }
            for offset in chance.shuffled(OFFSETS.to_vec()) {
                let by = Duration::from_secs(offset.unsigned_abs());
                if offset < 0 {
                    world.control().clock_behind(by)
                } else {
                    world.control().clock_ahead(by)
                }
                world.flows_into(&SINKS, 100);
                steps += 1;
            }
        }
        world.recovers(&SINKS);
        world.end(format!("its clock and the engine's, {steps} steps of 90 s to 52 h, forward and backward"))
    });
}
