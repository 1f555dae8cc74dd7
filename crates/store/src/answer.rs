//! What is answered. Units stand in the names; what is not known is `null`.

use std::collections::BTreeSet;

use model::{ContainerState, HostName, HostRecord, HostStatus, LossRecord, NodeName, Sample, StatsRecord, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Resolution;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// The rows.
    pub data: Vec<T>,
    /// The cursor of the next page; `None` on the last.
    pub next_cursor: Option<String>,
}

/// Growth per second, over the interval since the sample before or over a step of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Throttled nanoseconds per second.
    pub cpu_throttled_ns_per_second: Option<f64>,
    /// Received bytes per second.
    pub network_rx_bytes_per_second: Option<f64>,
    /// Sent bytes per second.
    pub network_tx_bytes_per_second: Option<f64>,
    /// Bytes read from block devices per second.
    pub block_read_bytes_per_second: Option<f64>,
    /// Bytes written to block devices per second.
    pub block_write_bytes_per_second: Option<f64>,
}

impl From<&Sample> for Rates {
    fn from(sample: &Sample) -> Self {
        let rate = |delta: Option<u64>| per_second(delta?, sample.interval_ns?);
        Self {
            cpu_throttled_ns_per_second: rate(sample.cpu_throttled_delta_ns),
            network_rx_bytes_per_second: rate(sample.network_rx_delta_bytes),
            network_tx_bytes_per_second: rate(sample.network_tx_delta_bytes),
            block_read_bytes_per_second: rate(sample.block_read_delta_bytes),
            block_write_bytes_per_second: rate(sample.block_write_delta_bytes),
        }
    }
}

/// `None` where no time passed.
#[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
pub(crate) fn per_second(delta: u64, interval_ns: u64) -> Option<f64> {
    (interval_ns > 0).then(|| delta as f64 / (interval_ns as f64 / 1e9))
}

/// The newest sample of a container, with rates. Serialises flat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StatsRecord")]
pub struct LatestStats {
    /// The sample.
    #[serde(flatten)]
    pub record: StatsRecord,
    /// Its rates.
    #[serde(flatten)]
    pub rates: Rates,
}

impl From<StatsRecord> for LatestStats {
    fn from(record: StatsRecord) -> Self {
        let rates = Rates::from(&record.sample);
        Self { record, rates }
    }
}

/// Stats over time: a container's, or of all together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History<P = HistoryPoint> {
    /// What the points are made from.
    pub resolution: Resolution,
    /// Length of a step; `None` where every point is one sample.
    pub step_ns: Option<i64>,
    /// The first moment asked for.
    pub from: Timestamp,
    /// The moment after the last.
    pub to: Timestamp,
    /// The points, oldest first. A step without samples has none.
    pub points: Vec<P>,
}

/// One step of a history, or one sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Begin of the step, or time of the sample.
    pub timestamp: Timestamp,
    /// Samples in it.
    pub samples: u64,
    /// Time covered by them.
    pub interval_ns: Option<u64>,
    /// Mean CPU use: 100 is one full core.
    pub cpu_usage_percent: Option<f64>,
    /// Lowest CPU use.
    pub cpu_usage_percent_min: Option<f64>,
    /// Highest CPU use.
    pub cpu_usage_percent_max: Option<f64>,
    /// CPU time used.
    pub cpu_usage_delta_ns: Option<u64>,
    /// Time throttled.
    pub cpu_throttled_delta_ns: Option<u64>,
    /// Mean memory in use.
    pub memory_usage_bytes: Option<u64>,
    /// Lowest memory in use.
    pub memory_usage_bytes_min: Option<u64>,
    /// Highest memory in use.
    pub memory_usage_bytes_max: Option<u64>,
    /// Mean part of the limit in use.
    pub memory_usage_percent: Option<f64>,
    /// Lowest part of the limit in use.
    pub memory_usage_percent_min: Option<f64>,
    /// Highest part of the limit in use.
    pub memory_usage_percent_max: Option<f64>,
    /// Highest limit.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes received.
    pub network_rx_delta_bytes: Option<u64>,
    /// Bytes sent.
    pub network_tx_delta_bytes: Option<u64>,
    /// Bytes read from block devices.
    pub block_read_delta_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub block_write_delta_bytes: Option<u64>,
    /// Most processes and threads.
    pub pids: Option<u64>,
    /// Growth per second, over the time for which it is known.
    #[serde(flatten)]
    pub rates: Rates,
}

