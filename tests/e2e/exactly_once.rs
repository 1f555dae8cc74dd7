//! Kafka in transactions: a read-committed consumer sees each record once, whoever is killed in between.

use std::time::Duration;

use simulator::Simulator;
use test_support::{Kafka, unique, wait_until};

use crate::binary::{Dockstream, Launch, SOON};
use crate::stores::{self, assert_same, by_identity, stats_columns};

fn count(dockstream: &Dockstream, what: &str) -> u64 {
    dockstream.sink("kafka")[what].as_u64().expect("a number")
}

fn goes_on(dockstream: &Dockstream, more: u64) {
    let before = count(dockstream, "delivered");
    wait_until(SOON, &format!("kafka gets {more} more than {before}"), || {
        count(dockstream, "delivered") >= before + more
    });
}

#[test]
fn kills_of_dockstream_and_of_the_broker_lose_and_double_nothing() {
    let engine = Simulator::host("simulated").containers(20).interval(Duration::from_millis(100));
    let engine = engine.start().expect("a simulated host");
    let (broker, prefix) = (Kafka::start(), format!("{}.", unique("once")));
    let config = format!(
        "[collect]\nmode = \"stream\"\nstats_interval = \"100ms\"\n[batch]\nage = \"50ms\"\n[retry]\nmin = \"50ms\"\nmax = \"500ms\"\n\
         [sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 3\nexactly_once = true\n",
        broker.bootstrap()
    );
    let mut launch = Launch::watching(engine.socket(), &config);
    for more in [50, 130, 210] {
        let dockstream = launch.start();
        goes_on(&dockstream, more);
        launch = Launch::again(&dockstream.kill9());
    }
    let dockstream = launch.start();
    goes_on(&dockstream, 50);
    broker.kill9();
    let failures = count(&dockstream, "failures");
    wait_until(SOON, "the broker is missed", || count(&dockstream, "failures") > failures);
    broker.restart();
    goes_on(&dockstream, 200);
    dockstream.catches_up("kafka");
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let columns = stats_columns();
    let sent = stores::topic(broker.bootstrap(), &format!("{prefix}stats"));
    // Panics where one is there twice.
    let sent = by_identity(sent.iter().map(|sent| sent.row(&columns)).collect());
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &columns));
    assert_same(&kept, &sent, "SQLite and Kafka");
}
