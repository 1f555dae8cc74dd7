//! What containers and images have to do with each other.

use std::time::SystemTime;

use actix::prelude::{Context, Handler};
use model::{ContainerId, ContainerRecord, Timestamp};

use super::{DigestsChanged, Inventory};
use crate::images::CountUsers;

impl Inventory {
    /// Fills in what the container's own answer does not tell.
    pub(super) fn with_digest(&self, mut record: ContainerRecord) -> ContainerRecord {
        record.image_digest = record.image_digest.take().or_else(|| self.deps.images.digest_of(&record));
        record
    }

    /// A container was looked at, or is gone.
    pub(super) fn tell_use(&self, id: &ContainerId, record: Option<&ContainerRecord>) {
        if self.deps.images.uses(id, record) {
            self.deps.users.signal(CountUsers);
        }
    }

    /// All containers were looked at.
    pub(super) fn tell_uses(&self) {
        if self.deps.images.uses_exactly(self.state.table.records()) {
            self.deps.users.signal(CountUsers);
        }
    }
}

impl Handler<DigestsChanged> for Inventory {
    type Result = ();

    fn handle(&mut self, _: DigestsChanged, _: &mut Context<Self>) {
        let images = self.deps.images.clone();
        let now = Timestamp::from(SystemTime::now());
        for record in self.state.table.fill_digests(|record| images.digest_of(record), now) {
            if self.deps.selection.takes(&record) {
                self.tell(record);
            }
        }
    }
}
