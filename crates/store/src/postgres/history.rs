//! Stats over time: from samples where the range is short, else from the rollups.

use model::Timestamp;
use serde::Deserialize;

use super::conditions::{Conditions, moment};
use super::server::Server;
use crate::answer::{per_second, rounded};
use crate::{ContainerKey, History, HistoryPoint, HistoryQuery, Plan, Rates, Resolution, StoreError, TotalsPoint};

/// What grows: the column of its growth, and the one that tells over how much time that is known.
const GROWTH: [(&str, &str, &str); 5] = [
    ("throttled", "cpu_throttled_delta_ns", "cpu_throttled_interval_ns"),
    ("received", "network_rx_delta_bytes", "network_rx_interval_ns"),
    ("sent", "network_tx_delta_bytes", "network_tx_interval_ns"),
    ("was_read", "block_read_delta_bytes", "block_read_interval_ns"),
    ("written", "block_write_delta_bytes", "block_write_interval_ns"),
];

/// What is told as mean, lowest and highest.
const SPREAD: [(&str, &str); 3] =
    [("cpu", "cpu_usage_percent"), ("memory", "memory_usage_bytes"), ("part", "memory_usage_percent")];

/// A step of one container.
#[derive(Deserialize)]
struct Step {
    step: i64,
    sample_count: u64,
    covered: Option<u64>,
    memory_limit: Option<u64>,
    most_pids: Option<u64>,
    cpu_used: Option<u64>,
    cpu_mean: Option<f64>,
    cpu_lowest: Option<f64>,
    cpu_highest: Option<f64>,
    memory_mean: Option<f64>,
    memory_lowest: Option<u64>,
    memory_highest: Option<u64>,
    part_mean: Option<f64>,
    part_lowest: Option<f64>,
    part_highest: Option<f64>,
    throttled: Option<u64>,
    throttled_over: Option<u64>,
    received: Option<u64>,
    received_over: Option<u64>,
    sent: Option<u64>,
    sent_over: Option<u64>,
    was_read: Option<u64>,
    was_read_over: Option<u64>,
    written: Option<u64>,
    written_over: Option<u64>,
}

pub(super) async fn of_container(
    server: &Server,
    container: &ContainerKey,
    query: &HistoryQuery,
) -> Result<History, StoreError> {
    let asked = Plan::new(query)?;
    let (mut plan, mut range) = (asked, asked.range(query));
    loop {
        let (mut step_ns, points) = samples_or_steps(server, container, plan, range).await?;
        if points.is_empty() {
            // Rollups are kept longer than what they are made from.
            let coarser = plan.coarser(query).filter(|_| query.resolution.is_none());
            if let Some((next, inside)) = coarser {
                (plan, range) = (next, next.range(&inside));
                continue;
            }
            (plan, step_ns) = (asked, asked.resolution.step_ns().map(|_| asked.step_ns));
        }
        return Ok(History { resolution: plan.resolution, step_ns, from: query.from, to: query.to, points });
    }
}

/// Samples where there are no more of them than points are wanted, else steps; with the length of a step.
async fn samples_or_steps(
    server: &Server,
    container: &ContainerKey,
    plan: Plan,
    range: (Timestamp, Timestamp),
) -> Result<(Option<i64>, Vec<HistoryPoint>), StoreError> {
    if plan.resolution == Resolution::Raw {
        // One more than asked for tells that there are too many.
        let points = points(server, container, plan, range, None, plan.max_points + 1).await?;
        if points.len() <= plan.max_points {
            return Ok((None, points));
        }
    }
    let step_ns = Some(plan.step_ns);
    Ok((step_ns, points(server, container, plan, range, step_ns, plan.max_points).await?))
}

async fn points(
    server: &Server,
    container: &ContainerKey,
    plan: Plan,
    range: (Timestamp, Timestamp),
    step_ns: Option<i64>,
    limit: usize,
) -> Result<Vec<HistoryPoint>, StoreError> {
    let mut conditions = Conditions::default();
    conditions.add("host = ? AND container_id = ?", [container.host.as_str(), container.container_id.as_str()]);
    within(&mut conditions, plan.resolution, range);
    let sql = format!(
        "SELECT {} AS step, {} FROM {} AS there WHERE {} GROUP BY 1 ORDER BY 1 LIMIT {limit}",
        step(plan.resolution, step_ns),
        columns(plan.resolution),
        table(plan.resolution),
        conditions.clause()
    );
    let steps: Vec<Step> = server.rows(&sql, conditions).await?;
    Ok(steps.into_iter().map(HistoryPoint::from).collect())
}

