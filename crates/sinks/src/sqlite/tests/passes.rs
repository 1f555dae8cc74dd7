//! What passes over the file do, and that writing goes on beside them.

use std::env;
use std::process::Command;

use super::packing::{ByHand, contents, rolled_up, rollups, sample_at};
use test_support::FleetContainer;

use super::*;
use crate::sqlite::retention::{Removed, Scrub, Sweep};
use crate::sqlite::schema;

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

pub(super) fn sweep(by_hand: &mut ByHand) -> Removed {
    let (mut sweep, mut scrub) = (Sweep::new(&by_hand.config, now()), Scrub::default());
    while sweep.step(&mut by_hand.connection, &mut by_hand.encoder, &mut scrub).unwrap() {}
    sweep.removed()
}

#[test]
fn old_samples_go_and_their_rollups_stay_for_their_own_time() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let ages = [1, 8, 40, 100, 800];
    by_hand.deliver(ages.iter().map(|days| stats(1, now() - *days * DAY)).collect());
    by_hand.pack(usize::MAX);
    // Two that no chunk has taken yet.
    by_hand.deliver([8, 40].iter().map(|days| stats(2, now() - *days * DAY)).collect());
    let removed = sweep(&mut by_hand);
    assert_eq!(removed, Removed { by_age: 6, ..Removed::default() });
    assert_eq!((count(&path, "samples"), count(&path, "chunks")), (1, 0));
    // The newest was not packed: it is in no rollup yet.
    let left = ["samples_1m", "samples_1h", "samples_1d"].map(|table| count(&path, table));
    assert_eq!(left, [2, 4, 5]);
    assert_eq!(count(&path, "container_stats_1d"), 5);
    // What may have been removed is not taken again: it would be in the rollups twice.
    by_hand.deliver(vec![stats(1, now() - 9 * DAY)]);
    assert_eq!((by_hand.encoder.passed.late, count(&path, "samples")), (1, 1));
}

#[test]
fn a_clock_that_was_wrong_once_keeps_no_samples_out() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    by_hand.deliver(vec![stats(1, now() - DAY)]);
    let mut ahead = Sweep::new(&by_hand.config, now() + 3_650 * DAY);
    while ahead.step(&mut by_hand.connection, &mut by_hand.encoder, &mut Scrub::default()).unwrap() {}
    assert_eq!(count(&path, "samples"), 0);
    by_hand.deliver(vec![stats(1, now())]);
    assert_eq!((by_hand.encoder.passed.late, count(&path, "samples")), (0, 1));
}

#[test]
fn a_file_that_reaches_its_size_loses_its_oldest_samples_and_shrinks() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let mut fleet = [11, 18].map(|number| FleetContainer::new(number, noon()));
    by_hand.deliver((0..7_200).flat_map(|_| fleet.each_mut().map(FleetContainer::sample)).collect());
    by_hand.pack(usize::MAX);
    let lines: Vec<_> = (0..1_000).map(|line| log(1, now() + Duration::from_millis(line))).collect();
    let lines = [batch(1, Rows::Logs(lines.into()))];
    crate::sqlite::writer::write(&mut by_hand.connection, &mut by_hand.encoder, &lines).unwrap();
    let rolled = rollups(&by_hand.connection);
    // First what is empty is given back.
    assert_eq!(sweep(&mut by_hand), Removed::default());
    let bytes = |path: &Path| fs::metadata(path).unwrap().len();
    by_hand.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let before = bytes(&path);
    by_hand.config.max_bytes = before - 100_000;
    let removed = sweep(&mut by_hand);
    by_hand.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(bytes(&path) <= by_hand.config.max_bytes, "{} of {before}", bytes(&path));
    assert!(removed.samples_by_size > 600 && removed.by_age == 0, "{removed:?}");
    assert_eq!((removed.lines_by_size, count(&path, "container_logs")), (0, 1_000));
    let left = contents(&by_hand.connection);
    assert_eq!(left.len() as u64 + removed.samples_by_size, 14_400);
    let oldest = left.keys().map(|(_, moment)| *moment).min().unwrap();
    assert!(oldest > noon(), "the oldest have gone");
    assert!(rollups(&by_hand.connection) == rolled, "rollups stay");
    // The same again finds nothing to do, and none that is gone comes back.
    assert_eq!(sweep(&mut by_hand), Removed::default());
    by_hand.deliver(vec![stats(0, noon())]);
    assert_eq!(by_hand.encoder.passed.late, 1);
}

#[test]
fn where_there_is_little_else_lines_and_rows_go_too() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let lines: Vec<_> = (0..20_000).map(|line| log(1, noon() + Duration::from_millis(line))).collect();
    let lines = [batch(1, Rows::Logs(lines.into()))];
    crate::sqlite::writer::write(&mut by_hand.connection, &mut by_hand.encoder, &lines).unwrap();
    by_hand.deliver((0..6_000).map(|second| stats(1, noon() + Duration::from_secs(60 + second))).collect());
    by_hand.config.max_bytes = 600_000;
    let removed = sweep(&mut by_hand);
    assert!(removed.lines_by_size > 15_000 && removed.samples_by_size > 1_000, "{removed:?}");
    by_hand.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(fs::metadata(&path).unwrap().len() <= 600_000);
    assert_eq!(count(&path, "samples") as u64 + removed.samples_by_size, 6_000);
}

