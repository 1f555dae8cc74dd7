//! From the configuration to the parts the topology joins.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{HostOptions, HostUrl, InvalidHostUrl, SshOptions, TlsOptions};
use pipeline::ports::{DeadLetter, EngineApi, EngineError};
use sinks::Trust;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, ClickHouseTables, Retention};
use sinks::deadletter::{FileDeadLetter, Folder};
use sinks::influxdb::{Api, Credentials, InfluxConfig, InfluxPlace, InfluxSink};
use sinks::kafka::{Format, KafkaConfig, KafkaTopics, LetterTopic, RegistryConfig, TopicDeadLetter, Writer};
use sinks::migrate::{Migrate, SqliteTables};
use sinks::otlp::{OtlpConfig, OtlpSink, Protocol};
use sinks::postgres::{self, PostgresConfig, PostgresSink, PostgresTables};
use sinks::remote_write::{RemoteWriteConfig, RemoteWriteSink};
use sinks::sqlite::{SqliteConfig, SqliteError, SqliteSink};
use store::cache::{CacheConfig, CacheCounts, RedisConfig};
use store::clickhouse::ClickHouseStoreConfig;
use store::postgres::PostgresStoreConfig;
use store::sqlite::SqliteStoreConfig;
use store::{CachedStore, ClickHouseStore, PostgresStore, SqliteStore, Store};
use wire::postgres::{Place, Tls};

use crate::config::{
    Cache, CacheKind, Collect, Config, DeadLetterPlace, Host, InfluxApi, KafkaFormat, OtlpProtocol, PostgresTls,
    Secret, StoreKind, TimescaleUse,
};
use crate::data_folder::{DataFolderError, Identity};
use crate::topology::{SinkPlan, TopologyError};

/// The Kafka sink's name.
const KAFKA: &str = "kafka";

