//! The real servers the tests run against, each with its own port and folder.
//!
//! A handle starts its server and, when dropped, ends it and removes what it left. A server also ends when the test process
//! ends, in whatever way. One that is not installed panics with the line to run: a test never passes by skipping.
//!
//! ```no_run
//! let kafka = test_support::Kafka::shared();
//! let topic = test_support::unique("stats");
//! let brokers = kafka.bootstrap();
//! ```
//!
//! `shared()` gives one server to all tests of a process: make names there with [`unique`]. `start()` gives one of its own,
//! for tests that stop, kill or pause it. The programs behind the handles are in `tests/servers`, and can be run by hand.

mod ask;
mod certificates;
mod clickhouse;
mod clock;
mod disk;
mod dockerd;
mod fleet;
mod influxdb;
mod kafka;
mod otlp;
mod podman;
mod postgres;
mod prometheus;
mod proxy;
mod redis;
mod registry;
mod server;
mod sshd;
mod transactions;
mod victoriametrics;
mod wait;

pub use certificates::{Authority, Validity};
pub use clickhouse::ClickHouse;
pub use clock::SteppedClock;
pub use disk::SmallDisk;
pub use dockerd::{Dockerd, Release, Restart, docker, try_docker};
pub use fleet::FleetContainer;
pub use influxdb::InfluxDb;
pub use kafka::{Kafka, Papers};
pub use otlp::OtlpReceiver;
pub use podman::Podman;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use proxy::{Line, Place, Proxy};
pub use redis::Redis;
pub use registry::Registry;
pub use server::Server;
pub use sshd::Sshd;
pub use transactions::wait_for_transactions;
pub use victoriametrics::VictoriaMetrics;
pub use wait::{wait_for, wait_for_async, wait_until, wait_until_async};

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes two tests of each of these functions: `on_stable` and `on_current`, in a module of the function's name, with the
/// [`Release`] of the engine as its argument. What an engine's age must not matter for is one function.
#[macro_export]
macro_rules! on_every_engine {
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            #[test]
            fn on_stable() {
                super::$promise($crate::Release::Stable);
            }

            #[test]
            fn on_current() {
                super::$promise($crate::Release::Current);
            }
        })+
    };
}

/// A name nobody else uses on any server: `stem_<pid>_<count>`. Fits topics, databases, tables and containers.
#[must_use]
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{stem}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
