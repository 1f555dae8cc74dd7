//! What the configuration promises, by group.

mod layers;
mod limits;
mod messages;
mod reference;
mod secrets;
mod senders;

use std::path::{Path, PathBuf};

use super::load::assemble;
use super::{Config, Environment, Loaded, Overrides};

/// The file's layer alone.
fn file(toml: &str) -> Result<Loaded, String> {
    layered(toml, &[], &[])
}

/// File, variables and the flags of a command line.
fn layered(toml: &str, variables: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, String> {
    let environment: Environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assemble(Some(PathBuf::from("./pipeline.toml")), toml, &overrides(flags), &environment, Path::new("."))
        .map_err(|error| error.to_string())
}

fn overrides(flags: &[&str]) -> Overrides {
    if flags.is_empty() {
        return Overrides::default();
    }
    let cli = crate::cli::Cli::from_arguments(std::iter::once("dockstream").chain(flags.iter().copied()))
        .expect("the flags are right");
    cli.overrides()
}

fn defaults() -> Config {
    file("").expect("the defaults hold together").config
}
