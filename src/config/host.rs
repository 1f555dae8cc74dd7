//! What the machine says where the configuration does not: its name, its engine.

use model::{HostName, NodeName};

use super::Host;
use super::section::Repeated;
use super::setting::Setting;

/// The machine's host name, made fit for a name in dockstream; `local` where it has none.
pub fn machine_name() -> String {
    sanitise(
        &std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .unwrap_or_default(),
    )
}

pub(super) fn node_name() -> NodeName {
    NodeName::try_new(&machine_name()).expect("a sanitised name is a node name")
}

pub(super) fn host_name() -> HostName {
    HostName::try_new(&machine_name()).expect("a sanitised name is a host name")
}

fn sanitise(name: &str) -> String {
    let name: String = name
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' })
        .take(128)
        .collect();
    let name = name.trim_start_matches(['.', '-', '_']);
    if name.is_empty() { "local".to_owned() } else { name.to_owned() }
}

impl Host {
    /// The host at `url` under the machine's name.
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// Whether certificates are given, so that `tcp://` speaks TLS.
    pub fn uses_tls(&self) -> bool {
        self.tls_ca.is_some() || self.tls_cert.is_some()
    }
}

/// From `url` or `name=url`; hosts without a name get the machine's, the second one with `-2` behind it.
impl Repeated for Host {
    fn from_texts(texts: &[String]) -> Result<Vec<Self>, String> {
        let texts = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
        let mut unnamed = 0;
        texts
            .map(|text| {
                let named = text.split_once('=').filter(|(name, _)| !name.contains("://"));
                let (name, url) = match named {
                    Some((name, url)) => (HostName::from_text(name)?, url),
                    None => {
                        unnamed += 1;
                        let name = machine_name();
                        let name = if unnamed == 1 {
                            name
                        } else {
                            format!("{}-{unnamed}", name.chars().take(120).collect::<String>())
                        };
                        (HostName::from_text(&name)?, text)
                    }
                };
                Ok(Self { name, ..Self::at(url) })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> Result<Vec<Host>, String> {
        Host::from_texts(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_host_name_with_anything_in_it_becomes_a_name() {
        assert_eq!(sanitise("web 7.example.com\n"), "web-7.example.com");
        assert_eq!(sanitise("-_.x"), "x");
        assert_eq!(sanitise("münchen"), "m-nchen");
        assert_eq!(sanitise("  \n"), "local");
        assert_eq!(sanitise(&"a".repeat(300)).len(), 128);
        for name in ["", "/", "日本", "a b"] {
            assert!(HostName::try_new(&sanitise(name)).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn hosts_from_texts_are_named_or_get_the_machines_name_and_a_number() {
        let hosts = hosts(&["unix:///a.sock", "edge=unix:///b.sock,unix:///c.sock"]).unwrap();
        let names: Vec<_> = hosts.iter().map(|host| host.name.to_string()).collect();
        assert_eq!(names, [machine_name(), "edge".into(), format!("{}-2", machine_name())]);
        assert_eq!(hosts[1].url, "unix:///b.sock");
        assert_eq!(hosts[0].max_connections.get(), 5, "the rest is as by default");
    }

    #[test]
    fn a_host_text_with_a_name_that_is_none_is_refused() {
        assert!(hosts(&["a b=unix:///x"]).unwrap_err().contains("`a b` is not a host name"));
    }
}
