//! Data made by chance, with what is hard for stores in it: gaps, resets, ties, odd characters, several hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    ContainerId, ContainerMeta, ContainerRecord, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord,
    LogStream, LossReason, LossRecord, NetworkScope, Revp, Rows, Sample, SampleKind, SampleValue, StatsRecord, Stream,
    Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::{container, event, host, id, merge, meta, seconds, start, stats};
use crate::{ContainerKey, HistoryQuery, Resolution};

pub(super) const HOSTS: [&str; 2] = ["a", "b"];
pub(super) const NAMES: [&str; 6] = ["web", "Web-1", "db", "ü-Ü", "back\\slash", "100%'s"];
pub(super) const TAGS: [&str; 5] =
    ["nginx:1.29", "nginx:latest", "shop/API:2", "ü:1", "registry.example:5000/api:latest"];
const STATES: [&str; 5] = ["running", "exited", "paused", "dead", "removed"];
const SECONDS: u64 = 7_200;
/// Containers on each host that have samples, lines and events.
pub(super) const CONTAINERS: u64 = 4;

/// What is stored, and the ranges that are asked for.
#[derive(Clone, Debug)]
pub(super) struct World {
    containers: Vec<ContainerRecord>,
    stats: Vec<StatsRecord>,
    events: Vec<EventRecord>,
    logs: Vec<LogRecord>,
    images: Vec<ImageRecord>,
    image_versions: Vec<ImageVersionRecord>,
    hosts: Vec<HostRecord>,
    losses: Vec<LossRecord>,
    pub ranges: Vec<HistoryQuery>,
    pub since: Timestamp,
}

impl World {
    pub(super) fn rows(&self) -> Vec<Rows> {
        let all = [
            Rows::Containers(self.containers.clone().into()),
            Rows::Stats(self.stats.clone().into()),
            Rows::Events(self.events.clone().into()),
            Rows::Logs(self.logs.clone().into()),
            Rows::Images(self.images.clone().into()),
            Rows::ImageVersions(self.image_versions.clone().into()),
            Rows::Hosts(self.hosts.clone().into()),
            Rows::Losses(self.losses.clone().into()),
        ];
        all.into_iter().filter(|rows| !rows.is_empty()).collect()
    }
}

pub(super) fn keys() -> Vec<ContainerKey> {
    let of = |host: &str, number| ContainerKey { host: meta(host, number, "").host.clone(), container_id: id(number) };
    HOSTS.iter().flat_map(|host| (0..CONTAINERS).map(|number| of(host, number))).collect()
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let moments = 0..SECONDS;
    let states = (
        vec(a_container(), 0..14),
        vec(an_image(), 0..12),
        vec((pick(HOSTS), 0..40u64, pick(["up", "down", "connecting", "removed"]), option::of(1..64u32)), 0..8),
    );
    let streams = (
        vec(a_sample(), 0..160),
        vec((pick(HOSTS), 0..20u64, 0..4usize, pick(["start", "die", "oom"]), 0..CONTAINERS, labels()), 0..40),
        vec((0..2u64, 0..12u64, any::<bool>(), 0..3u32, "[ -~üÜ\t]{0,16}"), 0..40),
        vec((pick(HOSTS), 0..60u64, 0..4usize, pick(TAGS), option::of(0..4u64), option::of(0..4u64)), 0..20),
        vec((0..8usize, 0..17usize, option::of(pick(["kafka", "x'y"])), 0..90u64, 0..30u64, 1..1_000u64), 0..20),
    );
    let range = (moments.clone(), 1..SECONDS, any::<u32>(), option::of(0..4usize), 2..300usize);
    (states, streams, vec(range, 3), moments).prop_map(|(states, streams, ranges, since)| {
        let (containers, images, hosts) = states;
        let (samples, events, lines, versions, losses) = streams;
        let samples: BTreeMap<_, _> = samples.into_iter().map(|row| ((row.0, row.1, row.2), row)).collect();
        // An event that was told twice is one: which of two that differ is kept is up to the store.
        let key = |event: &EventRecord| {
            let words = [event.host.as_str(), &event.kind, &event.action, &event.actor_id];
            (event.timestamp, words.map(str::to_owned))
        };
        let events: BTreeMap<_, _> = events.into_iter().map(happened).map(|event| (key(&event), event)).collect();
        let lines: BTreeMap<_, _> = lines.into_iter().map(|row| ((row.0, row.1, row.2, row.3), row)).collect();
        let versions: BTreeMap<_, _> = versions.into_iter().map(|row| ((row.0, row.1), row)).collect();
        let hosts: BTreeMap<_, _> = hosts.into_iter().map(|row| ((row.0, row.1), row)).collect();
        World {
            // What is told of one thing at one moment is the same: the order of telling decides nothing.
            containers: by_moment(containers, |row, at| {
                merge_into(&row, |row: &mut ContainerRecord| row.observed_at = at)
            }),
            images: by_moment(images, |row, at| merge_into(&row, |row: &mut ImageRecord| row.observed_at = at)),
            hosts: hosts
                .into_values()
                .map(|(name, second, status, cpus)| {
                    host(name, status, json!({ "observed_at": seconds(second), "cpus": cpus, "failures": second }))
                })
                .collect(),
            stats: samples.into_values().map(sampled).collect(),
            events: events.into_values().collect(),
            logs: lines.into_values().map(written).collect(),
            image_versions: versions.into_values().map(changed).collect(),
            losses: losses.into_iter().map(lost).collect(),
            ranges: ranges.into_iter().map(asked).collect(),
            since: seconds(since),
        }
    })
}

