//! What can be set.

use std::fmt;
use std::time::Duration;

use clickhouse::Client;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::Retention;

/// Settings of the ClickHouse sink.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickHouseConfig {
    /// Address of the HTTP interface, `http://host:8123`.
    pub url: String,
    /// The database.
    pub database: String,
    /// The user; the server's default where not set.
    pub user: Option<String>,
    /// The password. Never shown.
    pub password: Option<String>,
    /// Makes the database and the tables where they are missing or old; otherwise that is an error of
    /// configuration.
    pub create_tables: bool,
    /// The cluster for whose servers the tables are made: replicated, and distributed over its shards.
    pub cluster: Option<String>,
    /// How long rows are kept, where the tables are made here.
    pub retention: Retention,
    /// Rows in one range, at most.
    pub rows: usize,
    /// Estimated bytes in one range, at most.
    pub bytes: usize,
    /// How long to wait for a fuller range: ClickHouse wants few large inserts.
    pub linger: Duration,
    /// How long a piece of an insert may take to send.
    pub send_timeout: Duration,
    /// How long the server may take to answer.
    pub end_timeout: Duration,
}

impl ClickHouseConfig {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "default".into(),
            user: None,
            password: None,
            create_tables: true,
            cluster: None,
            retention: Retention::default(),
            rows: 50_000,
            bytes: 8 << 20,
            linger: Duration::from_secs(5),
            send_timeout: Duration::from_secs(5),
            end_timeout: Duration::from_secs(30),
        }
    }

    /// The address without what may be a secret in it.
    pub(super) fn shown_url(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let address = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
        format!("{scheme}://{host}")
    }

    /// A client without a database: for what comes before there is one.
    pub(super) fn client(&self) -> Client {
        let mut connector = HttpConnector::new();
        // Without it Nagle's algorithm and delayed acknowledgements cost 40 ms on every insert.
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let http = legacy::Client::builder(TokioExecutor::new())
            // Below the 3 s after which older servers close an idle connection.
            .pool_idle_timeout(Duration::from_secs(2))
            .build(connector);
        let mut client = Client::with_http_client(http)
            .with_url(&self.url)
            .with_product_info("dockstream", env!("CARGO_PKG_VERSION"))
            .with_setting("wait_end_of_query", "1");
        if let Some(user) = &self.user {
            client = client.with_user(user);
        }
        if let Some(password) = &self.password {
            client = client.with_password(password);
        }
        client
    }
}

impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.shown_url())
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_debug_form_nor_the_shown_address_tells_a_secret() {
        let config = ClickHouseConfig {
            password: Some("hunter2".into()),
            ..ClickHouseConfig::new("http://me:hunter3@ch.example:8123/?password=hunter4")
        };
        assert_eq!(config.shown_url(), "http://ch.example:8123");
        assert!(!format!("{config:?}").contains("hunter"));
    }
}
