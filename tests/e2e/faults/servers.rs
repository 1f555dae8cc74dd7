//! The servers of a scenario, and the lines that lead to them.

use std::ops::Deref;
use std::path::Path;

use simulator::SimulatedHost;
use test_support::{ClickHouse, Kafka, Place, Proxy};

/// Where records go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Servers {
    /// To servers that others use, too.
    Shared,
    Own,
    OwnBehindLines,
}

impl Servers {
    /// Both, started side by side.
    pub fn start(self, lines: Option<&Lines>) -> (Lent<Kafka>, Lent<ClickHouse>) {
        if self == Self::Shared {
            return (Lent::Shared(Kafka::shared()), Lent::Shared(ClickHouse::shared()));
        }
        std::thread::scope(|scope| {
            let kafka = scope.spawn(|| lines.map_or_else(Kafka::start, |lines| Kafka::behind(&lines.kafka)));
            let clickhouse = ClickHouse::start();
            if let Some(lines) = lines {
                lines.clickhouse.lead_to(Place::at(clickhouse.url().trim_start_matches("http://")));
            }
            (Lent::Own(kafka.join().expect("Kafka starts")), Lent::Own(clickhouse))
        })
    }
}

/// A server of one's own, or everybody's.
pub enum Lent<T: 'static> {
    Own(T),
    Shared(&'static T),
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Own(server) => server,
            Self::Shared(server) => server,
        }
    }
}

/// Proxies between dockstream and everything else.
pub struct Lines {
    pub engine: Proxy,
    pub kafka: Proxy,
    pub clickhouse: Proxy,
}

impl Lines {
    pub fn before(folder: &Path, engine: &SimulatedHost) -> Self {
        let engine = Proxy::unix(&folder.join("proxy.sock"), engine.socket());
        Self { engine, kafka: Proxy::tcp(), clickhouse: Proxy::tcp() }
    }

    /// The one that leads to a sink's server.
    pub fn to(&self, sink: &str) -> &Proxy {
        match sink {
            "kafka" => &self.kafka,
            "clickhouse" => &self.clickhouse,
            other => panic!("no line leads to {other}"),
        }
    }
}