#[test]
fn a_file_of_the_schema_before_is_brought_up_to_date_and_its_samples_are_packed() {
    let (_folder, path) = folder();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    for migration in [
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        include_str!("../../../../../schemas/sqlite/0001_initial.sql"),
        include_str!("../../../../../schemas/sqlite/0002_hosts.sql"),
        include_str!("../../../../../schemas/sqlite/0003_logs.sql"),
        include_str!("../../../../../schemas/sqlite/0004_events.sql"),
        "INSERT INTO meta VALUES ('schema_version', '4');
         INSERT INTO series VALUES (7, 'edge-1', 'ab', 'web-1', 'nginx', NULL, 'web', 5, '{}')",
    ] {
        old.execute_batch(migration).unwrap();
    }
    let start = noon().as_nanos();
    for second in 0..1_300_i64 {
        old.execute(
            "INSERT INTO samples (series, timestamp, received_at, network_scope, cpu_usage_percent, pids, pids_limit)
             VALUES (7, ?1, ?2, 'own', ?3, ?4, NULL)",
            rusqlite::params![
                start + second * 1_000_000_000,
                start + second * 1_000_000_000 + 5,
                second as f64,
                second
            ],
        )
        .unwrap();
    }
    drop(old);
    let mut by_hand = ByHand::open(&path);
    let before = contents(&by_hand.connection);
    assert_eq!(
        (before.len(), read::<String>(&path, "SELECT value FROM meta WHERE key = 'schema_version'")),
        (1_300, SCHEMA_VERSION.to_string())
    );
    by_hand.pack(usize::MAX);
    assert_eq!((count(&path, "samples"), count(&path, "chunks")), (1, 2));
    assert!(contents(&by_hand.connection) == before);
    assert_eq!(read::<i64>(&path, "SELECT sum(samples) FROM container_stats_1h"), 1_299);
}

#[tokio::test]
async fn a_running_sink_packs_what_it_was_given_while_it_is_given_more() {
    let (_folder, path) = folder();
    let config =
        SqliteConfig { pack_after: Duration::ZERO, housekeeping: Duration::from_millis(5), ..SqliteConfig::new(&path) };
    let mut sink = ready(config).await;
    for second in 0..300 {
        let rows: Vec<_> = (0..10).map(|number| sample_at(number, second)).collect();
        sink.deliver(&range(second, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while count(&path, "samples") > 10 {
        assert!(tokio::time::Instant::now() < deadline, "it was not packed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sink.close().await;
    assert_eq!(contents(&Connection::open(&path).unwrap()).len(), 3_000);
}

#[tokio::test]
async fn a_reader_that_stays_holds_up_neither_writing_nor_packing() {
    let (_folder, path) = folder();
    let config =
        SqliteConfig { pack_after: Duration::ZERO, housekeeping: Duration::from_millis(5), ..SqliteConfig::new(&path) };
    let mut sink = ready(config).await;
    sink.deliver(&range(0, vec![batch(1, Rows::Stats(vec![sample_at(1, 0)].into()))])).await.unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let seen = || -> i64 { reader.query_row("SELECT count(*) FROM samples", [], |row| row.get(0)).unwrap() };
    assert_eq!(seen(), 1);
    for second in 0..20 {
        let rows: Vec<_> = (0..200).map(|step| sample_at(1, second * 200 + step)).collect();
        sink.deliver(&range(second, vec![batch(1, Rows::Stats(rows.into()))])).await.unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while count(&path, "chunks") < 4 {
        assert!(tokio::time::Instant::now() < deadline, "it was not packed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen(), 1, "what it sees does not move");
    reader.execute_batch("COMMIT").unwrap();
    sink.close().await;
    assert_eq!(contents(&Connection::open(&path).unwrap()).len(), 4_000);
}

const VICTIM: &str = "DOCKSTREAM_TEST_PACKING_VICTIM";

/// Run by the test below in a process of its own: delivers and packs until it is killed.
#[test]
fn victim_that_packs_until_it_is_killed() {
    let Ok(path) = env::var(VICTIM) else { return };
    let mut by_hand = ByHand::open(Path::new(&path));
    for round in 0.. {
        // Each range comes twice, the second time when some of it is packed.
        for range in [round, round, round / 2] {
            by_hand.deliver((0..400).map(|step| sample_at(1, range * 350 % 40_000 + step)).collect());
            by_hand.pack(1);
        }
    }
}

#[test]
fn a_kill_in_the_midst_of_packing_costs_nothing_and_doubles_nothing() {
    let (_folder, path) = folder();
    schema::open(&path).unwrap();
    let mut before = 0;
    for life in 0..6 {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::passes::victim_that_packs_until_it_is_killed", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Until it has packed something more, and then at some moment of the next piece.
        let packed = || count(&path, "chunks") + count(&path, "samples_1m");
        let goal = packed() + 1;
        test_support::wait_until(Duration::from_secs(120), "the victim packs", || packed() >= goal);
        std::thread::sleep(Duration::from_micros(some_microseconds(life)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let connection = schema::open(&path).unwrap();
        let all = contents(&connection);
        assert!(all.len() >= before, "samples are missing: {} of {before}", all.len());
        before = all.len();
        let rows = all.iter().filter(|((series, moment), _)| {
            let is_row = "SELECT count(*) FROM samples WHERE series = ?1 AND timestamp = ?2";
            connection.query_row(is_row, [*series, moment.as_nanos()], |row| row.get::<_, i64>(0)).unwrap() == 0
        });
        assert!(rollups(&connection) == rolled_up(rows), "life {life}: rollups are not those of what is packed");
        assert!(moved_aside(&path).is_empty());
    }
    assert!(before > 600);
}

/// Some microseconds, another number of them for each life.
fn some_microseconds(life: u64) -> u64 {
    (life + 1) * 7_919 % 20_000
}