const fn table(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Raw => "container_stats",
        Resolution::Minute => "container_stats_1m",
        Resolution::Hour => "container_stats_hourly",
        Resolution::Day => "container_stats_daily",
    }
}

fn within(conditions: &mut Conditions, resolution: Resolution, (from, to): (Timestamp, Timestamp)) {
    match resolution {
        Resolution::Raw => conditions.add_range("there.timestamp", "there.nanos", Some(from), Some(to)),
        // Buckets begin at whole seconds.
        _ => {
            let (from, to) = (moment(from).0, moment(to).0);
            conditions.add(&format!("there.timestamp >= {from} AND there.timestamp < {to}"), []);
        }
    }
}

/// Begin of the step in nanoseconds since 1970; every sample is one where there is no length.
fn step(resolution: Resolution, length_ns: Option<i64>) -> String {
    let micros = "(extract(epoch FROM there.timestamp) * 1000000)::bigint * 1000";
    let time = match resolution {
        Resolution::Raw => format!("({micros} + there.nanos)"),
        _ => format!("({micros})"),
    };
    match length_ns {
        None => time,
        // Rounded down also before 1970, where a remainder is negative.
        Some(length) => format!("({time} - ({time} % {length} + {length}) % {length})"),
    }
}

/// The columns of [`Step`] after the first.
fn columns(resolution: Resolution) -> String {
    let is_raw = resolution == Resolution::Raw;
    let (samples, most_pids) = if is_raw { ("count(*)", "pids") } else { ("sum(there.samples)", "pids_max") };
    let mut columns = format!(
        "{samples} AS sample_count, sum(there.interval_ns) AS covered,
         max(there.memory_limit_bytes) AS memory_limit, max(there.{most_pids}) AS most_pids,
         sum(there.cpu_usage_delta_ns) AS cpu_used"
    );
    for (name, column) in SPREAD {
        columns.push_str(&match is_raw {
            true => format!(
                ", avg(there.{column})::double precision AS {name}_mean, min(there.{column}) AS {name}_lowest,
                 max(there.{column}) AS {name}_highest"
            ),
            false => format!(
                ", sum(there.{column}_sum)::double precision / nullif(sum(there.{column}_samples), 0)::double precision
                     AS {name}_mean,
                 min(there.{column}_min) AS {name}_lowest, max(there.{column}_max) AS {name}_highest"
            ),
        });
    }
    for (name, delta, interval) in GROWTH {
        let over = match is_raw {
            true => format!("sum(there.interval_ns) FILTER (WHERE there.{delta} IS NOT NULL)"),
            false => format!("sum(there.{interval})"),
        };
        columns.push_str(&format!(", sum(there.{delta}) AS {name}, {over} AS {name}_over"));
    }
    columns
}

impl From<Step> for HistoryPoint {
    fn from(of: Step) -> Self {
        let rate = |delta: Option<u64>, over: Option<u64>| per_second(delta?, over?);
        Self {
            timestamp: Timestamp::from_nanos(of.step),
            samples: of.sample_count,
            interval_ns: of.covered,
            memory_limit_bytes: of.memory_limit,
            pids: of.most_pids,
            cpu_usage_percent: of.cpu_mean,
            cpu_usage_percent_min: of.cpu_lowest,
            cpu_usage_percent_max: of.cpu_highest,
            memory_usage_bytes: rounded(of.memory_mean),
            memory_usage_bytes_min: of.memory_lowest,
            memory_usage_bytes_max: of.memory_highest,
            memory_usage_percent: of.part_mean,
            memory_usage_percent_min: of.part_lowest,
            memory_usage_percent_max: of.part_highest,
            cpu_usage_delta_ns: of.cpu_used,
            cpu_throttled_delta_ns: of.throttled,
            network_rx_delta_bytes: of.received,
            network_tx_delta_bytes: of.sent,
            block_read_delta_bytes: of.was_read,
            block_write_delta_bytes: of.written,
            rates: Rates {
                cpu_throttled_ns_per_second: rate(of.throttled, of.throttled_over),
                network_rx_bytes_per_second: rate(of.received, of.received_over),
                network_tx_bytes_per_second: rate(of.sent, of.sent_over),
                block_read_bytes_per_second: rate(of.was_read, of.was_read_over),
                block_write_bytes_per_second: rate(of.written, of.written_over),
            },
        }
    }
}

