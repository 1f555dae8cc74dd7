//! Sinks that speak HTTP with tokens and headers: bounds, and keys that must fit each other.

use super::*;

fn said(toml: &str) -> String {
    file(toml).map(|_| ()).expect_err(toml)
}

#[test]
fn otlp_needs_to_be_told_where_it_is_and_what_to_send() {
    let otlp = |keys: &str| said(&format!("[sinks.otlp]\nenabled = true\n{keys}"));
    let there = |keys: &str| otlp(&format!("endpoint = \"http://collector:4317\"\n{keys}"));
    let safe = |keys: &str| otlp(&format!("endpoint = \"https://collector:4317\"\n{keys}"));
    assert_eq!(
        otlp(""),
        "`sinks.otlp.endpoint` (default): OTLP is enabled, but there is no address: set it, as \"http://127.0.0.1:4317\""
    );
    assert_eq!(
        otlp("endpoint = \"collector:4317\""),
        "`sinks.otlp.endpoint` (pipeline.toml:3): an address without a scheme is not supported: only http:// and https:// are, as in \"http://127.0.0.1:4317\""
    );
    assert_eq!(
        otlp("endpoint = \"http://me:sesame@collector\""),
        "`sinks.otlp.endpoint` (pipeline.toml:3): an address must not carry a user or a password: use the key `token_file`, or `headers`"
    );
    assert_eq!(
        there("ca_file = \"ca.pem\""),
        "`sinks.otlp.ca_file` (pipeline.toml:4): `sinks.otlp.endpoint` is not https://: certificates say nothing there"
    );
    assert_eq!(
        safe("cert_file = \"cert.pem\""),
        "`sinks.otlp.cert_file` (pipeline.toml:4): a certificate and its key go together: set `key_file` too"
    );
    assert_eq!(
        safe("key_file = \"key.pem\""),
        "`sinks.otlp.key_file` (pipeline.toml:4): a certificate and its key go together: set `cert_file` too"
    );
    assert_eq!(
        there("headers = { \"a b\" = \"c\" }"),
        "`sinks.otlp.headers` (pipeline.toml:4): \"a b\" is no name of a header: letters, digits, - _ ."
    );
    assert_eq!(
        there("token = \"x\"\nheaders = { Authorization = \"y\" }"),
        "`sinks.otlp.headers` (pipeline.toml:5): `authorization` and a token are the same header: keep one of the two"
    );
    assert_eq!(
        there("metrics = false\nlogs = false"),
        "`sinks.otlp.metrics` (pipeline.toml:4): neither metrics nor logs are sent: set one of them, or `enabled = false`"
    );
    assert_eq!(there("bytes = \"1B\""), "`sinks.otlp.bytes` (pipeline.toml:4): 1B is too small: at least 1KiB");
    assert!(
        file(
            "[sinks.otlp]\nenabled = true\nendpoint = \"https://c\"\ncert_file = \"c\"\nkey_file = \"k\"\ntoken = \"x\""
        )
        .is_ok()
    );
}

#[test]
fn remote_write_needs_to_be_told_where_it_is_and_who_this_is() {
    let written = |keys: &str| said(&format!("[sinks.remote_write]\nenabled = true\n{keys}"));
    let there = |keys: &str| written(&format!("url = \"http://prometheus:9090/api/v1/write\"\n{keys}"));
    assert_eq!(
        written(""),
        "`sinks.remote_write.url` (default): remote write is enabled, but there is no address: set it, as \"http://127.0.0.1:9090/api/v1/write\""
    );
    assert_eq!(
        written("url = \"ftp://prometheus\""),
        "`sinks.remote_write.url` (pipeline.toml:3): ftp is not supported: only http:// and https:// are, as in \"http://127.0.0.1:9090/api/v1/write\""
    );
    assert_eq!(
        there("ca_file = \"ca.pem\""),
        "`sinks.remote_write.ca_file` (pipeline.toml:4): `sinks.remote_write.url` is not https://: certificates say nothing there"
    );
    assert_eq!(
        there("user = \"me\"\ntoken = \"x\""),
        "`sinks.remote_write.user` (pipeline.toml:4): `sinks.remote_write.token` is set as well: keep one of the two"
    );
    assert_eq!(
        there("user = \"me\"\nheaders = { authorization = \"y\" }"),
        "`sinks.remote_write.headers` (pipeline.toml:5): `authorization` and a token are the same header: keep one of the two"
    );
    assert_eq!(there("bytes = \"1B\""), "`sinks.remote_write.bytes` (pipeline.toml:4): 1B is too small: at least 1KiB");
    assert!(
        file("[sinks.remote_write]\nenabled = true\nurl = \"https://p/w\"\nuser = \"me\"\npassword = \"x\"").is_ok()
    );
}
