//! The remote-write sink's keys, and what must fit each other.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::checks::Checks;
use super::section::section;
use super::{ByteSize, Headers, Secret};

section! {
    /// Prometheus' remote write: Prometheus itself, VictoriaMetrics, Mimir, Thanos.
    RemoteWriteSink {
        /// Whether it is used.
        enabled: bool = value(false),
        /// Where samples are sent to, path and all.
        url: Option<String> = unset("http://127.0.0.1:9090/api/v1/write"),
        /// Headers that go with every request: `"X-Scope-OrgID" = "house"`. Their values are kept secret.
        headers: Headers = value({}),
        /// Token, sent as `Authorization: Bearer …`. Better kept in a file: see `token_file`.
        token: Option<Secret> = unset("…"),
        /// File that holds the token, and nothing else; read at start.
        token_file: Option<PathBuf> = unset("/run/secrets/prometheus"),
        /// In the place of a token: user name.
        user: Option<String> = unset("dockstream"),
        /// The user's password. Better kept in a file: see `password_file`.
        password: Option<Secret> = unset("…"),
        /// File that holds the password, and nothing else; read at start.
        password_file: Option<PathBuf> = unset("/run/secrets/prometheus"),
        /// With `https://`: certificates in PEM that are trusted in the place of the system's.
        ca_file: Option<PathBuf> = unset("/etc/dockstream/prometheus-ca.pem"),
        /// With `https://`: this process' own certificate in PEM, for a server that asks for one. With `key_file`.
        cert_file: Option<PathBuf> = unset("/etc/dockstream/prometheus-cert.pem"),
        /// The key of that certificate, in PEM.
        key_file: Option<PathBuf> = unset("/run/secrets/prometheus-key.pem"),
        /// Records in a request.
        rows: NonZeroUsize = value(1000),
        /// Size of a request, as records in memory.
        bytes: ByteSize = value("1MiB"),
        /// How long to wait for a request of that size.
        linger: Duration = value("2s"),
    }
}

/// Notes what is wrong with a sink that is used.
pub(super) fn check(checks: &mut Checks<'_>, sink: &RemoteWriteSink) {
    const EXAMPLE: &str = "http://127.0.0.1:9090/api/v1/write";
    match &sink.url {
        None => checks.say(
            "sinks.remote_write.url",
            format!("remote write is enabled, but there is no address: set it, as \"{EXAMPLE}\""),
        ),
        Some(url) => {
            checks.web_address("sinks.remote_write.url", url, EXAMPLE, &["http", "https"]);
            let files = [&sink.ca_file, &sink.cert_file, &sink.key_file];
            checks.certificates("sinks.remote_write", ("url", url), files);
        }
    }
    let token = sink.token.is_some() || sink.token_file.is_some();
    for (key, other, both) in [
        ("token", "token_file", sink.token.is_some() && sink.token_file.is_some()),
        ("password", "password_file", sink.password.is_some() && sink.password_file.is_some()),
        ("user", "token", sink.user.is_some() && token),
    ] {
        if both {
            let error = format!("`sinks.remote_write.{other}` is set as well: keep one of the two");
            checks.say(&format!("sinks.remote_write.{key}"), error);
        }
    }
    checks.headers("sinks.remote_write", &sink.headers, token || sink.user.is_some());
    checks.size_at_least("sinks.remote_write.bytes", sink.bytes, ByteSize::new(1 << 10));
}
