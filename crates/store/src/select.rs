//! Which one a selector means, among those that fit it: the same in every store.

use model::{ContainerRecord, ContainerState, ImageRecord, ImageState};

use crate::{Candidate, ImageCandidate, Selector, StoreError};

/// Candidates told in an ambiguous answer, at most.
const MAX_CANDIDATES: usize = 20;

/// Those that are looked at, at most: containers made anew under one name leave many removed ones, of which the newest are
/// enough.
pub(crate) const MAX_FOUND: usize = 100;

/// What is still there goes before what was removed. `found` has the newest first.
pub(crate) fn container(found: Vec<ContainerRecord>, selector: &Selector) -> Result<ContainerRecord, StoreError> {
    let text = name_of(selector);
    let removed = |record: &ContainerRecord| record.state == ContainerState::Removed;
    let (mut gone, mut there): (Vec<_>, Vec<_>) = found.into_iter().partition(removed);
    match (there.len(), gone.len()) {
        (1, _) => Ok(there.remove(0)),
        (0, 0) => Err(StoreError::NotFound(selector.text.clone())),
        // Of several removed ones that had a name on one host, the last one is meant.
        (0, _) if gone.iter().all(|record| record.host == gone[0].host && record.container_name == text) => {
            let last = gone.iter().enumerate().max_by_key(|(_, record)| record.observed_at);
            let (last, _) = last.expect("there is at least one");
            Ok(gone.remove(last))
        }
        (0, 1) => Ok(gone.remove(0)),
        _ => {
            let mut candidates = if there.is_empty() { gone } else { there };
            candidates.sort_by(|a, b| (&a.host, &a.container_id).cmp(&(&b.host, &b.container_id)));
            Err(StoreError::Ambiguous(candidates.into_iter().take(MAX_CANDIDATES).map(candidate).collect()))
        }
    }
}

/// The same for images.
pub(crate) fn image(found: Vec<ImageRecord>, selector: &Selector) -> Result<ImageRecord, StoreError> {
    let removed = |record: &ImageRecord| record.state == ImageState::Removed;
    let (mut gone, mut there): (Vec<_>, Vec<_>) = found.into_iter().partition(removed);
    match (there.len(), gone.len()) {
        (1, _) => Ok(there.remove(0)),
        (0, 0) => Err(StoreError::ImageNotFound(selector.text.clone())),
        // Of several removed ones that had a tag on one host, the last one is meant: it comes first.
        (0, _) if gone.iter().all(|record| record.host == gone[0].host) => Ok(gone.remove(0)),
        _ => {
            let mut candidates = if there.is_empty() { gone } else { there };
            candidates.sort_by(|a, b| (&a.host, &a.image_id).cmp(&(&b.host, &b.image_id)));
            let candidates = candidates.into_iter().take(MAX_CANDIDATES).map(image_candidate).collect();
            Err(StoreError::AmbiguousImage(candidates))
        }
    }
}

/// The text without the slash with which the engine writes names.
pub(crate) fn name_of(selector: &Selector) -> &str {
    selector.text.strip_prefix('/').unwrap_or(&selector.text)
}

/// `nginx:latest` of `nginx`, as the engine's command line reads it.
pub(crate) fn with_tag(reference: &str) -> String {
    if model::repository_of(reference) == reference { format!("{reference}:latest") } else { reference.to_owned() }
}

fn candidate(record: ContainerRecord) -> Candidate {
    Candidate {
        host: record.host,
        container_id: record.container_id,
        container_name: record.container_name,
        state: record.state,
    }
}

fn image_candidate(record: ImageRecord) -> ImageCandidate {
    ImageCandidate { host: record.host, image_id: record.image_id, tags: record.tags, state: record.state }
}
