//! What the journal keeps outlives the process, however it ends: delivered once by the next one, and never twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use simulator::{Event, SimulatedHost, Simulator};
use test_support::{Kafka, unique, wait_for, wait_until};

use crate::binary::{Dockstream, Finished, Launch, SOON};
use crate::stores::{self, assert_same, by_identity, stats_columns};

const PACE: &str = "[collect]\nmode = \"stream\"\nstats_interval = \"100ms\"\n[batch]\nage = \"50ms\"\n[retry]\nmin = \"50ms\"\nmax = \"500ms\"\n";

/// How long a life tries to deliver at its end.
const GRACE: &str = "DOCKSTREAM_SHUTDOWN_GRACE";

fn simulated(containers: usize) -> SimulatedHost {
    let host = Simulator::host("simulated").containers(containers).interval(Duration::from_millis(100));
    host.start().expect("a simulated host")
}

/// A broker that is away, and a prefix of its own.
fn broker() -> (Kafka, String) {
    let broker = Kafka::start();
    broker.stop();
    (broker, format!("{}.", unique("journal")))
}

fn config(broker: &Kafka, prefix: &str, more: &str) -> String {
    let bootstrap = broker.bootstrap();
    format!(
        "{PACE}[sinks.kafka]\nenabled = true\nbrokers = [\"{bootstrap}\"]\ntopic_prefix = \"{prefix}\"\npartitions = 3\n{more}"
    )
}

fn count(dockstream: &Dockstream, sink: &str, what: &str) -> u64 {
    dockstream.sink(sink)[what].as_u64().expect("a number")
}

fn books(dockstream: &Dockstream, stream: &str) -> Value {
    let pipeline = dockstream.get("/api/pipeline");
    let streams = pipeline["streams"].as_array().into_iter().flatten();
    streams.clone().find(|books| books["stream"] == stream).cloned().unwrap_or_default()
}

/// Waits until the sink has everything, and ends in order.
fn delivered_and_ended(dockstream: Dockstream, sink: &str) -> Finished {
    wait_until(SOON, "it delivers", || count(&dockstream, sink, "delivered") > 0);
    dockstream.catches_up(sink);
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished
}

