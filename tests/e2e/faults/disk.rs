//! The disk of the data folder is full, and has room again.

use std::time::Duration;

use super::report::scenario;
use super::setting::Setting;
use super::world::SINKS;

/// The journal sets 16 MiB of it aside.
const DISK: u64 = 64 << 20;

#[test]
fn a_full_disk_stops_what_needs_it_and_all_goes_on_when_there_is_room() {
    scenario("disk full", |chance| {
        let (times, longest) = chance.scale((1, 3000), (5, 20_000));
        let mut world = Setting::new(chance).on_a_disk_of(DISK).begin();
        for _ in 0..times {
            world.flows_into(&SINKS, chance.number(1..300));
            world.disk_is_full();
            world.lasts(chance.millis(1000..longest), &[]);
            world.disk().clear();
            world.recovers(&SINKS);
            world.flows_into(&SINKS, 100);
        }
        world.end(format!(
            "data folder full to the last byte, {times} times, for at most {:?}",
            Duration::from_millis(longest)
        ))
    });
}
