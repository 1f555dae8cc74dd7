//! Who we are to an SSH server: keys of a file or of an agent.

use std::path::Path;
use std::sync::Arc;

use pipeline::ports::EngineError;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Error as KeyError, HashAlg, PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use tokio::net::UnixStream;

use super::{Doorkeeper, SshOptions};
use crate::transport::tcp::Place;
use crate::transport::tls::reason;

/// A server hangs up after a few keys it does not take (`MaxAuthTries`, 6 by default).
const KEYS: usize = 5;

/// Shows our keys until the server takes one.
pub(super) struct Login<'a> {
    pub(super) place: &'a Place,
    pub(super) user: &'a str,
    pub(super) options: &'a SshOptions,
    /// The keys that were shown, for the message.
    shown: Vec<String>,
    /// Why others were not.
    passed_over: Vec<String>,
}

impl<'a> Login<'a> {
    pub(super) fn new(place: &'a Place, user: &'a str, options: &'a SshOptions) -> Self {
        Self { place, user, options, shown: Vec::new(), passed_over: Vec::new() }
    }

    /// The key file where one is named, and that alone; else the agent's keys, then the usual files.
    pub(super) async fn authenticate(mut self, session: &mut Handle<Doorkeeper>) -> Result<(), EngineError> {
        if let Some(file) = &self.options.identity {
            match self.file(session, file).await? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => return Err(self.place.refused(self.passed_over.join("; "))),
            }
        } else {
            if let Some(agent) = &self.options.agent
                && self.agent(session, agent).await?
            {
                return Ok(());
            }
            for file in &self.options.usual_identities {
                if self.shown.len() < KEYS && file.exists() && self.file(session, file).await? == Some(true) {
                    return Ok(());
                }
            }
        }
        Err(self.place.refused(self.nothing_fits()))
    }

    /// Whether the key in `file` opens the door; `None` where it cannot be used.
    async fn file(&mut self, session: &mut Handle<Doorkeeper>, file: &Path) -> Result<Option<bool>, EngineError> {
        let key = match read(file).await {
            Ok(key) => key,
            Err(why) => {
                self.passed_over.push(format!("the key file {} cannot be used: {why}", file.display()));
                return Ok(None);
            }
        };
        self.shown.push(format!("{} ({})", file.display(), key.public_key().fingerprint(HashAlg::Sha256)));
        let answer = session.authenticate_publickey(self.user, PrivateKeyWithHashAlg::new(Arc::new(key), None)).await;
        answer.map(|answer| Some(is_open(&answer))).map_err(|error| self.broke(&error))
    }

    /// Whether a key of the agent opens the door.
    async fn agent(&mut self, session: &mut Handle<Doorkeeper>, socket: &Path) -> Result<bool, EngineError> {
        let listed = async {
            let mut agent = AgentClient::connect(UnixStream::connect(socket).await.map_err(KeyError::IO)?);
            agent.request_identities().await.map(|keys| (agent, keys))
        };
        let (mut agent, identities) = match listed.await {
            Ok(listed) => listed,
            Err(error) => {
                self.passed_over.push(format!("the agent at {} cannot be asked: {error}", socket.display()));
                return Ok(false);
            }
        };
        for identity in identities.into_iter().take(KEYS) {
            let AgentIdentity::PublicKey { key, comment } = identity else { continue };
            let hash = self.hash(session, &key).await?;
            self.shown.push(format!("{comment} ({}, of the agent)", key.fingerprint(HashAlg::Sha256)));
            match session.authenticate_publickey_with(self.user, key, hash, &mut agent).await {
                Ok(answer) if is_open(&answer) => return Ok(true),
                Ok(_) => {}
                // The agent may want to be asked for each use, and its person may say no.
                Err(error) => self.passed_over.push(format!("the agent does not sign: {error}")),
            }
            if session.is_closed() {
                return Err(self.place.unreachable("the SSH server hung up during the login"));
            }
        }
        Ok(false)
    }

    /// The hash for the signature of an RSA key; other kinds have their own.
    async fn hash(&self, session: &Handle<Doorkeeper>, key: &PublicKey) -> Result<Option<HashAlg>, EngineError> {
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        let best = session.best_supported_rsa_hash().await.map_err(|error| self.broke(&error))?;
        Ok(best.unwrap_or(Some(HashAlg::Sha256)))
    }

    fn broke(&self, error: &russh::Error) -> EngineError {
        self.place.unreachable(format_args!("the SSH connection broke during the login: {error}"))
    }

    fn nothing_fits(&self) -> String {
        let mut text = if self.shown.is_empty() {
            "there is no key to log in with: name a file in `ssh_key`, or start an agent ($SSH_AUTH_SOCK)".to_owned()
        } else {
            format!(
                "the SSH server lets {} in with none of our keys: {}; one of them must stand in the user's authorized_keys there",
                self.user,
                self.shown.join(", ")
            )
        };
        for why in &self.passed_over {
            text.push_str("; ");
            text.push_str(why);
        }
        text
    }
}

fn is_open(answer: &AuthResult) -> bool {
    matches!(answer, AuthResult::Success)
}

async fn read(file: &Path) -> Result<russh::keys::PrivateKey, String> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| reason(&error))?;
    let key = decode_secret_key(&text, None).map_err(|error| match error {
        KeyError::KeyIsEncrypted => "it wants a passphrase: load it into an agent, with ssh-add".to_owned(),
        other => other.to_string(),
    })?;
    match key.key_data() {
        KeypairData::Rsa(_) => {
            Err("an RSA key signs through an agent only (ssh-add); in a file, ed25519 and ecdsa keys are taken"
                .to_owned())
        }
        _ => Ok(key),
    }
}
