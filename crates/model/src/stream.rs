//! The kinds of data that flow through the pipeline.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One kind of record. Each has its own sequence, topic and table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Samples of running containers.
    Stats,
    /// What happened to containers, images, networks, volumes and daemons.
    Events,
    /// The present state of each container.
    Containers,
    /// The present state of each image.
    Images,
    /// What changed of tags, digests and images.
    ImageVersions,
    /// The present state of each host.
    Hosts,
    /// What was dropped, and why.
    Losses,
    /// What containers write.
    Logs,
}

impl Stream {
    /// All streams, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Stats,
        Self::Events,
        Self::Containers,
        Self::Images,
        Self::ImageVersions,
        Self::Hosts,
        Self::Losses,
        Self::Logs,
    ];

    /// The name in topics, batch ids and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Events => "events",
            Self::Containers => "containers",
            Self::Images => "images",
            Self::ImageVersions => "image_versions",
            Self::Hosts => "hosts",
            Self::Losses => "losses",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
