//! Promises about all containers together.

use std::time::Duration;

use model::{NetworkScope, Rows, Sample};
use serde_json::json;

use super::Subject;
use super::fixtures::{container, host, id, meta, seconds, start, stats};
use super::stats::{query, sample};
use crate::{HistoryQuery, Resolution};

pub(crate) async fn totals_sum_what_is_known_and_count_a_shared_network_once(mut subject: Subject) {
    let empty = subject.store.totals(start()).await.unwrap();
    assert_eq!((empty.containers, empty.cpu_usage_percent, empty.newest_sample_at), (0, None, None));

    let states = [("web", "running"), ("side", "running"), ("db", "exited"), ("gone", "removed")];
    let containers: Vec<_> = (1..)
        .zip(states)
        .map(|(number, (name, state))| container("a", number, name, json!({ "state": state })))
        .collect();
    subject.stored(Rows::Containers(containers.into())).await;
    let hosts = vec![
        host("a", "up", json!({ "cpus": 4, "memory_bytes": 1_000 })),
        host("b", "down", json!({ "last_error": "refused" })),
    ];
    subject.stored(Rows::Hosts(hosts.into())).await;
    let mut side = stats(&meta("a", 2, "side"), seconds(2), sample(2.5, 20, 100));
    side.network_scope = Some(NetworkScope::Shared(id(1)));
    let unknown = stats(&meta("a", 3, "db"), seconds(1), Sample::default());
    let rows = vec![stats(&meta("a", 1, "web"), seconds(1), sample(1.5, 10, 100)), side, unknown];
    subject.stored(Rows::Stats(rows.into())).await;

    let totals = subject.store.totals(start()).await.unwrap();
    assert_eq!((totals.containers, totals.containers_running, totals.containers_reporting), (3, 2, 3));
    assert_eq!((totals.hosts, totals.hosts_up), (2, 1));
    assert_eq!((totals.host_cpus, totals.host_memory_bytes), (Some(4), Some(1_000)));
    assert_eq!((totals.cpu_usage_percent, totals.memory_usage_bytes), (Some(4.0), Some(30)));
    assert_eq!(totals.rates.network_rx_bytes_per_second, Some(100.0));
    assert_eq!(totals.rates.network_tx_bytes_per_second, None);
    assert_eq!(totals.newest_sample_at, Some(seconds(2)));

    let later = subject.store.totals(seconds(2) + Duration::from_millis(1)).await.unwrap();
    assert_eq!((later.containers_reporting, later.cpu_usage_percent), (1, Some(2.5)));
}

pub(crate) async fn a_history_of_totals_sums_the_containers_of_each_step(mut subject: Subject) {
    let (web, db) = (meta("a", 1, "web"), meta("b", 1, "db"));
    let mut rows: Vec<_> = (0..120).map(|second| stats(&web, seconds(second), sample(10.0, 100, 7))).collect();
    // Half as often, and only in the second minute.
    rows.extend((30..60).map(|half| stats(&db, seconds(2 * half), sample(30.0, 51, 5))));
    rows.push(stats(&db, seconds(600), Sample::default()));
    subject.stored(Rows::Stats(rows.into())).await;
    let history = subject.store.total_history(&query(start(), seconds(3_600))).await.unwrap();
    assert_eq!((history.resolution, history.step_ns), (Resolution::Minute, Some(60_000_000_000)));
    assert_eq!((history.from, history.to), (start(), seconds(3_600)));
    let [one, both, unknown] = history.points.as_slice() else { panic!("{:?}", history.points) };
    assert_eq!((one.timestamp, one.containers, one.samples), (seconds(0), 1, 60));
    assert_eq!((one.cpu_usage_percent, one.memory_usage_bytes, one.pids), (Some(10.0), Some(100), Some(3)));
    assert_eq!((both.timestamp, both.containers, both.samples), (seconds(60), 2, 90));
    assert_eq!((both.cpu_usage_percent, both.memory_usage_bytes, both.pids), (Some(40.0), Some(151), Some(6)));
    assert_eq!(both.network_rx_delta_bytes, Some(60 * 7 + 30 * 5));
    assert_eq!(both.rates.network_rx_bytes_per_second, Some(12.0));
    assert_eq!((both.network_tx_delta_bytes, both.rates.network_tx_bytes_per_second), (None, None));
    assert_eq!((unknown.timestamp, unknown.containers, unknown.samples), (seconds(600), 1, 1));
    assert_eq!((unknown.cpu_usage_percent, unknown.memory_usage_bytes, unknown.pids), (None, None, None));

    let longer = HistoryQuery { max_points: 2, ..query(start(), seconds(3_600)) };
    let history = subject.store.total_history(&longer).await.unwrap();
    assert_eq!(history.points.len(), 1);
    assert_eq!(history.points[0].cpu_usage_percent, Some(40.0), "a mean of each over the step");
    let none = subject.store.total_history(&query(seconds(1_000), seconds(2_000))).await.unwrap();
    assert_eq!(none.points, []);
}

pub(crate) async fn a_history_of_totals_counts_a_shared_network_once(mut subject: Subject) {
    let shared = json!({ "network_scope": format!("shared:{}", id(1)) });
    let containers = vec![container("a", 1, "web", json!({})), container("a", 2, "side", shared)];
    subject.stored(Rows::Containers(containers.into())).await;
    let rows = [meta("a", 1, "web"), meta("a", 2, "side")].map(|of| stats(&of, seconds(1), sample(1.0, 10, 100)));
    subject.stored(Rows::Stats(rows.to_vec().into())).await;
    let history = subject.store.total_history(&query(start(), seconds(60))).await.unwrap();
    let [point] = history.points.as_slice() else { panic!("{:?}", history.points) };
    assert_eq!((point.containers, point.cpu_usage_percent), (2, Some(2.0)));
    assert_eq!(point.network_rx_delta_bytes, Some(100));
    assert_eq!(point.rates.network_rx_bytes_per_second, Some(100.0));
}
