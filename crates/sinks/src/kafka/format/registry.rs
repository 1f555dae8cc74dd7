//! A schema registry that speaks Confluent's API: what it calls a schema.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use pipeline::ports::FailureClass;
use serde_json::{Value, json};

use super::KafkaFailure;
use crate::client::{AGENT, Answer, Client, Credentials, Trust, Unanswered, Version};

const JSON: &str = "application/vnd.schemaregistry.v1+json";
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
        let trust = Trust { ca_file: self.config.ca_file.clone(), identity: None };
        // Ids are kept, so this is rare; and a certificate that was renewed is read again.
        let client = Client::new(uri.scheme_str(), &trust, Version::Http1, WITHIN).map_err(wrong)?;
        let mut request = Request::post(uri).header(CONTENT_TYPE, JSON).header(ACCEPT, JSON).header(USER_AGENT, AGENT);
        let credentials = match &self.config.user {
            None => Credentials::None,
            Some((name, password)) => Credentials::User { name: name.clone(), password: password.clone() },
        };
        if let Some(value) = credentials.authorization("Bearer").map_err(wrong)? {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(question.to_string().into())).expect("headers of ours are valid");
        let answered = match client.send(request).await {
            // What is cut off is no answer.
            Ok(answer) if answer.status.is_success() && answer.body.is_empty() => {
                Err(Unanswered::Broken("the answer ended before its end".to_owned()))
            }
            Ok(Answer { status, body, .. }) => {
                let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
                Ok((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
            }
            Err(why) => Err(why),
        };
        answered.map_err(|why| match why {
            Unanswered::Tls(_) => self.failure(FailureClass::Config, why.to_string()),
            _ => self.failure(FailureClass::Retry, why.to_string()),
        })
    }

    fn failure(&self, class: FailureClass, reason: String) -> KafkaFailure {
        KafkaFailure::Registry { url: self.config.url.clone(), class, reason }
    }
}
