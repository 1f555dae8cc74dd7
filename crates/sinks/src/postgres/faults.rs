//! A server that dies, hangs, or is not heard: no row is lost, and none is there twice.

use std::time::{Duration, Instant};

use pipeline::ports::{Deliver, FailureClass, Range};
use test_support::{Line, Place, Postgres, Proxy, wait_for_async};

use super::session;
use super::tests::{SOON, ask, at, config, count, ready, samples};
use super::*;

/// Delivers until the server has it; the failures on the way may all pass.
pub(super) async fn in_the_end(sink: &mut PostgresSink, work: &Range) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = sink.deliver(work).await {
        assert_eq!(error.class, FailureClass::Retry, "{error}");
        assert!(Instant::now() < deadline, "{error}");
    }
}

fn assert_once(server: &Postgres, config: &PostgresConfig, rows: u64) {
    let stored = ask(server, config, "SELECT count(*), count(DISTINCT timestamp) FROM container_stats");
    assert_eq!(stored, format!("{rows}|{rows}"));
    assert_eq!(ask(server, config, "SELECT sum(samples) FROM container_stats_hourly"), rows.to_string());
}

/// Waits until a statement that begins so is under way.
async fn under_way(server: &Postgres, statement: &str) {
    let asked = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ILIKE '{statement}%'");
    wait_for_async(SOON, statement, async || (server.query("postgres", &asked) != "0").then_some(())).await;
}

/// What a trigger waits for, until it is opened or the server dies.
struct Barrier(session::Session);

impl Barrier {
    /// Closed, before what `trigger` says.
    async fn close(server: &Postgres, config: &PostgresConfig, trigger: &str) -> Self {
        let session = session::open(config).await.unwrap();
        session.client.execute("SELECT pg_advisory_lock(4711, hashtext(current_schema()))", &[]).await.unwrap();
        ask(
            server,
            config,
            &format!(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM pg_advisory_xact_lock_shared(4711, hashtext('{}')); RETURN NEW;
                 END $$;
                 {trigger} FOR EACH ROW EXECUTE FUNCTION wait()",
                config.place.schema
            ),
        );
        Self(session)
    }

    async fn open(self) {
        self.0.close().await;
    }
}

const COMMIT: &str =
    "CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON dockstream_ledger DEFERRABLE INITIALLY DEFERRED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_copies_has_every_row_once() {
    let server = Postgres::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    sink.deliver(&samples(0, 500)).await.unwrap();
    let _barrier = Barrier::close(&server, &config, "CREATE TRIGGER wait BEFORE INSERT ON container_stats").await;
    let work = samples(500, 500);
    let killed = async {
        under_way(&server, "COPY container_stats").await;
        server.kill9();
    };
    let (delivered, ()) = tokio::join!(sink.deliver(&work), killed);
    let error = delivered.unwrap_err();
    assert_eq!(error.class, FailureClass::Retry, "{error}");
    assert_eq!(sink.deliver(&work).await.unwrap_err().class, FailureClass::Retry);
    server.restart();
    in_the_end(&mut sink, &work).await;
    assert_once(&server, &config, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_acknowledgement_is_lost_is_not_made_again() {
    let server = Postgres::start();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::Tcp(server.address()));
    let direct = config(&server);
    let config = at(direct.clone(), |place| place.port = proxy.address().port());
    let mut sink = ready(&config).await;
    let barrier = Barrier::close(&server, &direct, COMMIT).await;
    let work = samples(0, 500);
    let lost = async {
        under_way(&server, "COMMIT").await;
        proxy.set(Line::Deaf);
        barrier.open().await;
        let landed = async || (count(&server, &config, "container_stats") == 500).then_some(());
        wait_for_async(SOON, "the commit", landed).await;
        proxy.reset();
    };
    let (delivered, ()) = tokio::join!(sink.deliver(&work), lost);
    assert_eq!(delivered.unwrap_err().class, FailureClass::Retry);
    proxy.set(Line::Clear);
    in_the_end(&mut sink, &work).await;
    assert_once(&server, &config, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_commits_has_every_row_once() {
    let server = Postgres::start();
    let config = config(&server);
    let mut sink = ready(&config).await;
    let _barrier = Barrier::close(&server, &config, COMMIT).await;
    let work = samples(0, 500);
    let killed = async {
        under_way(&server, "COMMIT").await;
        server.kill9();
    };
    let (delivered, ()) = tokio::join!(sink.deliver(&work), killed);
    assert_eq!(delivered.unwrap_err().class, FailureClass::Retry);
    server.restart();
    in_the_end(&mut sink, &work).await;
    assert_once(&server, &config, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_is_still_under_way_is_waited_for() {
    let server = Postgres::start();
    let config = config(&server);
    let (mut first, mut second) = (ready(&config).await, ready(&config).await);
    let barrier = Barrier::close(&server, &config, COMMIT).await;
    // In other bounds too.
    let (work, again) = (samples(0, 300), samples(100, 300));
    let opened = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'";
        let both = async || (server.query("postgres", waiting) == "2").then_some(());
        wait_for_async(SOON, "one waits to commit, and one for it", both).await;
        barrier.open().await;
    };
    let (one, other, ()) = tokio::join!(first.deliver(&work), second.deliver(&again), opened);
    one.unwrap();
    other.unwrap();
    assert_once(&server, &config, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_at_any_place_doubles_nothing() {
    let server = Postgres::shared();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::Tcp(server.address()));
    let config = at(config(server), |place| place.port = proxy.address().port());
    let mut sink = ready(&config).await;
    let mut sent = 0;
    for after in [0, 300, 1_500, 4_000, 60_000, 150_000] {
        proxy.set(Line::Brittle { after });
        let work = samples(sent, 500);
        let error = sink.deliver(&work).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry, "{error}");
        proxy.set(Line::Clear);
        in_the_end(&mut sink, &work).await;
        sent += 500;
    }
    proxy.set(Line::Cut);
    assert_eq!(sink.deliver(&samples(sent, 1)).await.unwrap_err().class, FailureClass::Retry);
    assert_once(server, &config, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_in_time_and_the_rows_land_once() {
    let server = Postgres::start();
    let patient = config(&server);
    ready(&patient).await;
    let within = Duration::from_secs(5);
    let mut sink = PostgresSink::new(PostgresConfig { timeout: within, connect_timeout: within, ..patient.clone() });
    // On a busy machine a server that does not hang may take that long, too.
    let deadline = Instant::now() + SOON;
    while let Err(error) = sink.prepare().await {
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
    }
    let work = samples(0, 100);
    server.pause();
    for _ in 0..2 {
        let error = sink.deliver(&work).await.unwrap_err();
        assert_eq!(error.class, FailureClass::Retry);
        assert!(error.message.ends_with("no answer within 5s"), "{error}");
    }
    assert_eq!(sink.prepare().await.unwrap_err().class, FailureClass::Retry);
    server.resume();
    let deadline = Instant::now() + SOON;
    while let Err(error) = sink.prepare().await {
        assert!(error.class == FailureClass::Retry && Instant::now() < deadline, "{error}");
    }
    in_the_end(&mut sink, &work).await;
    assert_once(&server, &patient, 100);
}
