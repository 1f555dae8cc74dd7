//! Finds the layers and puts them together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use engine::HostUrl;
use toml::de::DeTable;

use super::problem::{ConfigError, Origin, Problem};
use super::reader::{FlagValue, PREFIX, Place, Reader};
use super::section::Section;
use super::{CacheKind, Config, Host, Secret, checks};

/// Names the configuration file, as `--config` does.
pub const CONFIG_VARIABLE: &str = "DOCKSTREAM_CONFIG";

/// Looked for in this order where no file is named.
const FILES: [&str; 2] = ["./pipeline.toml", "/etc/dockstream/pipeline.toml"];

/// Variables of others that count for the engine that is watched where none is named.
const OTHERS: [&str; 4] = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "HOME"];

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The file, instead of the usual ones.
    pub config: Option<PathBuf>,
    pub(crate) flags: Vec<FlagValue>,
}

impl Overrides {
    /// Sets the key at `path` over every other layer, under the name of `flag`. Does nothing without a text.
    pub fn set(&mut self, path: &'static str, flag: &'static str, texts: Vec<String>) {
        if !texts.is_empty() {
            self.flags.push(FlagValue { path, flag, texts });
        }
    }
}

/// The variables that concern dockstream.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }
}

impl<V: Into<OsString>> FromIterator<(String, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with(PREFIX) || OTHERS.contains(&name);
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, _)| ours(name))
                .map(|(name, value)| (name, value.into()))
                .collect(),
        }
    }
}

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file, where there was one.
    pub file: Option<PathBuf>,
    /// Where each value that is not a default comes from, by key path.
    pub origins: BTreeMap<String, Origin>,
}

/// How a configuration was read, to read it again.
#[derive(Clone, Debug)]
pub struct Reading {
    overrides: Overrides,
    environment: Environment,
    folder: PathBuf,
}

impl Reading {
    /// What `load` is given.
    pub fn new(overrides: Overrides, environment: Environment, folder: impl Into<PathBuf>) -> Self {
        Self { overrides, environment, folder: folder.into() }
    }

    /// Reads all layers.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.overrides, &self.environment, &self.folder)
    }

    /// From now on this file is meant and no other: without it, nothing would be watched that is in it.
    pub fn keep_to(&mut self, file: Option<&Path>) {
        if let Some(file) = file {
            self.overrides.config = Some(file.to_owned());
        }
    }

    /// What the file says now; else why it cannot be read.
    pub fn text(&self) -> Result<String, ConfigError> {
        find(&self.overrides, &self.environment, &self.folder).map(|(_, text)| text)
    }
}

/// Reads all layers, checks the whole, and names everything that is wrong.
///
/// Files are looked for from `folder` on, the working folder of the process.
pub fn load(overrides: &Overrides, environment: &Environment, folder: &Path) -> Result<Loaded, ConfigError> {
    let (file, text) = find(overrides, environment, folder)?;
    assemble(file, &text, overrides, environment, folder)
}

/// `load`, once the file is read.
pub(super) fn assemble(
    file: Option<PathBuf>,
    text: &str,
    overrides: &Overrides,
    environment: &Environment,
    folder: &Path,
) -> Result<Loaded, ConfigError> {
    let name = file.as_deref().map(display_name).unwrap_or_default();
    let mut reader = Reader::new(&name, text, &environment.variables, &overrides.flags);

    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let syntax = |error: &toml::de::Error| Problem::Syntax {
            place: reader.line(error.span().unwrap_or(0..0)),
            error: error.message().to_owned(),
        };
        ConfigError::unless_empty(errors.iter().map(syntax).collect())?;
    }

    let mut config = Config::read(&mut reader, &Place::root(Some(table.get_ref())));
    reader.refuse_unknown_variables(&[CONFIG_VARIABLE]);
    let (mut problems, mut origins) = (reader.problems, reader.origins);

    if config.hosts.is_empty() {
        config.hosts.push(usual_host(environment, folder, &mut origins));
    }
    // What stands in for a wrong value says nothing about the others.
    if problems.is_empty() {
        checks::check(&config, &origins, &mut problems);
    }
    if problems.is_empty() {
        read_secrets(&mut config, &origins, folder, &mut problems);
    }
    ConfigError::unless_empty(problems)?;
    Ok(Loaded { config, file, origins })
}

