//! Secrets come from files and are never shown.

use super::*;

const SECRETS: &str = "[sinks.clickhouse]\npassword = \"open-sesame\"\n[sinks.kafka.properties]\nsasl.username = \"me\"\nsasl.password = \"open-sesame\"\nssl.key.pem = \"open-sesame\"\n";

#[test]
fn a_secret_appears_in_no_listing() {
    let loaded = file(SECRETS).unwrap();
    assert_eq!(loaded.config.sinks.clickhouse.password.as_ref().unwrap().expose(), "open-sesame");
    let listing = loaded.config.to_toml(&loaded.origins);
    let debug = format!("{loaded:?}");
    for text in [&listing, &debug] {
        assert!(!text.contains("sesame"), "{text}");
        assert!(text.contains("***") && text.contains("me"), "{text}");
    }
    assert!(listing.contains("# password = \"***\"  # pipeline.toml:2\n"), "{listing}");
}

#[test]
fn a_secret_appears_in_no_message() {
    for toml in [
        "[sinks.clickhouse]\npassword = [\"sesame\"]",
        "[sinks.kafka]\nproperties = { a = [\"sesame\"] }",
        "[sinks.clickhouse]\nenabled = true\nurl = \"http://sesame@/\"",
        "[telemetry]\notlp_endpoint = \"ftp://a:sesame@b\"",
    ] {
        let said = file(toml).unwrap_err();
        assert!(!said.contains("sesame"), "{said}");
    }
}

#[test]
fn a_password_file_holds_the_password_and_its_last_newline_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), " open sesame \n").unwrap();
    let toml = "[sinks.clickhouse]\nenabled = true\nurl = \"http://127.0.0.1:8123\"\npassword_file = \"secret\"\n";
    let load = |toml: &str| assemble(None, toml, &Overrides::default(), &Environment::default(), folder.path());
    assert_eq!(load(toml).unwrap().config.sinks.clickhouse.password.unwrap().expose(), " open sesame ");

    std::fs::remove_file(folder.path().join("secret")).unwrap();
    assert_eq!(
        load(toml).unwrap_err().to_string(),
        "`sinks.clickhouse.password_file` (:4): cannot read secret: no such file"
    );
    assert!(load(&toml.replace("enabled = true", "")).is_ok(), "what is not enabled needs no password");

    std::fs::write(folder.path().join("secret"), "sesame\n").unwrap();
    let toml =
        "[sinks.influxdb]\nenabled = true\nurl = \"http://127.0.0.1:8086\"\nbucket = \"b\"\ntoken_file = \"secret\"\n";
    assert_eq!(load(toml).unwrap().config.sinks.influxdb.token.unwrap().expose(), "sesame");
    let toml = "[sinks.otlp]\nenabled = true\nendpoint = \"http://127.0.0.1:4317\"\ntoken_file = \"secret\"\n";
    assert_eq!(load(toml).unwrap().config.sinks.otlp.token.unwrap().expose(), "sesame");
    let toml = "[sinks.remote_write]\nenabled = true\nurl = \"http://127.0.0.1:9090/api/v1/write\"\npassword_file = \"secret\"\n";
    assert_eq!(load(toml).unwrap().config.sinks.remote_write.password.unwrap().expose(), "sesame");
}

#[test]
fn the_value_of_a_header_is_a_secret_whatever_its_name() {
    let loaded = file("[sinks.otlp]\nheaders = { \"X-Team\" = \"sesame\" }").unwrap();
    assert_eq!(loaded.config.sinks.otlp.headers.expose().collect::<Vec<_>>(), [("X-Team", "sesame")]);
    for text in [loaded.config.to_toml(&loaded.origins), format!("{loaded:?}")] {
        assert!(!text.contains("sesame") && text.contains("X-Team"), "{text}");
    }
}
