//! A small world to look at: a shop on three hosts, with everything that goes wrong in a shop.

use std::path::Path;
use std::time::Duration;

use crate::host::Simulator;
use crate::profile::Profile;
use crate::spec::{ContainerSpec, Load, Network, RestartPolicy};

/// Simulated hosts for a demo. The default is three hosts of twelve containers.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoSpec {
    /// How many hosts: `shop-1`, `shop-2` …
    pub hosts: usize,
    /// How many containers each: the first twelve are told apart by role, more are workers.
    pub containers: usize,
    /// Jobs that come or go on each host, per second.
    pub churn: f64,
    /// The seed; host `n` adds `n` to it.
    pub seed: u64,
}

impl Default for DemoSpec {
    fn default() -> Self {
        Self { hosts: 3, containers: 12, churn: 0.1, seed: 1 }
    }
}

const MIB: u64 = 1 << 20;

impl DemoSpec {
    /// The hosts, ready to start, with their sockets `{folder}/{name}.sock`.
    pub fn hosts(&self, folder: &Path) -> Vec<Simulator> {
        (1..=self.hosts).map(|number| self.host(number, folder)).collect()
    }

    fn host(&self, number: usize, folder: &Path) -> Simulator {
        let name = format!("shop-{number}");
        let mut host = Simulator::host(&name)
            .socket(folder.join(format!("{name}.sock")))
            .seed(self.seed + number as u64)
            // Every third host is an old one: old engines live long.
            .engine(if number.is_multiple_of(3) { Profile::Docker20 } else { Profile::Docker28 })
            .machine(8, 32 << 30)
            .churn(self.churn);
        for index in 0..self.containers {
            host = host.container(container(index, number));
        }
        host
    }
}

/// The twelve roles of a host; `number` tells the hosts apart.
fn container(index: usize, number: usize) -> ContainerSpec {
    let tagged = |name: &str| ContainerSpec::new(name).restart(RestartPolicy::UnlessStopped);
    let shop = |name: &str, service: &str| tagged(name).compose("shop", service);
    let seconds = |base: u64| Duration::from_secs(base + 7 * number as u64);
    match index {
        0 => shop("web-1", "web")
            .image("nginx:1.27", "nginx -g 'daemon off;'")
            .load(Load::wave(0.06, seconds(90)))
            .port(8080, 80)
            .health_check(Duration::from_secs(20)),
        1 => shop("web-2", "web")
            .image("nginx:1.27", "nginx -g 'daemon off;'")
            .load(Load::wave(0.05, seconds(120)))
            .health_check(Duration::from_secs(20)),
        2 => shop("api-1", "api")
            .image("shop/api:2.4.1", "/app/api --port 8000")
            .load(Load::wave(0.45, seconds(60)))
            .cpu_limit(1.0)
            .memory_limit(512 * MIB)
            .health_check(Duration::from_secs(15)),
        3 => shop("db-1", "db")
            .image("postgres:16", "postgres")
            .load(Load::database(0.35))
            .memory_limit(1024 * MIB)
            .env("POSTGRES_PASSWORD", "simulated-secret"),
        4 => shop("cache-1", "cache")
            .image("redis:7.4", "redis-server")
            .load(Load::wave(0.05, seconds(30)))
            .memory_limit(256 * MIB),
        5 => shop("queue", "queue").image("rabbitmq:3.13", "rabbitmq-server").load(Load::database(0.1)),
        6 => shop("worker-1", "worker").image("shop/worker:2.4.1", "/app/worker").load(Load::wave(0.8, seconds(45))),
        // It wants two cores and may have a half: always throttled.
        7 => tagged("report")
            .image("shop/report:0.9.3", "/app/report --all")
            .load(Load::hog(2.0))
            .cpu_limit(0.5)
            .compose("reporting", "report"),
        // It outgrows its memory in about three minutes, is killed, and starts again.
        8 => tagged("thumbnailer")
            .image("shop/thumbnailer:1.2.0", "/app/thumbnailer")
            .load(Load::leak(1_300_000))
            .memory_limit(256 * MIB)
            .compose("media", "thumbnailer"),
        // It fails again and again.
        9 => tagged("importer")
            .image("shop/importer:0.3.0", "/app/importer")
            .load(Load::hog(0.2))
            .lives_for(seconds(25))
            .compose("reporting", "importer"),
        10 => tagged("node-exporter")
            .image("prom/node-exporter:1.8.2", "/bin/node_exporter")
            .load(Load::steady(0.01))
            .network(Network::Host),
        11 => tagged("backup")
            .image("shop/backup:1.0.0", "/app/backup --nightly")
            .load(Load::idle())
            .network(Network::None),
        _ => shop(&format!("worker-{}", index - 10), "worker")
            .image("shop/worker:2.4.1", "/app/worker")
            .load(Load::wave(0.3, seconds(40))),
    }
}
