//! A connection to PostgreSQL, and how it is set.

use std::error::Error as _;
use std::fmt::{self, Display};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;

use crate::trust::roots;

/// Whether the connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No.
    Off,
    /// Yes, and the server's certificate is verified, with its name: by those in the file, else by those the system trusts.
    Verify {
        /// PEM.
        ca_file: Option<PathBuf>,
    },
}

/// A schema of a database, and who asks for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// A name or an address, or the folder of a unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema in which names are looked for.
    pub schema: String,
    /// The user.
    pub user: String,
    /// The password. Never shown.
    pub password: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: Tls,
}

impl Place {
    /// Without a password, and without TLS.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 5432,
            database: "dockstream".into(),
            schema: "public".into(),
            user: "dockstream".into(),
            password: None,
            tls: Tls::Off,
        }
    }
}

/// `host:port/database, schema …`
impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}, schema {}", self.host, self.port, self.database, self.schema)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("at", &self.to_string()).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server said no, or nothing.
    #[error("{}", told(.0))]
    Server(#[from] Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Nobody is trusted.
    #[error("{0}")]
    Trust(String),
}

/// A connection. Dropped, it is cut, and the server gives up what was not committed.
pub struct Session {
    /// What is said.
    pub client: Client,
    driver: Driver,
}

/// Carries what the client says and is answered.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Connects, and makes those of the `settings` that the server knows. Reads the certificates to trust.
    ///
    /// # Errors
    /// No connection within that time, or no right to one.
    pub async fn open(place: &Place, within: Duration, settings: &[(&str, String)]) -> Result<Self, OpenError> {
        let mut to = Config::new();
        to.host(&place.host)
            .port(place.port)
            .dbname(&place.database)
            .user(&place.user)
            .application_name("dockstream")
            .connect_timeout(within)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3);
        if let Some(password) = &place.password {
            to.password(password);
        }
        let wanted = wanted(place, settings);
        let connecting = async {
            match &place.tls {
                Tls::Off => connect(to.ssl_mode(SslMode::Disable), NoTls, &wanted).await,
                Tls::Verify { ca_file } => {
                    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                        .with_safe_default_protocol_versions()
                        .expect("ring speaks every version of TLS that is safe")
                        .with_root_certificates(roots(ca_file.as_deref()).map_err(OpenError::Trust)?)
                        .with_no_client_auth();
                    connect(to.ssl_mode(SslMode::Require), MakeRustlsConnect::new(tls), &wanted).await
                }
            }
        };
        // The client's own bound ends with the connection of TCP: a server that hangs says nothing after it.
        timeout(within, connecting).await.unwrap_or(Err(OpenError::TimedOut(within)))
    }

    /// Whether nothing can be said any more.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the connection in order, or cuts it where the server does not answer.
    pub async fn close(self) {
        let Self { client, mut driver } = self;
        drop(client);
        if timeout(Duration::from_secs(2), &mut driver.0).await.is_err() {
            tracing::debug!("a postgres connection did not end in order");
        }
    }
}

async fn connect<T>(to: &Config, tls: T, settings: &str) -> Result<Session, OpenError>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = to.connect(tls).await?;
    let driver = Driver(tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever waits for an answer is told as well.
            tracing::debug!(%error, "a postgres connection ended");
        }
    }));
    client.batch_execute(settings).await?;
    Ok(Session { client, driver })
}

/// The statement that makes the settings. A server whose client is gone has to notice, or it would keep its locks.
fn wanted(place: &Place, settings: &[(&str, String)]) -> String {
    let ours = [
        ("search_path", identifier(&place.schema)),
        ("timezone", "UTC".to_owned()),
        ("client_connection_check_interval", "5000".to_owned()),
        ("tcp_keepalives_idle", "30".to_owned()),
        ("tcp_keepalives_interval", "10".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
    ];
    let pairs: Vec<String> =
        ours.iter().chain(settings).map(|(name, value)| format!("({}, {})", literal(name), literal(value))).collect();
    format!(
        "SELECT set_config(wanted.name, wanted.value, false) FROM (VALUES {}) AS wanted (name, value)
         JOIN pg_settings ON pg_settings.name = wanted.name",
        pairs.join(", ")
    )
}

/// A name in a statement.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in a statement.
pub fn literal(text: impl Display) -> String {
    format!("'{}'", text.to_string().replace('\'', "''"))
}

/// Whether TLS was not agreed on; a connection that broke meanwhile may come again.
pub fn is_of_tls(error: &Error) -> bool {
    let mut cause = error.source();
    let mut is_io = false;
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        let io = error.downcast_ref::<io::Error>();
        is_io |= io.is_some();
        // What lies in it, `source` hides.
        match io.and_then(io::Error::get_ref) {
            Some(inner) if inner.is::<rustls::Error>() => return true,
            _ => cause = error.source(),
        }
    }
    error.to_string().contains("TLS") && !is_io
}

/// Longest text of an error that is handed on.
const WORDS: usize = 400;

/// The error in one line, with its SQLSTATE or its causes.
pub fn told(error: &Error) -> String {
    let text = match error.as_db_error() {
        Some(said) => {
            let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}: {}{detail}", said.code().code(), said.message())
        }
        None => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                let reason = error.to_string();
                if !text.contains(&reason) {
                    text = format!("{text}: {reason}");
                }
                cause = error.source();
            }
            text
        }
    };
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(WORDS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_and_the_shown_place_tell_no_secret() {
        let place = Place { password: Some("hunter2".into()), ..Place::new("db.example") };
        assert_eq!(place.to_string(), "db.example:5432/dockstream, schema public");
        assert!(!format!("{place:?}").contains("hunter"));
    }

    #[test]
    fn names_and_texts_stay_names_and_texts() {
        assert_eq!(identifier("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(literal("it's"), "'it''s'");
    }
}