fn merge_into<T: Clone>(row: &T, change: impl Fn(&mut T)) -> T {
    let mut row = row.clone();
    change(&mut row);
    row
}

/// Every row at a moment of its own, in an order that is not that of the rows.
fn by_moment<T>(rows: Vec<T>, at: impl Fn(T, Timestamp) -> T) -> Vec<T> {
    (0..).zip(rows).map(|(number, row)| at(row, seconds(number * 7 % 31))).collect()
}

fn pick<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = &'static str> + Clone {
    (0..N).prop_map(move |index| words[index])
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> + Clone {
    let pairs = vec((pick(["team", "tier", "it's"]), pick(["blue", "", "a=b"])), 0..3);
    pairs.prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn a_container() -> impl Strategy<Value = ContainerRecord> {
    let words = (pick(HOSTS), 0..6u64, pick(NAMES), pick(STATES), labels());
    let more = (
        option::of(pick(["healthy", "unhealthy"])),
        option::of(pick(["shop", "ü"])),
        option::of(0..4u64),
        option::of(pick(["A.example", "-bad-"])),
        any::<bool>(),
        pick(["nginx:1.29", "postgres:17"]),
    );
    (words, more).prop_map(|((host, number, name, state, labels), more)| {
        let (health, project, image_id, domain, is_shared, image) = more;
        let health = health.map(|status| json!({ "status": status, "failing_streak": 2, "last_output": "x\ty" }));
        let revp = domain
            .and_then(|domain| Revp::from_labels(&[("snadboy.revp.domain".to_owned(), domain.to_owned())].into()));
        let scope = if is_shared { format!("shared:{}", id(0)) } else { "own".to_owned() };
        let more = json!({
            "state": state, "labels": labels, "health": health, "compose_project": project, "revp": revp,
            "image": image, "image_id": image_id.map(|id| format!("sha256:{id}")), "network_scope": scope,
        });
        container(host, number, name, more)
    })
}

fn an_image() -> impl Strategy<Value = ImageRecord> {
    let words = (pick(HOSTS), 0..6u64, any::<bool>(), vec(pick(TAGS), 0..3), labels());
    (words, option::of(vec(0..4u64, 0..3)), option::of(any::<u32>())).prop_map(|(words, used_by, size_bytes)| {
        let (host, number, is_removed, mut tags, labels) = words;
        tags.sort_unstable();
        tags.dedup();
        let mut record = json!({
            "host": host, "image_id": format!("sha256:{}", id(number)), "tags": tags, "digests": [], "labels": labels,
            "state": if is_removed { "removed" } else { "present" }, "observed_at": start(), "size_bytes": size_bytes,
        });
        let used_by: Option<Vec<ContainerId>> = used_by.map(|users| users.into_iter().map(id).collect());
        merge(&mut record, json!({ "used_by": used_by }));
        serde_json::from_value(record).unwrap()
    })
}

type SampleSeed = (&'static str, u64, u64, u64, Vec<Option<u16>>);

fn a_sample() -> impl Strategy<Value = SampleSeed> {
    (pick(HOSTS), 0..CONTAINERS, 0..SECONDS, 0..2u64, vec(option::weighted(0.8, any::<u16>()), Sample::FIELDS.len()))
}

/// Numbers whose sums are exact, so that the order of adding does not matter.
fn sampled((host, number, second, run, values): SampleSeed) -> StatsRecord {
    let of = meta(host, number, NAMES[usize::try_from(number).unwrap()]);
    let of = Arc::new(ContainerMeta { run: (run > 0).then(|| seconds(run)), ..of.as_ref().clone() });
    let sample = Sample::read(|position, kind| {
        let value = values[position].map(u64::from);
        Ok::<_, ()>(match kind {
            SampleKind::Float64 => SampleValue::Float(values[position].map(|value| f64::from(value) / 8.0)),
            SampleKind::UInt32 => SampleValue::Unsigned(value),
            SampleKind::UInt64 => SampleValue::Unsigned(value.map(|value| value * 4_099)),
        })
    });
    let scope = (run > 0).then_some(NetworkScope::Own);
    StatsRecord { network_scope: scope, ..stats(&of, seconds(second), sample.unwrap()) }
}

type EventSeed = (&'static str, u64, usize, &'static str, u64, BTreeMap<String, String>);

fn happened((host, second, kind, action, number, labels): EventSeed) -> EventRecord {
    let more = match kind {
        0 => json!({ "type": "image", "actor_id": "nginx" }),
        1 => json!({ "type": "network", "actor_id": format!("net-{number}"), "synthetic": true }),
        _ => {
            let name = NAMES[usize::try_from(number).unwrap()];
            json!({ "actor_id": id(number), "container_id": id(number), "container_name": name, "exit_code": 137 })
        }
    };
    let mut all = json!({ "host": host, "labels": labels, "type": if kind == 2 { "volume" } else { "container" } });
    merge(&mut all, more);
    event(second, action, all)
}

fn written((number, second, is_error, ordinal, line): (u64, u64, bool, u32, String)) -> LogRecord {
    LogRecord {
        meta: meta("a", number, NAMES[usize::try_from(number).unwrap()]),
        timestamp: seconds(second),
        received_at: seconds(second) + Duration::from_millis(1),
        stream: if is_error { LogStream::Stderr } else { LogStream::Stdout },
        ordinal,
        line,
        partial: ordinal == 2,
        truncated: false,
        invalid_utf8: is_error,
    }
}

type VersionSeed = (&'static str, u64, usize, &'static str, Option<u64>, Option<u64>);

fn changed((host, second, change, tag, from, to): VersionSeed) -> ImageVersionRecord {
    let image = |number: Option<u64>| number.map(|number| format!("sha256:{}", id(number)));
    let change = ["tag_added", "tag_moved", "image_added", "image_removed"][change];
    let record: Value = json!({
        "host": host, "observed_at": seconds(second), "change": change, "reference": tag,
        "from_image_id": image(from), "to_image_id": image(to),
    });
    serde_json::from_value(record).unwrap()
}

type LossSeed = (usize, usize, Option<&'static str>, u64, u64, u64);

fn lost((stream, reason, sink, last, length, count): LossSeed) -> LossRecord {
    LossRecord {
        stream: Stream::ALL[stream],
        sink: sink.map(str::to_owned),
        reason: LossReason::ALL[reason],
        count,
        first_at: seconds(last),
        last_at: seconds(last + length),
    }
}

fn asked((from, length, odd, resolution, max_points): (u64, u64, u32, Option<usize>, usize)) -> HistoryQuery {
    let all = [Resolution::Raw, Resolution::Minute, Resolution::Hour, Resolution::Day];
    let odd = Duration::from_nanos(u64::from(odd % 1_000_000_000));
    HistoryQuery {
        from: seconds(from) + odd,
        to: seconds(from + length) + odd,
        resolution: resolution.map(|index| all[index]),
        max_points,
    }
}