/// One step of a history of all containers together. Where nothing of a value is known it is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TotalsPoint {
    /// Begin of the step.
    pub timestamp: Timestamp,
    /// Containers with samples in it.
    pub containers: u64,
    /// Their samples.
    pub samples: u64,
    /// Sum of the mean CPU use of each: 100 is one full core.
    pub cpu_usage_percent: Option<f64>,
    /// CPU time used.
    pub cpu_usage_delta_ns: Option<u64>,
    /// Time throttled.
    pub cpu_throttled_delta_ns: Option<u64>,
    /// Sum of the mean memory in use of each.
    pub memory_usage_bytes: Option<u64>,
    /// Bytes received. Containers with the network of another one count that traffic once.
    pub network_rx_delta_bytes: Option<u64>,
    /// Bytes sent, likewise.
    pub network_tx_delta_bytes: Option<u64>,
    /// Bytes read from block devices.
    pub block_read_delta_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub block_write_delta_bytes: Option<u64>,
    /// Sum of the most processes and threads of each.
    pub pids: Option<u64>,
    /// Growth per second, summed up.
    #[serde(flatten)]
    pub rates: Rates,
}

impl TotalsPoint {
    /// Adds the same step of one container. Its traffic counts unless its network is that of another one.
    pub(crate) fn add(&mut self, of: &HistoryPoint, has_own_network: bool) {
        fn add<T: std::ops::Add<Output = T> + Copy>(sum: &mut Option<T>, value: Option<T>) {
            *sum = match (*sum, value) {
                (Some(sum), Some(value)) => Some(sum + value),
                (sum, value) => sum.or(value),
            };
        }
        self.containers += 1;
        self.samples += of.samples;
        add(&mut self.cpu_usage_percent, of.cpu_usage_percent);
        add(&mut self.cpu_usage_delta_ns, of.cpu_usage_delta_ns);
        add(&mut self.cpu_throttled_delta_ns, of.cpu_throttled_delta_ns);
        add(&mut self.memory_usage_bytes, of.memory_usage_bytes);
        add(&mut self.block_read_delta_bytes, of.block_read_delta_bytes);
        add(&mut self.block_write_delta_bytes, of.block_write_delta_bytes);
        add(&mut self.pids, of.pids);
        add(&mut self.rates.cpu_throttled_ns_per_second, of.rates.cpu_throttled_ns_per_second);
        add(&mut self.rates.block_read_bytes_per_second, of.rates.block_read_bytes_per_second);
        add(&mut self.rates.block_write_bytes_per_second, of.rates.block_write_bytes_per_second);
        if has_own_network {
            add(&mut self.network_rx_delta_bytes, of.network_rx_delta_bytes);
            add(&mut self.network_tx_delta_bytes, of.network_tx_delta_bytes);
            add(&mut self.rates.network_rx_bytes_per_second, of.rates.network_rx_bytes_per_second);
            add(&mut self.rates.network_tx_bytes_per_second, of.rates.network_tx_bytes_per_second);
        }
    }
}

/// A loss as it was reported. Serialises flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLoss {
    /// The dockstream process that reported it.
    pub node: NodeName,
    /// Which start of that process: it grows with each.
    pub epoch: u64,
    /// The report's number in that epoch.
    pub sequence: u64,
    /// What was lost.
    #[serde(flatten)]
    pub record: LossRecord,
}

