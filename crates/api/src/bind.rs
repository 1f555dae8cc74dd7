//! Taking the address, before anything is served on it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use crate::ApiConfig;

/// The address is taken: connections queue up until an [`ApiServer`](crate::ApiServer) accepts them, and while
/// one restarts. Shared as an `Arc`, so that a server built anew finds it again.
#[derive(Debug)]
pub struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) config: ApiConfig,
    address: SocketAddr,
}

impl Bound {
    /// The address in use, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The address cannot be taken; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error("cannot listen on {0}: the address is in use; stop what uses it, or listen on another port")]
    InUse(SocketAddr),
    /// The system forbids it.
    #[error("cannot listen on {0}: permission denied; ports below 1024 need a privilege, so use a higher one")]
    Forbidden(SocketAddr),
    /// It belongs to another machine.
    #[error("cannot listen on {0}: it is not an address of this machine")]
    NotLocal(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::InUse(address),
            ErrorKind::PermissionDenied => Self::Forbidden(address),
            ErrorKind::AddrNotAvailable => Self::NotLocal(address),
            _ => Self::Other { address, source },
        }
    }
}

/// Takes the address of `config`.
///
/// # Errors
/// [`BindError`], where the address is in use, forbidden or not of this machine.
pub fn bind(config: ApiConfig) -> Result<Bound, BindError> {
    let listener = TcpListener::bind(config.listen).map_err(|error| BindError::new(config.listen, error))?;
    let address = listener.local_addr().map_err(|error| BindError::new(config.listen, error))?;
    Ok(Bound { listener, config, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind_to(address: &str) -> Result<Bound, BindError> {
        bind(ApiConfig { listen: address.parse().unwrap(), ..ApiConfig::default() })
    }

    #[test]
    fn a_free_port_is_taken_and_known() {
        assert_ne!(bind_to("127.0.0.1:0").unwrap().address().port(), 0);
    }

    #[test]
    fn an_address_in_use_is_named_with_what_to_do() {
        let first = bind_to("127.0.0.1:0").unwrap();
        let error = bind_to(&first.address().to_string()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {}: the address is in use; stop what uses it, or listen on another port",
                first.address()
            )
        );
    }

    #[test]
    fn an_address_of_another_machine_is_refused_as_such() {
        let error = bind_to("192.0.2.1:8080").unwrap_err();
        assert_eq!(error.to_string(), "cannot listen on 192.0.2.1:8080: it is not an address of this machine");
    }

    #[test]
    fn a_forbidden_port_is_refused_as_such() {
        let address = "127.0.0.1:80".parse().unwrap();
        let error = BindError::new(address, ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("ports below 1024 need a privilege"), "{error}");
    }
}
