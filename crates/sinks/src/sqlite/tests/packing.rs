//! Samples that leave their rows: each is there once, as it was, and in the rollups once.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chunks::{Chunk, Rollup, Row};
use model::{Rows, Sample, SampleValue, StatsRecord, Timestamp};
use proptest::prelude::*;
use rusqlite::Connection;

use super::super::encode::Encoder;
use super::super::packer::{Packer, SAMPLES};
use super::super::samples::ROLLUPS;
use super::super::{samples, schema, writer};
use super::*;
use crate::fixtures::{batch, noon, stats, unknown_stats};

const SECOND: Duration = Duration::from_secs(1);

/// A writer whose steps are taken one by one.
pub(super) struct ByHand {
    pub(super) connection: Connection,
    pub(super) encoder: Encoder,
    pub(super) config: SqliteConfig,
}

impl ByHand {
    /// Packs all but the newest sample, as soon as it is told to.
    pub(super) fn open(path: &Path) -> Self {
        let config = SqliteConfig { pack_after: Duration::ZERO, ..SqliteConfig::new(path) };
        Self { connection: schema::open(path).unwrap(), encoder: Encoder::default(), config }
    }

    pub(super) fn deliver(&mut self, rows: Vec<StatsRecord>) {
        let batches = [batch(1, Rows::Stats(rows.into()))];
        writer::write(&mut self.connection, &mut self.encoder, &batches).unwrap();
    }

    pub(super) fn packer(&self) -> Packer {
        Packer::new(&self.config, Timestamp::from(std::time::SystemTime::now()))
    }

    /// Packs so many pieces, or all there are.
    pub(super) fn pack(&mut self, pieces: usize) {
        let mut packer = self.packer();
        for _ in 0..pieces {
            if !packer.step(&mut self.connection, &mut self.encoder.packed).unwrap() {
                break;
            }
        }
    }
}

/// Every sample of every series, from rows and chunks. None is there twice.
pub(super) fn contents(connection: &Connection) -> BTreeMap<(i64, Timestamp), Row> {
    let mut all = BTreeMap::new();
    let mut add = |series: i64, row: Row| {
        let twice = all.insert((series, row.timestamp), row);
        assert!(twice.is_none(), "twice: {twice:?}");
    };
    let series = |table: &str| -> Vec<i64> {
        let mut statement = connection.prepare(&format!("SELECT DISTINCT series FROM {table}")).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    for one in series("samples") {
        let rows = samples::read(connection, one, i64::MIN, i64::MAX, usize::MAX).unwrap();
        rows.into_iter().for_each(|row| add(one, row));
    }
    let mut chunks =
        connection.prepare("SELECT series, first, last, samples, data FROM chunks ORDER BY series, first").unwrap();
    let mut chunks = chunks.query([]).unwrap();
    let mut end = (0, i64::MIN);
    while let Some(chunk) = chunks.next().unwrap() {
        let (series, first, last): (i64, i64, i64) =
            (chunk.get(0).unwrap(), chunk.get(1).unwrap(), chunk.get(2).unwrap());
        assert!(end.0 != series || end.1 < first, "chunks of series {series} overlap");
        end = (series, last);
        let data: Vec<u8> = chunk.get(4).unwrap();
        let rows = Chunk::parse(&data).unwrap().rows().unwrap();
        let ends = [&rows[0], &rows[rows.len() - 1]].map(|row| row.timestamp.as_nanos());
        assert_eq!((ends, rows.len() as i64), ([first, last], chunk.get(3).unwrap()));
        rows.into_iter().for_each(|row| add(series, row));
    }
    all
}

/// The rollups, by table, series and moment.
pub(super) fn rollups(connection: &Connection) -> BTreeMap<(&'static str, i64, i64), Rollup> {
    let names: Vec<&str> = Rollup::COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut all = BTreeMap::new();
    for (table, _) in ROLLUPS {
        let sql = format!("SELECT series, timestamp, {} FROM {table}", names.join(", "));
        let mut statement = connection.prepare(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let rollup = Rollup::read(|position, is_float| {
                Ok::<_, rusqlite::Error>(match is_float {
                    true => SampleValue::Float(row.get(2 + position)?),
                    false => SampleValue::Unsigned(row.get::<_, Option<i64>>(2 + position)?.map(i64::cast_unsigned)),
                })
            });
            all.insert((table, row.get(0).unwrap(), row.get(1).unwrap()), rollup.unwrap());
        }
    }
    all
}

/// What the rollups of these samples are.
pub(super) fn rolled_up<'a>(
    samples: impl IntoIterator<Item = (&'a (i64, Timestamp), &'a Row)>,
) -> BTreeMap<(&'static str, i64, i64), Rollup> {
    let mut all: BTreeMap<_, Rollup> = BTreeMap::new();
    for ((series, moment), row) in samples {
        for (table, length) in ROLLUPS {
            let start = moment.as_nanos().div_euclid(length) * length;
            all.entry((table, *series, start)).or_default().merge(&Rollup::from(&row.sample));
        }
    }
    all
}

