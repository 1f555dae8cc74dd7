//! Promises about samples and hosts.

use std::sync::Arc;
use std::time::Duration;

use model::{ContainerMeta, Rows, Sample, Timestamp};
use serde_json::json;

use super::Subject;
use super::fixtures::{container, host, merge, meta, seconds, start, stats};
use crate::{ContainerKey, DEFAULT_POINTS, HistoryQuery, Resolution};

const SECOND: u64 = 1_000_000_000;

fn key(meta: &ContainerMeta) -> ContainerKey {
    ContainerKey { host: meta.host.clone(), container_id: meta.container_id.clone() }
}

pub(super) fn sample(cpu: f64, memory: u64, received: u64) -> Sample {
    Sample {
        cpu_usage_percent: Some(cpu),
        memory_usage_bytes: Some(memory),
        pids: Some(3),
        interval_ns: Some(SECOND),
        network_rx_delta_bytes: Some(received),
        ..Sample::default()
    }
}

pub(super) fn query(from: Timestamp, to: Timestamp) -> HistoryQuery {
    HistoryQuery { from, to, resolution: None, max_points: DEFAULT_POINTS }
}

pub(crate) async fn the_latest_sample_is_the_newest_with_its_rates(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let newest = stats(&web, seconds(5), sample(1.5, 10, 2_048));
    let rows =
        vec![stats(&web, seconds(1), Sample::default()), newest.clone(), stats(&web, seconds(3), Sample::default())];
    subject.stored(Rows::Stats(rows.into())).await;
    let latest = subject.store.latest(&key(&web)).await.unwrap().unwrap();
    assert_eq!(latest.record, newest);
    assert_eq!(latest.rates.network_rx_bytes_per_second, Some(2_048.0));
    assert_eq!(latest.rates.network_tx_bytes_per_second, None);

    let mut expected = serde_json::to_value(&newest).unwrap();
    merge(
        &mut expected,
        json!({
            "cpu_throttled_ns_per_second": null, "network_rx_bytes_per_second": 2_048.0,
            "network_tx_bytes_per_second": null, "block_read_bytes_per_second": null,
            "block_write_bytes_per_second": null,
        }),
    );
    assert_eq!(serde_json::to_value(&latest).unwrap(), expected, "flat, with the rates beside the record");
}

pub(crate) async fn a_container_without_samples_has_no_latest(mut subject: Subject) {
    subject.stored(Rows::Containers(vec![container("a", 1, "web", json!({}))].into())).await;
    assert_eq!(subject.store.latest(&key(&meta("a", 1, "web"))).await.unwrap(), None);
}

pub(crate) async fn the_latest_of_all_has_each_container_once_and_leaves_out_the_stale(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let restarted = Arc::new(ContainerMeta { run: Some(seconds(2)), ..web.as_ref().clone() });
    let (db, stale) = (meta("b", 2, "db"), meta("a", 3, "stale"));
    let rows = vec![
        stats(&web, seconds(10), sample(1.0, 1, 1)),
        stats(&restarted, seconds(12), sample(2.0, 2, 2)),
        stats(&db, seconds(11), sample(3.0, 3, 3)),
        stats(&stale, seconds(1), sample(4.0, 4, 4)),
    ];
    subject.stored(Rows::Stats(rows.into())).await;
    let latest = subject.store.latest_all(seconds(10)).await.unwrap();
    let seen: Vec<_> = latest
        .iter()
        .map(|latest| (latest.record.meta.container_name.as_str(), latest.record.sample.cpu_usage_percent))
        .collect();
    assert_eq!(seen, [("web", Some(2.0)), ("db", Some(3.0))]);
}