/// How often each event of type `probe` is in the topic, by its actor.
fn probes(broker: &Kafka, prefix: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for sent in stores::topic(broker.bootstrap(), &format!("{prefix}events")) {
        let event: Value = serde_json::from_str(&sent.value).expect("an event");
        if event["type"] == "probe" {
            *times.entry(event["actor_id"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
    }
    times
}

fn emit(engine: &SimulatedHost, number: usize) {
    engine.control().emit(Event::new("probe", "seen", format!("{number:05}")));
}

/// Events heard of from now on are kept.
fn listening(dockstream: &Dockstream, engine: &SimulatedHost) {
    dockstream.ready();
    wait_for(SOON, "an event", || {
        engine.control().emit(Event::new("warm-up", "seen", "x"));
        std::thread::sleep(Duration::from_millis(50));
        books(dockstream, "events")["journaled"].as_u64().filter(|count| *count > 0)
    });
}

/// Waits until the probe of this number is stored: all before it have been journaled.
fn heard(dockstream: &Dockstream, number: usize) {
    let sql = format!("SELECT count(*) FROM container_events WHERE actor_id = '{number:05}'");
    wait_until(SOON, &format!("probe {number} is heard of"), || {
        let database = rusqlite::Connection::open(dockstream.database()).expect("it opens");
        database.query_row(&sql, [], |row| row.get::<_, u32>(0)).expect("it counts") > 0
    });
}

#[test]
fn what_a_dead_sink_has_not_taken_is_delivered_once_by_the_next_life_whether_it_was_asked_to_end_or_killed() {
    for ending in ["TERM", "KILL"] {
        let engine = simulated(5);
        let (broker, prefix) = broker();
        // All but the broker has the time it needs, on a busy machine too.
        let launch = Launch::watching(engine.socket(), &config(&broker, &prefix, ""));
        let dockstream = launch.variable(GRACE, "10s").start();
        wait_until(SOON, "records wait", || count(&dockstream, "kafka", "pending") > 300);
        dockstream.signal(ending);
        let ended = dockstream.finished(SOON);
        if ending == "TERM" {
            assert_eq!(ended.code, Some(75), "{ended:?}");
            let told = |line: &String| line.contains("the journal keeps them for the next start");
            assert!(ended.err.iter().any(told), "{ended:?}");
            assert!(!ended.err.iter().any(|line| line.contains("and lost")), "{ended:?}");
            let check = Launch::again(&ended).with(&["check", "--listen", "127.0.0.1:0"]).finish();
            let journal = check.out.iter().find(|line| line.contains("journal")).expect("a line of its own");
            assert!(
                journal.starts_with("ok   journal  ./data/journal") && journal.contains("wait for kafka"),
                "{journal}"
            );
        }
        broker.restart();
        let finished = delivered_and_ended(Launch::again(&ended).start(), "kafka");
        let sent = stores::topic(broker.bootstrap(), &format!("{prefix}stats"));
        let rows: Vec<_> = sent.iter().map(|sent| sent.row(&stats_columns())).collect();
        let (times, sent) = (rows.len(), by_identity(rows));
        assert_eq!(times, sent.len(), "each once");
        let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
        assert_same(&kept, &sent, "SQLite and Kafka");
    }
}

#[test]
fn a_second_signal_ends_at_once_and_the_journal_keeps_what_is_left() {
    let engine = simulated(5);
    let (broker, prefix) = broker();
    let launch = Launch::watching(engine.socket(), &config(&broker, &prefix, ""));
    let mut dockstream = launch.variable(GRACE, "10m").start();
    wait_until(SOON, "records wait", || count(&dockstream, "kafka", "pending") > 100);
    dockstream.signal("TERM");
    dockstream.wait_for_line("draining");
    dockstream.signal("TERM");
    let ended = dockstream.finished(SOON);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.err.iter().any(|line| line.contains("the journal keeps them for the next start")), "{ended:?}");
    broker.restart();
    let finished = delivered_and_ended(Launch::again(&ended).start(), "kafka");
    let sent = stores::topic(broker.bootstrap(), &format!("{prefix}stats"));
    let sent = by_identity(sent.iter().map(|sent| sent.row(&stats_columns())).collect());
    let kept = by_identity(stores::sqlite(&finished.database(), "container_stats", &stats_columns()));
    assert_same(&kept, &sent, "SQLite and Kafka");
}

#[test]
fn an_event_is_journaled_once_over_any_number_of_lives_that_end_at_any_moment() {
    let engine = simulated(3);
    // What is journaled stays in the journal until the end: a broker would be sent some of it twice.
    let (broker, prefix) = broker();
    let mut dockstream = Launch::watching(engine.socket(), &config(&broker, &prefix, "")).start();
    listening(&dockstream, &engine);
    let (mut emitted, seed) = (0, fastrand::u64(..));
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for life in 0..8 {
        let mut burst = |most: usize, pause: u64| {
            for _ in 0..random.usize(1..=most) {
                emit(&engine, emitted);
                emitted += 1;
                std::thread::sleep(Duration::from_millis(random.u64(0..=pause)));
            }
        };
        // The engine's ring holds 256: two lives, of which one may hear nothing, have no more to hear than 220.
        burst(70, 5);
        let killed = dockstream.kill9();
        burst(40, 1);
        dockstream = Launch::again(&killed).start();
        if life % 2 == 0 {
            heard(&dockstream, emitted - 1);
        } else {
            wait_until(SOON, "it answers", || dockstream.ask("/healthz").0 == 200);
            std::thread::sleep(Duration::from_millis(random.u64(0..300)));
        }
    }
    emit(&engine, emitted);
    heard(&dockstream, emitted);
    emitted += 1;
    broker.restart();
    let finished = delivered_and_ended(dockstream, "kafka");
    let times = probes(&broker, &prefix);
    let expected: BTreeMap<String, usize> = (0..emitted).map(|number| (format!("{number:05}"), 1)).collect();
    let wrong: Vec<_> = expected.keys().chain(times.keys()).filter(|id| times.get(*id) != Some(&1)).collect();
    assert!(wrong.is_empty(), "of {emitted} events these were lost or came twice: {wrong:?}");
    assert_eq!(times.len(), emitted);
    let database = rusqlite::Connection::open(finished.database()).expect("it opens");
    let stored: u32 = database
        .query_row("SELECT count(*) FROM container_events WHERE type = 'probe'", [], |row| row.get(0))
        .expect("it counts");
    assert_eq!(stored as usize, emitted, "and so they are in SQLite");
}

#[test]
fn a_full_journal_thins_samples_out_at_the_source_and_loses_no_event() {
    let engine = simulated(120);
    let (broker, prefix) = broker();
    let full = "[journal]\nbytes = \"1MiB\"\n";
    let more = config(&broker, &prefix, full).replace("age = \"50ms\"\n", "age = \"50ms\"\nbytes = \"64KiB\"\n");
    let dockstream = Launch::watching(engine.socket(), &more).start();
    listening(&dockstream, &engine);
    let why = dockstream.not_ready();
    assert!(why.contains("journal: ") && why.contains("waits for room"), "{why}");
    let coalesced = || {
        let dropped = books(&dockstream, "stats")["dropped_before_parsing"].clone();
        dropped["coalesced"].as_u64().unwrap_or(0)
    };
    // What lies between fills first: parsers, batcher.
    wait_until(3 * SOON, "samples are thinned out", || coalesced() > 500);
    let memory = dockstream.memory_kib();
    for number in 0..150 {
        emit(&engine, number);
    }
    let before = coalesced();
    wait_until(3 * SOON, "it goes on so", || coalesced() > before + 2000);
    let grown = dockstream.memory_kib().saturating_sub(memory);
    assert!(grown < 64 << 10, "it grew by {grown} KiB");
    let journal = dockstream.get("/api/pipeline")["journal"].clone();
    assert_eq!((&journal["kind"], &journal["full"]), (&Value::from("disk"), &Value::from(true)), "{journal}");

    broker.restart();
    dockstream.ready();
    wait_until(SOON, "the events are in the journal", || {
        books(&dockstream, "events")["journaled"].as_u64() >= Some(151)
    });
    for sink in ["kafka", "sqlite"] {
        assert_eq!(count(&dockstream, sink, "dropped"), 0);
    }
    delivered_and_ended(dockstream, "kafka");
    let times = probes(&broker, &prefix);
    assert_eq!((times.len(), times.values().max()), (150, Some(&1)), "every event, once");
}
