//! Where an engine is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

/// Docker's usual ports: plain, and with TLS.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// The port of SSH.
const SSH_PORT: u16 = 22;

/// Where Docker puts its socket.
const SOCKET: &str = "/var/run/docker.sock";

/// The address of an engine. `Display` gives it whole, ports included; there is no password in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostUrl {
    /// `unix://` and an absolute path: a unix socket.
    Unix(PathBuf),
    /// `tcp://host:port`: TCP, with TLS where certificates are given. `https://host:port`: always with TLS.
    Tcp {
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// Where it is not the usual one: 2375, with TLS 2376.
        port: Option<u16>,
        /// Whether it is `https://`.
        https: bool,
    },
    /// `ssh://user@host:port/path`: a unix socket on a host that is reached by SSH.
    Ssh {
        /// The user there; without one, the user here.
        user: Option<String>,
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// The port of the SSH server.
        port: u16,
        /// The engine's socket there.
        socket: PathBuf,
    },
}

/// The text is not the address of an engine. Names no more of it than the scheme: the rest may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostUrl {
    /// There is no `://` in it.
    #[error("an engine's address begins with a scheme, such as unix:///var/run/docker.sock")]
    NoScheme,
    /// The scheme is none of ours.
    #[error(
        "`{0}://` is not supported; supported: unix:///var/run/docker.sock, tcp://host:2376, https://host:2376, ssh://user@host"
    )]
    Scheme(String),
    /// The path does not begin at the root.
    #[error("the path of a unix socket is absolute, such as unix:///var/run/docker.sock (three slashes)")]
    Relative,
    /// There is no host, or its port is none.
    #[error("after `{0}://` comes a host, and a port where it is not the usual one, such as {0}://{1}")]
    Authority(&'static str, &'static str),
    /// There is a user before an address that knows none.
    #[error("`{0}://` knows no user and no password: certificates say who asks (`tls_cert`, `tls_key`)")]
    User(&'static str),
    /// There is a password in it.
    #[error("an address must not carry a password: use a key (`ssh_key`, or an agent)")]
    Password,
    /// There is something behind the port.
    #[error("after the host and its port nothing follows in `{0}://`: engines behind a path are not supported")]
    Path(&'static str),
}

impl HostUrl {
    /// True where certificates apply to it: `tcp://` and `https://`.
    pub fn may_use_tls(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// True for `ssh://`.
    pub fn is_ssh(&self) -> bool {
        matches!(self, Self::Ssh { .. })
    }

    /// True where what is asked and answered can be read and changed on its way: plain TCP beyond this machine.
    /// `tls`: whether certificates are given.
    pub fn is_exposed(&self, tls: bool) -> bool {
        match self {
            Self::Tcp { host, https, .. } => !tls && !https && !is_this_machine(host),
            Self::Unix(_) | Self::Ssh { .. } => false,
        }
    }

    /// The same address with the port that is meant where none is given.
    pub(crate) fn with_port(&self, tls: bool) -> Self {
        match self {
            Self::Tcp { host, port, https } => {
                let usual = if tls || *https { TLS_PORT } else { PLAIN_PORT };
                Self::Tcp { host: host.clone(), port: Some(port.unwrap_or(usual)), https: *https }
            }
            Self::Unix(_) | Self::Ssh { .. } => self.clone(),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Default for HostUrl {
    /// The local engine, where Docker puts its socket.
    fn default() -> Self {
        Self::Unix(PathBuf::from(SOCKET))
    }
}

impl FromStr for HostUrl {
    type Err = InvalidHostUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHostUrl> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(InvalidHostUrl::NoScheme)?;
        match scheme {
            "unix" if rest.len() > 1 && rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(InvalidHostUrl::Relative),
            "tcp" => tcp("tcp", rest, false),
            "https" => tcp("https", rest, true),
            "ssh" => ssh(rest),
            other => Err(InvalidHostUrl::Scheme(other.chars().take(20).collect())),
        }
    }
}

fn tcp(scheme: &'static str, rest: &str, https: bool) -> Result<HostUrl, InvalidHostUrl> {
    let (authority, path) = cut(rest);
    let (user, host, port) = parts(authority).ok_or(InvalidHostUrl::Authority(scheme, "edge-1:2376"))?;
    match () {
        () if user.is_some() => Err(InvalidHostUrl::User(scheme)),
        () if !matches!(path, "" | "/") => Err(InvalidHostUrl::Path(scheme)),
        () => Ok(HostUrl::Tcp { host, port, https }),
    }
}

fn ssh(rest: &str) -> Result<HostUrl, InvalidHostUrl> {
    let (authority, path) = cut(rest);
    let (user, host, port) = parts(authority).ok_or(InvalidHostUrl::Authority("ssh", "user@edge-1"))?;
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        return Err(InvalidHostUrl::Password);
    }
    let socket = if matches!(path, "" | "/") { SOCKET } else { path };
    Ok(HostUrl::Ssh { user, host, port: port.unwrap_or(SSH_PORT), socket: PathBuf::from(socket) })
}

/// What stands before the first slash, and what from it on.
fn cut(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// User, host and port, where there is a host.
fn parts(authority: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user).filter(|user| !user.is_empty()), place),
        None => (None, authority),
    };
    let place: Authority = place.parse().ok()?;
    let host = place.host().trim_start_matches('[').trim_end_matches(']');
    let port = match place.as_str().strip_prefix(place.host())? {
        "" => None,
        port => Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?),
    };
    (!host.is_empty()).then(|| (user.map(str::to_owned), host.to_owned(), port))
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, https } => {
                write!(f, "{}://{}", if *https { "https" } else { "tcp" }, Bracketed(host))?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Ssh { user, host, port, socket } => {
                f.write_str("ssh://")?;
                user.as_ref().map_or(Ok(()), |user| write!(f, "{user}@"))?;
                write!(f, "{}", Bracketed(host))?;
                if *port != SSH_PORT {
                    write!(f, ":{port}")?;
                }
                if socket.as_os_str() != SOCKET {
                    write!(f, "{}", socket.display())?;
                }
                Ok(())
            }
        }
    }
}