pub(crate) async fn a_short_history_is_the_samples_themselves(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let rows: Vec<_> = (0..5).map(|second| stats(&web, seconds(second), sample(second as f64, 10, 100))).collect();
    subject.stored(Rows::Stats(rows.into())).await;
    let history = subject.store.history(&key(&web), &query(start(), seconds(3_600))).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Raw, None));
    assert_eq!(history.points.len(), 5);
    for (second, point) in history.points.iter().enumerate() {
        let cpu = Some(second as f64);
        assert_eq!(point.timestamp, seconds(second as u64));
        assert_eq!((point.samples, point.interval_ns), (1, Some(SECOND)));
        assert_eq!([point.cpu_usage_percent, point.cpu_usage_percent_min, point.cpu_usage_percent_max], [cpu; 3]);
        let memory = [point.memory_usage_bytes, point.memory_usage_bytes_min, point.memory_usage_bytes_max];
        assert_eq!(memory, [Some(10); 3]);
        assert_eq!(point.network_rx_delta_bytes, Some(100));
        assert_eq!(point.rates.network_rx_bytes_per_second, Some(100.0));
    }
}

pub(crate) async fn what_is_not_known_stays_null_and_a_gap_stays_a_gap(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let rows = vec![
        stats(&web, seconds(0), Sample::default()),
        // A reset: the interval is known, the delta is not.
        stats(&web, seconds(60), Sample { interval_ns: Some(SECOND), ..Sample::default() }),
        stats(&web, seconds(61), sample(1.0, 1, 500)),
        stats(&web, seconds(600), sample(1.0, 1, 1)),
    ];
    subject.stored(Rows::Stats(rows.into())).await;
    let minutes = HistoryQuery { resolution: Some(Resolution::Minute), ..query(start(), seconds(3_600)) };
    let history = subject.store.history(&key(&web), &minutes).await.unwrap();
    let times: Vec<_> = history.points.iter().map(|point| point.timestamp).collect();
    assert_eq!(times, [seconds(0), seconds(60), seconds(600)]);
    let unknown = &history.points[0];
    assert_eq!((unknown.samples, unknown.interval_ns, unknown.cpu_usage_percent), (1, None, None));
    assert_eq!((unknown.memory_usage_bytes, unknown.network_rx_delta_bytes, unknown.pids), (None, None, None));
    assert_eq!(unknown.rates.network_rx_bytes_per_second, None);
    let reset = &history.points[1];
    assert_eq!((reset.samples, reset.interval_ns), (2, Some(2 * SECOND)));
    assert_eq!(reset.network_rx_delta_bytes, Some(500));
    assert_eq!(reset.rates.network_rx_bytes_per_second, Some(500.0), "only over the time for which it is known");
}

pub(crate) async fn a_long_history_has_mean_lowest_and_highest_and_sums_of_deltas(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let rows: Vec<_> = (0..120)
        .map(|second| {
            let cpu = if second % 2 == 0 { 10.0 } else { 30.0 };
            let memory = Sample {
                memory_usage_percent: Some(cpu / 10.0),
                memory_limit_bytes: Some(1_000),
                ..sample(cpu, second, 7)
            };
            stats(&web, seconds(second), memory)
        })
        .collect();
    subject.stored(Rows::Stats(rows.into())).await;
    let history = subject.store.history(&key(&web), &query(start(), seconds(6 * 3_600))).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Minute, Some(60_000_000_000)));
    assert_eq!(history.points.len(), 2);
    let point = &history.points[1];
    assert_eq!((point.timestamp, point.samples, point.interval_ns), (seconds(60), 60, Some(60 * SECOND)));
    assert_eq!(point.cpu_usage_percent, Some(20.0));
    assert_eq!((point.cpu_usage_percent_min, point.cpu_usage_percent_max), (Some(10.0), Some(30.0)));
    // 60 to 119: the mean is 89.5.
    assert_eq!(point.memory_usage_bytes, Some(90));
    assert_eq!((point.memory_usage_bytes_min, point.memory_usage_bytes_max), (Some(60), Some(119)));
    assert_eq!((point.memory_usage_percent_min, point.memory_usage_percent_max), (Some(1.0), Some(3.0)));
    assert_eq!((point.memory_limit_bytes, point.pids), (Some(1_000), Some(3)));
    assert_eq!(point.network_rx_delta_bytes, Some(60 * 7));
    assert_eq!(point.rates.network_rx_bytes_per_second, Some(7.0));
}

