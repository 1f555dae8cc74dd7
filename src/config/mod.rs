//! The configuration: every key with its type, default and meaning, here and, for sinks, in `sinks`.
//!
//! `pipeline.toml` and `docs/configuration.md` are printed from these declarations (`reference`), and a test
//! fails where they differ. Values come from four layers, the later over the earlier: defaults, file,
//! environment, flags (`load`).

mod checks;
mod host;
mod load;
mod otlp;
mod patterns;
mod problem;
mod reader;
mod reference;
mod remote_write;
mod section;
mod setting;
mod sinks;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use model::{HostName, NodeName};
use pipeline::selection::{LabelPattern, Pattern, Rules, Selection, Standing, Words};

pub use host::machine_name;
pub use load::{CONFIG_VARIABLE, Environment, Loaded, Overrides, Reading, load};
pub use otlp::OtlpSink;
pub use patterns::{Patterns, States};
pub use problem::{ConfigError, Origin, Problem};
pub use reference::{example, page};
pub use remote_write::RemoteWriteSink;
pub use sinks::{ClickHouseSink, InfluxDbSink, KafkaSink, PostgresSink, Sinks, SqliteSink};
pub use values::{
    ByteSize, CacheKind, CollectMode, Compression, DeadLetterPlace, Headers, InfluxApi, InvalidByteSize, JournalKind,
    JournalSync, KafkaFormat, LogFormat, LogTail, OtlpProtocol, PostgresTls, Properties, Secret, SelectDefault,
    StoreKind, TimescaleUse, WhenFull,
};

pub(crate) use section::{Section, SectionInfo};

use section::{Shape, section};

section! {
    /// Above every section.
    Config {
        /// Name of this dockstream process: the first part of every batch id, so each process that delivers
        /// to the same place needs its own. Without it, the machine's host name.
        node: NodeName = found(host::node_name, "edge-7"),
        /// Folder for everything dockstream keeps.
        data_dir: PathBuf = value("./data"),
    }
    sections {
        /// What is asked of the engines.
        collect: Collect,
        /// Whose data are wanted.
        select: Select,
        /// When a batch closes.
        batch: BatchPolicy,
        /// What lies between collecting and delivering.
        journal: JournalSettings,
        /// How losses are told.
        losses: Losses,
        /// Where records go that a server will never take.
        deadletter: DeadLetter,
        /// How failed deliveries and lost hosts are tried again.
        retry: Retry,
        /// Where records go.
        sinks: Sinks,
        /// What the API reads.
        store: Store,
        /// What lies between the API and the store.
        cache: Cache,
        /// The HTTP API.
        api: Api,
        /// How dockstream ends.
        shutdown: Shutdown,
        /// What dockstream may use of its own machine.
        limits: Limits,
        /// Logs, traces and metrics of dockstream itself.
        telemetry: Telemetry,
    }
    lists {
        /// The Docker hosts to watch; `load` never leaves it empty.
        hosts: Host,
    }
}

