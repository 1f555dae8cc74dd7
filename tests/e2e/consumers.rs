//! The consumers in `examples/` read what dockstream writes, in JSON and in Avro.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use simulator::Simulator;
use test_support::{Kafka, Registry, unique, wait_until};

use crate::binary::{Launch, SOON};

#[path = "../../examples/consume.rs"]
mod consume;

fn in_rust(args: consume::Args) -> Vec<String> {
    let mut out = Vec::new();
    consume::run(&args, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn in_python(args: &consume::Args) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join(".cache/consumers/bin/python"));
    command.arg(root.join("examples/consume.py")).arg(&args.brokers).args(["--topic", &args.topic]);
    command.args(["--group", &format!("{}-python", args.group), "--count", &args.count.unwrap().to_string()]);
    if let Some(registry) = &args.registry {
        command.args(["--registry", registry]);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run `make deps`"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn the_examples_read(format: &str, registry: Option<&Registry>) {
    let engine = Simulator::host("simulated").containers(4).interval(Duration::from_millis(500));
    let engine = engine.start().expect("a simulated host");
    let (broker, prefix) = (Kafka::shared(), format!("{}.", unique("read")));
    let named = registry.map(|registry| format!("schema_registry = \"{}\"\n", registry.url())).unwrap_or_default();
    let config = format!(
        "[batch]\nage = \"50ms\"\n[sinks.kafka]\nenabled = true\nbrokers = [\"{}\"]\ntopic_prefix = \"{prefix}\"\n\
         partitions = 1\nformat = \"{format}\"\n{named}",
        broker.bootstrap()
    );
    let dockstream = Launch::watching(engine.socket(), &config).start();
    wait_until(SOON, "the samples flow", || dockstream.sink("kafka")["delivered"].as_u64().unwrap() > 8);
    let ids = engine.control().ids();
    engine.control().exit(&ids[0], 3).unwrap();
    engine.control().oom(&ids[1]).unwrap();
    let args = consume::Args {
        brokers: broker.bootstrap().to_owned(),
        topic: format!("{prefix}events"),
        registry: registry.map(|registry| registry.url().to_owned()),
        group: unique("ends"),
        count: Some(2),
    };
    let python = in_python(&args);
    let rust = in_rust(args);
    assert_eq!(rust, python);
    assert_eq!(rust, ["real  web-1  failed (exit code 3)", "real  api-1  killed (SIGKILL), out of memory"]);
}

#[test]
fn the_examples_read_json() {
    the_examples_read("json", None);
}

#[test]
fn the_examples_read_avro_by_the_schemas_of_the_registry() {
    the_examples_read("avro", Some(Registry::shared()));
}
