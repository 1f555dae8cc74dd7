//! The broker is killed, and comes back.

use super::report::scenario;
use super::setting::Setting;

#[test]
fn a_broker_that_is_killed_and_comes_back_has_every_record_once() {
    scenario("broker killed", |chance| {
        let (kills, longest) = chance.scale((1, 1500), (10, 20_000));
        let mut world = Setting::new(chance).with_its_own_servers().begin();
        for _ in 0..kills {
            // Killed in the middle of things.
            world.flows_into(&["kafka"], chance.number(1..400));
            world.kafka.kill9();
            world.lasts(chance.millis(500..longest), &["sqlite", "clickhouse"]);
            world.kafka.restart();
            world.recovers(&["kafka"]);
        }
        world.end(format!("kill -9 of the broker, {kills} ×, and started again"))
    });
}