/// A host as it stands in an address.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HostUrl {
        text.parse().unwrap()
    }

    #[test]
    fn every_kind_of_address_is_read_and_written_back() {
        assert_eq!(url("unix:///run/podman/podman.sock"), HostUrl::Unix("/run/podman/podman.sock".into()));
        assert_eq!(url("tcp://edge-1"), HostUrl::Tcp { host: "edge-1".into(), port: None, https: false });
        assert_eq!(
            url("https://[fd00::1]:443/"),
            HostUrl::Tcp { host: "fd00::1".into(), port: Some(443), https: true }
        );
        assert_eq!(
            url("ssh://ops@edge-1:2222/run/user/1000/docker.sock"),
            HostUrl::Ssh {
                user: Some("ops".into()),
                host: "edge-1".into(),
                port: 2222,
                socket: "/run/user/1000/docker.sock".into()
            }
        );
        for text in [
            "unix:///run/podman/podman.sock",
            "tcp://10.0.0.7:2375",
            "https://[fd00::1]:2376",
            "ssh://edge-1",
            "ssh://ops@[fd00::1]:2222/run/docker.sock",
        ] {
            assert_eq!(url(text).to_string(), text);
        }
        assert_eq!(url("ssh://edge-1:22/var/run/docker.sock").to_string(), "ssh://edge-1");
    }

    #[test]
    fn a_port_that_is_not_given_is_the_usual_one() {
        assert_eq!(url("tcp://edge-1").with_port(false).to_string(), "tcp://edge-1:2375");
        assert_eq!(url("tcp://edge-1").with_port(true).to_string(), "tcp://edge-1:2376");
        assert_eq!(url("https://edge-1").with_port(false).to_string(), "https://edge-1:2376");
        assert_eq!(url("tcp://edge-1:7").with_port(true).to_string(), "tcp://edge-1:7");
    }

    #[test]
    fn only_plain_tcp_beyond_this_machine_is_exposed() {
        for text in ["tcp://edge-1:2375", "tcp://10.0.0.7:2375", "tcp://[fd00::1]:2375", "tcp://localhost.example.com"]
        {
            assert!(url(text).is_exposed(false), "{text}");
            assert!(!url(text).is_exposed(true), "{text}");
        }
        for text in [
            "tcp://127.0.0.1:2375",
            "tcp://127.3.0.1",
            "tcp://[::1]:2375",
            "tcp://LOCALHOST",
            "https://edge-1",
            "ssh://edge-1",
            "unix:///x",
        ] {
            assert!(!url(text).is_exposed(false), "{text}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_says_what_can_and_shows_no_password() {
        let error = |text: &str| text.parse::<HostUrl>().unwrap_err().to_string();
        assert!(error("npipe:////./pipe/docker").contains("`npipe://` is not supported; supported: unix://"));
        assert!(error("/var/run/docker.sock").contains("unix:///var/run/docker.sock"));
        assert!(error("unix://var/run/docker.sock").contains("three slashes"));
        assert!(error("unix://").contains("absolute"));
        for text in ["tcp://", "tcp://:2375", "tcp://edge-1:port", "tcp://edge-1:0", "tcp://edge 1", "https://[::1"] {
            assert!(error(text).contains("comes a host"), "{text}");
        }
        assert!(error("ssh://@:22").contains("ssh://user@edge-1"));
        assert!(error("tcp://edge-1:2375/docker").contains("nothing follows"));
        for text in ["tcp://user:secret@edge:2376", "ssh://root:secret@edge"] {
            assert!(!error(text).contains("secret") && error(text).contains("password"), "{text}");
        }
    }
}
