//! Errors that a real server can be brought to.

use std::time::Duration;

use model::Rows;
use pipeline::ports::{Deliver, FailureClass};
use test_support::{Authority, Postgres, Validity, unique};
use wire::postgres::Tls;

use super::faults::in_the_end;
use super::session;
use super::tests::{ask, at, config, count, ready, samples};
use super::*;
use crate::fixtures::{batch, loss, noon, one_of_each, range};

/// Lets every loss fail in the way of `code`.
fn refuse_losses(server: &Postgres, config: &PostgresConfig, code: &str) {
    ask(
        server,
        config,
        &format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '{code}'; END $$;
             DROP TRIGGER IF EXISTS refuse ON losses;
             CREATE TRIGGER refuse BEFORE INSERT ON losses FOR EACH ROW EXECUTE FUNCTION refuse()"
        ),
    );
}

fn losses(sequence: u64) -> pipeline::ports::Range {
    range(sequence, vec![batch(sequence, Rows::Losses(vec![loss(noon()), loss(noon())].into()))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_is_told_apart_as_the_table_says() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let codes = VERDICTS.iter().flat_map(|verdict| verdict.codes.iter().map(move |(code, _)| (verdict, code)));
    for (number, (verdict, code)) in (1..).zip(codes) {
        let code = if code.len() == 2 { format!("{code}000") } else { (*code).to_owned() };
        refuse_losses(server, &config, &code);
        for failures in 1..=2 {
            let error = sink.deliver(&losses(number * 10)).await.unwrap_err();
            assert_eq!(error.class, verdict.course.at(failures), "{code}, {failures}: {error}");
            assert!(error.message.ends_with(&format!("{code}: not today")), "{error}");
        }
    }
    ask(server, &config, "DROP TRIGGER refuse ON losses");
    sink.deliver(&losses(5)).await.unwrap();
    assert_eq!(count(server, &config, "losses"), 2, "all or nothing, whatever went before");
}

#[test]
fn the_names_of_the_codes_are_the_servers_own() {
    let server = Postgres::shared();
    for (code, name) in VERDICTS.iter().flat_map(|verdict| verdict.codes) {
        let code = if code.len() == 2 { format!("{code}000") } else { (*code).to_owned() };
        let raised = format!("RAISE EXCEPTION USING ERRCODE = '{code}'; EXCEPTION WHEN {name} THEN NULL");
        server.query("postgres", &format!("DO $$ BEGIN {raised}; END $$"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_range_leaves_nothing_behind_and_a_row_that_is_there_is_no_failure() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    refuse_losses(server, &config, "23514");
    for class in [FailureClass::Schema, FailureClass::Poison] {
        let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
    }
    for table in ["container_stats", "containers", "rollup_1h", "dockstream_ledger"] {
        assert_eq!(count(server, &config, table), 0, "{table}");
    }
    ask(server, &config, "CREATE UNIQUE INDEX mine ON rollup_1d (host)");
    let one = |first| {
        let rows = vec![crate::fixtures::stats(first, noon())];
        range(first, vec![batch(first, Rows::Stats(rows.into()))])
    };
    sink.deliver(&one(1)).await.unwrap();
    assert_eq!(sink.deliver(&one(2)).await.unwrap_err().class, FailureClass::Schema);
    sink.deliver(&one(2)).await.unwrap();
    assert_eq!(count(server, &config, "container_stats"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_waited_for_and_then_tried_again() {
    let server = Postgres::shared();
    let patient = config(server);
    let config = PostgresConfig { lock_timeout: Duration::from_millis(100), ..patient.clone() };
    let mut sink = ready(&config).await;
    // Partitions are not what is waited for here: whoever makes them holds a lock for a moment too.
    in_the_end(&mut sink, &samples(0, 10)).await;
    let mut other = session::open(&patient).await.unwrap();
    let held = other.client.transaction().await.unwrap();
    // One lock and no more: with those of the partitions it could meet whoever makes one, each waiting for the other.
    held.batch_execute("LOCK TABLE ONLY container_stats IN SHARE MODE").await.unwrap();
    let error = sink.deliver(&samples(10, 10)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    assert!(error.message.contains("55P03"), "{error}");
    held.rollback().await.unwrap();
    in_the_end(&mut sink, &samples(10, 10)).await;
    assert_eq!(count(server, &config, "container_stats"), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_cannot_be_made_holds_up_no_row() {
    let server = Postgres::shared();
    let config = config(server);
    let mut sink = ready(&config).await;
    let mut other = session::open(&config).await.unwrap();
    let held = other.client.transaction().await.unwrap();
    // Whoever reads the default partition in a long transaction.
    held.batch_execute("LOCK TABLE container_stats_default IN ACCESS SHARE MODE").await.unwrap();
    sink.deliver(&samples(0, 10)).await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(count(server, &config, "container_stats_default"), 10);
    assert_eq!(count(server, &config, "container_stats"), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_column_is_a_matter_of_the_schema_and_refuses_no_row() {
    let server = Postgres::shared();
    for (change, told) in [
        ("ALTER TABLE container_stats ALTER COLUMN pids TYPE text", "container_stats.pids is text, not bigint"),
        ("ALTER TABLE container_stats ALTER COLUMN pids TYPE integer", "container_stats.pids is integer, not bigint"),
        ("ALTER TABLE container_stats DROP COLUMN block_read_bytes", "container_stats has no column block_read_bytes"),
        ("DROP TABLE losses", "table losses is missing"),
    ] {
        let config = config(server);
        let mut sink = ready(&config).await;
        ask(server, &config, change);
        let error = sink.deliver(&range(0, one_of_each())).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Schema, "{change}: {error}");
        // What the pipeline does then: it names what is wrong until it is mended.
        let error = sink.prepare().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{change}: {error}");
        assert!(error.message.contains(told), "{change}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_tables_and_rights_are_named_where_nothing_may_be_made() {
    let server = Postgres::shared();
    let (role, config) = (unique("writer"), config(server));
    let strict = PostgresConfig { create_tables: false, ..at(config.clone(), |place| place.user.clone_from(&role)) };
    server.query(
        "postgres",
        &format!(
            "CREATE ROLE {role} LOGIN; CREATE SCHEMA {0}; GRANT USAGE ON SCHEMA {0} TO {role}",
            config.place.schema
        ),
    );
    let error = PostgresSink::new(strict.clone()).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    let all = super::schema::every_table().count();
    let missing = format!(
        "table container_stats is missing, table container_events is missing, table containers is missing and {} more; set create_tables = true, or make them",
        all - 3
    );
    assert!(error.message.ends_with(&missing), "{error}");
    // It may not make them either.
    let makes = PostgresConfig { create_tables: true, ..strict.clone() };
    let error = PostgresSink::new(makes).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("42501: permission denied for schema"), "{error}");

    ready(&config).await;
    ask(server, &config, &format!("GRANT SELECT ON dockstream_migrations TO {role}"));
    let error = PostgresSink::new(strict.clone()).prepare().await.unwrap_err();
    assert!(error.message.contains(&format!("{role} may not write to table container_stats: grant")), "{error}");
    ask(
        server,
        &config,
        &format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {} TO {role}", config.place.schema),
    );
    let mut sink = ready(&strict).await;
    // It may not make partitions: the rows find the default one.
    sink.deliver(&range(0, one_of_each())).await.unwrap();
    assert_eq!(count(server, &config, "container_stats_default"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_missing_database_are_one_clear_line_without_secrets() {
    let server = Postgres::shared();
    let role = unique("guest");
    server.query("postgres", &format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'right'; GRANT guarded TO {role}"));
    let with = |password: Option<&str>| {
        at(config(server), |place| {
            (place.user, place.password) = (role.clone(), password.map(str::to_owned));
        })
    };
    for (password, told) in [(Some("hunter2"), "28P01: password authentication failed"), (None, "password missing")] {
        let error = PostgresSink::new(with(password)).prepare().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Config, "{error}");
        assert!(error.message.contains(told), "{error}");
        assert!(!error.message.contains("hunter2") && !error.message.contains('\n'), "{error}");
    }
    ready(&with(Some("right"))).await.deliver(&samples(0, 1)).await.unwrap();

    let nowhere = at(config(server), |place| place.database = "nowhere".into());
    let error = PostgresSink::new(nowhere).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("3D000: database \"nowhere\" does not exist"), "{error}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = PostgresSink::new(at(config(server), |place| place.port = free.port())).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry);
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_whom_is_trusted_and_with_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(folder.path()), Authority::new(&folder.path().join("other")));
    let issued = authority.server("server", &["localhost", "127.0.0.1"], Validity::Now);
    let stranger = other.server("stranger", &["localhost"], Validity::Now);
    let server = Postgres::start_tls(&issued);
    let with = |folder: &std::path::Path| {
        at(config(&server), |place| {
            (place.host, place.tls) = ("localhost".into(), Tls::Verify { ca_file: Some(folder.join("ca.pem")) });
        })
    };
    let trusting = with(&issued);
    ready(&trusting).await.deliver(&samples(0, 10)).await.unwrap();
    assert_eq!(count(&server, &trusting, "container_stats"), 10);

    let error = PostgresSink::new(with(&stranger)).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("certificate"), "{error}");

    let gone = at(config(&server), |place| place.tls = Tls::Verify { ca_file: Some("/nonexistent.pem".into()) });
    let error = PostgresSink::new(gone).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("/nonexistent.pem"), "{error}");

    let plain = Postgres::shared();
    let unmet = at(with(&issued), |place| place.port = plain.address().port());
    let error = PostgresSink::new(unmet).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config, "{error}");
    assert!(error.message.contains("server does not support TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timescaledb_that_is_wanted_and_not_there_is_told() {
    let server = Postgres::shared();
    if server.has_timescale() {
        return;
    }
    let wanted = PostgresConfig { timescale: Timescale::On, ..config(server) };
    let error = PostgresSink::new(wanted).prepare().await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.ends_with("CREATE EXTENSION timescaledb, or set timescale = \"off\""), "{error}");
    ready(&PostgresConfig { timescale: Timescale::Auto, ..config(server) }).await;
}
