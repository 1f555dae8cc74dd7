//! What single values cannot say: bounds, and keys that must fit each other. Every problem names its key.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use engine::HostUrl;
use http::Uri;

use super::problem::{Origin, Problem};
use super::{
    ByteSize, Cache, CacheKind, ClickHouseSink, Config, DeadLetterPlace, Headers, Host, InfluxApi, InfluxDbSink,
    JournalKind, SqliteSink, StoreKind,
};
use super::{otlp, remote_write};

mod kafka;
mod postgres;

/// Notes everything that is wrong with `config`.
pub(super) fn check(config: &Config, origins: &BTreeMap<String, Origin>, problems: &mut Vec<Problem>) {
    let mut checks = Checks { origins, problems };
    checks.hosts(&config.hosts);

    let millisecond = Duration::from_millis(1);
    checks.at_least("collect.stats_interval", config.collect.stats_interval, Duration::from_millis(100));
    checks.at_least("collect.discovery_interval", config.collect.discovery_interval, Duration::from_secs(1));
    checks.at_least("collect.image_interval", config.collect.image_interval, Duration::from_secs(1));
    checks.at_least("collect.cache_ttl", config.collect.cache_ttl, Duration::from_secs(1));
    checks.at_least("batch.age", config.batch.age, millisecond);
    checks.size_at_least("batch.bytes", config.batch.bytes, ByteSize::new(1 << 10));
    checks.at_least("losses.interval", config.losses.interval, Duration::from_millis(100));
    checks.size_at_least("deadletter.bytes", config.deadletter.bytes, ByteSize::new(1 << 20));
    if config.deadletter.to == DeadLetterPlace::Topic && !config.sinks.kafka.enabled {
        checks.say("deadletter.to", "a topic needs Kafka: enable `sinks.kafka`, or keep refused records in a \"file\"");
    }
    checks.at_least("retry.min", config.retry.min, millisecond);
    checks.sqlite(&config.sinks.sqlite);
    checks.at_least("shutdown.grace", config.shutdown.grace, Duration::from_millis(100));
    checks.at_least("telemetry.otlp_interval", config.telemetry.otlp_interval, Duration::from_millis(100));

    checks.journal(config);
    if config.retry.min > config.retry.max {
        checks.say(
            "retry.min",
            format!("{} is longer than `retry.max` ({})", text(config.retry.min), text(config.retry.max)),
        );
    }

    let sinks = &config.sinks;
    let enabled = [
        sinks.sqlite.enabled,
        sinks.kafka.enabled,
        sinks.clickhouse.enabled,
        sinks.postgres.enabled,
        sinks.influxdb.enabled,
        sinks.otlp.enabled,
        sinks.remote_write.enabled,
    ];
    if !enabled.contains(&true) {
        checks.say(
            "sinks.sqlite.enabled",
            "no sink is enabled, so nothing would be kept: enable one of sqlite, kafka, clickhouse, postgres, influxdb, otlp, \
             remote_write",
        );
    }
    if sinks.kafka.enabled {
        checks.kafka(&sinks.kafka);
    }
    if sinks.clickhouse.enabled {
        checks.clickhouse(&sinks.clickhouse);
    }
    if sinks.postgres.enabled {
        checks.postgres(&sinks.postgres);
    }
    if sinks.influxdb.enabled {
        checks.influxdb(&sinks.influxdb);
    }
    if sinks.otlp.enabled {
        otlp::check(&mut checks, &sinks.otlp);
    }
    if sinks.remote_write.enabled {
        remote_write::check(&mut checks, &sinks.remote_write);
    }

    if config.api.enabled {
        checks.store(config);
        checks.cache(&config.cache);
    }
    checks.at_least("store.query_timeout", config.store.query_timeout, Duration::from_millis(100));
    if config.api.enabled && !config.api.listen.ip().is_loopback() {
        let error = format!(
            "{} can be reached from outside, and the API has no authentication yet: listen on 127.0.0.1 or [::1], and put a proxy that authenticates in front",
            config.api.listen
        );
        checks.say("api.listen", error);
    }

    if let Err(error) = crate::telemetry::log_filter(&config.telemetry.log) {
        checks.say(
            "telemetry.log",
            format!("expected a level such as \"info\", or levels by part such as \"info,sinks=debug\": {error}"),
        );
    }
    if let Some(endpoint) = &config.telemetry.otlp_endpoint {
        checks.web_address("telemetry.otlp_endpoint", endpoint, "http://127.0.0.1:4318", &["http"]);
    }
}

