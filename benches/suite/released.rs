//! dockstream itself, the released binary, as a process of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::child::Measured;
use crate::roles::SimulatedEngine;

/// A running dockstream.
pub struct Released {
    /// Its process.
    pub process: Measured,
    address: SocketAddr,
}

/// What it says of itself, in rows.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Stats frames received.
    pub received: u64,
    /// Frames and records dropped before the journal, whatever the reason.
    pub dropped: u64,
    /// Each sink with the rows its server has, and the rows it will never have.
    pub sinks: Vec<(String, u64, u64)>,
}

impl Released {
    /// Starts it on the simulated engine in `folder`, with `config` for the rest.
    pub fn start(folder: &Path, engine: &SimulatedEngine, config: &str) -> anyhow::Result<Self> {
        let host = format!("[[hosts]]\nname = \"simulated\"\nurl = \"{}\"\n", engine.url());
        fs::write(folder.join("pipeline.toml"), format!("{host}{config}"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockstream"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir", "data", "--log", "warn"]).current_dir(folder);
        let mut process = Measured::spawn("dockstream", &command)?;
        let line = process.line("  serving ")?;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        Ok(Self { process, address: address.with_context(|| format!("no address in {line:?}"))? })
    }

    /// Status and body of an answer.
    pub fn ask(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n\r\n", self.address)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// What it has counted so far.
    pub fn counts(&self) -> anyhow::Result<Counts> {
        let (status, pipeline) = self.ask("/api/pipeline")?;
        ensure!(status == 200, "/api/pipeline answers {status}");
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let entries = |list: &str| pipeline[list].as_array().cloned().unwrap_or_default();
        let mut counts = Counts::default();
        for stream in entries("streams").iter().filter(|stream| stream["stream"] == "stats") {
            counts.received = number(&stream["received"]);
            for reasons in ["dropped_before_parsing", "dropped_after_parsing"] {
                counts.dropped +=
                    stream[reasons].as_object().into_iter().flatten().map(|(_, count)| number(count)).sum::<u64>();
            }
        }
        for sink in entries("sinks") {
            let name = sink["sink"].as_str().unwrap_or_default().to_owned();
            counts.sinks.push((name, number(&sink["delivered"]), number(&sink["rejected"]) + number(&sink["dropped"])));
        }
        Ok(counts)
    }

    /// Waits until `condition` holds for what it counted.
    pub fn until(&self, within: Duration, what: &str, condition: impl Fn(&Counts) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let counts = self.counts()?;
            if condition(&counts) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("not within {within:?}: {what}; {counts:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
