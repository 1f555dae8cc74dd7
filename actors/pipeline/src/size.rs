//! How much memory a record takes: bounds in bytes are kept by these estimates.

use std::collections::BTreeMap;

use model::{
    ContainerRecord, EngineEvent, EventRecord, HostRecord, ImageRecord, ImageVersionRecord, LogRecord, LossRecord,
    Revp, StatsRecord,
};

/// Estimated memory of a value, in bytes.
pub trait Size {
    /// The estimate.
    fn size(&self) -> usize;
}

impl Size for StatsRecord {
    fn size(&self) -> usize {
        // The identity is shared by all records of a run.
        size_of::<Self>()
    }
}

impl Size for EngineEvent {
    fn size(&self) -> usize {
        let argument = self.argument.as_ref().map_or(0, String::len);
        size_of::<Self>() + texts(&self.attributes) + self.actor_id.len() + self.action.len() + argument + 64
    }
}

impl Size for EventRecord {
    fn size(&self) -> usize {
        let argument = self.argument.as_ref().map_or(0, String::len);
        size_of::<Self>() + texts(&self.attributes) + self.actor_id.len() + argument + 128
    }
}

impl Size for ContainerRecord {
    fn size(&self) -> usize {
        let output = self.health.as_ref().and_then(|health| health.last_output.as_ref()).map_or(0, String::len);
        let lists = 96 * (self.ports.len() + self.mounts.len()) + 256 * self.networks.len();
        let environment = self.environment.iter();
        let environment: usize =
            environment.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len) + 72).sum();
        let revp = self.revp.as_ref().map_or(0, Size::size);
        size_of::<Self>() + texts(&self.labels) + environment + revp + lists + output + 320
    }
}

impl Size for Revp {
    fn size(&self) -> usize {
        let errors: usize = self.errors.iter().map(|error| 256 + error.value.as_ref().map_or(0, String::len)).sum();
        texts(&self.additional) + errors + 256
    }
}

impl Size for ImageRecord {
    fn size(&self) -> usize {
        let names: usize = self.tags.iter().chain(&self.digests).map(|name| name.len() + 24).sum();
        let used_by = self.used_by.as_ref().map_or(0, |used_by| 96 * used_by.len());
        size_of::<Self>() + texts(&self.labels) + names + used_by + 128
    }
}

impl Size for ImageVersionRecord {
    fn size(&self) -> usize {
        size_of::<Self>() + self.reference.len() + 4 * 72
    }
}

impl Size for HostRecord {
    fn size(&self) -> usize {
        size_of::<Self>() + texts(&self.labels) + 256
    }
}

impl Size for LossRecord {
    fn size(&self) -> usize {
        size_of::<Self>() + 32
    }
}

impl Size for LogRecord {
    fn size(&self) -> usize {
        // The identity is shared by the lines of a run.
        size_of::<Self>() + self.line.len()
    }
}

fn texts(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| key.len() + value.len() + 48).sum()
}