pub(super) struct Checks<'a> {
    origins: &'a BTreeMap<String, Origin>,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    pub(super) fn say(&mut self, path: &str, error: impl Into<String>) {
        let place = self.origins.get(path).cloned().unwrap_or_default();
        self.problems.push(Problem::Value { path: path.to_owned(), place, error: error.into() });
    }

    fn at_least(&mut self, path: &str, value: Duration, least: Duration) {
        if value < least {
            self.say(path, format!("{} is too short: at least {}", text(value), text(least)));
        }
    }

    pub(super) fn size_at_least(&mut self, path: &str, value: ByteSize, least: ByteSize) {
        if value < least {
            self.say(path, format!("{value} is too small: at least {least}"));
        }
    }

    /// Only what is in use is looked at.
    fn journal(&mut self, config: &Config) {
        let (journal, batch) = (&config.journal, config.batch.bytes);
        let (key, room) = match journal.kind {
            JournalKind::Disk => ("journal.bytes", journal.bytes),
            JournalKind::Memory => ("journal.memory_bytes", journal.memory_bytes),
        };
        if batch.bytes() > room.bytes() / 4 {
            let error =
                format!("{batch} is more than a quarter of `{key}` ({room}), which holds the batches of every sink");
            self.say("batch.bytes", error);
        }
        match journal.kind {
            JournalKind::Disk => {
                self.at_least("journal.sync_interval", journal.sync_interval, Duration::from_millis(10));
                if let Some(age) = journal.age {
                    self.at_least("journal.age", age, Duration::from_secs(1));
                }
            }
            JournalKind::Memory if room > config.limits.memory => {
                self.say(key, format!("{room} is more than `limits.memory` ({}) allows in all", config.limits.memory));
            }
            JournalKind::Memory => {}
        }
    }

    fn hosts(&mut self, hosts: &[Host]) {
        let mut first_of: HashMap<&str, usize> = HashMap::new();
        for (index, host) in hosts.iter().enumerate() {
            let path = |key: &str| format!("hosts[{index}].{key}");
            if let Some(first) = first_of.insert(host.name.as_str(), index) {
                self.say_in(
                    index,
                    "name",
                    format!("`{}` is the name of hosts[{first}] already: give each host its own", host.name),
                );
            }
            match host.url.parse::<HostUrl>() {
                Ok(url) => self.way_to(index, host, &url),
                Err(error) => self.say_in(index, "url", error.to_string()),
            }
            for (key, value) in [
                ("timeout", host.timeout),
                ("connect_timeout", host.connect_timeout),
                ("reconnect_min", host.reconnect_min),
            ] {
                self.at_least(&path(key), value, Duration::from_millis(100));
            }
            if host.reconnect_min > host.reconnect_max {
                let (min, max) = (text(host.reconnect_min), text(host.reconnect_max));
                self.say_in(index, "reconnect_min", format!("{min} is longer than `reconnect_max` ({max})"));
            }
        }
    }

    /// Keys that belong to one kind of address, and what an address needs.
    fn way_to(&mut self, index: usize, host: &Host, url: &HostUrl) {
        let tls = [("tls_ca", &host.tls_ca), ("tls_cert", &host.tls_cert), ("tls_key", &host.tls_key)];
        let ssh = [("ssh_key", &host.ssh_key), ("ssh_known_hosts", &host.ssh_known_hosts)];
        let idle = tls.iter().filter(|_| !url.may_use_tls()).map(|key| (key, "tcp:// and https://"));
        for ((key, value), schemes) in idle.chain(ssh.iter().filter(|_| !url.is_ssh()).map(|key| (key, "ssh://"))) {
            if value.is_some() {
                self.say_in(index, key, format!("it means something for {schemes} only, and this host is at {url}"));
            }
        }
        match (&host.tls_cert, &host.tls_key) {
            (Some(_), None) => self.say_in(index, "tls_cert", "its private key is missing: set `tls_key`".to_owned()),
            (None, Some(_)) => self.say_in(index, "tls_key", "its certificate is missing: set `tls_cert`".to_owned()),
            _ => {}
        }
        if url.is_exposed(host.uses_tls()) && !host.insecure {
            let error = format!(
                "{url} is plain TCP beyond this machine: whoever can listen in on it can own the host; use TLS (`tls_ca`, `tls_cert`, `tls_key`) or ssh://, or accept that with `insecure = true`"
            );
            self.say_in(index, "url", error);
        }
    }

    /// As `say`, of a host's key; where the key itself was not written, the line of its `[[hosts]]` is named.
    fn say_in(&mut self, index: usize, key: &str, error: String) {
        let paths = [format!("hosts[{index}].{key}"), format!("hosts[{index}]"), "hosts".to_owned()];
        let place = paths.iter().find_map(|path| self.origins.get(path)).cloned().unwrap_or_default();
        let [path, ..] = paths;
        self.problems.push(Problem::Value { path, place, error });
    }

    fn clickhouse(&mut self, clickhouse: &ClickHouseSink) {
        match &clickhouse.url {
            None => self.say(
                "sinks.clickhouse.url",
                "ClickHouse is enabled, but there is no address: set it, as \"http://127.0.0.1:8123\"",
            ),
            Some(url) => self.web_address("sinks.clickhouse.url", url, "http://127.0.0.1:8123", &["http"]),
        }
        if clickhouse.password.is_some() && clickhouse.password_file.is_some() {
            self.say(
                "sinks.clickhouse.password",
                "`sinks.clickhouse.password_file` is set as well: keep one of the two",
            );
        }
        if clickhouse.database.is_empty() {
            self.say("sinks.clickhouse.database", "a database has a name");
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '{' | '}');
        if clickhouse.cluster.as_ref().is_some_and(|name| name.is_empty() || !name.chars().all(legal)) {
            self.say(
                "sinks.clickhouse.cluster",
                "a cluster is named by a-z A-Z 0-9 _ - . or a macro such as \"{cluster}\"",
            );
        }
        for (key, kept) in [
            ("retention_raw", clickhouse.retention_raw),
            ("retention_1m", clickhouse.retention_1m),
            ("retention_1h", clickhouse.retention_1h),
            ("retention_1d", clickhouse.retention_1d),
            ("retention_logs", clickhouse.retention_logs),
            ("retention_events", clickhouse.retention_events),
        ] {
            self.at_least(&format!("sinks.clickhouse.{key}"), kept, Duration::from_secs(60));
        }
        self.size_at_least("sinks.clickhouse.bytes", clickhouse.bytes, ByteSize::new(1 << 10));
    }

    fn sqlite(&mut self, sqlite: &SqliteSink) {
        for (key, kept) in [
            ("retention_raw", sqlite.retention_raw),
            ("retention_1m", sqlite.retention_1m),
            ("retention_1h", sqlite.retention_1h),
            ("retention_1d", sqlite.retention_1d),
            ("retention_logs", sqlite.retention_logs),
            ("retention_events", sqlite.retention_events),
        ] {
            self.at_least(&format!("sinks.sqlite.{key}"), kept, Duration::from_secs(60));
        }
        self.size_at_least("sinks.sqlite.bytes", sqlite.bytes, ByteSize::new(64 << 20));
    }

    fn cache(&mut self, cache: &Cache) {
        if cache.kind != CacheKind::Redis {
            return;
        }
        match &cache.url {
            None => {
                self.say("cache.url", "Redis is chosen, but there is no address: set it, as \"redis://127.0.0.1:6379\"")
            }
            Some(url) => self.web_address("cache.url", url, "redis://127.0.0.1:6379", &["redis"]),
        }
        if cache.password.is_some() && cache.password_file.is_some() {
            self.say("cache.password", "`cache.password_file` is set as well: keep one of the two");
        }
    }

    /// What is named is there to be read.
    fn store(&mut self, config: &Config) {
        let (name, enabled) = match config.store.kind {
            StoreKind::Auto => return,
            StoreKind::Sqlite => ("sqlite", config.sinks.sqlite.enabled),
            StoreKind::ClickHouse => ("clickhouse", config.sinks.clickhouse.enabled),
            StoreKind::Postgres => ("postgres", config.sinks.postgres.enabled),
        };
        if !enabled {
            let error = format!(
                "`sinks.{name}` is not enabled, so there is nothing to read: enable it, or read another with \"auto\""
            );
            self.say("store.kind", error);
        }
    }

    fn influxdb(&mut self, influxdb: &InfluxDbSink) {
        match &influxdb.url {
            None => self.say(
                "sinks.influxdb.url",
                "InfluxDB is enabled, but there is no address: set it, as \"http://127.0.0.1:8086\"",
            ),
            Some(url) => {
                self.web_address("sinks.influxdb.url", url, "http://127.0.0.1:8086", &["http", "https"]);
                if influxdb.ca_file.is_some() && url.starts_with("http://") {
                    self.say(
                        "sinks.influxdb.ca_file",
                        "`sinks.influxdb.url` is not https://: certificates say nothing there",
                    );
                }
            }
        }
        let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
        match influxdb.api {
            InfluxApi::V2 if !named(&influxdb.bucket) => self.say(
                "sinks.influxdb.bucket",
                "with `api = \"v2\"`, InfluxDB wants a bucket: name it, or set `api = \"v1\"` for a database",
            ),
            InfluxApi::V2 if influxdb.user.is_some() => self.say(
                "sinks.influxdb.user",
                "with `api = \"v2\"`, InfluxDB wants a token: use `token_file` (InfluxDB 1.8 takes \"user:password\" for one)",
            ),
            InfluxApi::V1 if influxdb.database.is_empty() => {
                self.say("sinks.influxdb.database", "a database has a name");
            }
            InfluxApi::V1 | InfluxApi::V2 => {}
        }
        let token = influxdb.token.is_some() || influxdb.token_file.is_some();
        for (key, other, both) in [
            ("token", "token_file", influxdb.token.is_some() && influxdb.token_file.is_some()),
            ("password", "password_file", influxdb.password.is_some() && influxdb.password_file.is_some()),
            ("user", "token", influxdb.user.is_some() && token && influxdb.api == InfluxApi::V1),
        ] {
            if both {
                let error = format!("`sinks.influxdb.{other}` is set as well: keep one of the two");
                self.say(&format!("sinks.influxdb.{key}"), error);
            }
        }
        self.size_at_least("sinks.influxdb.bytes", influxdb.bytes, ByteSize::new(1 << 10));
    }

    /// The certificates `ca_file`, `cert_file` and `key_file` of a sink, and its address by its key.
    pub(super) fn certificates(&mut self, sink: &str, (key, url): (&str, &str), files: [&Option<PathBuf>; 3]) {
        let [ca, certificate, own_key] = files;
        for (name, file) in [("ca_file", ca), ("cert_file", certificate), ("key_file", own_key)] {
            if file.is_some() && url.starts_with("http://") {
                let error = format!("`{sink}.{key}` is not https://: certificates say nothing there");
                self.say(&format!("{sink}.{name}"), error);
            }
        }
        for (name, other, alone) in [
            ("cert_file", "key_file", certificate.is_some() && own_key.is_none()),
            ("key_file", "cert_file", own_key.is_some() && certificate.is_none()),
        ] {
            if alone {
                self.say(
                    &format!("{sink}.{name}"),
                    format!("a certificate and its key go together: set `{other}` too"),
                );
            }
        }
    }

    /// The headers of a sink; `told` where another key says who this is.
    pub(super) fn headers(&mut self, sink: &str, headers: &Headers, told: bool) {
        let path = format!("{sink}.headers");
        for (name, _) in headers.expose() {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                self.say(&path, format!("{name:?} is no name of a header: letters, digits, - _ ."));
            }
            if name.eq_ignore_ascii_case("authorization") && told {
                self.say(&path, "`authorization` and a token are the same header: keep one of the two");
            }
        }
    }

    /// An address of one of `schemes` without credentials in it. It is not repeated: it may hold a password.
    pub(super) fn web_address(&mut self, path: &str, address: &str, example: &str, schemes: &[&str]) {
        let Some(uri) = address.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        else {
            return self.say(path, format!("not an address such as \"{example}\""));
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let key = if path == "sinks.otlp.endpoint" {
                "use the key `token_file`, or `headers`"
            } else if path.starts_with("sinks.") || path.starts_with("cache.") {
                "use the keys `user` and `password_file`"
            } else {
                "put a collector that holds it in between"
            };
            self.say(path, format!("an address must not carry a user or a password: {key}"));
        } else if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
            let scheme = uri.scheme_str().unwrap_or("an address without a scheme");
            let only = match schemes {
                [one] => format!("only {one}:// is"),
                several => format!("only {}:// are", several.join(":// and ")),
            };
            self.say(path, format!("{scheme} is not supported: {only}, as in \"{example}\""));
        }
    }
}

fn text(duration: Duration) -> impl Display {
    humantime::format_duration(duration)
}

fn quote(text: &str) -> String {
    super::setting::quoted(text)
}
