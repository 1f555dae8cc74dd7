//! From configured sinks to clients.

use std::sync::Arc;

use pipeline::ports::Deliver;
use pipeline::sink::SinkHealth;

/// A sink to run.
#[derive(Clone)]
pub struct SinkPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Makes its client, at every start of its actor.
    pub connect: Arc<dyn Fn() -> Box<dyn Deliver> + Send + Sync>,
    /// How it is with its server.
    pub health: Arc<SinkHealth>,
}

impl SinkPlan {
    /// A sink of that name, with clients made by `connect`.
    pub fn new(name: &str, connect: impl Fn() -> Box<dyn Deliver> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), connect: Arc::new(connect), health: Arc::default() }
    }
}
