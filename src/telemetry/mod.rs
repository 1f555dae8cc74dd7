//! Logs, traces and metrics of dockstream itself.

mod log;

pub use log::log_filter;