impl Config {
    /// Where the journal on disk is.
    pub fn journal_folder(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// What `select` and `collect` say of whose data are wanted.
    pub fn selection(&self) -> Selection {
        let Select { default, include, exclude } = self.select.clone();
        let default = match default {
            SelectDefault::In => Standing::In,
            SelectDefault::Out => Standing::Out,
        };
        let Include { names, images, labels, states } = include;
        let include = Rules { names: names.0, images: images.0, labels: labels.0, states: states.0 };
        let Exclude { names, images, labels, states } = exclude;
        let exclude = Rules { names: names.0, images: images.0, labels: labels.0, states: states.0 };
        let (event_types, event_actions) = (self.collect.event_types.clone(), self.collect.event_actions.clone());
        Selection { default, include, exclude, event_types, event_actions }
    }

    /// Where refused records are kept: `deadletter` in the data folder.
    pub fn dead_letter_folder(&self) -> PathBuf {
        self.data_dir.join("deadletter")
    }

    /// Takes over what `other` says of hosts and of what is wanted of them, which can change while dockstream runs; the
    /// paths of the other keys that differ, which a start alone takes up.
    pub fn take_hosts_of(&mut self, other: &Self) -> Vec<String> {
        self.hosts.clone_from(&other.hosts);
        self.select.clone_from(&other.select);
        self.collect.clone_from(&other.collect);
        let mut keys = Vec::new();
        self.differences(other, "", &mut keys);
        keys
    }

    /// Which store the API reads; `None` where no sink is enabled that can be read.
    pub fn store_kind(&self) -> Option<StoreKind> {
        match self.store.kind {
            StoreKind::Auto if self.sinks.sqlite.enabled => Some(StoreKind::Sqlite),
            StoreKind::Auto if self.sinks.clickhouse.enabled => Some(StoreKind::ClickHouse),
            StoreKind::Auto if self.sinks.postgres.enabled => Some(StoreKind::Postgres),
            StoreKind::Auto => None,
            named => Some(named),
        }
    }

    /// Where the SQLite sink keeps its database: `sinks.sqlite.path`, else `dockstream.db` in the data folder.
    pub fn sqlite_path(&self) -> PathBuf {
        self.sinks.sqlite.path.clone().unwrap_or_else(|| self.data_dir.join("dockstream.db"))
    }
}

section! {
    /// The Docker hosts to watch, a `[[hosts]]` section each. Without any: the engine at `$DOCKER_HOST` where
    /// that is set (with `$DOCKER_TLS_VERIFY` and `$DOCKER_CERT_PATH`, as Docker has them), else the local one,
    /// under the machine's host name. They can be changed while dockstream runs: SIGHUP, or `--watch`.
    Host {
        /// Name of the host: with the container id it is a container's identity, so it must stay the same.
        /// Without it, the machine's host name.
        name: HostName = found(host::host_name, "edge-7"),
        /// Address of the engine: `unix:///path`, `tcp://host:port`, `https://host:port`, or `ssh://user@host:port`
        /// with the path of its socket there behind it where that is not `/var/run/docker.sock`.
        url: String = value("unix:///var/run/docker.sock"),
        /// The CA that signed the engine's certificate, as a PEM file. With it, or with `tls_cert`, `tcp://` speaks
        /// TLS, and the certificate is verified. `https://` without it trusts the system's CAs.
        tls_ca: Option<PathBuf> = unset("/etc/dockstream/edge-7/ca.pem"),
        /// Our certificate for this engine, as a PEM file; read again when it was refused.
        tls_cert: Option<PathBuf> = unset("/etc/dockstream/edge-7/cert.pem"),
        /// The private key of `tls_cert`, as a PEM file.
        tls_key: Option<PathBuf> = unset("/etc/dockstream/edge-7/key.pem"),
        /// Whether `tcp://` without TLS may leave this machine. Whoever can read it on its way can own the host.
        insecure: bool = value(false),
        /// Private key file for `ssh://`. Without it: the agent at `$SSH_AUTH_SOCK`, then `~/.ssh/id_ed25519` and
        /// `~/.ssh/id_ecdsa`.
        ssh_key: Option<PathBuf> = unset("/home/ops/.ssh/id_ed25519"),
        /// File with the host keys that are trusted for `ssh://`. Without it: `~/.ssh/known_hosts` and
        /// `/etc/ssh/ssh_known_hosts`.
        ssh_known_hosts: Option<PathBuf> = unset("/etc/dockstream/known_hosts"),
        /// Your own words about the host.
        labels: BTreeMap<String, String> = value({}),
        /// Connections at most for single calls; every stream has one of its own beside them.
        max_connections: NonZeroUsize = value(5),
        /// How long a single call may take.
        timeout: Duration = value("30s"),
        /// How long a sign of life and the opening of a stream may take, connecting included.
        connect_timeout: Duration = value("10s"),
        /// Pause after the first failed attempt to reach the host; then it doubles. Streams wait meanwhile.
        reconnect_min: Duration = value("200ms"),
        /// Longest such pause. Where the host refuses us (keys, certificates, rights) it is a minute at least.
        reconnect_max: Duration = value("10s"),
    }
}

section! {
    /// What is asked of the engines, and how often. All of it is taken up at SIGHUP, or with `--watch`.
    Collect {
        /// `stream` reads the engine's own stream of stats, `poll` asks for a sample of each container, `auto`
        /// polls where the engine can (API 1.44 and later) and streams elsewhere. `cgroup` reads the kernel's own counters of
        /// containers on this machine, at a fraction of the cost; where it may not, and of other hosts, it is as `auto`.
        mode: CollectMode = value("auto"),
        /// Time between two stats samples of a container. An engine's stream may be slower than that.
        stats_interval: Duration = value("5s"),
        /// Time between two full inventories, which correct what events did not tell.
        discovery_interval: Duration = value("60s"),
        /// Time between two looks at a host's images, which correct what events did not tell.
        image_interval: Duration = value("60s"),
        /// Container labels that ride on every record, by name.
        labels: Vec<String> = value([]),
        /// Environment variables of containers whose values are kept. A value may be a secret: of a variable that is not
        /// named here, only the name is kept.
        environment: Vec<String> = value([]),
        /// Event actions whose argument is kept, such as `exec_create`. An argument is a command line and may
        /// hold secrets: without being named here, it is dropped.
        event_arguments: Vec<String> = value([]),
        /// Types of events that are recorded, as patterns; one that begins with `!` leaves out what fits. Without any:
        /// all (`container`, `image`, `network`, `volume`, `daemon`, and whatever else an engine tells of).
        event_types: Words = value([]),
        /// Actions of events that are recorded, in the same way: `["!exec_*", "!top"]` leaves these out.
        event_actions: Words = value([]),
        /// How long a container is known to events that only name it, such as `connect` of a network, without being
        /// seen again. Then it is asked for.
        cache_ttl: Duration = value("10m"),
        /// Containers of a host that are known in this way, at most.
        cache_containers: NonZeroUsize = value(10000),
    }
    sections {
        /// What containers write.
        logs: Logs,
    }
}

section! {
    /// Whose data are wanted: stats, events, states and logs alike. The label `dockstream.enable` (`true` or `false`) of a
    /// container has the last word. Patterns cover the whole text: `*` stands for any characters, `?` for one, `[a-z]`
    /// for one of these, `{a,b}` for either. A container that changes is judged anew; at SIGHUP, or with `--watch`, all are,
    /// and what another selection leaves out is told as removed.
    Select {
        /// What becomes of a container where `include` has no rules: `in` or `out`.
        default: SelectDefault = value("in"),
    }
    sections {
        /// Where it has rules, only who fits is wanted.
        include: Include,
        /// Who fits is not wanted.
        exclude: Exclude,
    }
}

section! {
    /// Where any of these has rules, a container is wanted that fits one rule of each key that has some.
    Include {
        /// Names.
        names: Patterns<Pattern> = value([]),
        /// Images, as named at creation.
        images: Patterns<Pattern> = value([]),
        /// Labels: `key`, or `key=value`.
        labels: Patterns<LabelPattern> = value([]),
        /// States: `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        states: States = value([]),
    }
}

section! {
    /// A container is not wanted that fits any rule of any of these, also where it is included.
    Exclude {
        /// Names.
        names: Patterns<Pattern> = value([]),
        /// Images, as named at creation.
        images: Patterns<Pattern> = value([]),
        /// Labels: `key`, or `key=value`.
        labels: Patterns<LabelPattern> = value([]),
        /// States: what a container is in such a state for is not recorded; how it came there is.
        states: States = value([]),
    }
}

section! {
    /// What containers write. The label `dockstream.logs` (`true` or `false`) of a container wins over what is set here.
    Logs {
        /// Whether the logs of all containers are read.
        enabled: bool = value(false),
        /// Where to begin with a container that was never read: `now`, which is where dockstream was stopped where it
        /// ran before, or `all` that the engine has.
        tail: LogTail = value("now"),
        /// Lines a container may write in a second, by its engine's clock, and ten times as many at once; what is more
        /// is dropped and counted. 0: no limit.
        rate_limit: u32 = value(10000),
    }
}

section! {
    /// When a batch closes: at whichever of these it reaches first.
    BatchPolicy {
        /// Records in a batch.
        count: NonZeroUsize = value(500),
        /// Size of a batch.
        bytes: ByteSize = value("1MiB"),
        /// Time since the first record in it.
        age: Duration = value("1s"),
    }
}

section! {
    /// What lies between collecting and delivering: a sink that is slow or away finds its records here.
    JournalSettings or kind {
        /// `disk`: in `data_dir/journal`, where it outlives the process. `memory`: what no sink has taken when the
        /// process ends is lost. `journal = "memory"` above every section says the same.
        kind: JournalKind = value("disk"),
        /// On disk: room for records that some sink has not taken yet; never more than nine tenths of what is free.
        bytes: ByteSize = value("4GiB"),
        /// In memory: room for them.
        memory_bytes: ByteSize = value("64MiB"),
        /// What happens when it is full. `block`: no more is taken until there is room; samples are thinned out at the
        /// source, counted, and events wait. `drop_oldest`: the oldest records are dropped and counted, for the sinks
        /// that lag behind, and the others go on.
        when_full: WhenFull = value("block"),
        /// On disk: how long a record is kept for a sink that does not take it. Without it, until there is no room.
        age: Option<Duration> = unset("7days"),
        /// On disk: what the end of the power can cost. `always`: nothing, as every batch waits for the disk;
        /// `interval`: the last `sync_interval`; `off`: the last few MiB. The end of the process costs nothing in any.
        sync: JournalSync = value("interval"),
        /// Time between two syncs, with `sync = "interval"`.
        sync_interval: Duration = value("500ms"),
    }
}

section! {
    /// How losses are told: what was dropped, where, why and how many, as records of the stream `losses`.
    Losses {
        /// Time between two reports. One that would tell nothing new is not made.
        interval: Duration = value("10s"),
    }
}

section! {
    /// Where records go that a server will never take, with the error: see `dockstream deadletter`.
    DeadLetter {
        /// `file` for JSON lines in `data_dir/deadletter/`, `topic` for the topic `docker.deadletter` of the
        /// Kafka sink's cluster, with that sink's prefix and settings.
        to: DeadLetterPlace = value("file"),
        /// Size of the files. When they are full the oldest records are removed, and counted.
        bytes: ByteSize = value("64MiB"),
    }
}

section! {
    /// How what failed is tried again: sooner at first, then ever more seldom, with some chance in it.
    Retry {
        /// Pause after the first failure.
        min: Duration = value("200ms"),
        /// Longest pause.
        max: Duration = value("30s"),
    }
}

section! {
    /// What the API reads: one of the places that the sinks fill.
    Store {
        /// `sqlite` for the embedded store, `clickhouse` for ClickHouse, `postgres` for PostgreSQL, `auto` for the first of these
        /// that is enabled as a sink.
        kind: StoreKind = value("auto"),
        /// How long a query may take, and how long it may wait for its turn.
        query_timeout: Duration = value("5s"),
    }
}

section! {
    /// What lies between the API and the store: an answer is given again for some seconds, and for longer where the store
    /// is away. The times are in the operations guide.
    Cache {
        /// `memory` keeps answers in the process; `redis` in Redis too, which several processes share; `off` asks the store
        /// each time.
        kind: CacheKind = value("memory"),
        /// Answers in memory, at most.
        entries: NonZeroUsize = value(10000),
        /// Address of Redis, with the number of a database behind it where that is not 0.
        url: Option<String> = unset("redis://127.0.0.1:6379"),
        /// User name.
        user: Option<String> = unset("dockstream"),
        /// Password. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds the password, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/redis"),
        /// What keys in Redis begin with: for several fleets in one Redis.
        prefix: String = value(""),
    }
}

section! {
    /// The HTTP API.
    Api {
        /// Whether it is served.
        enabled: bool = value(true),
        /// Address it listens on. Only loopback addresses are taken: the API has no authentication.
        listen: SocketAddr = value("127.0.0.1:8080"),
    }
}

section! {
    /// How dockstream ends on SIGTERM or Ctrl-C: it delivers what it holds, stage by stage.
    Shutdown {
        /// Time for that; what is left then is named in the log, and the exit code is 75.
        grace: Duration = value("8s"),
    }
}

section! {
    /// What dockstream may use of its own machine.
    Limits {
        /// Memory for buffers. A configuration whose journal alone could take more is refused.
        memory: ByteSize = value("512MiB"),
        /// Threads that decode. 0: one per CPU, 4 at most.
        parsers: usize = value(0),
    }
}

section! {
    /// Logs, traces and metrics of dockstream itself.
    Telemetry {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or by part: `info,sinks=debug`.
        log: String = value("info"),
        /// `pretty` for people, `json` for machines, `auto` for `pretty` on a terminal and `json` elsewhere.
        log_format: LogFormat = value("auto"),
        /// An OpenTelemetry collector's OTLP/HTTP address; traces and metrics leave where it is set.
        otlp_endpoint: Option<String> = unset("http://127.0.0.1:4318"),
        /// Time between two exports of metrics.
        otlp_interval: Duration = value("10s"),
        /// Name of the service in traces and metrics.
        service_name: String = value("dockstream"),
    }
}

/// Every section with its keys, in the order of the reference.
pub(crate) fn sections() -> Vec<SectionInfo> {
    let mut sections = Vec::new();
    Config::describe("", Shape::Once, &mut sections);
    sections
}

#[cfg(test)]
mod tests;
