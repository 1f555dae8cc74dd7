//! What must hold of the PostgreSQL sink.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::Checks;
use crate::config::{ByteSize, PostgresSink, PostgresTls};

impl Checks<'_> {
    pub(super) fn postgres(&mut self, postgres: &PostgresSink) {
        match &postgres.host {
            None => self.say(
                "sinks.postgres.host",
                "PostgreSQL is enabled, but there is no address: set it, as \"127.0.0.1\"",
            ),
            Some(host) if host.is_empty() || host.contains(['@', ':', ',', ' ']) && host.parse::<Ipv6Addr>().is_err() => self.say(
                "sinks.postgres.host",
                "a name or an address such as \"db.example\", or the folder of a socket such as \"/run/postgresql\": port, user and database have keys of their own",
            ),
            Some(host) if host.starts_with('/') && postgres.tls == PostgresTls::Verify => {
                self.say("sinks.postgres.tls", "TLS is not spoken over the unix socket in `sinks.postgres.host`");
            }
            Some(_) => {}
        }
        if postgres.password.is_some() && postgres.password_file.is_some() {
            self.say("sinks.postgres.password", "`sinks.postgres.password_file` is set as well: keep one of the two");
        }
        if postgres.ca_file.is_some() && postgres.tls == PostgresTls::Off {
            self.say("sinks.postgres.ca_file", "without `tls = \"verify\"` certificates say nothing");
        }
        for (key, name) in [("database", &postgres.database), ("schema", &postgres.schema), ("user", &postgres.user)] {
            if name.is_empty() || name.len() > 63 || name.contains('\0') {
                self.say(&format!("sinks.postgres.{key}"), "a name has 1 to 63 bytes");
            }
        }
        for (key, kept) in [
            ("retention_raw", postgres.retention_raw),
            ("retention_1m", postgres.retention_1m),
            ("retention_1h", postgres.retention_1h),
            ("retention_1d", postgres.retention_1d),
            ("retention_logs", postgres.retention_logs),
            ("retention_events", postgres.retention_events),
        ] {
            self.at_least(&format!("sinks.postgres.{key}"), kept, Duration::from_secs(60));
        }
        self.size_at_least("sinks.postgres.bytes", postgres.bytes, ByteSize::new(1 << 10));
    }
}
