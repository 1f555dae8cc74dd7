//! Every line of a container is stored once, over restarts of the container, of the daemon and of dockstream.

use std::path::Path;
use std::time::Duration;

use engine::{Host, HostOptions};
use futures_util::StreamExt;
use model::LogStream;
use pipeline::ports::{EngineApi, LogQuery, LogStart};
use rusqlite::{Connection, OpenFlags};
use simulator::{ContainerSpec, Profile, SimulatedHost, Simulator};
use test_support::{ClickHouse, Dockerd, unique, wait_until};

use crate::binary::{Dockstream, Launch, SOON};
use crate::reload::write;

/// A line as it is named and what it says.
type Line = (i64, String, String);

fn config(clickhouse: &ClickHouse, database: &str) -> String {
    format!(
        "[collect]\nmode = \"stream\"\nstats_interval = \"1s\"\ndiscovery_interval = \"5s\"\n[batch]\nage = \"200ms\"\n\
         [sinks.clickhouse]\nenabled = true\nurl = \"{}\"\ndatabase = \"{database}\"\nlinger = \"500ms\"\n",
        clickhouse.url()
    )
}

/// The stored lines of a container, by their time.
fn stored(database: &Path, container: &str) -> Vec<Line> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
    let sql = "SELECT timestamp, stream, line FROM container_logs WHERE container_name = ? \
               ORDER BY timestamp, stream DESC, ordinal";
    let mut statement = connection.prepare(sql).expect("the view is there");
    let rows = statement.query_map([container], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

/// The same in ClickHouse, where a line that came twice would be there twice.
fn inserted(clickhouse: &ClickHouse, database: &str, container: &str) -> Vec<Line> {
    let sql = format!(
        "SELECT toUnixTimestamp64Nano(timestamp), stream, line FROM {database}.container_logs \
         WHERE container_name = '{container}' ORDER BY timestamp, stream DESC, ordinal FORMAT JSONCompactEachRow \
         SETTINGS output_format_json_quote_64bit_integers = 0"
    );
    clickhouse.query(&sql).lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// What the engine itself has.
fn truth(engine: &Dockerd, id: &str) -> Vec<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = engine.url().parse().expect("an address");
        let host = Host::new("truth".parse().expect("a name"), &url, &HostOptions::default()).expect("a client");
        host.identify().await.expect("it answers");
        let query = LogQuery { start: LogStart::Beginning, follow: false, tail: None };
        let mut feed = host.logs(&id.parse().expect("an id"), query).await.expect("a log");
        let mut lines: Vec<Line> = Vec::new();
        while let Some(more) = feed.next().await {
            lines.extend(more.expect("lines").into_iter().map(|line| {
                let text = String::from_utf8(line.bytes.to_vec()).expect("text");
                (line.timestamp.as_nanos(), line.stream.to_string(), text)
            }));
        }
        // By time; at the same one, standard output first.
        lines.sort_by(|one, other| (one.0, &other.1).cmp(&(other.0, &one.1)));
        lines
    })
}

fn wait_for_more(dockstream: &Dockstream, container: &str, what: &str) {
    let before = stored(&dockstream.database(), container).len();
    wait_until(SOON, &format!("lines {what}"), || stored(&dockstream.database(), container).len() >= before + 30);
}

fn assert_same(one: &[Line], other: &[Line], between: &str) {
    let differing = one.iter().zip(other).position(|(one, other)| one != other);
    let at = differing.unwrap_or(one.len().min(other.len()));
    let (one_there, other_there) = (one.get(at), other.get(at));
    assert!(
        one == other,
        "{between}: {} and {} lines; at {at}: {one_there:?}, {other_there:?}",
        one.len(),
        other.len()
    );
}

#[test]
fn the_lines_of_a_real_container_are_stored_once_over_all_restarts() {
    let (docker, clickhouse, database) = (Dockerd::start(), ClickHouse::shared(), unique("logs"));
    let dockstream = Launch::watching(docker.socket(), &config(clickhouse, &database)).start();
    dockstream.ready();
    let script = "n=$(cat /n || echo 0); while :; do n=$((n+1)); echo line $n; \
                  [ $((n % 7)) = 0 ] && echo warn $n >&2; echo $n > /n; sleep 0.01; done";
    let options = ["--restart", "always", "--stop-signal", "KILL", "--label", "dockstream.logs=true"];
    let id = docker.run("writer", &options, script);
    docker.run("silent", &[], "while :; do echo not to be read; sleep 0.1; done");
    wait_for_more(&dockstream, "writer", "of the first run");

    docker.docker(&["restart", "writer"]);
    wait_for_more(&dockstream, "writer", "behind the restart of the container");

    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    docker.docker(&["restart", "writer"]);
    let before = truth(&docker, &id).len();
    wait_until(SOON, "lines that nobody reads", || truth(&docker, &id).len() > before + 30);
    let dockstream = Launch::again(&finished).start();
    wait_for_more(&dockstream, "writer", "behind the restart of dockstream");

    let finished = dockstream.kill9();
    let dockstream = Launch::again(&finished).start();
    wait_for_more(&dockstream, "writer", "behind the kill of dockstream");

    docker.kill9();
    docker.restart();
    dockstream.ready();
    wait_for_more(&dockstream, "writer", "behind the kill of the daemon");

    docker.docker(&["update", "--restart", "no", "writer"]);
    docker.docker(&["stop", "writer"]);
    let expected = truth(&docker, &id);
    wait_until(SOON, "the last line", || stored(&dockstream.database(), "writer").len() >= expected.len());
    let answer = dockstream.get("/api/containers/writer/logs?tail=1");
    assert_eq!(answer["data"][0]["line"], expected.last().expect("a line").2.as_str());
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_same(&stored(&finished.database(), "writer"), &expected, "SQLite and the engine");
    assert_same(&inserted(clickhouse, &database, "writer"), &expected, "ClickHouse and the engine");
    assert!(expected.iter().any(|(_, stream, _)| stream == LogStream::Stderr.name()));
    assert!(stored(&finished.database(), "silent").is_empty(), "logs are off unless a label says otherwise");
}

