//! Whose certificates are trusted.

use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Those in `ca_file`, else those the system trusts.
///
/// # Errors
/// The file cannot be read, or there is nobody to trust, in a line.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err("this system trusts no CA at all: name the server's in `ca_file`".into())
        } else {
            Ok(roots)
        };
    };
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let unread = |reason: String| format!("the certificates in {} cannot be used: {reason}", path.display());
    for certificate in read().map_err(|error| unread(error.to_string()))? {
        roots.add(certificate).map_err(|error| unread(error.to_string()))?;
    }
    if roots.is_empty() { Err(unread("there are none".into())) } else { Ok(roots) }
}
