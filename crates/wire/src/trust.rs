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
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unread(path, &error.to_string()))?;
    }
    Ok(roots)
}

/// The certificates in a file; at least one.
///
/// # Errors
/// The file cannot be read, or there is none in it, in a line.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| unread(path, &error.to_string()))?;
    if found.is_empty() { Err(unread(path, "there are none")) } else { Ok(found) }
}

fn unread(path: &Path, reason: &str) -> String {
    format!("the certificates in {} cannot be used: {reason}", path.display())
}