/// The rollups are those of the samples that are in chunks.
fn assert_rolled_up(connection: &Connection) {
    let rows: Vec<(i64, i64)> = connection
        .prepare("SELECT series, timestamp FROM samples")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut packed = contents(connection);
    packed.retain(|(series, moment), _| !rows.contains(&(*series, moment.as_nanos())));
    assert_eq!(rollups(connection), rolled_up(&packed));
}

/// A sample whose values follow from its moment: whole numbers, so that sums are the same in any order.
pub(super) fn sample_at(number: u64, second: u64) -> StatsRecord {
    let mut record = stats(number, noon() + second as u32 * SECOND);
    let known = |every: u64, value: u64| (!second.is_multiple_of(every)).then_some(value);
    record.network_scope = record.network_scope.filter(|_| !second.is_multiple_of(9));
    record.sample = Sample {
        cpu_usage_percent: known(4, 1).map(|_| (second % 50) as f64),
        cpu_usage_ns: Some(second * second * 1_000),
        cpu_usage_delta_ns: known(7, second * 1_000),
        memory_usage_bytes: known(5, second % 60 * 4_096),
        pids: Some(second % 3),
        interval_ns: known(11, 1_000_000_000),
        network_rx_delta_bytes: known(3, second % 900),
        ..Sample::default()
    };
    record
}

fn samples_of(number: u64, seconds: impl IntoIterator<Item = u64>) -> Vec<StatsRecord> {
    seconds.into_iter().map(|second| sample_at(number, second)).collect()
}

#[test]
fn samples_that_are_no_longer_recent_leave_their_rows_as_they_were() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let mut rows: Vec<_> = (0..1_500).map(|second| stats(1, noon() + second * SECOND)).collect();
    rows.push(unknown_stats(2, noon()));
    rows.extend([unknown_stats(3, noon()), unknown_stats(3, noon() + SECOND)]);
    by_hand.deliver(rows);
    let before = contents(&by_hand.connection);
    by_hand.pack(usize::MAX);
    // The newest of each series stays.
    assert_eq!((count(&path, "samples"), count(&path, "container_stats")), (3, 3));
    assert_eq!(read::<i64>(&path, "SELECT sum(samples) FROM chunks"), 1_500);
    assert!(contents(&by_hand.connection) == before);
    let minute =
        rolled_up(before.iter().filter(|((series, moment), _)| *series == 1 && *moment < noon() + 60 * SECOND));
    let of_view =
        "SELECT network_rx_delta_bytes FROM container_stats_1m WHERE container_name = 'web-1' ORDER BY timestamp";
    let first = minute.values().next().unwrap();
    assert_eq!(read::<i64>(&path, of_view).cast_unsigned(), first.network_rx_delta_bytes.total.unwrap());
}

