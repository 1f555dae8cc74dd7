//! A schema registry that speaks Confluent's API: what it calls a schema.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pipeline::ports::FailureClass;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wire::trust::roots;

use super::KafkaFailure;
use crate::client::{Unanswered, unanswered};

const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Bytes read of an answer, at most.
const ANSWER: usize = 1 << 20;
/// Characters of its words that are told.
const WORDS: usize = 300;
/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Settings of a schema registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Its address, with the path under which it speaks Confluent's API.
    pub url: String,
    /// User and password, or an API key and its secret.
    pub user: Option<(String, String)>,
    /// The CA to trust; without it those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Registers schemas that are missing; otherwise their absence is an error of configuration.
    pub register: bool,
}

impl RegistryConfig {
    /// The defaults, for the registry at `url`.
    pub fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), user: None, ca_file: None, register: true }
    }
}

impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("RegistryConfig").field("url", &self.url).field("user", &user).finish_non_exhaustive()
    }
}

/// A client of a registry.
#[derive(Clone)]
pub(super) struct Registry {
    config: Arc<RegistryConfig>,
}

impl Registry {
    pub(super) fn new(config: RegistryConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// The id of `schema` under `subject`, where it is registered if need be and allowed.
    pub(super) async fn id(&self, subject: &str, schema: &str, kind: Option<&str>) -> Result<u32, KafkaFailure> {
        // Registering what is there already gives its id. Asking for it needs fewer rights.
        let path = match self.config.register {
            true => format!("/subjects/{subject}/versions"),
            false => format!("/subjects/{subject}"),
        };
        let mut question = json!({"schema": schema});
        if let Some(kind) = kind {
            question["schemaType"] = kind.into();
        }
        let (status, answer) = self.post(&path, &question).await?;
        if let Some(id) = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok())
            && status.is_success()
        {
            return Ok(id);
        }
        let said = answer["message"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS).collect();
        let (class, what) = match status.as_u16() {
            200..300 => (FailureClass::Config, "answers with no id of a schema: is this Confluent's API?".to_owned()),
            401 | 403 => (FailureClass::Config, "does not accept this user, or does not let it in".to_owned()),
            409 => (
                FailureClass::Config,
                format!(
                    "refuses the schema of {subject}, which does not fit the one before it; delete the subject, or relax its compatibility"
                ),
            ),
            404 if !self.config.register => (
                FailureClass::Config,
                format!("has no such schema as {subject}; register it, or set schema_register = true"),
            ),
            404 => (FailureClass::Config, "knows no subjects under this address: is this Confluent's API?".to_owned()),
            408 | 425 | 429 | 500.. => (FailureClass::Retry, "has no answer now".to_owned()),
            _ => (FailureClass::Config, format!("refuses the schema of {subject}")),
        };
        Err(self.failure(class, format!("{what} ({status}: {said})")))
    }

    async fn post(&self, path: &str, question: &Value) -> Result<(StatusCode, Value), KafkaFailure> {
        let wrong = |what: String| self.failure(FailureClass::Config, what);
        let uri: Uri = format!("{}{path}", self.config.url)
            .parse()
            .map_err(|error| wrong(format!("is not an address: {error}")))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(WITHIN));
        let trusted = match uri.scheme_str() {
            // What is not spoken needs no certificates.
            Some("http") => RootCertStore::empty(),
            _ => roots(self.config.ca_file.as_deref()).map_err(wrong)?,
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks every version of TLS that is safe")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
        let mut request = Request::post(uri)
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(USER_AGENT, concat!("dockstream/", env!("CARGO_PKG_VERSION")));
        if let Some((name, password)) = &self.config.user {
            let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
            let mut basic = HeaderValue::from_str(&basic).expect("base64 is text");
            basic.set_sensitive(true);
            request = request.header(AUTHORIZATION, basic);
        }
        let request = request.body(Full::new(question.to_string().into())).expect("headers of ours are valid");
        let answering = async {
            let answer = client.request(request).await.map_err(|error| unanswered(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await.map(|body| body.to_bytes());
            let body = body.map_err(|error| Unanswered::Broken(error.to_string()))?;
            let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
            Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
        };
        let answered = timeout(WITHIN, answering).await.unwrap_or(Err(Unanswered::TimedOut(WITHIN)));
        answered.map_err(|why| match why {
            Unanswered::Tls(_) => self.failure(FailureClass::Config, why.to_string()),
            _ => self.failure(FailureClass::Retry, why.to_string()),
        })
    }

    fn failure(&self, class: FailureClass, reason: String) -> KafkaFailure {
        KafkaFailure::Registry { url: self.config.url.clone(), class, reason }
    }
}
