//! The command line.

mod deadletter;
mod exit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub use deadletter::{DeadLetter, Letters};
pub use exit::Exit;

use crate::config::{self, ConfigError, Environment, Overrides};

/// Turns Docker engines into reliable streams: stats, events and inventory into SQLite, Kafka, ClickHouse, PostgreSQL, InfluxDB, Prometheus and OTLP.
///
/// Without a command and without any configuration, dockstream watches the local engine, keeps everything in
/// ./data and serves its API on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "dockstream", version, max_term_width = 100, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// With `run`: take up changes of the configuration file as they are made, as SIGHUP does
    #[arg(long, global = true)]
    watch: bool,

    #[command(flatten)]
    flags: Flags,
}

const EXAMPLES: &str = "\
Examples:
  dockstream                                     watch the local engine
  dockstream --docker unix:///run/podman.sock    watch another one
  dockstream --config edge.toml check            try out a configuration
  dockstream migrate                             make the tables and topics, as a user who may
  dockstream --config edge.toml --watch          take up hosts as they come and go in the file
  dockstream deadletter list                     what servers refused for good
  dockstream demo --hosts 3 --containers 12      look around without Docker

Every key of the configuration can also be set as a variable: DOCKSTREAM_BATCH_AGE=2s.
Exit codes: 64 usage, 70 a part failed over and over, 75 not all was delivered, 78 configuration.";

/// What dockstream can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Collect, deliver and serve, until SIGTERM or Ctrl-C (the default)
    Run,
    /// Try out the configuration: engines, sinks, folder, port; a line each
    Check,
    /// Make and upgrade tables and topics, and end; a line for each step
    Migrate,
    /// Do the same against simulated hosts: no Docker needed
    Demo(Demo),
    /// Show or deliver again what servers refused for good
    #[command(subcommand)]
    Deadletter(DeadLetter),
    /// Print the configuration in effect, and where each value comes from
    Config(Show),
}

/// The simulated fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Demo {
    /// Simulated hosts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub hosts: u16,
    /// Containers on each of them
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub containers: u16,
}

/// What to print of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub struct Show {
    /// Print every key with its default and meaning, as a file to start from
    #[arg(long)]
    pub default: bool,
    /// Print the reference page
    #[arg(long, hide = true)]
    pub reference: bool,
}

impl Show {
    /// The text to print.
    pub fn text(self, overrides: &Overrides, environment: &Environment, folder: &Path) -> Result<String, ConfigError> {
        if self.default {
            return Ok(config::example());
        }
        if self.reference {
            return Ok(config::page());
        }
        let loaded = config::load(overrides, environment, folder)?;
        let file = loaded.file.as_deref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        Ok(format!(
            "# In effect: {file}, environment, flags. What has no place behind it is a default.\n{}",
            loaded.config.to_toml(&loaded.origins)
        ))
    }
}

/// Flags of every command: they go over file and environment.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct Flags {
    /// Configuration file [default: ./pipeline.toml, else /etc/dockstream/pipeline.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything dockstream keeps [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Address of the API [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Docker engine to watch instead of the configured ones; may be repeated, and named: edge=unix:///…
    #[arg(long, global = true, value_name = "URL")]
    docker: Vec<String>,
    /// What is logged: error, warn, info, debug, trace, or by part: info,sinks=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

impl Cli {
    /// Reads the process's own command line. On wrong usage, `--help` and `--version` it prints what is to be
    /// said and gives the way to leave: 64, or 0.
    pub fn from_process() -> Result<Self, Exit> {
        Self::from_arguments(std::env::args_os()).map_err(|error| {
            // Nobody is left to tell where the terminal is gone.
            let _ = error.print();
            usage_exit(&error)
        })
    }

    /// Reads a command line, the program's name first.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(arguments)?;
        if cli.watch && cli.command() != Command::Run {
            let words = "--watch goes with `run` alone: the other commands read the configuration once";
            return Err(<Self as CommandFactory>::command().error(ErrorKind::ArgumentConflict, words));
        }
        Ok(cli)
    }

    /// Whether the configuration file is watched.
    pub fn watches(&self) -> bool {
        self.watch
    }

    /// The command to carry out.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Run)
    }

    /// What the flags say of the configuration.
    pub fn overrides(&self) -> Overrides {
        let Flags { config, data_dir, listen, docker, log } = &self.flags;
        let mut overrides = Overrides { config: config.clone(), ..Overrides::default() };
        overrides.set("data_dir", "--data-dir", data_dir.iter().cloned().collect());
        overrides.set("api.listen", "--listen", listen.iter().cloned().collect());
        overrides.set("hosts", "--docker", docker.clone());
        overrides.set("telemetry.log", "--log", log.iter().cloned().collect());
        overrides
    }
}

/// How to leave after clap had something to say.
pub fn usage_exit(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ended,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests;
