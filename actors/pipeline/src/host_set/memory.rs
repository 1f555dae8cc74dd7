//! What is remembered of a host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{HostName, Timestamp};

use crate::event_monitor::EventMemory;
use crate::images::{ImageMemory, ImageTable};
use crate::inventory::ContainerMemory;
use crate::log_stream::LogPositions;
use crate::messages::Seen;
use crate::ports::Mark;
use crate::position::{Place, Source};

/// Containers of a host that are told as removed at once.
const AT_ONCE: usize = 256;

/// What is remembered of a host: it outlives every group of it and, by the journal's marks, the process.
#[derive(Clone)]
pub struct HostMemory {
    /// Its events.
    pub events: Arc<EventMemory>,
    /// What the journal has of its containers.
    pub containers: Arc<ContainerMemory>,
    /// What the journal has of its images.
    pub images: Arc<ImageMemory>,
    /// What is known of its images.
    pub table: Arc<Mutex<ImageTable>>,
    /// Where its logs were left.
    pub logs: LogPositions,
}

impl HostMemory {
    /// What the journal's marks say of `host`.
    pub fn resuming(host: &HostName, marks: &BTreeMap<String, Vec<u8>>) -> Self {
        let mark = marks.get(&EventMemory::source_of(host)).map(Vec::as_slice);
        let images = Arc::new(ImageMemory::new(host, marks));
        Self {
            events: Arc::new(EventMemory::new(host, mark)),
            containers: Arc::new(ContainerMemory::new(host, marks)),
            table: Arc::new(Mutex::new(ImageTable::resuming(images.images()))),
            images,
            logs: LogPositions::new(host, marks),
        }
    }

    /// The host whose mark in the journal this is; `None` for a mark of something else.
    pub(super) fn host_of(source: &str) -> Option<HostName> {
        let (kind, rest) = source.split_once('/')?;
        let host = rest.split('/').next()?;
        ["containers", "events", "images", "logs"].contains(&kind).then(|| host.parse().ok())?
    }

    /// The host is watched no more, and its group has ended: what of it is still in the journal's state, as removed.
    pub(super) fn leave(&self, now: Timestamp) -> Vec<(Seen, Place)> {
        let containers = self.containers.leave(AT_ONCE, now).into_iter();
        let containers = containers.map(|(record, place)| (Seen::Container(Box::new(record)), place));
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.images.take_lost().into_iter().for_each(|record| table.not_sent(record));
        let images = table.leave(now);
        let places = if images.is_empty() { None } else { Some(self.images.told(table.records(), &images, 0)) };
        let images = images.into_iter().map(|record| Seen::Image(Box::new(record)));
        containers.chain(images.zip(places.into_iter().flatten())).collect()
    }

    /// True where nothing of the host is on its way to the journal: whatever is holds a part of this.
    pub(super) fn is_alone(&self) -> bool {
        let Self { events, containers, images, table: _, logs } = self;
        logs.is_alone()
            && Arc::strong_count(events) == 1
            && Arc::strong_count(containers) == 1
            && Arc::strong_count(images) == 1
    }

    /// The marks of the host as they are to be.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.events.present_mark().into_iter().chain([self.images.mark(&[])]).chain(self.logs.marks()).collect()
    }

    /// The same, of a host of which nothing is left to be known.
    pub(super) fn no_marks(&self) -> Vec<Mark> {
        let sources = [self.events.source(), self.images.source()];
        let marks = sources.map(|source| Mark { source: source.to_owned(), position: None });
        marks.into_iter().chain(self.logs.no_marks()).collect()
    }
}
