//! The sinks' keys.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::{
    ByteSize, Compression, InfluxApi, KafkaFormat, OtlpSink, PostgresTls, Properties, RemoteWriteSink, Secret,
    TimescaleUse,
};

section! {
    /// Where records go. Each sink keeps its own pace: one that is slow or away does not hold up another.
    Sinks {}
    sections {
        /// The embedded store.
        sqlite: SqliteSink,
        /// Apache Kafka.
        kafka: KafkaSink,
        /// ClickHouse.
        clickhouse: ClickHouseSink,
        /// PostgreSQL, with TimescaleDB or without.
        postgres: PostgresSink,
        /// InfluxDB.
        influxdb: InfluxDbSink,
        /// OpenTelemetry.
        otlp: OtlpSink,
        /// Prometheus' remote write.
        remote_write: RemoteWriteSink,
    }
}

section! {
    /// The embedded store.
    SqliteSink {
        /// Whether it is used.
        enabled: bool = value(true),
        /// The database file. Without it, `dockstream.db` in `data_dir`.
        path: Option<PathBuf> = unset("/var/lib/dockstream/dockstream.db"),
        /// Size of the file. When it is reached the oldest samples and log lines are removed before their time, and counted.
        bytes: ByteSize = value("16GiB"),
        /// How old samples are when they are packed: until then they are rows of `container_stats` for everyone who opens
        /// the file.
        pack_after: Duration = value("1h"),
        /// How long every single sample is kept.
        retention_raw: Duration = value("7days"),
        /// How long the rollups by the minute are kept.
        retention_1m: Duration = value("30days"),
        /// How long the rollups by the hour are kept.
        retention_1h: Duration = value("90days"),
        /// How long the rollups by the day are kept.
        retention_1d: Duration = value("730days"),
        /// How long log lines are kept.
        retention_logs: Duration = value("3days"),
        /// How long events, changes of images and losses are kept.
        retention_events: Duration = value("30days"),
    }
}

section! {
    /// Apache Kafka, for data platforms.
    KafkaSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// Where to find the cluster: one `host:port` or more.
        brokers: Vec<String> = value([]),
        /// What topic names begin with: `docker.stats`, `docker.events` …
        topic_prefix: String = value("docker."),
        /// Whether missing topics are created.
        create_topics: bool = value(true),
        /// Partitions of a topic that is created.
        partitions: NonZeroU16 = value(12),
        /// Copies of every partition of a topic that is created.
        replication: NonZeroU16 = value(1),
        /// How messages are compressed.
        compression: Compression = value("lz4"),
        /// How long a message waits for others to be sent with it.
        linger: Duration = value("20ms"),
        /// Whether records are written in transactions that carry the cursor: a consumer with
        /// `isolation.level=read_committed` then sees each once, also when dockstream is killed. Without, the last ones
        /// before such an end can come again.
        exactly_once: bool = value(false),
        /// What values are: `json`, or `avro` or `protobuf` with their schemas in `schema_registry`.
        format: KafkaFormat = value("json"),
        /// Address of a schema registry with Confluent's API, with the path of that where it has one.
        schema_registry: Option<String> = unset("http://127.0.0.1:8081"),
        /// Whether schemas that are missing there are registered; `TOPIC-value` is the subject. Without, they have to be there.
        schema_register: bool = value(true),
        /// User name there, or the key of an API.
        schema_registry_user: Option<String> = unset("dockstream"),
        /// Password there. Better kept in a file: see `schema_registry_password_file`.
        schema_registry_password: Option<Secret> = unset("…"),
        /// File that holds the password there, and nothing else; read at start.
        schema_registry_password_file: Option<PathBuf> = unset("/run/secrets/registry"),
        /// Certificates of the CA to trust there, in PEM. Without it those that the system trusts.
        schema_registry_ca_file: Option<PathBuf> = unset("/etc/dockstream/registry-ca.pem"),
        /// `sasl.password`. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds `sasl.password`, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/kafka"),
        /// Any other setting of librdkafka, by its own name: `"security.protocol" = "SASL_SSL"`.
        properties: Properties = value({}),
    }
}