/// The engine that Docker's own command line would speak to.
fn usual_host(environment: &Environment, folder: &Path, origins: &mut BTreeMap<String, Origin>) -> Host {
    let Some(url) = environment.text("DOCKER_HOST") else { return Host::default() };
    let mut said = |key: &str, variable: &str| {
        origins.insert(format!("hosts[0].{key}"), Origin::Variable(variable.to_owned()));
    };
    said("url", "DOCKER_HOST");
    let mut host = Host::at(url);
    let uses_tls = url.parse::<HostUrl>().is_ok_and(|url| url.may_use_tls());
    if uses_tls && environment.text("DOCKER_TLS_VERIFY").is_some() {
        let certificates = environment.text("DOCKER_CERT_PATH").map(PathBuf::from);
        let certificates = certificates
            .or_else(|| Some(Path::new(environment.text("HOME")?).join(".docker")))
            .unwrap_or_else(|| PathBuf::from(".docker"));
        let file = |name: &str| Some(certificates.join(name));
        host.tls_ca = file("ca.pem");
        said("tls_ca", "DOCKER_TLS_VERIFY");
        // An engine may do without ours.
        if folder.join(&certificates).join("cert.pem").exists() {
            (host.tls_cert, host.tls_key) = (file("cert.pem"), file("key.pem"));
            said("tls_cert", "DOCKER_TLS_VERIFY");
        }
    }
    host
}

/// The configuration file and its text; no file is no error unless it was named.
fn find(
    overrides: &Overrides,
    environment: &Environment,
    folder: &Path,
) -> Result<(Option<PathBuf>, String), ConfigError> {
    let named = overrides.config.clone().or_else(|| environment.text(CONFIG_VARIABLE).map(PathBuf::from));
    let candidates = match &named {
        Some(file) => vec![file.clone()],
        None => FILES.iter().map(PathBuf::from).collect(),
    };
    for file in candidates {
        match std::fs::read_to_string(folder.join(&file)) {
            Ok(text) => return Ok((Some(file), text)),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Problem::Unreadable { file: display_name(&file), error: reason(&error) }.into()),
        }
    }
    Ok((None, String::new()))
}

/// The file as people name it.
fn display_name(file: &Path) -> String {
    let name = file.display().to_string();
    name.strip_prefix("./").map(str::to_owned).unwrap_or(name)
}

/// An I/O error without its number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

/// Puts what `*_file` keys point to in the place of what they stand for.
fn read_secrets(config: &mut Config, origins: &BTreeMap<String, Origin>, folder: &Path, problems: &mut Vec<Problem>) {
    let (clickhouse, influxdb, kafka) =
        (&mut config.sinks.clickhouse, &mut config.sinks.influxdb, &mut config.sinks.kafka);
    let postgres = &mut config.sinks.postgres;
    let cache = &mut config.cache;
    let is_redis = cache.kind == CacheKind::Redis;
    let (otlp, remote_write) = (&mut config.sinks.otlp, &mut config.sinks.remote_write);
    let files = [
        ("cache.password_file", is_redis, &cache.password_file, &mut cache.password),
        ("sinks.clickhouse.password_file", clickhouse.enabled, &clickhouse.password_file, &mut clickhouse.password),
        ("sinks.postgres.password_file", postgres.enabled, &postgres.password_file, &mut postgres.password),
        ("sinks.influxdb.password_file", influxdb.enabled, &influxdb.password_file, &mut influxdb.password),
        ("sinks.influxdb.token_file", influxdb.enabled, &influxdb.token_file, &mut influxdb.token),
        ("sinks.kafka.password_file", kafka.enabled, &kafka.password_file, &mut kafka.password),
        (
            "sinks.kafka.schema_registry_password_file",
            kafka.enabled,
            &kafka.schema_registry_password_file,
            &mut kafka.schema_registry_password,
        ),
        ("sinks.otlp.token_file", otlp.enabled, &otlp.token_file, &mut otlp.token),
        ("sinks.remote_write.token_file", remote_write.enabled, &remote_write.token_file, &mut remote_write.token),
        (
            "sinks.remote_write.password_file",
            remote_write.enabled,
            &remote_write.password_file,
            &mut remote_write.password,
        ),
    ];
    for (path, enabled, file, secret) in files {
        let Some(file) = file.as_ref().filter(|_| enabled) else { continue };
        match std::fs::read_to_string(folder.join(file)) {
            Ok(text) => *secret = Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                let place = origins.get(path).cloned().unwrap_or_default();
                let error = format!("cannot read {}: {}", file.display(), reason(&error));
                problems.push(Problem::Value { path: path.to_owned(), place, error });
            }
        }
    }
}
