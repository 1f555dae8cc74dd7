use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    ContainerId, ContainerMeta, HostName, LogRecord, LogStream, NetworkScope, Sample, SampleKind, SampleValue,
    StatsRecord,
};
use proptest::prelude::*;

use super::stats::STORED;
use super::*;
use crate::conformance::{batch, losses};

fn meta(n: u64) -> Arc<ContainerMeta> {
    Arc::new(ContainerMeta {
        host: HostName::try_new("host-1").unwrap(),
        container_id: ContainerId::try_new(&format!("{n:064x}")).unwrap(),
        container_name: format!("web-{n}"),
        image: "nginx:1".into(),
        compose_project: n.is_multiple_of(2).then(|| "shop".into()),
        compose_service: None,
        run: n.is_multiple_of(3).then_some(Timestamp::from_nanos(-5)),
        labels: BTreeMap::from([("tier".to_owned(), format!("t{}", n % 4))]),
    })
}

fn record() -> impl Strategy<Value = StatsRecord> {
    let value = prop_oneof![Just(None), any::<u64>().prop_map(Some), (0u64..300).prop_map(Some)];
    let scope = prop_oneof![
        Just(None),
        Just(Some(NetworkScope::Own)),
        Just(Some(NetworkScope::Host)),
        Just(Some(NetworkScope::None)),
        (0u64..9).prop_map(|n| Some(NetworkScope::Shared(meta(n).container_id.clone()))),
    ];
    let times = (any::<i64>(), any::<i64>());
    (0u64..9, times, scope, prop::collection::vec(value, Sample::FIELDS.len())).prop_map(|(n, times, scope, values)| {
        let sample = Sample::read(|position, kind| {
            Ok::<_, ()>(match kind {
                // Any bits but a NaN's, which equals nothing.
                SampleKind::Float64 => SampleValue::Float(values[position].map(f64::from_bits).filter(|v| !v.is_nan())),
                SampleKind::UInt32 => SampleValue::Unsigned(values[position].map(|value| value >> 32)),
                SampleKind::UInt64 => SampleValue::Unsigned(values[position]),
            })
        });
        StatsRecord {
            meta: meta(n),
            timestamp: Timestamp::from_nanos(times.0),
            received_at: Timestamp::from_nanos(times.1),
            network_scope: scope,
            sample: sample.unwrap(),
        }
    })
}

fn samples(rows: Vec<StatsRecord>) -> Batch {
    let node = NodeName::try_new("node-1").unwrap();
    let last = rows.len() as u64;
    Batch {
        id: BatchId { node, epoch: 3, stream: Stream::Stats, first: 1, last },
        trigger: Trigger::Age,
        bytes: 77,
        opened_at: Timestamp::from_millis(1_795_000_000_000),
        rows: Rows::Stats(rows.into()),
    }
}

fn line() -> impl Strategy<Value = LogRecord> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0u64..9, any::<(i64, i64)>(), any::<u32>(), flags, ".{0,40}").prop_map(|(n, times, ordinal, flags, line)| {
        LogRecord {
            meta: meta(n),
            timestamp: Timestamp::from_nanos(times.0),
            received_at: Timestamp::from_nanos(times.1),
            stream: LogStream::ALL[usize::from(flags.0)],
            ordinal,
            line,
            partial: flags.1,
            truncated: flags.2,
            invalid_utf8: flags.3,
        }
    })
}

proptest! {
    #[test]
    fn log_lines_come_back_whole_and_damaged_ones_never_panic(
        rows in prop::collection::vec(line(), 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let last = rows.len() as u64;
        let batch = Batch { rows: Rows::Logs(rows.into()), ..samples(Vec::new()) };
        let batch = Batch { id: BatchId { stream: Stream::Logs, first: 1, last, ..batch.id.clone() }, ..batch };
        let mut body = encode(&Head::of(&batch), &batch).unwrap();
        prop_assert_eq!(decode(&body), Ok(batch));
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let content = body.len() - SUM;
        let _ = decode(&sealed(body[..content].to_vec()));
    }

    #[test]
    fn samples_come_back_bit_for_bit(rows in prop::collection::vec(record(), 1..40)) {
        let batch = samples(rows);
        let head = Head::of(&batch);
        let body = encode(&head, &batch).unwrap();
        prop_assert_eq!(decode(&body), Ok(batch));
        prop_assert_eq!(head_of(&body), Ok(head.clone()));
        prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(
        rows in prop::collection::vec(record(), 1..5),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let batch = samples(rows);
        let mut body = encode(&Head::of(&batch), &batch).unwrap();
        let at = at.index(body.len());
        prop_assert!(decode(&body[..at]).is_err());
        body[at] ^= 1 << bit;
        prop_assert_eq!(decode(&body), Err(Unreadable::Checksum));
        // Past the checksum: whoever wrote it, reading it must not panic.
        let content = body.len() - SUM;
        let _ = decode(&sealed(body[..content].to_vec()));
    }
}

#[test]
fn the_other_streams_come_back_whole() {
    for batch in [losses(4, 20), batch(Stream::Hosts, 2, 9, 3, 50)] {
        assert_eq!(decode(&encode(&Head::of(&batch), &batch).unwrap()), Ok(batch));
    }
}

#[test]
fn every_field_of_a_sample_has_its_place_and_a_new_one_comes_last() {
    let mut stored = STORED.to_vec();
    let mut fields = Sample::FIELDS.to_vec();
    stored.sort_unstable();
    fields.sort_unstable();
    assert_eq!(stored, fields, "add a new field at the end of STORED");
    assert_eq!(STORED[31], "block_write_delta_bytes", "the order is what older journals were written in");
}

#[test]
fn a_later_layout_is_told_by_its_number() {
    let batch = losses(1, 1);
    let mut head = Head::of(&batch).encode();
    head.truncate(head.len() - SUM);
    head[0] = 9;
    assert_eq!(Head::decode(&sealed(head)), Err(Unreadable::Version(9)));
}
