//! The HTTP face of dockstream.
//!
//! It reads what was stored through a [`store::Store`] and what the process is doing through a [`Sight`],
//! both snapshots: no request ever waits for the pipeline or for a Docker engine. Nothing it serves changes
//! anything.
//!
//! Every route is described once: the same description registers it, checks its queries and becomes the
//! OpenAPI document, so the three cannot part. [`bind()`] takes the address once; [`ApiServer`] is the actor
//! that serves on it and may be restarted without losing it.

mod answer;
mod api;
mod bind;
mod call;
mod cursor;
mod exposition;
mod guard;
mod html;
mod moment;
mod openapi;
mod operation;
mod problem;
mod query;
mod request_id;
mod routes;
mod server;
mod sight;

pub use api::{About, ApiConfig};
pub use bind::{BindError, Bound, bind};
pub use server::ApiServer;
pub use sight::{Readiness, Sight, SinkView};
