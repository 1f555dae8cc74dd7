//! The truth about one host's images, and what a change of it means: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{HostName, ImageChange, ImageRecord, ImageState, ImageVersionRecord, Timestamp, digest_in, repository_of};

use super::board::Users;
use crate::ports::EngineImage;

/// What is known of each image. It outlives the actor: what changed while that was away is found at its next look.
#[derive(Debug, Default)]
pub struct ImageTable {
    entries: BTreeMap<String, Entry>,
    /// Images that are gone, of which that could not be handed on.
    gone: BTreeMap<String, ImageRecord>,
    has_looked: bool,
    last_version: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    record: ImageRecord,
    /// Its record could not be handed on.
    is_unsent: bool,
}

/// What a look found.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// Images that are new, different or gone.
    pub records: Vec<ImageRecord>,
    /// What changed, in the order in which it is to be told; nothing at the first look, which has nothing to compare.
    pub versions: Vec<ImageVersionRecord>,
}

impl ImageTable {
    /// The table as the last life of the process left it, if it looked: its next look tells what changed since, and every
    /// image anew.
    pub fn resuming(images: Option<Vec<ImageRecord>>) -> Self {
        let has_looked = images.is_some();
        let entry = |record: ImageRecord| (record.image_id.clone(), Entry { record, is_unsent: true });
        Self { entries: images.into_iter().flatten().map(entry).collect(), has_looked, ..Self::default() }
    }

    /// Puts in what the engine has.
    pub fn look(&mut self, host: &HostName, found: Vec<EngineImage>, users: Option<&Users>, now: Timestamp) -> News {
        let found: BTreeMap<String, EngineImage> =
            found.into_iter().map(|image| (image.image_id.clone(), image)).collect();
        let versions = if self.has_looked { self.versions(host, &found, now) } else { Vec::new() };
        self.has_looked = true;
        let mut records: Vec<_> =
            std::mem::take(&mut self.gone).into_values().filter(|gone| !found.contains_key(&gone.image_id)).collect();
        let gone = self.entries.extract_if(.., |id, _| !found.contains_key(id));
        records.extend(gone.map(|(_, entry)| ImageRecord {
            state: ImageState::Removed,
            used_by: users.map(|_| Vec::new()),
            observed_at: now,
            ..entry.record
        }));
        for (id, image) in found {
            let record = record(host, image, users, now);
            let is_same = self.entries.get(&id).is_some_and(|entry| !entry.is_unsent && same(&entry.record, &record));
            if !is_same {
                records.push(record.clone());
                self.entries.insert(id, Entry { record, is_unsent: false });
            }
        }
        News { records, versions }
    }

    /// Counts the users of each image anew; the records of those that have others now.
    pub fn recount(&mut self, users: &Users, now: Timestamp) -> Vec<ImageRecord> {
        let mut changed = Vec::new();
        for (id, Entry { record, .. }) in &mut self.entries {
            let used_by = Some(users.get(id).cloned().unwrap_or_default());
            if record.used_by != used_by {
                (record.used_by, record.observed_at) = (used_by, now);
                changed.push(record.clone());
            }
        }
        changed
    }

    /// The host is watched no more: all images as removed, and those that were. That is no change of an image, so there
    /// are no versions, nor at the next look.
    pub fn leave(&mut self, now: Timestamp) -> Vec<ImageRecord> {
        self.has_looked = false;
        let gone = std::mem::take(&mut self.gone).into_values();
        let left = std::mem::take(&mut self.entries).into_values().map(|entry| entry.record);
        let removed =
            left.map(|record| ImageRecord { state: ImageState::Removed, used_by: None, observed_at: now, ..record });
        gone.chain(removed).collect()
    }

    /// A record did not get to the journal: the next look is to show it again.
    pub fn not_sent(&mut self, record: ImageRecord) {
        match self.entries.get_mut(&record.image_id) {
            Some(entry) => entry.is_unsent = true,
            None if record.state == ImageState::Removed => drop(self.gone.insert(record.image_id.clone(), record)),
            None => {}
        }
    }

    /// All images.
    pub fn records(&self) -> impl Iterator<Item = &ImageRecord> {
        self.entries.values().map(|entry| &entry.record)
    }

