//! What a simulated container is: its identity, its load, its limits, its fate.

use std::collections::BTreeMap;
use std::time::Duration;

/// One container to be made. `new` gives an idle busybox on the bridge network.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Name without the leading slash.
    pub name: String,
    /// Image as named at creation.
    pub image: String,
    /// Command line, one string as a list prints it.
    pub command: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Environment, `KEY=value`; shown by inspect as the real engine shows it.
    pub env: Vec<String>,
    /// What it does all day.
    pub load: Load,
    /// Where its network counters come from.
    pub network: Network,
    /// What the engine does when it ends by itself.
    pub restart: RestartPolicy,
    /// How it answers SIGTERM.
    pub on_sigterm: OnSigterm,
    /// Time between two health probes, where it has a health check.
    pub health_interval: Option<Duration>,
    /// It ends by itself with exit code 1 after running this long.
    pub lives_for: Option<Duration>,
    /// CPU limit in cores.
    pub cpu_limit: Option<f64>,
    /// Memory limit in bytes. A load that outgrows it is killed.
    pub memory_limit: Option<u64>,
    /// Limit on processes.
    pub pids_limit: Option<u64>,
    /// A published port: `(host, container)`.
    pub port: Option<(u16, u16)>,
    /// Numbered lines it writes per second.
    pub lines_per_second: f64,
    /// It has a terminal: its log is raw, and lines end in `\r\n`.
    pub is_terminal: bool,
    /// Its log driver keeps nothing that could be read.
    pub unreadable_log: bool,
}

/// Where network counters come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// A network of its own, with this many interfaces (`eth0`, `eth1` …).
    Own(u8),
    /// The host's: frames carry no counters.
    Host,
    /// None: frames carry no counters.
    None,
    /// Another container's, by name: frames repeat its counters.
    SharedWith(String),
}

/// What the engine does when a container ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// Starts it again.
    Always,
    /// Starts it again, unless a person stopped it.
    UnlessStopped,
    /// Starts it again where it failed.
    OnFailure,
}

impl RestartPolicy {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        }
    }
}

/// How a container answers SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSigterm {
    /// Ends with code 0.
    Ends,
    /// Ignores it: a stop needs SIGKILL, and the exit code is 137.
    Ignores,
}

/// How a container uses the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// CPU use in cores, on average.
    pub cores: f64,
    /// Part of that (0 to 1) by which a slow wave moves CPU, network and disk up and down.
    pub swing: f64,
    /// Length of the wave.
    pub period: Duration,
    /// Part (0 to 1) by which each sample is off at random, by the seed.
    pub noise: f64,
    /// Memory held by processes at the start of a run, in bytes.
    pub memory: u64,
    /// Page cache, in bytes; half of it counts as inactive.
    pub cache: u64,
    /// Growth of the memory, in bytes per second.
    pub leak: u64,
    /// Bytes received per second.
    pub receive: u64,
    /// Bytes sent per second.
    pub send: u64,
    /// Bytes read from disk per second.
    pub read: u64,
    /// Bytes written to disk per second.
    pub write: u64,
    /// Processes.
    pub pids: u64,
}

const MIB: u64 = 1 << 20;

impl Load {
    /// Exactly this many cores and nothing random: what a client computes can be checked to the digit.
    pub fn steady(cores: f64) -> Self {
        Self {
            cores,
            swing: 0.0,
            period: Duration::from_secs(60),
            noise: 0.0,
            memory: 16 * MIB,
            cache: 8 * MIB,
            leak: 0,
            receive: 20_000,
            send: 30_000,
            read: 0,
            write: 40_960,
            pids: 3,
        }
    }

    /// Almost nothing: a process that waits.
    pub fn idle() -> Self {
        Self { memory: MIB, cache: 0, receive: 0, send: 0, write: 0, pids: 1, ..Self::steady(0.0005) }
    }

    /// A service with traffic that comes and goes.
    pub fn wave(cores: f64, period: Duration) -> Self {
        Self { swing: 0.8, period, noise: 0.1, receive: 120_000, send: 480_000, pids: 9, ..Self::steady(cores) }
    }

    /// A database: disk and page cache above all.
    pub fn database(cores: f64) -> Self {
        Self {
            swing: 0.4,
            noise: 0.2,
            memory: 180 * MIB,
            cache: 256 * MIB,
            receive: 90_000,
            send: 240_000,
            read: 1_200_000,
            write: 700_000,
            pids: 24,
            ..Self::steady(cores)
        }
    }

    /// All the CPU it gets.
    pub fn hog(cores: f64) -> Self {
        Self { noise: 0.03, receive: 0, send: 0, write: 0, ..Self::steady(cores) }
    }

