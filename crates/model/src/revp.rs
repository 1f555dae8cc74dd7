//! Reverse proxy settings in a container's labels, `snadboy.revp.*`: parsed and validated, pure.
//!
//! A label that cannot be what it is meant to be is listed as an error and leaves its field unknown: nothing is
//! guessed, and no default is put in its place. Labels under the prefix that have no field are kept as they are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What every label of the reverse proxy begins with.
const PREFIX: &str = "snadboy.revp.";

/// Characters of a bad value that are repeated in its error.
const SHOWN: usize = 200;

/// How requests can be spread over backends, as labels name it; `_` is as good as `-`.
const STRATEGIES: [&str; 11] = [
    "round-robin",
    "weighted-round-robin",
    "least-conn",
    "least-connections",
    "ip-hash",
    "uri-hash",
    "random",
    "first",
    "sticky",
    "cookie",
    "header",
];

/// How a backend can be spoken to.
const SCHEMES: [&str; 3] = ["http", "https", "h2c"];

/// What a container's labels say of its reverse proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revp {
    /// `domain`: the name it is reached by, in lower case; `*.` before it takes all names below.
    pub domain: Option<String>,
    /// `backend-host`: where requests go, a name or an address.
    pub backend_host: Option<String>,
    /// `backend-port`.
    pub backend_port: Option<u16>,
    /// `backend-scheme`: `http`, `https` or `h2c`.
    pub backend_scheme: Option<String>,
    /// `strip-prefix`: the path taken off before the backend sees it, or `true` or `false`.
    pub strip_prefix: Option<String>,
    /// `load-balancer`: how requests are spread, such as `round-robin`.
    pub load_balancer: Option<String>,
    /// `health-check.*`; `None` where none of them is there and good.
    pub health_check: Option<RevpHealthCheck>,
    /// The other labels under the prefix, which is left out of their names.
    pub additional: BTreeMap<String, String>,
    /// What is wrong, in the order of the labels; empty where all is well.
    pub errors: Vec<RevpError>,
}

/// How the proxy finds out whether the backend is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevpHealthCheck {
    /// `health-check.path`.
    pub path: Option<String>,
    /// `health-check.port`.
    pub port: Option<u16>,
    /// `health-check.scheme`: `http`, `https` or `h2c`.
    pub scheme: Option<String>,
    /// `health-check.interval`, in milliseconds.
    pub interval_ms: Option<u64>,
    /// `health-check.timeout`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// `health-check.retries`.
    pub retries: Option<u32>,
    /// `health-check.status`: the status of a good answer.
    pub status: Option<u16>,
}

/// A label that cannot be what it is meant to be, or is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevpError {
    /// The whole name of the label.
    pub label: String,
    /// What it holds, its first 200 characters; `None` where the label is missing.
    pub value: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// What a value must be, in words; or the value.
type Parsed<T> = Result<T, &'static str>;

