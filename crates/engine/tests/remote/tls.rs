//! TCP and TLS.

use std::path::Path;
use std::time::Duration;

use engine::{HostOptions, TlsOptions};
use pipeline::ports::{EngineApi, EngineFailure};
use test_support::{Authority, Dockerd, Validity};

use crate::{everything_works, host, patient, refusal};

/// As Docker's folder of certificates has them.
fn with(folder: &Path) -> HostOptions {
    let identity = Some((folder.join("cert.pem"), folder.join("key.pem")));
    HostOptions { tls: Some(TlsOptions { ca: Some(folder.join("ca.pem")), identity }), ..patient() }
}

#[tokio::test]
async fn an_engine_on_plain_tcp_is_watched_whole() {
    let docker = Dockerd::start_on_tcp(None);
    everything_works(&host(&docker.tcp_url(), &patient()), &docker).await;

    let folder = tempfile::tempdir().unwrap();
    let client = Authority::new(folder.path()).client("client", Validity::Now);
    let error = refusal(&docker.tcp_url(), &with(&client)).await;
    assert!(error.message.contains("does not speak TLS (is it the plain port?)"), "{error}");
}

#[tokio::test]
async fn an_engine_behind_mutual_tls_is_watched_whole_and_each_wrong_certificate_has_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let server = authority.server("server", &["127.0.0.1", "localhost"], Validity::Now);
    let docker = Dockerd::start_on_tcp(Some(&server));
    let url = docker.tcp_url();
    let client = with(&authority.client("client", Validity::Now));
    everything_works(&host(&url, &client), &docker).await;
    everything_works(&host(&url.replace("tcp://127.0.0.1", "https://localhost"), &client), &docker).await;

    let plain = refusal(&url, &patient()).await;
    assert!(plain.message.contains("HTTP request to an HTTPS server"), "{plain}");

    let other = Authority::new(&folder.path().join("other"));
    let mut unknown = client.clone();
    unknown.tls.as_mut().unwrap().ca = with(&other.client("client", Validity::Now)).tls.unwrap().ca;
    let mut nobody = client.clone();
    nobody.tls.as_mut().unwrap().identity = None;
    let mut stranger = with(&other.client("stranger", Validity::Now));
    stranger.tls.as_mut().unwrap().ca = client.tls.clone().unwrap().ca;
    let late = with(&authority.client("late", Validity::Expired));
    let mut missing = client.clone();
    missing.tls.as_mut().unwrap().ca = Some("/nowhere/ca.pem".into());
    let mut mixed = client.clone();
    mixed.tls.as_mut().unwrap().identity.as_mut().unwrap().1 = server.join("key.pem");
    for (options, words) in [
        (unknown, "comes from an unknown CA"),
        (nobody, "the engine wants a certificate of ours: set `tls_cert` and `tls_key`"),
        (stranger, "the engine does not take our certificate"),
        (late, "the engine does not take our certificate"),
        (missing, "the certificate /nowhere/ca.pem cannot be used: no such file"),
        (mixed, "cannot be used together"),
    ] {
        let error = refusal(&url, &options).await;
        assert_eq!(error.failure, EngineFailure::Refused, "{error}");
        assert!(error.message.contains(words) && error.message.starts_with(&url), "{error}");
    }
}

#[tokio::test]
async fn an_engine_whose_certificate_expired_or_is_for_another_name_is_refused_in_these_words() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let client = with(&authority.client("client", Validity::Now));
    for (label, names, validity, words) in [
        ("expired", ["127.0.0.1"], Validity::Expired, "the engine's certificate has expired"),
        ("elsewhere", ["edge-1.example.com"], Validity::Now, "the engine's certificate is not for 127.0.0.1"),
    ] {
        let docker = Dockerd::start_on_tcp(Some(&authority.server(label, &names, validity)));
        let error = refusal(&docker.tcp_url(), &client).await;
        assert_eq!(error.failure, EngineFailure::Refused, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_that_was_renewed_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let docker = Dockerd::start_on_tcp(Some(&authority.server("server", &["127.0.0.1"], Validity::Now)));
    let host = host(&docker.tcp_url(), &with(&authority.client("client", Validity::Expired)));
    assert_eq!(host.identify().await.unwrap_err().failure, EngineFailure::Refused);
    let _ = authority.client("client", Validity::Now);
    host.identify().await.unwrap();
}

#[tokio::test]
async fn a_port_nobody_listens_on_a_host_that_hangs_and_a_name_nobody_knows_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let client = with(&Authority::new(folder.path()).client("client", Validity::Now));
    let hasty = HostOptions { head_timeout: Duration::from_millis(500), ..client.clone() };
    let error = refusal(&format!("tcp://127.0.0.1:{port}"), &hasty).await;
    assert_eq!(error.failure, EngineFailure::Timeout);
    assert!(error.message.contains("TLS was not agreed on within 400ms: the host hangs"), "{error}");

    let error = refusal("tcp://127.0.0.1:1", &client).await;
    assert_eq!(error.failure, EngineFailure::Unreachable);
    assert!(error.message.contains("nobody listens on port 1"), "{error}");

    let error = refusal("tcp://nobody.invalid:2376", &client).await;
    assert_eq!(error.failure, EngineFailure::Unreachable);
    assert!(error.message.contains("the name nobody.invalid is not known here"), "{error}");
}
