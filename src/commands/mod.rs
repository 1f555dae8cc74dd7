//! What the commands do. Each answers with the way in which the process ends.

mod check;
mod deadletter;
mod demo;
mod greeting;
mod migrate;
mod parts;
mod run;

use std::fmt::Display;

use crate::cli::Exit;
use crate::config::ConfigError;

pub use check::check;
pub use deadletter::deadletter;
pub use demo::demo;
pub use migrate::migrate;
pub use parts::{StartError, dead_letter, engine, engines, sinks};
pub use run::{Again, run, run_with};

/// Prints what was asked for.
pub fn show(text: Result<String, ConfigError>) -> Exit {
    match text {
        Ok(text) => {
            print!("{text}");
            Exit::Ended
        }
        Err(error) => refuse(&error),
    }
}

/// Says why nothing is started.
pub fn refuse(error: &impl Display) -> Exit {
    eprintln!("{error}");
    Exit::Config
}
