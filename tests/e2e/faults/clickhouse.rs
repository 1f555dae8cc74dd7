//! ClickHouse is down while a thousand containers flow.

use std::time::Duration;

use super::report::scenario;
use super::setting::Setting;

#[test]
fn a_clickhouse_that_is_down_while_a_thousand_containers_flow_has_every_record_once_it_is_back() {
    scenario("ClickHouse down", |chance| {
        let minutes = Duration::from_secs(60);
        let away = chance.scale(Duration::from_secs(5), 4 * minutes);
        let mut world = Setting::new(chance).with_its_own_servers().containers(1000, Duration::from_secs(1)).begin();
        world.flows_into(&["clickhouse"], chance.number(1..2000));
        world.clickhouse.kill9();
        world.lasts(away, &["sqlite", "kafka"]);
        world.clickhouse.restart();
        world.recovers(&["clickhouse"]);
        let seconds = away.as_secs();
        world.end(format!("down for {seconds} s while 1 000 containers flow, a sample a second of each"))
    });
}
