//! InfluxDB: line protocol over HTTP, as versions 1 and 2 take it, and what speaks as they do (VictoriaMetrics,
//! InfluxDB 3, Telegraf).
//!
//! A point is its measurement, its tags and its time: written again, it is the same point. So a range is sent again
//! as it was after any error, and nothing is there twice.

mod client;
mod config;
mod encode;
mod errors;
mod line;
mod migrate;
mod sink;
mod verdicts;

pub use crate::client::Credentials;
pub use config::{Api, InfluxConfig};
pub use migrate::InfluxPlace;
pub use sink::InfluxSink;

pub(crate) use verdicts::VERDICTS;

#[cfg(test)]
pub(crate) use encode::encode;

#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