    fn versions(
        &mut self,
        host: &HostName,
        found: &BTreeMap<String, EngineImage>,
        now: Timestamp,
    ) -> Vec<ImageVersionRecord> {
        let before = self.entries.iter().map(|(id, entry)| View::new(id, &entry.record.tags, &entry.record.digests));
        let after = found.iter().map(|(id, image)| View::new(id, &image.tags, &image.digests));
        let changes = changes(&before.collect(), &after.collect());
        // The times order versions and tell them apart: none is before or beside one that was told.
        let mut at = self.last_version.map_or(now, |last| now.max(last + Duration::from_nanos(1)));
        let mut versions = Vec::with_capacity(changes.len());
        for Change { change, reference, from, to } in changes {
            let id = |side: &Option<View<'_>>| side.map(|view| view.id.to_owned());
            let repository = repository_of(&reference);
            let digest =
                |side: &Option<View<'_>>| side.and_then(|view| digest_in(view.digests, repository)).map(str::to_owned);
            versions.push(ImageVersionRecord {
                host: host.clone(),
                observed_at: at,
                change,
                from_image_id: id(&from),
                to_image_id: id(&to),
                from_digest: digest(&from),
                to_digest: digest(&to),
                reference,
            });
            self.last_version = Some(at);
            at = at + Duration::from_nanos(1);
        }
        versions
    }
}

/// What matters of an image to its versions.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    id: &'a str,
    tags: &'a [String],
    digests: &'a [String],
}

impl<'a> View<'a> {
    fn new(id: &'a str, tags: &'a [String], digests: &'a [String]) -> Self {
        Self { id, tags, digests }
    }
}

struct Change<'a> {
    change: ImageChange,
    reference: String,
    from: Option<View<'a>>,
    to: Option<View<'a>>,
}

/// What lies between two looks: new images, tags, digests, images that are gone.
fn changes<'a>(before: &Vec<View<'a>>, after: &Vec<View<'a>>) -> Vec<Change<'a>> {
    let by_id = |views: &Vec<View<'a>>| views.iter().map(|view| (view.id, *view)).collect::<BTreeMap<_, _>>();
    let by_tag = |views: &Vec<View<'a>>| {
        let tags = views.iter().flat_map(|view| view.tags.iter().map(|tag| (tag.as_str(), *view)));
        tags.collect::<BTreeMap<_, _>>()
    };
    let (had, has) = (by_id(before), by_id(after));
    let (named, names) = (by_tag(before), by_tag(after));
    let of_image = |change, view: &View<'a>, from, to| Change { change, reference: view.id.to_owned(), from, to };

    let mut changes = Vec::new();
    let new = after.iter().filter(|view| !had.contains_key(view.id));
    changes.extend(new.map(|view| of_image(ImageChange::ImageAdded, view, None, Some(*view))));
    for tag in named.keys().chain(names.keys()).copied().collect::<BTreeSet<_>>() {
        let (from, to) = (named.get(tag).copied(), names.get(tag).copied());
        let change = match (from, to) {
            (Some(from), Some(to)) if from.id == to.id => continue,
            (Some(_), Some(_)) => ImageChange::TagMoved,
            (None, _) => ImageChange::TagAdded,
            (_, None) => ImageChange::TagRemoved,
        };
        changes.push(Change { change, reference: tag.to_owned(), from, to });
    }
    for view in after {
        let Some(from) = had.get(view.id) else { continue };
        let repositories = from.digests.iter().chain(view.digests).map(|digest| repository_of(digest));
        for repository in repositories.collect::<BTreeSet<_>>() {
            if digest_in(from.digests, repository) != digest_in(view.digests, repository) {
                let (change, reference) = (ImageChange::DigestChanged, repository.to_owned());
                changes.push(Change { change, reference, from: Some(*from), to: Some(*view) });
            }
        }
    }
    let gone = before.iter().filter(|view| !has.contains_key(view.id));
    changes.extend(gone.map(|view| of_image(ImageChange::ImageRemoved, view, Some(*view), None)));
    changes
}

fn record(host: &HostName, image: EngineImage, users: Option<&Users>, now: Timestamp) -> ImageRecord {
    ImageRecord {
        host: host.clone(),
        used_by: users.map(|users| users.get(&image.image_id).cloned().unwrap_or_default()),
        image_id: image.image_id,
        state: ImageState::Present,
        tags: image.tags,
        digests: image.digests,
        created_at: image.created_at,
        size_bytes: image.size_bytes,
        labels: image.labels,
        observed_at: now,
    }
}

/// Equal but for when it was seen.
fn same(before: &ImageRecord, found: &ImageRecord) -> bool {
    ImageRecord { observed_at: before.observed_at, ..found.clone() } == *before
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
