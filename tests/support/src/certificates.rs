//! Certificates of our own, for engines that speak TLS.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};

/// A CA of our own. What it issues lies in folders, under the names Docker uses: `ca.pem`, `cert.pem`, `key.pem`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: PathBuf,
}

/// Whether a certificate is valid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Now,
    /// It was, until some years ago.
    Expired,
}

impl Authority {
    /// A new CA, which issues into folders below `folder`.
    ///
    /// # Panics
    /// Where the folder cannot be written to.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is a good name");
        params.distinguished_name.push(DnType::CommonName, "dockstream test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("a CA signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem, folder: folder.to_owned() }
    }

    /// A certificate for an engine that is reached by these names and addresses; its folder.
    #[must_use]
    pub fn server(&self, label: &str, names: &[&str], validity: Validity) -> PathBuf {
        self.issue(label, names, ExtendedKeyUsagePurpose::ServerAuth, validity)
    }

    /// A certificate for whoever asks an engine; its folder.
    #[must_use]
    pub fn client(&self, label: &str, validity: Validity) -> PathBuf {
        self.issue(label, &[], ExtendedKeyUsagePurpose::ClientAuth, validity)
    }

    fn issue(&self, label: &str, names: &[&str], purpose: ExtendedKeyUsagePurpose, validity: Validity) -> PathBuf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("these are names and addresses");
        params.distinguished_name.push(DnType::CommonName, label);
        params.extended_key_usages = vec![purpose];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if validity == Validity::Now { 2090 } else { 2021 }, 1, 1);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the CA signs");
        let folder = self.folder.join(label);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (name, text) in
            [("ca.pem", self.pem.clone()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
        {
            fs::write(folder.join(name), text).expect("the folder can be written to");
        }
        folder
    }
}
