//! What a person sees at the start: what is watched, kept and served, and what to do where nothing is.

use std::net::SocketAddr;
use std::time::Duration;

use api::Sight;
use model::{HostRecord, HostStatus};

use crate::config::Config;
use crate::topology::View;

/// How long the first look at the engines may take before a person is told what was seen.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Says where to look.
pub fn print_places(config: &Config, listen: Option<SocketAddr>) {
    println!("dockstream {}", env!("CARGO_PKG_VERSION"));
    for host in &config.hosts {
        println!("  watching  {}  {}", host.name, host.url);
    }
    if config.sinks.sqlite.enabled {
        println!("  storing   {}", config.sqlite_path().display());
    }
    if config.sinks.kafka.enabled {
        println!(
            "  sending   Kafka {}  topics {}*",
            config.sinks.kafka.brokers.join(","),
            config.sinks.kafka.topic_prefix
        );
    }
    if let Some(url) = config.sinks.clickhouse.url.as_ref().filter(|_| config.sinks.clickhouse.enabled) {
        println!("  writing   ClickHouse {url}  database {}", config.sinks.clickhouse.database);
    }
    if let Some(host) = config.sinks.postgres.host.as_ref().filter(|_| config.sinks.postgres.enabled) {
        println!("  writing   PostgreSQL {host}:{}/{}", config.sinks.postgres.port, config.sinks.postgres.database);
    }
    if let Some(url) = config.sinks.influxdb.url.as_ref().filter(|_| config.sinks.influxdb.enabled) {
        println!("  writing   InfluxDB {url}");
    }
    if let Some(endpoint) = config.sinks.otlp.endpoint.as_ref().filter(|_| config.sinks.otlp.enabled) {
        println!("  sending   OTLP {endpoint}");
    }
    if let Some(url) = config.sinks.remote_write.url.as_ref().filter(|_| config.sinks.remote_write.enabled) {
        println!("  sending   remote write {}", url.split('?').next().unwrap_or(url));
    }
    if let Some(address) = listen {
        println!("  serving   http://{address}  (API: /api/docs, metrics: /metrics, pipeline: /api/pipeline)");
    }
}

/// Says what the first look found, once it is over; never returns earlier than that.
pub async fn print_first_look(view: View, hosts: usize) {
    let end = tokio::time::Instant::now() + FIRST_LOOK;
    let mut poll = tokio::time::interval(Duration::from_millis(100));
    let looked = || view.hosts().iter().filter(|host| host.containers.is_some() || host.last_error.is_some()).count();
    while tokio::time::Instant::now() < end && looked() < hosts {
        poll.tick().await;
    }
    for line in first_look(&view.hosts()) {
        println!("  {line}");
    }
}

/// A line for each host.
fn first_look(hosts: &[HostRecord]) -> Vec<String> {
    hosts.iter().map(line).collect()
}

fn line(host: &HostRecord) -> String {
    match (host.status, host.containers_running) {
        (HostStatus::Up, Some(0)) => {
            format!("{}: no container is running; start one, for example: docker run -d --name hello nginx", host.host)
        }
        (HostStatus::Up, Some(running)) => {
            format!("{}: {running} of {} containers running", host.host, host.containers.unwrap_or(running))
        }
        (HostStatus::Up, None) => format!("{}: the engine answers; still looking at its containers", host.host),
        (HostStatus::Down | HostStatus::Connecting | HostStatus::Removed, _) => {
            let why = host.last_error.as_deref().unwrap_or("no answer yet");
            format!("{}: not ready: {why}; it is tried again until it answers", host.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{HostName, Timestamp};

    use super::*;

    fn host(status: HostStatus, running: Option<u64>, error: Option<&str>) -> HostRecord {
        let name = HostName::try_new("local").unwrap();
        HostRecord {
            last_error: error.map(Into::into),
            containers: running.map(|running| running + 1),
            containers_running: running,
            ..HostRecord::new(name, "unix:///var/run/docker.sock", status, Timestamp::default())
        }
    }

    #[test]
    fn an_engine_without_containers_tells_how_to_start_one() {
        assert!(line(&host(HostStatus::Up, Some(0), None)).contains("docker run"));
    }

    #[test]
    fn an_engine_that_is_down_tells_why_in_one_line() {
        let line = line(&host(HostStatus::Down, None, Some("no Docker engine at unix:///nowhere")));
        assert_eq!(line, "local: not ready: no Docker engine at unix:///nowhere; it is tried again until it answers");
    }

    #[test]
    fn containers_are_counted() {
        assert_eq!(line(&host(HostStatus::Up, Some(3), None)), "local: 3 of 4 containers running");
    }
}