    /// Memory that only grows.
    pub fn leak(bytes_per_second: u64) -> Self {
        Self { leak: bytes_per_second, noise: 0.1, ..Self::steady(0.05) }
    }
}

impl ContainerSpec {
    /// An idle container on the bridge network.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            image: "busybox:1.36".into(),
            command: "sleep infinity".into(),
            labels: BTreeMap::new(),
            env: Vec::new(),
            load: Load::idle(),
            network: Network::Own(1),
            restart: RestartPolicy::No,
            on_sigterm: OnSigterm::Ends,
            health_interval: None,
            lives_for: None,
            cpu_limit: None,
            memory_limit: None,
            pids_limit: None,
            port: None,
            lines_per_second: 0.0,
            is_terminal: false,
            unreadable_log: false,
        }
    }

    /// Sets image and command.
    pub fn image(mut self, image: impl Into<String>, command: impl Into<String>) -> Self {
        self.image = image.into();
        self.command = command.into();
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Makes it a service of a compose project.
    pub fn compose(self, project: &str, service: &str) -> Self {
        self.label("com.docker.compose.project", project).label("com.docker.compose.service", service)
    }

    /// Adds an environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push(format!("{key}={value}"));
        self
    }

    /// Sets the load.
    pub fn load(mut self, load: Load) -> Self {
        self.load = load;
        self
    }

    /// Sets the network.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Sets the restart policy.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Sets how it answers SIGTERM.
    pub fn on_sigterm(mut self, answer: OnSigterm) -> Self {
        self.on_sigterm = answer;
        self
    }

    /// Gives it a health check.
    pub fn health_check(mut self, interval: Duration) -> Self {
        self.health_interval = Some(interval);
        self
    }

    /// Lets it fail by itself after running this long.
    pub fn lives_for(mut self, duration: Duration) -> Self {
        self.lives_for = Some(duration);
        self
    }

    /// Limits its CPU, in cores.
    pub fn cpu_limit(mut self, cores: f64) -> Self {
        self.cpu_limit = Some(cores);
        self
    }

    /// Limits its memory, in bytes.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Limits its processes.
    pub fn pids_limit(mut self, processes: u64) -> Self {
        self.pids_limit = Some(processes);
        self
    }

    /// Lets it write numbered lines, so many a second: `line 1`, `line 2` …
    pub fn lines_per_second(mut self, lines: f64) -> Self {
        self.lines_per_second = lines;
        self
    }

    /// Gives it a terminal.
    pub fn terminal(mut self) -> Self {
        self.is_terminal = true;
        self
    }

    /// Gives it a log driver that cannot be read.
    pub fn unreadable_log(mut self) -> Self {
        self.unreadable_log = true;
        self
    }

    /// Publishes a port.
    pub fn port(mut self, host: u16, container: u16) -> Self {
        self.port = Some((host, container));
        self
    }

    /// The `index`-th container of a generated host: `web-1`, `api-1`, `db-1` … `proxy-1`, `web-2` …
    ///
    /// Eight make a group; two groups of three are compose projects.
    pub fn generated(index: usize) -> Self {
        const ROLES: [&str; 8] = ["web", "api", "db", "cache", "queue", "worker", "cron", "proxy"];
        let (role, group) = (ROLES[index % ROLES.len()], index / ROLES.len() + 1);
        let name = format!("{role}-{group}");
        let spec = match role {
            "web" => Self::new(name)
                .image("nginx:1.27", "nginx -g 'daemon off;'")
                .load(Load::wave(0.04, Duration::from_secs(90))),
            "api" => Self::new(name)
                .image("shop/api:2.4.1", "/app/api --port 8000")
                .load(Load::wave(0.12, Duration::from_secs(60))),
            "db" => Self::new(name)
                .image("postgres:16", "postgres")
                .load(Load::database(0.08))
                .env("POSTGRES_PASSWORD", "simulated-secret")
                .health_check(Duration::from_secs(30)),
            "cache" => {
                Self::new(name).image("redis:7.4", "redis-server").load(Load::steady(0.02)).memory_limit(256 * MIB)
            }
            "queue" => Self::new(name).image("rabbitmq:3.13", "rabbitmq-server").load(Load::steady(0.05)),
            "worker" => Self::new(name)
                .image("shop/worker:2.4.1", "/app/worker")
                .load(Load::wave(0.3, Duration::from_secs(40)))
                .cpu_limit(0.5),
            "cron" => Self::new(name).load(Load::idle()).network(Network::None),
            _ => Self::new(name)
                .image("haproxy:2.9", "haproxy -f /etc/haproxy.cfg")
                .load(Load::steady(0.03))
                .network(Network::Own(2)),
        };
        if group % 3 == 0 { spec } else { spec.compose(&format!("shop-{group}"), role) }
    }
}
