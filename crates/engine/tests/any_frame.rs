//! Stats frames no engine would write: any order, any white space, junk, damage.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use engine::frame::{decode, decode_direct, decode_typed};
use model::LossReason;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// The frames that are damaged here.
const FRAMES: [&str; 5] = [
    include_str!("frames/d20v1_blkio.json"),
    include_str!("frames/d28v2_normal_bridge.json"),
    include_str!("frames/p43v1_normal_bridge.json"),
    include_str!("frames/d28v2_after_stop.json"),
    include_str!("frames/windows_running.json"),
];

fn counter() -> BoxedStrategy<Value> {
    prop_oneof![6 => any::<u64>(), 2 => Just(u64::MAX), 2 => Just(0), 6 => 0..1_000_000_000_u64]
        .prop_map(Value::from)
        .boxed()
}

/// A value where a counter belongs: mostly a counter.
fn slot() -> BoxedStrategy<Value> {
    prop_oneof![20 => counter(), 1 => Just(Value::Null)].boxed()
}

/// Anything, for keys nobody knows.
fn junk() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[a-z\"\\\\/\u{8}-\u{d} é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

/// An object with some of the `known` keys, and some others.
fn object(known: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = known
        .into_iter()
        .map(|(key, value)| proptest::option::weighted(0.85, value.prop_map(move |value| (key.to_owned(), value))))
        .collect();
    let extras = prop::collection::vec(("x[a-zé\"]{0,6}", junk()), 0..3);
    (fields, extras)
        .prop_map(|(fields, extras)| Value::Object(fields.into_iter().flatten().chain(extras).collect::<Map<_, _>>()))
        .boxed()
}

fn counters(keys: &[&'static str]) -> BoxedStrategy<Value> {
    object(keys.iter().map(|key| (*key, slot())).collect())
}

fn or_null(strategy: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![12 => strategy, 1 => Just(Value::Null)].boxed()
}

fn time() -> BoxedStrategy<Value> {
    let written = (-8_000_000_000_i64..7_000_000_000, 0..1_000_000_000_i64, 0..10_usize).prop_map(
        |(seconds, nanos, decimals)| {
            let full = model::Timestamp::from_nanos(seconds * 1_000_000_000 + nanos).to_string();
            if decimals == 0 { format!("{}Z", &full[..19]) } else { format!("{}Z", &full[..20 + decimals]) }
        },
    );
    prop_oneof![8 => written, 1 => Just("0001-01-01T00:00:00Z".to_owned()), 1 => Just("2026-11-20T13:40:51.5+01:00".to_owned()), 1 => Just("soon".to_owned())]
        .prop_map(Value::from)
        .boxed()
}

/// A frame as no engine writes it: keys in any order, some missing, some unknown, null in many places.
fn document() -> BoxedStrategy<Value> {
    let usage = object(vec![
        ("total_usage", slot()),
        ("usage_in_kernelmode", slot()),
        ("usage_in_usermode", slot()),
        ("percpu_usage", or_null(prop::collection::vec(counter(), 0..4).prop_map(Value::from).boxed())),
    ]);
    let cpu = object(vec![
        ("cpu_usage", or_null(usage)),
        ("system_cpu_usage", slot()),
        ("online_cpus", prop_oneof![4 => (0..200_u64).prop_map(Value::from), 1 => counter()].boxed()),
        ("throttling_data", or_null(counters(&["periods", "throttled_periods", "throttled_time"]))),
    ]);
    let memory = object(vec![
        ("usage", slot()),
        ("limit", slot()),
        ("privateworkingset", slot()),
        (
            "stats",
            or_null(counters(&["total_inactive_file", "inactive_file", "total_cache", "cache", "file", "pgfault"])),
        ),
    ]);
    let interface = counters(&[
        "rx_bytes",
        "rx_packets",
        "rx_errors",
        "rx_dropped",
        "tx_bytes",
        "tx_packets",
        "tx_errors",
        "tx_dropped",
    ]);
    let networks = prop::collection::vec(("[a-z0-9é\"]{1,8}", interface), 0..4)
        .prop_map(|entries| Value::Object(entries.into_iter().collect()));
    let op = prop_oneof!["read", "Write", "READ", "rios", "", "re\"ad", "\\PC{0,5}"].prop_map(Value::from).boxed();
    let entry = object(vec![("major", slot()), ("op", or_null(op)), ("value", slot())]);
    let list = or_null(prop::collection::vec(entry, 0..4).prop_map(Value::from).boxed());
    object(vec![
        ("read", time()),
        ("preread", time()),
        ("cpu_stats", or_null(cpu.clone())),
        ("precpu_stats", cpu),
        ("memory_stats", or_null(memory)),
        ("networks", or_null(networks.boxed())),
        (
            "blkio_stats",
            or_null(object(vec![("io_service_bytes_recursive", list.clone()), ("io_serviced_recursive", list)])),
        ),
        ("pids_stats", or_null(counters(&["current", "limit"]))),
        ("num_procs", slot()),
        ("storage_stats", or_null(counters(&["read_size_bytes", "write_size_bytes"]))),
        ("name", junk()),
    ])
}

/// Writes a document in one of the ways JSON allows: keys in an order of their own, white space, escapes.
fn write(value: &Value, seed: &mut u64, out: &mut String) {
    let mut random = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let space = ["", "", "", " ", "\n", "\t \r\n"][random(6) as usize];
    out.push_str(space);
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            for index in (1..fields.len()).rev() {
                fields.swap(index, random(index as u64 + 1) as usize);
            }
            let escape = random(40) == 0;
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                if escape {
                    out.push('"');
                    key.encode_utf16().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                    out.push('"');
                } else {
                    out.push_str(&Value::from(key.as_str()).to_string());
                }
                out.push_str(space);
                out.push(':');
                write(value, seed, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(element, seed, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
    out.push_str(space);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_way_to_write_any_frame_decodes_as_serde_decodes_it(document in document(), seed in any::<u64>()) {
        let mut text = String::new();
        write(&document, &mut { seed }, &mut text);
        let typed = decode_typed(text.as_bytes());
        prop_assert_eq!(decode(text.as_bytes()), typed, "{}", text);
        if let Some(direct) = decode_direct(text.as_bytes()) {
            prop_assert_eq!(Ok(direct), typed, "{}", text);
        }
    }

    #[test]
    fn a_mutated_frame_never_panics_and_is_read_as_serde_reads_it(
        which in 0..FRAMES.len(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6)
    ) {
        let mut frame = FRAMES[which].as_bytes().to_vec();
        for (place, byte, kind) in edits {
            let place = place.index(frame.len());
            match kind {
                0 => frame[place] = byte,
                1 => frame.insert(place, byte),
                _ => { frame.remove(place); }
            }
        }
        let typed = decode_typed(&frame);
        prop_assert_eq!(decode(&frame), typed);
        if let Some(direct) = decode_direct(&frame) {
            prop_assert_eq!(Ok(direct), typed);
        }
        if let Err(reason) = typed {
            prop_assert!(matches!(reason, LossReason::NotJson | LossReason::Truncated | LossReason::UnexpectedShape | LossReason::EngineError));
        }
    }

    #[test]
    fn any_bytes_at_all_are_classified(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(&bytes).is_err(), true);
    }
}
