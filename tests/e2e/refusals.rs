//! What cannot be: each told in one clear line, with the right exit code.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use test_support::wait_until;

use crate::binary::{Disk, Finished, Launch, SOON};

/// The one line said, where dockstream ended with `code`.
fn refusal(finished: &Finished, code: i32) -> &str {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!((finished.err.len(), &*finished.out), (1, &[][..]), "one line, on standard error: {finished:?}");
    &finished.err[0]
}

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_what_was_meant() {
    let wrong = [
        ("[batch]\nconut = 5\n", "unknown key `batch.conut` (pipeline.toml:2): did you mean `count`?"),
        (
            "[collect]\nstats_interval = 5\n",
            "`collect.stats_interval` (pipeline.toml:2): expected a duration, such as \"5s\", found 5",
        ),
        ("[batch]\ncount = 0\n", "`batch.count` (pipeline.toml:2): expected a whole number of at least 1, found 0"),
        ("[batch]\nage = \"0s\"\n", "`batch.age` (pipeline.toml:2): 0s is too short: at least 1ms"),
    ];
    for (config, line) in wrong {
        for command in [&["run"][..], &["check"], &["demo"]] {
            assert_eq!(refusal(&Launch::new(config).with(command).finish(), 78), line);
        }
    }
}

#[test]
fn every_wrong_key_is_told_at_once() {
    let finished = Launch::new("[batch]\nconut = 5\nage = 1\n[retri]\n").finish();
    assert_eq!((finished.code, finished.err.len()), (Some(78), 3), "{finished:?}");
}

#[test]
fn a_wrong_variable_and_a_wrong_flag_value_are_told_by_their_names() {
    let finished = Launch::new("").variable("DOCKSTREAM_BATCH_CONUT", "5").finish();
    assert_eq!(refusal(&finished, 78), "unknown variable DOCKSTREAM_BATCH_CONUT: did you mean DOCKSTREAM_BATCH_COUNT?");
    let finished = Launch::new("").with(&["--listen", "everywhere"]).finish();
    let expected = "`api.listen` (--listen): expected an address, such as \"127.0.0.1:8080\", found \"everywhere\"";
    assert_eq!(refusal(&finished, 78), expected);
    let finished = Launch::new("").with(&["--config", "nowhere.toml"]).finish();
    assert_eq!(refusal(&finished, 78), "cannot read the configuration file nowhere.toml: no such file");
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let finished = Launch::new("").with(&["--colour"]).finish();
    assert_eq!((finished.code, finished.out.len()), (Some(64), 0), "{finished:?}");
    assert_eq!(finished.err[0], "error: unexpected argument '--colour' found");
}

#[test]
fn an_address_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let finished = Launch::new("").with(&["--listen", &address]).finish();
    assert_eq!(
        refusal(&finished, 78),
        format!(
            "`api.listen`: cannot listen on {address}: the address is in use; stop what uses it, or listen on another port"
        )
    );
}

#[test]
fn a_data_folder_that_cannot_be_written_is_refused() {
    let launch = Launch::new("");
    fs::write(launch.folder().join("file"), "").expect("a file");
    let finished = launch.with(&["--data-dir", "file/data"]).finish();
    assert_eq!(
        refusal(&finished, 78),
        "cannot use the data folder file/data: Not a directory (os error 20); choose another one with --data-dir"
    );
}

#[test]
fn a_data_folder_in_use_is_refused() {
    let first = Launch::new("").with(&["--docker", "unix:///nowhere"]).start();
    let folder = first.folder().join("data").display().to_string();
    let second = Launch::new("").with(&["--data-dir", &folder, "--listen", "127.0.0.1:0"]).finish();
    assert_eq!(
        refusal(&second, 78),
        format!(
            "the data folder {folder} is in use by another dockstream; end that one, or choose another folder with --data-dir"
        )
    );
    assert_eq!(first.ask("/healthz").0, 200, "the first one goes on");
}

#[test]
fn a_full_disk_is_refused() {
    let finished = Launch::new("").on_disk(Disk::Full).with(&["--listen", "127.0.0.1:0"]).finish();
    let line = refusal(&finished, 78);
    assert!(line.contains("./data") && line.contains("full"), "{line}");
}

#[test]
fn a_damaged_database_is_moved_aside_told_and_begun_anew() {
    let launch = Launch::new("").with(&["--docker", "unix:///nowhere"]);
    let data = launch.folder().join("data");
    fs::create_dir(&data).expect("a folder");
    let damaged = "this is not a database. ".repeat(1000);
    fs::write(data.join("dockstream.db"), &damaged).expect("a file");
    let mut dockstream = launch.start();
    let line = dockstream.wait_for_line("the database is damaged");
    assert!(line.contains("moved aside, and a new one is begun"), "{line}");
    assert_eq!(dockstream.ask("/api/containers").0, 200, "the new one answers");
    assert_eq!(dockstream.lines("the database is damaged").len(), 1, "told once");
    let aside: Vec<_> = fs::read_dir(&data)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.display().to_string().contains("/dockstream.db.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read_to_string(&aside[0]).expect("it is still there"), damaged);
}

#[test]
fn a_wrong_address_of_an_engine_is_refused() {
    let finished = Launch::new("").with(&["--docker", "http://127.0.0.1:2375"]).finish();
    assert!(refusal(&finished, 78).contains("`http://` is not supported"), "{finished:?}");
}

#[test]
fn an_engine_that_is_not_there_is_told_in_one_line_and_does_not_end_anything() {
    let launch = Launch::new("");
    let file = launch.folder().join("file.sock");
    fs::write(&file, "").expect("a file");
    // A socket whose listener is gone.
    let dead = launch.folder().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let wrong = [
        (launch.folder().join("none.sock"), "the socket does not exist (is the engine running?)"),
        (file, "this is not a socket"),
        (dead, "the socket is there, but nobody listens (did the engine stop?)"),
    ];
    for (socket, why) in wrong {
        let url = format!("unix://{}", socket.display());
        let dockstream = Launch::new("").with(&["--docker", &url]).start();
        let reason = format!("no Docker engine at {url}: {why}");
        assert_eq!(dockstream.not_ready(), reason);
        let told = format!("not ready: {reason}; it is tried again until it answers");
        wait_until(SOON, &told, || dockstream.lines(&told).len() == 1);
        let warnings = dockstream.lines("\"level\":\"WARN\"");
        assert!(warnings.iter().all(|line| line.contains(&reason)), "nothing else is wrong: {warnings:#?}");
        assert_eq!(dockstream.terminate().code, Some(0));
    }
}