#[test]
fn numbered_lines_are_stored_once_over_all_restarts_with_and_without_a_terminal() {
    let (clickhouse, database) = (ClickHouse::shared(), unique("logs"));
    let simulated = Simulator::host("simulated").engine(Profile::Docker20).start().expect("a simulated host");
    let control = simulated.control();
    let names = ["plain", "terminal"];
    for name in names {
        let spec = ContainerSpec { is_terminal: name == "terminal", ..ContainerSpec::new(name) };
        control.add(spec.lines_per_second(300.0)).expect("a container");
    }
    let socket = simulated.socket();
    let config =
        config(clickhouse, &database).replace("[batch]", "[collect.logs]\nenabled = true\ntail = \"all\"\n[batch]");
    let mut dockstream = Launch::watching(socket, &config).start();
    for round in 0..3 {
        let more = |what: &str| names.iter().for_each(|name| wait_for_more(&dockstream, name, what));
        more("of a new life");
        names.iter().for_each(|name| control.restart(name).expect("it restarts"));
        more("behind the restart of the containers");
        control.restart_daemon(Duration::from_millis(300));
        more("behind the restart of the daemon");
        let finished = if round == 1 { dockstream.kill9() } else { dockstream.terminate() };
        names.iter().for_each(|name| control.restart(name).expect("it restarts"));
        dockstream = Launch::again(&finished).start();
    }
    names.iter().for_each(|name| control.stop(name).expect("it stops"));
    let written = names.map(|name| control.lines_written(name).expect("a number"));
    wait_until(SOON, "every line", || {
        names.iter().zip(written).all(|(name, written)| stored(&dockstream.database(), name).len() as u64 >= written)
    });
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for (name, written) in names.into_iter().zip(written) {
        let expected: Vec<String> = (1..=written).map(|number| format!("line {number}")).collect();
        let texts = |lines: Vec<Line>| lines.into_iter().map(|(.., line)| line).collect::<Vec<_>>();
        let (sqlite, others) =
            (texts(stored(&finished.database(), name)), texts(inserted(clickhouse, &database, name)));
        let differing = sqlite.iter().zip(&expected).find(|(one, other)| one != other);
        assert!(sqlite == expected, "{name}: {} of {written} in SQLite, {differing:?}", sqlite.len());
        assert!(others == expected, "{name}: {} of {written} in ClickHouse", others.len());
    }
}

#[test]
fn lines_are_stored_once_over_changes_of_their_host_and_from_its_return_on_after_it_left() {
    let (clickhouse, database) = (ClickHouse::shared(), unique("logs"));
    let [changes, other] = ["changes", "other"].map(|name| Simulator::host(name).start().expect("a simulated host"));
    let control = changes.control();
    control.add(ContainerSpec::new("writer").lines_per_second(200.0)).expect("a container");
    let section = |host: &SimulatedHost, more: &str| {
        format!("[[hosts]]\nname = \"{}\"\nurl = \"{}\"\n{more}\n", host.name(), host.url())
    };
    let logs = config(clickhouse, &database).replace("[batch]", "[collect.logs]\nenabled = true\n[batch]");
    let both = |more: &str| format!("{}{}{logs}", section(&changes, more), section(&other, ""));
    let dockstream = Launch::new(&both("")).start();
    let reload = |config: &str| {
        write(&dockstream, config);
        dockstream.signal("HUP");
    };
    wait_for_more(&dockstream, "writer", "of the first life");
    for site in ["north", "south", "north"] {
        reload(&both(&format!("labels = {{ site = \"{site}\" }}")));
        let host = || dockstream.get("/api/hosts/changes");
        wait_until(SOON, "the change", || host()["labels"]["site"] == site && host()["status"] == "up");
        wait_for_more(&dockstream, "writer", "behind the change");
    }
    reload(&format!("{}{logs}", section(&other, "")));
    wait_until(SOON, "its end", || control.served().connections == 0);
    let left = control.lines_written("writer").expect("a number");
    // A host that is back before its last records are stored goes on where it was.
    let known = |condition: &str| {
        let connection = Connection::open_with_flags(dockstream.database(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = format!("SELECT count(*) FROM hosts WHERE host = 'changes' AND {condition}");
        connection.expect("it opens").query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("a number")
    };
    wait_until(SOON, "its last state", || known("status = 'removed'") == 1);
    wait_until(SOON, "lines that nobody reads", || control.lines_written("writer").expect("a number") > left + 1_000);
    reload(&both(""));
    wait_for_more(&dockstream, "writer", "behind its return");
    let finished = dockstream.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let lines = inserted(clickhouse, &database, "writer");
    assert_same(&stored(&finished.database(), "writer"), &lines, "SQLite and ClickHouse");
    let number = |(.., line): &Line| line.strip_prefix("line ").expect("a number").parse::<u64>().expect("a number");
    let gaps: Vec<(u64, u64)> = lines.windows(2).map(|two| (number(&two[0]), number(&two[1]))).collect();
    let gaps: Vec<(u64, u64)> = gaps.into_iter().filter(|(one, next)| *next != one + 1).collect();
    assert_eq!(gaps.len(), 1, "one gap, while it was away: {gaps:?}");
    // An engine is asked by whole seconds.
    assert!(gaps[0].0 <= left && gaps[0].1 > left + 500, "{gaps:?}; it left at {left}");
}