#[test]
fn recent_samples_stay_rows_and_few_wait_for_more() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    by_hand.config.pack_after = Duration::from_secs(3_600);
    let now = Timestamp::from(std::time::SystemTime::now());
    // Of the first half of what is no longer recent there are too few, of the second enough.
    let few = (0..100).map(|second| stats(1, now - Duration::from_secs(3_700 + second)));
    let enough = (0..SAMPLES as u64).map(|second| stats(2, now - Duration::from_secs(3_700 + second)));
    let recent = (0..50).flat_map(|second| [1, 2].map(|number| stats(number, now - Duration::from_secs(second))));
    by_hand.deliver(few.chain(enough).chain(recent).collect());
    by_hand.pack(usize::MAX);
    assert_eq!((count(&path, "samples"), count(&path, "chunks")), (200, 1));
    // Until they are twice as old.
    by_hand.config.pack_after = Duration::from_secs(1_800);
    by_hand.pack(usize::MAX);
    assert_eq!((count(&path, "samples"), count(&path, "chunks")), (100, 2));
}

#[test]
fn packed_samples_that_are_sent_again_change_nothing() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let all = samples_of(1, 0..1_400);
    by_hand.deliver(all.clone());
    by_hand.pack(usize::MAX);
    let (before, rolled) = (contents(&by_hand.connection), rollups(&by_hand.connection));
    for _ in 0..2 {
        by_hand.deliver(all.clone());
        assert_eq!(count(&path, "samples"), 1);
        by_hand.pack(usize::MAX);
        by_hand.encoder = Encoder::default();
    }
    assert!(contents(&by_hand.connection) == before);
    assert!(rollups(&by_hand.connection) == rolled);
}

#[test]
fn late_samples_find_their_place_in_a_chunk_and_between_two() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    let is_late = |second: &u64| second % 100 == 7 || (2_000..2_030).contains(second);
    by_hand.deliver(samples_of(1, (0..3_000).filter(|second| !is_late(second))));
    by_hand.pack(usize::MAX);
    let chunks = count(&path, "chunks");
    by_hand.deliver(samples_of(1, (0..3_000).filter(is_late)));
    by_hand.pack(usize::MAX);
    assert_eq!((count(&path, "samples"), count(&path, "chunks")), (1, chunks));
    assert_eq!(contents(&by_hand.connection).len(), 3_000);
    assert_rolled_up(&by_hand.connection);
}

#[test]
fn a_chunk_that_many_late_samples_come_to_is_divided() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    by_hand.deliver(samples_of(1, (0..2_000).step_by(4)));
    by_hand.pack(usize::MAX);
    by_hand.deliver(samples_of(1, 0..2_000));
    by_hand.pack(usize::MAX);
    assert!(read::<u32>(&path, "SELECT max(samples) FROM chunks") <= 2 * SAMPLES as u32);
    assert_eq!(contents(&by_hand.connection).len(), 2_000);
    assert_rolled_up(&by_hand.connection);
}

#[test]
fn a_damaged_chunk_costs_itself_and_is_counted() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    by_hand.deliver(samples_of(1, 0..1_801));
    by_hand.pack(usize::MAX);
    let second = "chunk = (SELECT chunk FROM chunks ORDER BY first LIMIT 1 OFFSET 1)";
    let data: Vec<u8> = read(&path, &format!("SELECT data FROM chunks WHERE {second}"));
    let damaged: Vec<u8> = data.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 900)).collect();
    by_hand.connection.execute(&format!("UPDATE chunks SET data = ?1 WHERE {second}"), [damaged]).unwrap();
    by_hand.encoder = Encoder::default();
    assert_eq!(super::passes::sweep(&mut by_hand).damaged, SAMPLES as u64);
    let rolled = rollups(&by_hand.connection);
    by_hand.deliver(samples_of(1, 0..1_900));
    // What would be in the damaged chunk cannot be told from what is; the rest finds its place.
    assert_eq!(by_hand.encoder.passed.damaged, SAMPLES as u64);
    by_hand.pack(usize::MAX);
    assert_eq!(read::<i64>(&path, "SELECT sum(samples) FROM chunks"), 1_899);
    assert_eq!(count(&path, "samples"), 1);
    let after = rollups(&by_hand.connection);
    let unchanged =
        |table: &str| rolled.iter().filter(|((of, ..), _)| *of == table).all(|(key, rollup)| after[key] == *rollup);
    assert!(!unchanged("samples_1d") && after.values().map(|rollup| rollup.samples).sum::<u64>() == 3 * 1_899);
    // With it gone, the others are as they were.
    by_hand.connection.execute(&format!("DELETE FROM chunks WHERE {second}"), []).unwrap();
    assert_eq!(contents(&by_hand.connection).len(), 1_900 - SAMPLES);
}

