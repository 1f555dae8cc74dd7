//! What nobody gets: entries for which there is no room, no time, or no reading them.

use std::time::{Duration, Instant as Clock};

use model::LossReason;

use super::Log;

impl Log {
    /// Drops the oldest entries not under delivery until at most `bytes` are left of them.
    pub(in crate::disk) fn drop_to(&mut self, bytes: u64) {
        while self.idle_bytes > bytes {
            let Some(oldest) = self.idle.first().copied() else { break };
            self.lose(oldest, LossReason::JournalFull);
        }
    }

    /// Drops entries older than `age` that are not under delivery.
    pub(in crate::disk) fn expire(&mut self, age: Duration, clock: Clock) {
        while let Some(oldest) = self.idle.first().copied() {
            if clock.saturating_duration_since(self.entry(oldest).since) < age {
                break;
            }
            self.lose(oldest, LossReason::Expired);
        }
    }

    /// No sink gets the entry, and each that needed it counts it.
    pub(in crate::disk) fn lose(&mut self, position: u64, reason: LossReason) {
        let Some(entry) = self.entries.remove(&position) else { return };
        if self.idle.remove(&position) {
            self.idle_bytes -= entry.stored;
        }
        self.stored_bytes -= entry.stored;
        self.unsaved.gone.push(position);
        let (rows, head) = (entry.head.rows(), entry.head);
        for index in entry.needed_by {
            let reader = &mut self.readers[index];
            reader.pending -= rows;
            reader.pending_bytes -= head.bytes as u64;
            reader.dropped += rows;
            if reader.holds(position) {
                // It speaks of rows by their number in the range.
                reader.plan = None;
            }
            self.unsaved.sinks.insert(reader.name.clone());
            let span = head.span.unwrap_or((head.opened_at, head.opened_at));
            self.losses.add(&reader.name, head.id.stream, reason, rows, span);
        }
    }
}
