//! What can be set.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use form_urlencoded::Serializer;

use crate::client::{Credentials, shown};

/// Settings of the InfluxDB sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfluxConfig {
    /// Address of the server, `http://host:8086` or `https://…`; a path is what every request begins with.
    pub url: String,
    /// Which of its interfaces is spoken to, and where the points go.
    pub api: Api,
    /// Who this is.
    pub credentials: Credentials,
    /// Certificates in PEM that are trusted in the place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Version 1: makes the database where it is missing; otherwise that is an error of configuration.
    pub create_database: bool,
    /// Compresses what is sent.
    pub gzip: bool,
    /// Points in one request, at most.
    pub rows: usize,
    /// Estimated bytes in one request, at most.
    pub bytes: usize,
    /// How long to wait for a fuller request.
    pub linger: Duration,
    /// How long a request may take, answer included.
    pub timeout: Duration,
}

/// An interface of InfluxDB's, and where the points go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/write`.
    V1 {
        /// The database.
        database: String,
        /// One of its retention policies; its default where not set.
        retention_policy: Option<String>,
    },
    /// `/api/v2/write`.
    V2 {
        /// The bucket.
        bucket: String,
        /// The organization it belongs to, where the server has any.
        org: Option<String>,
    },
}

impl InfluxConfig {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>, api: Api) -> Self {
        Self {
            url: url.into(),
            api,
            credentials: Credentials::None,
            ca_file: None,
            create_database: true,
            gzip: true,
            rows: 5_000,
            bytes: 4 << 20,
            linger: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }

    /// The address without what may be a secret in it.
    pub(super) fn shown_url(&self) -> String {
        shown(&self.url)
    }

    /// Where points are sent to.
    pub(super) fn write_url(&self) -> String {
        let mut query = Serializer::new(String::new());
        let path = match &self.api {
            Api::V1 { database, retention_policy } => {
                query.append_pair("db", database);
                if let Some(policy) = retention_policy {
                    query.append_pair("rp", policy);
                }
                "write"
            }
            Api::V2 { bucket, org } => {
                if let Some(org) = org {
                    query.append_pair("org", org);
                }
                query.append_pair("bucket", bucket);
                "api/v2/write"
            }
        };
        let query = query.append_pair("precision", "ns").finish();
        format!("{}/{path}?{query}", self.shown_url())
    }

    /// Where statements are sent to.
    pub(super) fn query_url(&self) -> String {
        format!("{}/query", self.shown_url())
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1 { database, retention_policy: None } => write!(f, "database {database}"),
            Self::V1 { database, retention_policy: Some(policy) } => write!(f, "database {database}.{policy}"),
            Self::V2 { bucket, .. } => write!(f, "bucket {bucket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, org: Option<&str>) -> Api {
        Api::V2 { bucket: name.into(), org: org.map(str::to_owned) }
    }

    #[test]
    fn no_form_of_the_settings_tells_a_secret() {
        let config = InfluxConfig {
            credentials: Credentials::User { name: "me".into(), password: "hunter2".into() },
            ..InfluxConfig::new("http://influx.example:8086", bucket("b", None))
        };
        let shown = format!("{config:?}{:?}", Credentials::Token("hunter3".into()));
        assert!(!shown.contains("hunter") && shown.contains("me"), "{shown}");
        assert_eq!(InfluxConfig::new("http://me:hunter@a/?p=hunter", bucket("b", None)).shown_url(), "http://a");
    }

    #[test]
    fn names_cannot_break_out_of_the_address() {
        let v2 = InfluxConfig::new("https://influx.example/behind/", bucket("b&org=x y", Some("ü/#")));
        assert_eq!(
            v2.write_url(),
            "https://influx.example/behind/api/v2/write?org=%C3%BC%2F%23&bucket=b%26org%3Dx+y&precision=ns"
        );
        let v1 = Api::V1 { database: "d".into(), retention_policy: Some("a week".into()) };
        assert_eq!(InfluxConfig::new("http://a:1", v1).write_url(), "http://a:1/write?db=d&rp=a+week&precision=ns");
    }
}