#[test]
fn a_disk_that_is_full_while_packing_leaves_everything_as_it_was() {
    let (folder, _) = folder();
    let disk = test_support::SmallDisk::mount(&folder.path().join("disk"), 16 << 20);
    let path = folder.path().join("disk/dockstream.db");
    let mut by_hand = ByHand::open(&path);
    by_hand.deliver(samples_of(1, 0..2_000));
    by_hand.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let before = contents(&by_hand.connection);
    disk.fill();
    let mut packer = by_hand.packer();
    let error = packer.step(&mut by_hand.connection, &mut by_hand.encoder.packed).err().unwrap();
    assert_eq!(SqliteError::from(error).class(), FailureClass::RetrySlow);
    assert!(contents(&by_hand.connection) == before);
    assert_eq!((count(&path, "chunks"), count(&path, "samples_1m")), (0, 0));
    disk.clear();
    by_hand.pack(usize::MAX);
    assert!(contents(&by_hand.connection) == before);
    assert_eq!(count(&path, "samples"), 1);
    assert_rolled_up(&by_hand.connection);
}

#[test]
fn packing_needs_no_room_in_the_file() {
    let (_folder, path) = folder();
    let mut by_hand = ByHand::open(&path);
    by_hand.deliver(samples_of(1, 0..2_000));
    let pages: u32 = by_hand.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    by_hand.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    by_hand.pack(usize::MAX);
    assert_eq!(count(&path, "samples"), 1);
}

/// What may happen to a file.
#[derive(Clone, Debug)]
enum Turn {
    /// Samples come: of a container, from a second on, so many, at a pace.
    Deliver(u64, u64, u64, u64),
    /// So many pieces are packed.
    Pack(usize),
    /// The process ends and begins.
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        5 => (1..3_u64, 0..4_000_u64, 1..700_u64, 1..5_u64).prop_map(|(number, from, count, pace)| {
            Turn::Deliver(number, from, count, pace)
        }),
        4 => (1..6_usize).prop_map(Turn::Pack),
        1 => Just(Turn::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_comes_late_or_again_each_sample_is_there_once_and_in_the_rollups_once(
        turns in prop::collection::vec(turn(), 1..14)
    ) {
        let (_folder, path) = folder();
        let mut by_hand = ByHand::open(&path);
        let mut expected: BTreeMap<(String, Timestamp), Row> = BTreeMap::new();
        for turn in turns {
            match turn {
                Turn::Deliver(number, from, count, pace) => {
                    let rows = samples_of(number, (0..count).map(|step| from + step * pace));
                    for record in &rows {
                        let StatsRecord { meta, timestamp, received_at, network_scope, sample } = record.clone();
                        let row = Row { timestamp, received_at, network_scope, sample };
                        expected.insert((meta.container_name.clone(), timestamp), row);
                    }
                    by_hand.deliver(rows);
                }
                Turn::Pack(pieces) => by_hand.pack(pieces),
                Turn::Restart => by_hand = ByHand::open(&path),
            }
        }
        let names: BTreeMap<i64, String> = by_hand.connection.prepare("SELECT series, container_name FROM series").unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
        let found: BTreeMap<(String, Timestamp), Row> = contents(&by_hand.connection).into_iter()
            .map(|((series, moment), row)| ((names[&series].clone(), moment), row)).collect();
        prop_assert!(found == expected);
        assert_rolled_up(&by_hand.connection);
        by_hand.pack(usize::MAX);
        prop_assert_eq!(contents(&by_hand.connection).len(), expected.len());
        assert_rolled_up(&by_hand.connection);
    }
}
