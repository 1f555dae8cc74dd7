//! Where an engine is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an engine: `unix://` and an absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostUrl {
    /// A unix socket.
    Unix(PathBuf),
}

/// The text is not the address of an engine. Names no more of it than the scheme: the rest may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostUrl {
    /// There is no `://` in it.
    #[error("an engine's address begins with a scheme, such as unix:///var/run/docker.sock")]
    NoScheme,
    /// The scheme is none of ours.
    #[error("`{0}://` is not supported; supported: unix:// with an absolute path, such as unix:///var/run/docker.sock")]
    Scheme(String),
    /// The path does not begin at the root.
    #[error("the path of a unix socket is absolute, such as unix:///var/run/docker.sock (three slashes)")]
    Relative,
}

impl Default for HostUrl {
    /// The local engine, where Docker puts its socket.
    fn default() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }
}

impl FromStr for HostUrl {
    type Err = InvalidHostUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHostUrl> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(InvalidHostUrl::NoScheme)?;
        match scheme {
            "unix" if rest.len() > 1 && rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(InvalidHostUrl::Relative),
            other => Err(InvalidHostUrl::Scheme(other.chars().take(20).collect())),
        }
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_address_keeps_its_path() {
        let url: HostUrl = "unix:///run/podman/podman.sock".parse().unwrap();
        assert_eq!(url, HostUrl::Unix("/run/podman/podman.sock".into()));
        assert_eq!(url.to_string(), "unix:///run/podman/podman.sock");
    }

    #[test]
    fn an_address_that_cannot_be_used_says_what_can_and_shows_no_password() {
        let error = |text: &str| text.parse::<HostUrl>().unwrap_err().to_string();
        assert!(error("ssh://root:secret@edge").contains("`ssh://` is not supported; supported: unix://"));
        assert!(!error("tcp://user:secret@edge:2376").contains("secret"));
        assert!(error("/var/run/docker.sock").contains("unix:///var/run/docker.sock"));
        assert!(error("unix://var/run/docker.sock").contains("three slashes"));
        assert!(error("unix://").contains("absolute"));
    }
}
