//! The OTLP sink's keys, and what must fit each other.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::checks::Checks;
use super::section::section;
use super::{ByteSize, Headers, OtlpProtocol, Secret};

section! {
    /// An OpenTelemetry Collector, and what takes OTLP as it does. Not to be confused with `[telemetry]`, which is about
    /// dockstream itself.
    OtlpSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// Address of the receiver, `http://` or `https://`. With `protocol = "http"`, `/v1/metrics` and `/v1/logs` follow it.
        endpoint: Option<String> = unset("http://127.0.0.1:4317"),
        /// In what it is spoken to: `grpc`, by custom on port 4317, or `http`, on port 4318.
        protocol: OtlpProtocol = value("grpc"),
        /// Whether metrics are sent: samples, states of containers and hosts.
        metrics: bool = value(true),
        /// Whether log records are sent: log lines, events, changes of images, losses.
        logs: bool = value(true),
        /// Headers that go with every request: `"X-Scope-OrgID" = "house"`. Their values are kept secret.
        headers: Headers = value({}),
        /// Token, sent as `Authorization: Bearer …`. Better kept in a file: see `token_file`.
        token: Option<Secret> = unset("…"),
        /// File that holds the token, and nothing else; read at start.
        token_file: Option<PathBuf> = unset("/run/secrets/otlp"),
        /// With `https://`: certificates in PEM that are trusted in the place of the system's.
        ca_file: Option<PathBuf> = unset("/etc/dockstream/otlp-ca.pem"),
        /// With `https://`: this process' own certificate in PEM, for a receiver that asks for one. With `key_file`.
        cert_file: Option<PathBuf> = unset("/etc/dockstream/otlp-cert.pem"),
        /// The key of that certificate, in PEM.
        key_file: Option<PathBuf> = unset("/run/secrets/otlp-key.pem"),
        /// Whether requests are compressed.
        gzip: bool = value(true),
        /// Records in a request.
        rows: NonZeroUsize = value(1000),
        /// Size of a request, as records in memory.
        bytes: ByteSize = value("1MiB"),
        /// How long to wait for a request of that size.
        linger: Duration = value("2s"),
    }
}

/// Notes what is wrong with a sink that is used.
pub(super) fn check(checks: &mut Checks<'_>, otlp: &OtlpSink) {
    match &otlp.endpoint {
        None => checks.say(
            "sinks.otlp.endpoint",
            "OTLP is enabled, but there is no address: set it, as \"http://127.0.0.1:4317\"",
        ),
        Some(endpoint) => {
            checks.web_address("sinks.otlp.endpoint", endpoint, "http://127.0.0.1:4317", &["http", "https"]);
            let files = [&otlp.ca_file, &otlp.cert_file, &otlp.key_file];
            checks.certificates("sinks.otlp", ("endpoint", endpoint), files);
        }
    }
    if otlp.token.is_some() && otlp.token_file.is_some() {
        checks.say("sinks.otlp.token", "`sinks.otlp.token_file` is set as well: keep one of the two");
    }
    checks.headers("sinks.otlp", &otlp.headers, otlp.token.is_some() || otlp.token_file.is_some());
    if !(otlp.metrics || otlp.logs) {
        checks.say("sinks.otlp.metrics", "neither metrics nor logs are sent: set one of them, or `enabled = false`");
    }
    checks.size_at_least("sinks.otlp.bytes", otlp.bytes, ByteSize::new(1 << 10));
}