/// Everything summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Containers that are not removed.
    pub containers: u64,
    /// Running containers.
    pub containers_running: u64,
    /// Containers whose newest sample is recent.
    pub containers_reporting: u64,
    /// Hosts.
    pub hosts: u64,
    /// Hosts that answer.
    pub hosts_up: u64,
    /// CPUs of the hosts whose number is known.
    pub host_cpus: Option<u64>,
    /// Memory of the hosts for which it is known.
    pub host_memory_bytes: Option<u64>,
    /// CPU use: 100 is one full core.
    pub cpu_usage_percent: Option<f64>,
    /// Memory in use.
    pub memory_usage_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Growth per second.
    #[serde(flatten)]
    pub rates: Rates,
    /// When the newest of the samples was read.
    pub newest_sample_at: Option<Timestamp>,
}

impl Totals {
    /// Sums up. A sum over nothing known is not known. Containers with the network of another one count that
    /// traffic once: their own record of it is left out.
    pub fn new(states: &[(ContainerState, u64)], hosts: &[HostRecord], latest: &[LatestStats]) -> Self {
        let up: BTreeSet<&HostName> =
            hosts.iter().filter(|host| host.status == HostStatus::Up).map(|host| &host.host).collect();
        let count = |wanted: &dyn Fn(ContainerState) -> bool| {
            states.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum()
        };
        let samples = || latest.iter().map(|latest| &latest.record.sample);
        let rate = |of: fn(&Rates) -> Option<f64>| sum(latest.iter().map(|latest| of(&latest.rates)));
        let own_network = |of: fn(&Rates) -> Option<f64>| {
            let own = latest
                .iter()
                .filter(|latest| !matches!(latest.record.network_scope, Some(model::NetworkScope::Shared(_))));
            sum(own.map(|latest| of(&latest.rates)))
        };
        Self {
            containers: count(&|state| state != ContainerState::Removed),
            containers_running: count(&|state| state == ContainerState::Running),
            containers_reporting: latest.len() as u64,
            hosts: hosts.len() as u64,
            hosts_up: up.len() as u64,
            host_cpus: sum_whole(hosts.iter().map(|host| host.cpus.map(u64::from))),
            host_memory_bytes: sum_whole(hosts.iter().map(|host| host.memory_bytes)),
            cpu_usage_percent: sum(samples().map(|sample| sample.cpu_usage_percent)),
            memory_usage_bytes: sum_whole(samples().map(|sample| sample.memory_usage_bytes)),
            pids: sum_whole(samples().map(|sample| sample.pids)),
            rates: Rates {
                cpu_throttled_ns_per_second: rate(|rates| rates.cpu_throttled_ns_per_second),
                network_rx_bytes_per_second: own_network(|rates| rates.network_rx_bytes_per_second),
                network_tx_bytes_per_second: own_network(|rates| rates.network_tx_bytes_per_second),
                block_read_bytes_per_second: rate(|rates| rates.block_read_bytes_per_second),
                block_write_bytes_per_second: rate(|rates| rates.block_write_bytes_per_second),
            },
            newest_sample_at: latest.iter().map(|latest| latest.record.timestamp).max(),
        }
    }
}

/// A mean of whole numbers, as one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of counts lies among them")]
pub(crate) fn rounded(mean: Option<f64>) -> Option<u64> {
    mean.map(|mean| mean.round() as u64)
}

/// The sum of what is known; `None` where nothing is.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|sum, value| sum + value)
}

fn sum_whole(values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    values.flatten().reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_a_delta_and_time() {
        let sample = Sample { interval_ns: Some(500_000_000), network_rx_delta_bytes: Some(10), ..Sample::default() };
        let rates = Rates::from(&sample);
        assert_eq!(rates.network_rx_bytes_per_second, Some(20.0));
        assert_eq!(rates.network_tx_bytes_per_second, None);
        let still = Sample { interval_ns: Some(0), ..sample };
        assert_eq!(Rates::from(&still), Rates::default());
    }

    #[test]
    fn totals_over_nothing_are_not_known_rather_than_zero() {
        let totals = Totals::new(&[(ContainerState::Removed, 4)], &[], &[]);
        assert_eq!(totals, Totals::default());
        assert_eq!(totals.cpu_usage_percent, None);
    }
}
