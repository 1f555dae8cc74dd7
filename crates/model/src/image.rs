//! Images: the inventory record, and what changed of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, HostName, Timestamp};

/// Whether the engine has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// It has.
    Present,
    /// Gone from the engine; only history is left.
    Removed,
}

impl ImageState {
    /// The word in JSON, SQL and filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for ImageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is none of the words it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct UnknownWord {
    text: String,
    what: &'static str,
}

impl FromStr for ImageState {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "present" => Ok(Self::Present),
            "removed" => Ok(Self::Removed),
            _ => Err(UnknownWord { text: text.to_owned(), what: "the state of an image: present, removed" }),
        }
    }
}

/// The present state of one image on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The host it is on.
    pub host: HostName,
    /// Image id: `sha256:` and 64 hexadecimal digits, by the engine.
    pub image_id: String,
    /// Whether the engine has it.
    pub state: ImageState,
    /// Names and tags, such as `nginx:1.29`, sorted; empty for a dangling image.
    pub tags: Vec<String>,
    /// Repository digests, such as `nginx@sha256:…`, sorted; empty where it was never pulled or pushed.
    pub digests: Vec<String>,
    /// When it was built.
    pub created_at: Option<Timestamp>,
    /// Its size, shared layers included.
    pub size_bytes: Option<u64>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The containers made of it, running or not, sorted; `None` until the host's containers are known.
    pub used_by: Option<Vec<ContainerId>>,
    /// When dockstream saw this state.
    pub observed_at: Timestamp,
}

/// Among repository digests such as `nginx@sha256:…`, the digest in the repository of `reference`.
pub fn digest_in<'a>(digests: &'a [String], reference: &str) -> Option<&'a str> {
    let repository = familiar(repository_of(reference));
    let mut pairs = digests.iter().filter_map(|digest| digest.split_once('@'));
    pairs.find(|(name, _)| familiar(name) == repository).map(|(_, digest)| digest)
}

/// `nginx` of `docker.io/library/nginx`: engines write the one for the other.
fn familiar(repository: &str) -> &str {
    let hub = repository.strip_prefix("docker.io/").or_else(|| repository.strip_prefix("index.docker.io/"));
    hub.map_or(repository, |name| name.strip_prefix("library/").unwrap_or(name))
}

/// `nginx` of `nginx:1.29` and of `nginx@sha256:…`; the port of a registry is no tag.
pub fn repository_of(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// What happened to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageChange {
    /// A tag that nothing had was given to an image.
    TagAdded,
    /// A tag went from one image to another.
    TagMoved,
    /// A tag was taken off, and no image has it now.
    TagRemoved,
    /// The same image has another digest in a repository.
    DigestChanged,
    /// The engine has a new image.
    ImageAdded,
    /// The engine has the image no more.
    ImageRemoved,
}

impl ImageChange {
    /// All changes.
    pub const ALL: [Self; 6] =
        [Self::TagAdded, Self::TagMoved, Self::TagRemoved, Self::DigestChanged, Self::ImageAdded, Self::ImageRemoved];

    /// The word in JSON, SQL and filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TagAdded => "tag_added",
            Self::TagMoved => "tag_moved",
            Self::TagRemoved => "tag_removed",
            Self::DigestChanged => "digest_changed",
            Self::ImageAdded => "image_added",
            Self::ImageRemoved => "image_removed",
        }
    }
}

impl fmt::Display for ImageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImageChange {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|change| change.name() == text);
        found.ok_or_else(|| UnknownWord { text: text.to_owned(), what: "a change of an image" })
    }
}

/// One change of one tag, digest or image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageVersionRecord {
    /// The host it happened on.
    pub host: HostName,
    /// When dockstream saw it. No two versions of a host have the same: those of one look are a nanosecond apart.
    pub observed_at: Timestamp,
    /// What happened.
    pub change: ImageChange,
    /// What it happened to: a tag, the repository of a digest, or the image's own id.
    pub reference: String,
    /// The image it was; `None` where there was none.
    pub from_image_id: Option<String>,
    /// The image it is; `None` where there is none.
    pub to_image_id: Option<String>,
    /// The digest it was, in the repository of the reference, where known.
    pub from_digest: Option<String>,
    /// The digest it is, in the repository of the reference, where known.
    pub to_digest: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_of_a_reference_keeps_the_port_of_its_registry() {
        for (reference, repository) in [
            ("nginx", "nginx"),
            ("nginx:1.29", "nginx"),
            ("registry.example:5000/shop/api:2", "registry.example:5000/shop/api"),
            ("registry.example:5000/shop/api", "registry.example:5000/shop/api"),
            ("nginx@sha256:aa", "nginx"),
            ("nginx:1.29@sha256:aa", "nginx"),
        ] {
            assert_eq!(repository_of(reference), repository, "{reference}");
        }
    }

    #[test]
    fn a_digest_is_found_by_the_repository_however_that_is_written() {
        let digests = ["nginx@sha256:aa".to_owned(), "registry.example:5000/nginx@sha256:bb".to_owned()];
        for reference in ["nginx:1", "docker.io/library/nginx:1", "index.docker.io/library/nginx"] {
            assert_eq!(digest_in(&digests, reference), Some("sha256:aa"), "{reference}");
        }
        assert_eq!(digest_in(&digests, "registry.example:5000/nginx:1"), Some("sha256:bb"));
        assert_eq!(digest_in(&digests, "other/nginx:1"), None);
    }

    #[test]
    fn every_word_is_read_back() {
        for change in ImageChange::ALL {
            assert_eq!(change.name().parse(), Ok(change));
            assert_eq!(serde_json::to_value(change).unwrap(), change.name());
        }
        for state in [ImageState::Present, ImageState::Removed] {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert_eq!(
            "gone".parse::<ImageState>().unwrap_err().to_string(),
            "`gone` is not the state of an image: present, removed"
        );
    }
}
