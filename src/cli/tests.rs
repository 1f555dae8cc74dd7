//! What the command line promises.

use std::process::ExitCode;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::from_arguments(std::iter::once("dockstream").chain(line.split_whitespace()))
}

fn refused(line: &str) -> (Exit, String) {
    let error = parse(line).map(|_| ()).expect_err(line);
    (usage_exit(&error), error.to_string())
}

#[test]
fn without_a_command_it_runs() {
    assert_eq!(parse("").unwrap().command(), Command::Run);
    assert_eq!(parse("run").unwrap().command(), Command::Run);
    assert_eq!(parse("check").unwrap().command(), Command::Check);
}

#[test]
fn the_file_is_watched_where_that_is_asked_for() {
    for (line, watches) in [("", false), ("--watch", true), ("run --watch", true), ("--watch run", true)] {
        assert_eq!(parse(line).unwrap().watches(), watches, "{line}");
    }
}

#[test]
fn flags_may_stand_before_and_after_the_command() {
    for line in ["--config a.toml check", "check --config a.toml"] {
        assert_eq!(parse(line).unwrap().overrides().config, Some("a.toml".into()), "{line}");
    }
}

#[test]
fn the_demo_has_three_hosts_of_twelve_containers_unless_told() {
    assert_eq!(parse("demo").unwrap().command(), Command::Demo(Demo { hosts: 3, containers: 12 }));
    assert_eq!(
        parse("demo --hosts 1 --containers 1000").unwrap().command(),
        Command::Demo(Demo { hosts: 1, containers: 1000 })
    );
}

#[test]
fn the_dead_letter_is_shown_and_replayed_in_parts() {
    let of = Letters { sink: Some("kafka".into()), stream: Some(model::Stream::Events) };
    let command = |line| parse(line).unwrap().command();
    assert_eq!(
        command("deadletter list --sink kafka --stream events --json"),
        Command::Deadletter(DeadLetter::List { of: of.clone(), json: true })
    );
    assert_eq!(
        command("deadletter replay --stream events --sink kafka --dry-run"),
        Command::Deadletter(DeadLetter::Replay { of, dry_run: true })
    );
}

#[test]
fn wrong_usage_is_64_and_says_how_it_is_right() {
    for (line, hint) in [
        ("--listne x", "--listen"),
        ("chekc", "check"),
        ("demo --hosts 0", "1..=100"),
        ("config --default --reference", "cannot be used with"),
        ("check --watch", "--watch goes with `run` alone"),
        ("--watch demo", "--watch goes with `run` alone"),
        ("check extra", "unexpected argument"),
        ("deadletter list --stream nonsense", "stats, events, containers"),
    ] {
        let (exit, text) = refused(line);
        assert_eq!(exit, Exit::Usage, "{line}");
        assert!(text.contains(hint), "{line}: {text}");
    }
}

#[test]
fn help_and_version_are_0() {
    let (exit, help) = refused("--help");
    assert_eq!(exit, Exit::Ended);
    for word in ["run", "check", "demo", "config", "--data-dir", "--docker", "Examples:", "Exit codes:"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert!(!help.contains("--reference"));
    assert_eq!(refused("--version"), (Exit::Ended, format!("dockstream {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_help_fits_a_narrow_terminal() {
    for line in ["--help", "-h", "demo --help", "config --help", "check --help"] {
        let (_, help) = refused(line);
        for text in help.lines() {
            assert!(text.chars().count() <= 110, "{text}");
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let codes = [Exit::Ended, Exit::Usage, Exit::Escalated, Exit::DrainIncomplete, Exit::Config].map(Exit::code);
    assert_eq!(codes, [0, 64, 70, 75, 78]);
    assert_eq!(format!("{:?}", ExitCode::from(Exit::Config)), format!("{:?}", ExitCode::from(78)));
}

#[test]
fn the_configuration_in_effect_is_printed_with_the_place_of_each_value() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline.toml"), "[batch]\nage = \"2s\"\n").unwrap();
    let overrides = parse("--data-dir /srv/d --docker a=unix:///a.sock").unwrap().overrides();
    let text =
        Show { default: false, reference: false }.text(&overrides, &Environment::default(), folder.path()).unwrap();
    for line in [
        "# In effect: ./pipeline.toml, environment, flags. What has no place behind it is a default.",
        "data_dir = \"/srv/d\"  # --data-dir",
        "[batch]",
        "age = \"2s\"  # pipeline.toml:2",
        "count = 500",
        "[[hosts]]  # --docker",
        "name = \"a\"",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing in\n{text}");
    }
}