impl Revp {
    /// What `labels` say; `None` where none of them is the reverse proxy's.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Option<Self> {
        let ours = labels.range(PREFIX.to_owned()..).take_while(|(label, _)| label.starts_with(PREFIX));
        let mut revp = Self::default();
        let mut health = RevpHealthCheck::default();
        let mut any = false;
        for (label, value) in ours {
            any = true;
            if let Err(rule) = revp.read(&mut health, &label[PREFIX.len()..], value) {
                let message = format!("must be {rule}");
                revp.errors.push(RevpError { label: label.clone(), value: Some(shown(value)), message });
            }
        }
        if !any {
            return None;
        }
        revp.health_check = (health != RevpHealthCheck::default()).then_some(health);
        let domain = format!("{PREFIX}domain");
        if !labels.contains_key(&domain) {
            let message = "is missing: without it nothing is routed to the container".to_owned();
            revp.errors.push(RevpError { label: domain, value: None, message });
        }
        Some(revp)
    }

    /// True where nothing is wrong.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    fn read(&mut self, health: &mut RevpHealthCheck, key: &str, value: &str) -> Parsed<()> {
        match key {
            "" => return Err("under a name of its own after the prefix"),
            "domain" => self.domain = Some(domain(value)?),
            "backend-host" => self.backend_host = Some(backend_host(value)?),
            "backend-port" => self.backend_port = Some(port(value)?),
            "backend-scheme" => self.backend_scheme = Some(scheme(value)?),
            "strip-prefix" => self.strip_prefix = Some(strip_prefix(value)?),
            "load-balancer" => self.load_balancer = Some(strategy(value)?),
            "health-check.path" => health.path = Some(path(value)?),
            "health-check.port" => health.port = Some(port(value)?),
            "health-check.scheme" => health.scheme = Some(scheme(value)?),
            "health-check.interval" => health.interval_ms = Some(milliseconds(value)?),
            "health-check.timeout" => health.timeout_ms = Some(milliseconds(value)?),
            "health-check.retries" => health.retries = Some(retries(value)?),
            "health-check.status" => health.status = Some(status(value)?),
            _ => drop(self.additional.insert(key.to_owned(), value.to_owned())),
        }
        Ok(())
    }
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN).collect()
}

/// A name by the rules of DNS; `extra` are further characters its parts may have.
fn is_name(text: &str, extra: &[u8]) -> bool {
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        (1..=63).contains(&bytes.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || extra.contains(byte))
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

fn domain(text: &str) -> Parsed<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_address = text.parse::<IpAddr>().is_ok();
    (is_name(name, b"") && !is_address)
        .then(|| text.to_ascii_lowercase())
        .ok_or("a domain name such as app.example.com, without scheme, port or path")
}

fn backend_host(text: &str) -> Parsed<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    // Names of containers and services have underscores.
    let good = bare.parse::<IpAddr>().is_ok() || is_name(text, b"_");
    good.then(|| bare.to_owned()).ok_or("a host name or an address, without scheme or port")
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // `parse` takes a sign.
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn port(text: &str) -> Parsed<u16> {
    number(text).filter(|port| *port > 0).ok_or("a port from 1 to 65535")
}

fn retries(text: &str) -> Parsed<u32> {
    number(text).filter(|retries| *retries <= 1000).ok_or("a whole number from 0 to 1000")
}

fn status(text: &str) -> Parsed<u16> {
    number(text).filter(|status| (100..600).contains(status)).ok_or("a status from 100 to 599")
}

fn scheme(text: &str) -> Parsed<String> {
    let scheme = text.to_ascii_lowercase();
    if SCHEMES.contains(&&*scheme) { Ok(scheme) } else { Err("http, https or h2c") }
}

fn path(text: &str) -> Parsed<String> {
    let good = text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    good.then(|| text.to_owned()).ok_or("a path that begins with /, without spaces")
}

fn strip_prefix(text: &str) -> Parsed<String> {
    if matches!(text, "true" | "false") {
        return Ok(text.to_owned());
    }
    path(text).map_err(|_| "a path that begins with /, or true or false")
}

fn strategy(text: &str) -> Parsed<String> {
    let strategy = text.to_ascii_lowercase().replace('_', "-");
    if STRATEGIES.contains(&&*strategy) {
        return Ok(strategy);
    }
    Err("one of round-robin, weighted-round-robin, least-conn, least-connections, ip-hash, uri-hash, random, first, \
         sticky, cookie, header")
}

/// `500ms`, `30s`, `1m30s`, `1h`: whole numbers with units, in descending order or not.
fn milliseconds(text: &str) -> Parsed<u64> {
    const RULE: &str = "a duration above zero such as 500ms, 30s or 1m30s";
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(RULE),
        };
        let part = number::<u64>(count).and_then(|count| count.checked_mul(factor)).ok_or(RULE)?;
        sum = sum.checked_add(part).ok_or(RULE)?;
        rest = tail;
    }
    if sum == 0 { Err(RULE) } else { Ok(sum) }
}
