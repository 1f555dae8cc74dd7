//! `known_hosts`: which keys a host may show. Pure.
//!
//! Format by sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Host certificates (`@cert-authority`) are not supported: a host is
//! known by its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{Algorithm, PublicKey, parse_public_key_base64};
use sha1::Sha1;

/// What the files say of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownHost {
    keys: Vec<Known>,
    revoked: Vec<Known>,
}

/// A key, and where it stands: `/home/ops/.ssh/known_hosts:7`.
#[derive(Clone, Debug)]
struct Known {
    key: PublicKey,
    place: String,
}

/// What to think of a key that a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// The host is not known.
    Unknown,
    /// The host is known by another key, which stands there.
    Changed(String),
    /// It may not be used any more, by what stands there.
    Revoked(String),
}

impl KnownHost {
    /// Adds what `text`, the content of `file`, says of the host.
    pub(super) fn read(&mut self, host: &str, port: u16, file: &str, text: &str) {
        let name = match port {
            22 => host.to_ascii_lowercase(),
            port => format!("[{}]:{port}", host.to_ascii_lowercase()),
        };
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(patterns), Some(_kind), Some(key)) = (words.next(), words.next(), words.next()) else { continue };
            if patterns.starts_with('#') || !is_meant(patterns, &name) {
                continue;
            }
            // A kind of key that is not supported cannot be shown to us either.
            let Ok(key) = parse_public_key_base64(key) else { continue };
            let known = Known { key, place: format!("{file}:{}", index + 1) };
            match marker {
                None => self.keys.push(known),
                Some("@revoked") => self.revoked.push(known),
                Some(_) => {}
            }
        }
    }

    /// What to think of `key`.
    pub(super) fn judge(&self, key: &PublicKey) -> Verdict {
        let same = |known: &&Known| known.key.key_data() == key.key_data();
        if let Some(revoked) = self.revoked.iter().find(same) {
            return Verdict::Revoked(revoked.place.clone());
        }
        match self.keys.first() {
            None => Verdict::Unknown,
            Some(_) if self.keys.iter().any(|known| same(&known)) => Verdict::Known,
            Some(first) => {
                let alike = self.keys.iter().find(|known| known.key.algorithm() == key.algorithm());
                Verdict::Changed(alike.unwrap_or(first).place.clone())
            }
        }
    }

    /// `kinds`, those first that the host is known by: a host has keys of several kinds, and shows the one it is asked for.
    pub(super) fn ordered(&self, kinds: &[Algorithm]) -> Vec<Algorithm> {
        let is_known = |kind: &&Algorithm| self.keys.iter().any(|known| known.key.algorithm() == **kind);
        let (known, others): (Vec<_>, Vec<_>) = kinds.iter().partition(is_known);
        known.into_iter().chain(others).cloned().collect()
    }
}

/// Whether a line's patterns mean the host of this name.
fn is_meant(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return hashed_name(hashed, name).unwrap_or(false);
    }
    let mut is_meant = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => is_meant |= fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
        }
    }
    is_meant
}

/// `salt|hash`, both in base64, by HMAC-SHA1.
fn hashed_name(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mut hmac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    hmac.update(name.as_bytes());
    Some(hmac.verify_slice(&hash).is_ok())
}

/// `*` stands for any characters, `?` for one.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|from| fits(rest, &name[from..])),
        (Some((b'?', rest)), Some((_, name))) => fits(rest, name),
        (Some((expected, rest)), Some((found, name))) => expected == found && fits(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIPpRpeKGkCUg5BBDKGK4TTcuvO8gj6GiUxu0ElpHNjoo";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAICMTTxKURyXbpyKOexVmvXpJlf55tPSn8xxWZBwnAxsK";
    const ECDSA: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKqRrDh65TQUP0wBjQi+9rzs2qVd9wXN5fX9K2KvfqsGhSyYTxS4VtNwqkWQJUrDQQpzVCl28QU9O6YzYz0uQUU=";
    const PORT: u16 = 22;

    fn key(text: &str) -> PublicKey {
        parse_public_key_base64(text).unwrap()
    }

    fn known(host: &str, port: u16, text: &str) -> KnownHost {
        let mut known = KnownHost::default();
        known.read(host, port, "file", text);
        known
    }

    #[test]
    fn a_host_is_known_by_its_name_a_pattern_or_a_hash() {
        for (host, port, patterns) in [
            ("edge-1", 22, "edge-1"),
            ("EDGE-1", 22, "10.0.0.1,Edge-1"),
            ("edge-1", 2222, "[edge-1]:2222"),
            ("edge-1.example.com", 22, "*.example.com"),
            ("edge-1", 22, "edge-?"),
            // `ssh-keygen -H` of "edge-1".
            ("edge-1", 22, "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|HASH"),
        ] {
            let patterns = patterns.replace("HASH", &hash("edge-1"));
            let text = format!("# a comment\n\n{patterns} ssh-ed25519 {ED} ops@here\n");
            assert_eq!(known(host, port, &text).judge(&key(ED)), Verdict::Known, "{patterns}");
        }
    }

    fn hash(name: &str) -> String {
        let mut hmac = Hmac::<Sha1>::new_from_slice(b"saltsaltsaltsaltsalt").unwrap();
        hmac.update(name.as_bytes());
        STANDARD.encode(hmac.finalize().into_bytes())
    }

    #[test]
    fn another_host_another_port_or_an_exception_is_not_known() {
        for (host, port, patterns) in [
            ("edge-2", 22, "edge-1"),
            ("edge-1", 2222, "edge-1"),
            ("edge-1", 22, "[edge-1]:2222"),
            ("edge-1", 22, "edge-*,!edge-1"),
            ("edge-1", 22, "#edge-1"),
            ("edge-1", 22, "|1|not base64|x"),
        ] {
            let text = format!("{patterns} ssh-ed25519 {ED}\n");
            assert_eq!(known(host, port, &text).judge(&key(ED)), Verdict::Unknown, "{patterns}");
        }
    }

    #[test]
    fn a_host_with_another_key_has_changed_and_the_line_is_named() {
        let text = format!("other ssh-ed25519 {ED}\nedge-1 ecdsa-sha2-nistp256 {ECDSA}\nedge-1 ssh-ed25519 {OTHER}\n");
        assert_eq!(known("edge-1", PORT, &text).judge(&key(ED)), Verdict::Changed("file:3".to_owned()));
        let text = format!("edge-1 ecdsa-sha2-nistp256 {ECDSA}\n");
        assert_eq!(known("edge-1", PORT, &text).judge(&key(ED)), Verdict::Changed("file:1".to_owned()));
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_it_is_known() {
        let text = format!("edge-1 ssh-ed25519 {ED}\n@revoked * ssh-ed25519 {ED}\n");
        assert_eq!(known("edge-1", PORT, &text).judge(&key(ED)), Verdict::Revoked("file:2".to_owned()));
        let text = format!("@cert-authority edge-1 ssh-ed25519 {ED}\n");
        assert_eq!(known("edge-1", PORT, &text).judge(&key(ED)), Verdict::Unknown);
    }

    #[test]
    fn the_kind_of_key_that_is_known_is_asked_for_first() {
        let ecdsa = key(ECDSA).algorithm();
        let known = known("edge-1", PORT, &format!("edge-1 ecdsa-sha2-nistp256 {ECDSA}\n"));
        assert_eq!(known.ordered(&[Algorithm::Ed25519, ecdsa.clone()]), [ecdsa, Algorithm::Ed25519]);
    }
}