/// Why dockstream cannot start, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The embedded store.
    #[error("cannot open the embedded store {path}: {error}")]
    Store {
        /// The database file.
        path: String,
        /// What is wrong with it.
        error: SqliteError,
    },
    /// The API's address.
    #[error("`api.listen`: {0}")]
    Bind(#[from] api::BindError),
    /// Metrics of the cache.
    #[error("metrics of the cache: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The cache.
    #[error("`cache.url`: {0}")]
    Cache(String),
    /// An engine's address.
    #[error("`hosts.{host}.url`: {error}")]
    HostUrl {
        /// The host.
        host: String,
        /// What is wrong with it.
        error: InvalidHostUrl,
    },
    /// An engine's client.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The pipeline.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The simulated hosts of the demo.
    #[error("cannot simulate hosts: {0}")]
    Simulator(#[from] simulator::StartError),
    /// The operating system.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// A client for every configured host.
pub fn engines(config: &Config) -> Result<Vec<Arc<dyn EngineApi>>, StartError> {
    config.hosts.iter().map(|host| engine(host, &config.collect)).collect()
}

/// A client for this host.
pub fn engine(host: &Host, collect: &Collect) -> Result<Arc<dyn EngineApi>, StartError> {
    let url: HostUrl = host.url.parse().map_err(|error| StartError::HostUrl { host: host.name.to_string(), error })?;
    let options = HostOptions {
        max_connections: host.max_connections.get(),
        call_timeout: host.timeout,
        head_timeout: host.connect_timeout,
        tls: tls(host),
        ssh: ssh(host),
        environment: collect.environment.clone(),
        ..HostOptions::default()
    };
    Ok(Arc::new(engine::Host::new(host.name.clone(), &url, &options)?))
}

fn tls(host: &Host) -> Option<TlsOptions> {
    let identity = host.tls_cert.clone().zip(host.tls_key.clone());
    host.uses_tls().then(|| TlsOptions { ca: host.tls_ca.clone(), identity })
}

/// As ssh(1) would have it, where the configuration says nothing.
fn ssh(host: &Host) -> SshOptions {
    let folder = std::env::home_dir().map(|home| home.join(".ssh"));
    let of_user = |name: &str| folder.iter().map(|folder| folder.join(name)).collect::<Vec<_>>();
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let known_hosts = host.ssh_known_hosts.as_ref().map(|file| vec![file.clone()]);
    SshOptions {
        user: variable("USER").or_else(|| variable("LOGNAME")),
        identity: host.ssh_key.clone(),
        agent: variable("SSH_AUTH_SOCK").map(PathBuf::from),
        usual_identities: [of_user("id_ed25519"), of_user("id_ecdsa")].concat(),
        known_hosts: known_hosts
            .unwrap_or_else(|| [of_user("known_hosts"), vec!["/etc/ssh/ssh_known_hosts".into()]].concat()),
    }
}

/// The enabled sinks. `identity` is whose batches they deliver; without it nothing is delivered in transactions, so that
/// nobody's place is taken and no cursor moves.
pub fn sinks(config: &Config, identity: Option<&Identity>) -> Vec<SinkPlan> {
    let mut plans = Vec::new();
    if config.sinks.sqlite.enabled {
        let settings = sqlite(config);
        plans.push(SinkPlan::new("sqlite", move || Box::new(SqliteSink::new(settings.clone()))));
    }
    if config.sinks.kafka.enabled {
        let settings = kafka(config, identity);
        plans.push(SinkPlan::new(KAFKA, move || ::sinks::kafka::sink(settings.clone())));
    }
    if let Some(url) = config.sinks.clickhouse.url.as_ref().filter(|_| config.sinks.clickhouse.enabled) {
        let settings = clickhouse(config, url);
        plans.push(SinkPlan::new("clickhouse", move || Box::new(ClickHouseSink::new(settings.clone()))));
    }
    if let Some(host) = config.sinks.postgres.host.as_ref().filter(|_| config.sinks.postgres.enabled) {
        let settings = postgres(config, host);
        plans.push(SinkPlan::new("postgres", move || Box::new(PostgresSink::new(settings.clone()))));
    }
    if let Some(url) = config.sinks.influxdb.url.as_ref().filter(|_| config.sinks.influxdb.enabled) {
        let settings = influxdb(config, url);
        plans.push(SinkPlan::new("influxdb", move || Box::new(InfluxSink::new(settings.clone()))));
    }
    if let Some(endpoint) = config.sinks.otlp.endpoint.as_ref().filter(|_| config.sinks.otlp.enabled) {
        let settings = otlp(config, endpoint);
        plans.push(SinkPlan::new("otlp", move || Box::new(OtlpSink::new(settings.clone()))));
    }
    if let Some(url) = config.sinks.remote_write.url.as_ref().filter(|_| config.sinks.remote_write.enabled) {
        let settings = remote_write(config, url);
        plans.push(SinkPlan::new("remote_write", move || Box::new(RemoteWriteSink::new(settings.clone()))));
    }
    plans
}

/// What the API reads. Connects to nothing yet; where no sink can be read, every query is told that nothing is stored.
pub fn store(config: &Config) -> Arc<dyn Store> {
    let time_limit = config.store.query_timeout;
    let (clickhouse, postgres) = (&config.sinks.clickhouse, &config.sinks.postgres);
    match (config.store_kind(), &clickhouse.url, &postgres.host) {
        (Some(StoreKind::ClickHouse), Some(url), _) => Arc::new(ClickHouseStore::new(&ClickHouseStoreConfig {
            database: clickhouse.database.clone(),
            user: clickhouse.user.clone(),
            password: clickhouse.password.as_ref().map(|password| password.expose().to_owned()),
            time_limit,
            ..ClickHouseStoreConfig::new(url)
        })),
        (Some(StoreKind::Postgres), _, Some(host)) => Arc::new(PostgresStore::new(PostgresStoreConfig {
            time_limit,
            ..PostgresStoreConfig::new(postgres_place(config, host))
        })),
        _ => {
            let settings = SqliteStoreConfig::new(config.sqlite_path());
            Arc::new(SqliteStore::new(SqliteStoreConfig { time_limit, ..settings }))
        }
    }
}

/// A store, and what its cache counts where it has one.
type Counted = (Arc<dyn Store>, Option<Arc<CacheCounts>>);

/// The store behind its cache, where there is to be one.
pub fn cached(config: &Config) -> Result<Counted, StartError> {
    let (store, settings) = (store(config), &config.cache);
    let redis = match (settings.kind, &settings.url) {
        (CacheKind::Off, _) => return Ok((store, None)),
        (CacheKind::Redis, Some(url)) => Some(redis(settings, url)),
        _ => None,
    };
    let entries = u64::try_from(settings.entries.get()).unwrap_or(u64::MAX);
    let cached = CachedStore::new(store, &CacheConfig { entries, redis }).map_err(StartError::Cache)?;
    let counts = cached.counts().clone();
    Ok((Arc::new(cached), Some(counts)))
}

/// Where the cache has Redis, to be tried out.
pub fn redis_of(config: &Config) -> Option<RedisConfig> {
    let is_used = config.api.enabled && config.cache.kind == CacheKind::Redis;
    config.cache.url.as_ref().filter(|_| is_used).map(|url| redis(&config.cache, url))
}

fn redis(settings: &Cache, url: &str) -> RedisConfig {
    RedisConfig {
        url: url.to_owned(),
        user: settings.user.clone(),
        password: settings.password.as_ref().map(|password| password.expose().to_owned()),
        prefix: settings.prefix.clone(),
    }
}

/// What the enabled sinks write to, to be made and upgraded, by the sinks' names.
pub fn migrations(config: &Config) -> Vec<(&'static str, Box<dyn Migrate>)> {
    let mut places: Vec<(&'static str, Box<dyn Migrate>)> = Vec::new();
    if config.sinks.sqlite.enabled {
        places.push(("sqlite", Box::new(SqliteTables(config.sqlite_path()))));
    }
    if config.sinks.kafka.enabled {
        let letters = config.deadletter.to == DeadLetterPlace::Topic;
        let cursors = config.sinks.kafka.exactly_once;
        places.push((KAFKA, Box::new(KafkaTopics { config: kafka(config, None), cursors, letters })));
    }
    if let Some(url) = config.sinks.clickhouse.url.as_ref().filter(|_| config.sinks.clickhouse.enabled) {
        places.push(("clickhouse", Box::new(ClickHouseTables::new(clickhouse(config, url)))));
    }
    if let Some(host) = config.sinks.postgres.host.as_ref().filter(|_| config.sinks.postgres.enabled) {
        places.push(("postgres", Box::new(PostgresTables(postgres(config, host)))));
    }
    if let Some(url) = config.sinks.influxdb.url.as_ref().filter(|_| config.sinks.influxdb.enabled) {
        places.push(("influxdb", Box::new(InfluxPlace(influxdb(config, url)))));
    }
    places
}

/// Where records go that no server takes.
pub fn dead_letter(config: &Config) -> Arc<dyn DeadLetter> {
    let files = FileDeadLetter::new(Folder::new(config.dead_letter_folder()), config.deadletter.bytes.bytes());
    match config.deadletter.to {
        DeadLetterPlace::File => Arc::new(files),
        DeadLetterPlace::Topic => Arc::new(TopicDeadLetter::new(kafka(config, None), files)),
    }
}

/// The topic of refused records, to be read; `None` where they are kept in files.
pub fn dead_letter_topic(config: &Config) -> Option<LetterTopic> {
    let is_topic = config.deadletter.to == DeadLetterPlace::Topic;
    is_topic.then(|| LetterTopic::new(kafka(config, None), config.node.clone()))
}

fn sqlite(config: &Config) -> SqliteConfig {
    let settings = &config.sinks.sqlite;
    SqliteConfig {
        max_bytes: settings.bytes.bytes(),
        pack_after: settings.pack_after,
        retention_raw: settings.retention_raw,
        retention_1m: settings.retention_1m,
        retention_1h: settings.retention_1h,
        retention_1d: settings.retention_1d,
        retention_logs: settings.retention_logs,
        retention_events: settings.retention_events,
        ..SqliteConfig::new(config.sqlite_path())
    }
}

fn kafka(config: &Config, identity: Option<&Identity>) -> KafkaConfig {
    let settings = &config.sinks.kafka;
    let writer = |Identity { folder, epoch, start }: Identity| Writer {
        node: config.node.clone(),
        sink: KAFKA.to_owned(),
        folder,
        epoch,
        start,
    };
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let registry = |url: &str| RegistryConfig {
        user: settings
            .schema_registry_user
            .clone()
            .map(|name| (name, secret(&settings.schema_registry_password).unwrap_or_default())),
        ca_file: settings.schema_registry_ca_file.clone(),
        register: settings.schema_register,
        ..RegistryConfig::new(url)
    };
    let properties = settings.properties.expose().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let password = secret(&settings.password).map(|password| ("sasl.password".to_owned(), password));
    KafkaConfig {
        exactly_once: identity.filter(|_| settings.exactly_once).cloned().map(writer),
        topic_prefix: settings.topic_prefix.clone(),
        create_topics: settings.create_topics,
        partitions: settings.partitions.get(),
        replication: settings.replication.get(),
        compression: settings.compression.name().to_owned(),
        linger: settings.linger,
        format: match settings.format {
            KafkaFormat::Json => Format::Json,
            KafkaFormat::Avro => Format::Avro,
            KafkaFormat::Protobuf => Format::Protobuf,
        },
        registry: settings.schema_registry.as_deref().map(registry),
        properties: properties.chain(password).collect(),
        ..KafkaConfig::new(settings.brokers.clone())
    }
}

fn clickhouse(config: &Config, url: &str) -> ClickHouseConfig {
    let settings = &config.sinks.clickhouse;
    ClickHouseConfig {
        database: settings.database.clone(),
        user: settings.user.clone(),
        password: settings.password.as_ref().map(|password| password.expose().to_owned()),
        create_tables: settings.create_tables,
        cluster: settings.cluster.clone(),
        retention: Retention {
            raw: settings.retention_raw,
            minutes: settings.retention_1m,
            hours: settings.retention_1h,
            days: settings.retention_1d,
            logs: settings.retention_logs,
            events: settings.retention_events,
        },
        rows: settings.rows.get(),
        bytes: settings.bytes.as_usize(),
        linger: settings.linger,
        ..ClickHouseConfig::new(url)
    }
}

fn postgres_place(config: &Config, host: &str) -> Place {
    let settings = &config.sinks.postgres;
    Place {
        host: host.to_owned(),
        port: settings.port.get(),
        database: settings.database.clone(),
        schema: settings.schema.clone(),
        user: settings.user.clone(),
        password: settings.password.as_ref().map(|password| password.expose().to_owned()),
        tls: match settings.tls {
            PostgresTls::Off => Tls::Off,
            PostgresTls::Verify => Tls::Verify { ca_file: settings.ca_file.clone() },
        },
    }
}

fn postgres(config: &Config, host: &str) -> PostgresConfig {
    let settings = &config.sinks.postgres;
    PostgresConfig {
        place: postgres_place(config, host),
        create_tables: settings.create_tables,
        timescale: match settings.timescale {
            TimescaleUse::Auto => postgres::Timescale::Auto,
            TimescaleUse::On => postgres::Timescale::On,
            TimescaleUse::Off => postgres::Timescale::Off,
        },
        retention: Retention {
            raw: settings.retention_raw,
            minutes: settings.retention_1m,
            hours: settings.retention_1h,
            days: settings.retention_1d,
            logs: settings.retention_logs,
            events: settings.retention_events,
        },
        rows: settings.rows.get(),
        bytes: settings.bytes.as_usize(),
        linger: settings.linger,
        ..PostgresConfig::new(host)
    }
}

fn influxdb(config: &Config, url: &str) -> InfluxConfig {
    let settings = &config.sinks.influxdb;
    let api = match settings.api {
        InfluxApi::V1 => {
            Api::V1 { database: settings.database.clone(), retention_policy: settings.retention_policy.clone() }
        }
        InfluxApi::V2 => Api::V2 { bucket: settings.bucket.clone().unwrap_or_default(), org: settings.org.clone() },
    };
    let credentials = credentials(&settings.token, &settings.user, &settings.password);
    InfluxConfig {
        credentials,
        ca_file: settings.ca_file.clone(),
        create_database: settings.create_database,
        gzip: settings.gzip,
        rows: settings.rows.get(),
        bytes: settings.bytes.as_usize(),
        linger: settings.linger,
        ..InfluxConfig::new(url, api)
    }
}

fn otlp(config: &Config, endpoint: &str) -> OtlpConfig {
    let settings = &config.sinks.otlp;
    let protocol = match settings.protocol {
        OtlpProtocol::Grpc => Protocol::Grpc,
        OtlpProtocol::Http => Protocol::Http,
    };
    OtlpConfig {
        metrics: settings.metrics,
        logs: settings.logs,
        headers: settings.headers.expose().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        token: settings.token.as_ref().map(|token| token.expose().to_owned()),
        trust: Trust {
            ca_file: settings.ca_file.clone(),
            identity: settings.cert_file.clone().zip(settings.key_file.clone()),
        },
        labels: config.collect.labels.clone(),
        gzip: settings.gzip,
        rows: settings.rows.get(),
        bytes: settings.bytes.as_usize(),
        linger: settings.linger,
        ..OtlpConfig::new(endpoint, protocol)
    }
}

fn remote_write(config: &Config, url: &str) -> RemoteWriteConfig {
    let settings = &config.sinks.remote_write;
    RemoteWriteConfig {
        credentials: credentials(&settings.token, &settings.user, &settings.password),
        headers: settings.headers.expose().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        trust: Trust {
            ca_file: settings.ca_file.clone(),
            identity: settings.cert_file.clone().zip(settings.key_file.clone()),
        },
        labels: config.collect.labels.clone(),
        rows: settings.rows.get(),
        bytes: settings.bytes.as_usize(),
        linger: settings.linger,
        ..RemoteWriteConfig::new(url)
    }
}

fn credentials(token: &Option<Secret>, user: &Option<String>, password: &Option<Secret>) -> Credentials {
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    match (secret(token), user.clone()) {
        (Some(token), _) => Credentials::Token(token),
        (None, Some(name)) => Credentials::User { name, password: secret(password).unwrap_or_default() },
        (None, None) => Credentials::None,
    }
}
