//! A written frame has the keys of the recorded one, in the same order.

use super::*;

/// The keys of a JSON text in the order in which they stand, values and array items left out.
fn keys(json: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let text = &rest[start + 1..];
        let end = text.find('"').expect("strings are closed");
        if text[end + 1..].starts_with(':') {
            keys.push(&text[..end]);
        }
        rest = &text[end + 1..];
    }
    keys
}

fn recorded(profile: Profile, name: &str) -> String {
    let folder = match profile {
        Profile::Docker20 => "docker20",
        Profile::Docker28 => "docker28",
    };
    std::fs::read_to_string(format!("{}/profiles/{folder}/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn sample(io: u64, interfaces: u8) -> Sample {
    let networks =
        (0..interfaces).map(|index| InterfaceCounters { name: format!("eth{index}"), ..Default::default() }).collect();
    Sample {
        read: Timestamp::from_nanos(1_795_000_000_123_000_000),
        counters: Counters {
            online_cpus: 2,
            networks: (interfaces > 0).then_some(networks),
            block_read_bytes: io,
            block_write_bytes: io,
            pids: 1,
            ..Default::default()
        },
    }
}

fn written(profile: Profile, sample: Option<&Sample>, previous: Option<&Previous>, layout: Layout) -> String {
    let mut out = Vec::new();
    write(&FrameSource { profile, name: "r_life", id: "d47d", sample, previous, layout }, &mut out);
    let text = String::from_utf8(out).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    text
}

#[test]
fn a_written_frame_has_the_keys_of_the_recorded_one_in_the_same_order() {
    let previous = Previous { read: Timestamp::from_nanos(1), cpu: CpuCounters::default(), online_cpus: 2 };
    for profile in [Profile::Docker20, Profile::Docker28] {
        // The recorded 28 frames had disk I/O in the bridge and first frames, the 20 ones had not.
        let io = if profile == Profile::Docker28 { 4096 } else { 0 };
        for (name, sample, previous, layout) in [
            ("normal_bridge", Some(sample(io, 1)), Some(&previous), Layout::Stream),
            ("first_after_start", Some(sample(io, 1)), None, Layout::Stream),
            ("after_stop", None, None, Layout::Stream),
            ("net_none", Some(sample(0, 0)), Some(&previous), Layout::Stream),
            ("net_multiple", Some(sample(0, 3)), Some(&previous), Layout::Stream),
            ("blkio", Some(sample(4096, 1)), Some(&previous), Layout::Stream),
            ("poll_oneshot", Some(sample(0, 1)), None, Layout::OneShot),
            ("poll_oneshot_stopped", None, None, Layout::OneShot),
        ] {
            let recorded = recorded(profile, name);
            let written = written(profile, sample.as_ref(), previous, layout);
            assert_eq!(keys(&written), keys(&recorded), "{profile:?} {name}\n{written}\n{recorded}");
        }
    }
}

#[test]
fn a_zero_frame_equals_the_recorded_one_byte_for_byte() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let recorded = recorded(profile, "after_stop");
        let id = serde_json::from_str::<serde_json::Value>(&recorded).unwrap()["id"].as_str().unwrap().to_owned();
        let expected = recorded.trim_end().replace(&id, "d47d");
        assert_eq!(written(profile, None, None, Layout::Stream), expected);
    }
}
