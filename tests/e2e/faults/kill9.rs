//! Dockstream is killed, at any moment.

use super::report::scenario;
use super::setting::Setting;

#[test]
fn a_dockstream_that_is_killed_at_any_moment_delivers_every_journaled_record_once() {
    scenario("dockstream killed", |chance| {
        let (kills, longest) = chance.scale((3, 1500), (20, 6000));
        let mut world = Setting::new(chance).begin();
        for kill in 1..=kills {
            std::thread::sleep(chance.millis(0..longest));
            world.kill9();
            // One in four dies again while it starts.
            if chance.number(0..4) == 0 || kill == kills {
                world.starts_and_dies(chance.millis(0..400));
            }
            world.start_again();
        }
        world.recovers(&["sqlite", "kafka", "clickhouse"]);
        world.end(format!("kill -9 of dockstream, {kills} times, also while it starts"))
    });
}
