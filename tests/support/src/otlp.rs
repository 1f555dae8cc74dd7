//! The OpenTelemetry Collector's OTLP receiver.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::OnceLock;

use crate::server::{Server, User};

/// The Collector's own receiver of OTLP, over gRPC and HTTP, with a file behind it.
#[derive(Debug)]
pub struct OtlpReceiver {
    server: Server,
    grpc: String,
    http: String,
}

impl OtlpReceiver {
    /// Starts one of its own. Panics when it is not built or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with arguments of `tests/servers/otlp.py`: `--mebibytes 1` …
    #[must_use]
    pub fn start_with(args: &[&str]) -> Self {
        let server = Server::start("otlp", User::Anyone, args);
        let (grpc, http) = (server.address("grpc"), server.address("http"));
        Self { server, grpc, http }
    }

    /// Starts one that speaks TLS, with `cert.pem` and `key.pem` in `folder`, to whom the CA in its `ca.pem` has issued a certificate.
    #[must_use]
    pub fn start_tls(folder: &Path) -> Self {
        let [certificate, key, ca] =
            ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.join(name).display().to_string());
        Self::start_with(&["--certificate", &certificate, "--key", &key, "--client-ca", &ca])
    }

    /// The one all tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<OtlpReceiver> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Its address for gRPC: `http://127.0.0.1:port`, or `https://…`
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Its address for HTTP.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The requests it took, each as OTLP's JSON, in their order. One that is being written is not among them.
    #[must_use]
    pub fn taken(&self) -> Vec<String> {
        let text = fs::read_to_string(self.server.folder().join("taken.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    }
}

impl Deref for OtlpReceiver {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
