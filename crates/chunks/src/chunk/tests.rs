use model::{ContainerId, StatsRecord};
use proptest::prelude::*;
use test_support::FleetContainer;

use super::*;

const SECOND: i64 = 1_000_000_000;

fn unpacked(data: &[u8]) -> Vec<Row> {
    Chunk::parse(data).unwrap().rows().unwrap()
}

fn value() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        2 => Just(None),
        2 => Just(Some(0)),
        4 => (0..100_000_u64).prop_map(Some),
        2 => (0..1_000_u64).prop_map(|pages| Some(pages * 4_096)),
        1 => any::<u64>().prop_map(Some),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let scope = prop_oneof![
        3 => Just(Some(NetworkScope::Own)),
        1 => Just(None),
        1 => Just(Some(NetworkScope::Host)),
        1 => Just(Some(NetworkScope::Shared(ContainerId::try_new(&"ab".repeat(32)).unwrap()))),
    ];
    let float = prop_oneof![
        1 => Just(None),
        3 => (0..1_000_u32).prop_map(|tenths| Some(f64::from(tenths) / 10.0)),
        1 => any::<u64>().prop_map(|bits| Some(f64::from_bits(bits))),
    ];
    let values = prop::collection::vec((value(), float), Sample::FIELDS.len());
    (any::<i64>(), any::<i64>(), scope, values).prop_map(|(timestamp, received_at, network_scope, values)| Row {
        timestamp: Timestamp::from_nanos(timestamp),
        received_at: Timestamp::from_nanos(received_at),
        network_scope,
        sample: Sample::read(|position, kind| {
            let (whole, float) = values[position];
            Ok::<_, ()>(match kind {
                SampleKind::Float64 => SampleValue::Float(float),
                SampleKind::UInt32 | SampleKind::UInt64 => SampleValue::Unsigned(whole),
            })
        })
        .unwrap(),
    })
}

type Bits = (Timestamp, Timestamp, Option<NetworkScope>, Vec<Option<u64>>);

/// Bit by bit, as a float that is no number is not equal to itself.
fn bits(rows: &[Row]) -> Vec<Bits> {
    let values = |row: &Row| {
        let bits = |value| match value {
            SampleValue::Float(value) => value.map(f64::to_bits),
            SampleValue::Unsigned(value) => value,
        };
        row.sample.values().map(bits).collect()
    };
    rows.iter().map(|row| (row.timestamp, row.received_at, row.network_scope.clone(), values(row))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_value_comes_back_to_the_last_bit(rows in prop::collection::vec(row(), 1..40)) {
        let back = unpacked(&pack(&rows));
        prop_assert_eq!(bits(&back), bits(&rows));
    }

    #[test]
    fn a_chunk_with_any_bit_turned_is_told_and_never_read(
        rows in prop::collection::vec(row(), 1..5), at in any::<prop::sample::Index>(), bit in 0..8_u32
    ) {
        let mut data = pack(&rows);
        let at = at.index(data.len());
        data[at] ^= 1_u8 << bit;
        prop_assert!(Chunk::parse(&data).is_err());
    }

    #[test]
    fn bytes_under_a_right_checksum_are_rows_or_malformed(body in prop::collection::vec(any::<u8>(), 0..80)) {
        let data = [&[VERSION][..], &crc32fast::hash(&body).to_le_bytes(), &body].concat();
        if let Ok(mut chunk) = Chunk::parse(&data) {
            let _ = chunk.rows();
        }
    }
}

fn ticks(count: i64) -> Vec<Row> {
    let row = |tick: i64| Row {
        timestamp: Timestamp::from_nanos(tick * SECOND),
        received_at: Timestamp::from_nanos(tick * SECOND + 5),
        network_scope: None,
        sample: Sample { pids: Some(tick as u64 % 2), cpu_usage_percent: Some(tick as f64), ..Sample::default() },
    };
    (0..count).map(row).collect()
}

#[test]
fn some_columns_are_read_without_the_others() {
    let data = pack(&ticks(100));
    let mut chunk = Chunk::parse(&data).unwrap();
    let pids = Sample::FIELDS.iter().position(|field| *field == "pids").unwrap();
    let samples = chunk.samples(&[pids]).unwrap();
    assert_eq!((chunk.len(), samples[3].pids, samples[3].cpu_usage_percent), (100, Some(1), None));
    assert_eq!(chunk.timestamps().unwrap()[99], Timestamp::from_nanos(99 * SECOND));
}

#[test]
fn a_chunk_of_a_newer_format_says_so() {
    let mut data = pack(&ticks(1));
    data[0] = 9;
    let error = Chunk::parse(&data).err().unwrap();
    assert_eq!(error.to_string(), "it has format 9, this dockstream knows 1");
    assert_eq!(Chunk::parse(&[]).err(), Some(ChunkError::Malformed));
}

/// What files hold that were written by this version: later ones must read it.
#[test]
fn a_chunk_of_the_first_format_is_read_for_ever() {
    let hex = "018cb701b70304000b010703111a0901010080a8d6b907010000010300000a0100010102808080808080800800030bfffb3f\
               010100020200030102";
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let data: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    assert_eq!(unpacked(&data), ticks(3));
}

#[test]
fn columns_that_are_guessed_from_each_other_are_malformed() {
    // Two rows; columns 5 and 6, each the growth of the other.
    let column = |other: u8| vec![1, 2, other, 0, 0, 1, 0];
    let mut body = vec![2, 2, 5, 7, 6, 7];
    body.extend(column(6));
    body.extend(column(5));
    let data = [&[VERSION][..], &crc32fast::hash(&body).to_le_bytes(), &body].concat();
    let mut chunk = Chunk::parse(&data).unwrap();
    let user = Sample::FIELDS.iter().position(|field| *field == "cpu_user_ns").unwrap();
    assert_eq!(chunk.samples(&[user]).err(), Some(ChunkError::Malformed));
}

/// Rows of one container of the made-up fleet.
fn fleet_rows(number: u64, count: usize) -> Vec<Row> {
    let mut container = FleetContainer::new(number, Timestamp::from_millis(1_795_000_000_000));
    let row = |record: StatsRecord| Row {
        timestamp: record.timestamp,
        received_at: record.received_at,
        network_scope: record.network_scope,
        sample: record.sample,
    };
    (0..count).map(|_| row(container.sample())).collect()
}

#[test]
fn a_sample_of_a_fleet_at_work_takes_at_most_fifteen_bytes() {
    const ROWS: usize = 600;
    let packed = |number| {
        let rows = fleet_rows(number, ROWS);
        let data = pack(&rows);
        assert_eq!(unpacked(&data), rows);
        data.len()
    };
    let bytes = (0..20).map(packed).sum::<usize>();
    assert!(bytes <= 15 * 20 * ROWS, "{:.1} bytes a sample", bytes as f64 / (20 * ROWS) as f64);
}