/// A step of all containers.
#[derive(Deserialize)]
struct TotalStep {
    step: i64,
    containers: u64,
    all_samples: u64,
    all_cpu: Option<f64>,
    all_cpu_used: Option<u64>,
    all_memory: Option<f64>,
    all_pids: Option<u64>,
    all_throttled: Option<u64>,
    throttled_rate: Option<f64>,
    all_received: Option<u64>,
    received_rate: Option<f64>,
    all_sent: Option<u64>,
    sent_rate: Option<f64>,
    all_was_read: Option<u64>,
    was_read_rate: Option<f64>,
    all_written: Option<u64>,
    written_rate: Option<f64>,
}

pub(super) async fn of_all(server: &Server, query: &HistoryQuery) -> Result<History<TotalsPoint>, StoreError> {
    let plan = Plan::of_totals(query)?;
    let mut conditions = Conditions::default();
    within(&mut conditions, plan.resolution, plan.range(query));
    let mut growth = String::new();
    for (name, delta, _) in GROWTH {
        // Who has the network of another one would count that one's traffic again.
        let own = if delta.starts_with("network_") { "NOT is_shared" } else { "true" };
        growth.push_str(&format!(
            ", sum({name}) FILTER (WHERE {own}) AS all_{name},
             sum({name}::double precision / ({name}_over::double precision / 1e9)) FILTER (WHERE {own} AND {name}_over > 0)
                 AS {name}_rate"
        ));
    }
    // Means are rounded for each container, halves up, as they are where one is asked for.
    let sql = format!(
        "SELECT step, count(*) AS containers, sum(sample_count) AS all_samples, sum(cpu_mean) AS all_cpu,
             sum(cpu_used) AS all_cpu_used, sum(floor(memory_mean + 0.5)) AS all_memory, sum(most_pids) AS all_pids{growth}
         FROM (
             SELECT {} AS step, there.host, there.container_id, EXISTS (
                     SELECT 1 FROM containers AS known WHERE known.host = there.host
                         AND known.container_id = there.container_id AND known.network_scope LIKE 'shared:%'
                 ) AS is_shared, {}
             FROM {} AS there WHERE {} GROUP BY 1, 2, 3
         ) AS steps GROUP BY step ORDER BY step LIMIT {}",
        step(plan.resolution, Some(plan.step_ns)),
        columns(plan.resolution),
        table(plan.resolution),
        conditions.clause(),
        plan.max_points
    );
    let steps: Vec<TotalStep> = server.rows(&sql, conditions).await?;
    let points = steps.into_iter().map(TotalsPoint::from).collect();
    let (resolution, step_ns) = (plan.resolution, Some(plan.step_ns));
    Ok(History { resolution, step_ns, from: query.from, to: query.to, points })
}

impl From<TotalStep> for TotalsPoint {
    fn from(of: TotalStep) -> Self {
        Self {
            timestamp: Timestamp::from_nanos(of.step),
            containers: of.containers,
            samples: of.all_samples,
            cpu_usage_percent: of.all_cpu,
            cpu_usage_delta_ns: of.all_cpu_used,
            cpu_throttled_delta_ns: of.all_throttled,
            memory_usage_bytes: rounded(of.all_memory),
            network_rx_delta_bytes: of.all_received,
            network_tx_delta_bytes: of.all_sent,
            block_read_delta_bytes: of.all_was_read,
            block_write_delta_bytes: of.all_written,
            pids: of.all_pids,
            rates: Rates {
                cpu_throttled_ns_per_second: of.throttled_rate,
                network_rx_bytes_per_second: of.received_rate,
                network_tx_bytes_per_second: of.sent_rate,
                block_read_bytes_per_second: of.was_read_rate,
                block_write_bytes_per_second: of.written_rate,
            },
        }
    }
}