pub(crate) async fn more_samples_than_points_make_longer_steps(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let rows: Vec<_> = (0..600).map(|second| stats(&web, seconds(second), sample(1.0, 1, 1))).collect();
    subject.stored(Rows::Stats(rows.into())).await;
    let few = HistoryQuery { max_points: 60, ..query(start(), seconds(600)) };
    let history = subject.store.history(&key(&web), &few).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Raw, Some(10_000_000_000)));
    assert_eq!(history.points.len(), 60);
    assert!(history.points.iter().all(|point| point.samples == 10 && point.network_rx_delta_bytes == Some(10)));
}

pub(crate) async fn a_history_spans_restarts_and_ends_before_its_end(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let restarted = Arc::new(ContainerMeta { run: Some(seconds(2)), ..web.as_ref().clone() });
    let other_host = meta("b", 1, "web");
    let rows = vec![
        stats(&web, seconds(1), sample(1.0, 1, 1)),
        stats(&restarted, seconds(2), sample(2.0, 1, 1)),
        stats(&restarted, seconds(3), sample(3.0, 1, 1)),
        stats(&other_host, seconds(2), sample(9.0, 1, 1)),
    ];
    subject.stored(Rows::Stats(rows.into())).await;
    let history = subject.store.history(&key(&web), &query(seconds(1), seconds(3))).await.unwrap();
    let cpu: Vec<_> = history.points.iter().map(|point| point.cpu_usage_percent).collect();
    assert_eq!(cpu, [Some(1.0), Some(2.0)]);
}

pub(crate) async fn a_history_of_rollups_has_whole_steps_also_at_its_ends(mut subject: Subject) {
    let web = meta("a", 1, "web");
    let rows: Vec<_> = (0..180).map(|second| stats(&web, seconds(second), sample(1.0, 1, 1))).collect();
    subject.stored(Rows::Stats(rows.into())).await;
    let minutes = HistoryQuery { resolution: Some(Resolution::Minute), ..query(seconds(59), seconds(121)) };
    let history = subject.store.history(&key(&web), &minutes).await.unwrap();
    assert_eq!((history.from, history.to), (seconds(59), seconds(121)), "as it was asked");
    let points: Vec<_> = history.points.iter().map(|point| (point.timestamp, point.samples)).collect();
    assert_eq!(points, [(seconds(0), 60), (seconds(60), 60), (seconds(120), 60)]);
}

pub(crate) async fn hosts_come_back_as_they_were_stored(mut subject: Subject) {
    let b = host(
        "b",
        "down",
        json!({ "last_error": "connection refused", "failures": 3, "retry_at": start(), "status_since": start() }),
    );
    let a = host(
        "a",
        "up",
        json!({
            "engine": "docker", "engine_version": "20.10.24", "api_version": "1.41", "os": "linux", "kernel": "6.1",
            "cgroup_version": 2, "cpus": 2, "memory_bytes": 8_000_000_000_u64, "response_ns": 12_345,
            "containers": 3, "containers_running": 1, "labels": {"site": "north"},
        }),
    );
    subject.stored(Rows::Hosts(vec![b.clone(), a.clone()].into())).await;
    assert_eq!(subject.store.hosts().await.unwrap(), [a.clone(), b]);
    assert_eq!(subject.store.host("a").await.unwrap(), Some(a));
    assert_eq!(subject.store.host("A").await.unwrap(), None);
}

pub(crate) async fn a_host_that_is_no_longer_watched_is_not_listed_until_it_is_watched_again(mut subject: Subject) {
    let (a, b) = (host("a", "up", json!({})), host("b", "up", json!({})));
    subject.stored(Rows::Hosts(vec![a.clone(), b].into())).await;
    let later = |status, seconds| host("b", status, json!({ "observed_at": start() + Duration::from_secs(seconds) }));
    subject.stored(Rows::Hosts(vec![later("removed", 1)].into())).await;
    assert_eq!(subject.store.hosts().await.unwrap(), std::slice::from_ref(&a));
    assert_eq!(subject.store.totals(start()).await.unwrap().hosts, 1);
    subject.stored(Rows::Hosts(vec![later("up", 2)].into())).await;
    assert_eq!(subject.store.hosts().await.unwrap().len(), 2);
}