section! {
    /// ClickHouse, for analysts.
    ClickHouseSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// Address of its HTTP interface.
        url: Option<String> = unset("http://127.0.0.1:8123"),
        /// Database for the tables.
        database: String = value("default"),
        /// User name.
        user: Option<String> = unset("dockstream"),
        /// Password. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds the password, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/clickhouse"),
        /// Whether missing tables are created, and old ones upgraded, at every start. Without, `dockstream migrate` does it.
        create_tables: bool = value(true),
        /// Cluster for whose servers the tables are created: replicated, and distributed over its shards.
        cluster: Option<String> = unset("fleet"),
        /// How long every single sample is kept.
        retention_raw: Duration = value("7days"),
        /// How long the rollups by the minute are kept.
        retention_1m: Duration = value("30days"),
        /// How long the rollups by the hour are kept.
        retention_1h: Duration = value("90days"),
        /// How long the rollups by the day are kept.
        retention_1d: Duration = value("730days"),
        /// How long log lines are kept.
        retention_logs: Duration = value("3days"),
        /// How long events, changes of images, states of hosts and losses are kept.
        retention_events: Duration = value("30days"),
        /// Rows in an insert.
        rows: NonZeroUsize = value(50000),
        /// Size of an insert.
        bytes: ByteSize = value("8MiB"),
        /// How long to wait for an insert of that size.
        linger: Duration = value("5s"),
    }
}

section! {
    /// PostgreSQL, for whoever asks in SQL and has no database of another kind.
    PostgresSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// The server's name or address, or the folder of its unix socket.
        host: Option<String> = unset("127.0.0.1"),
        /// Its port.
        port: NonZeroU16 = value(5432),
        /// Database for the tables; it has to be there.
        database: String = value("dockstream"),
        /// Schema for the tables.
        schema: String = value("public"),
        /// User name.
        user: String = value("dockstream"),
        /// Password. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds the password, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/postgres"),
        /// `verify` for TLS with a server whose certificate, and name in it, is verified; `off` for none.
        tls: PostgresTls = value("off"),
        /// With `tls = "verify"`: certificates in PEM that are trusted in the place of the system's.
        ca_file: Option<PathBuf> = unset("/etc/dockstream/postgres-ca.pem"),
        /// Whether missing tables are created, and old ones upgraded, at every start. Without, `dockstream migrate` does it.
        create_tables: bool = value(true),
        /// Whether tables are created for the extension TimescaleDB: `auto` where the database has it, `on`, `off`. Tables
        /// that are there stay what they are.
        timescale: TimescaleUse = value("auto"),
        /// How long every single sample is kept; 4 days at least with TimescaleDB.
        retention_raw: Duration = value("7days"),
        /// How long the rollups by the minute are kept.
        retention_1m: Duration = value("30days"),
        /// How long the rollups by the hour are kept.
        retention_1h: Duration = value("90days"),
        /// How long the rollups by the day are kept.
        retention_1d: Duration = value("730days"),
        /// How long log lines are kept.
        retention_logs: Duration = value("3days"),
        /// How long events, changes of images, states of hosts and losses are kept.
        retention_events: Duration = value("30days"),
        /// Rows in a transaction.
        rows: NonZeroUsize = value(10000),
        /// Size of a transaction, as records in memory.
        bytes: ByteSize = value("8MiB"),
        /// How long to wait for a transaction of that size.
        linger: Duration = value("2s"),
    }
}

section! {
    /// InfluxDB, and what takes line protocol as it does: VictoriaMetrics, Telegraf.
    InfluxDbSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// Address of the server, `http://` or `https://`.
        url: Option<String> = unset("http://127.0.0.1:8086"),
        /// Which of its interfaces is spoken to: `v2` writes into a bucket; `v1` into a database, as InfluxDB before 1.8
        /// wants it.
        api: InfluxApi = value("v2"),
        /// With `v2`: the bucket.
        bucket: Option<String> = unset("docker"),
        /// With `v2`: the organization that has the bucket, where the server knows any.
        org: Option<String> = unset("example"),
        /// With `v1`: the database.
        database: String = value("dockstream"),
        /// With `v1`: the retention policy. Without it, the database's default.
        retention_policy: Option<String> = unset("a_week"),
        /// With `v1`: whether a missing database is created.
        create_database: bool = value(true),
        /// Token. Better kept in a file: see `token_file`.
        token: Option<Secret> = unset("…"),
        /// File that holds the token, and nothing else; read at start.
        token_file: Option<PathBuf> = unset("/run/secrets/influxdb"),
        /// With `v1`, in the place of a token: user name.
        user: Option<String> = unset("dockstream"),
        /// The user's password. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds the password, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/influxdb"),
        /// With `https://`: certificates in PEM that are trusted in the place of the system's.
        ca_file: Option<PathBuf> = unset("/etc/dockstream/influxdb-ca.pem"),
        /// Whether requests are compressed.
        gzip: bool = value(true),
        /// Points in a request.
        rows: NonZeroUsize = value(5000),
        /// Size of a request, as records in memory.
        bytes: ByteSize = value("4MiB"),
        /// How long to wait for a request of that size.
        linger: Duration = value("2s"),
    }
}
