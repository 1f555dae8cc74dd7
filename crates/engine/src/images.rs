//! The list of images.
//!
//! Shape by the Docker Engine API, `GET /images/json`. Decoded by our own types, as the other lists are.

use std::collections::BTreeMap;

use model::{HostName, Timestamp};
use pipeline::ports::EngineImage;
use serde::Deserialize;

/// One entry of `GET /images/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: Option<i64>,
    size: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
}

/// The images, by id; an entry without an id is logged and left out.
pub(crate) fn images(host: &HostName, listed: Vec<Listed>) -> Vec<EngineImage> {
    let image = |listed: Listed| {
        if listed.id.is_empty() {
            tracing::warn!(%host, "the engine lists an image without an id");
            return None;
        }
        Some(EngineImage {
            image_id: image_id(&listed.id),
            tags: names(listed.repo_tags),
            digests: names(listed.repo_digests),
            created_at: listed
                .created
                .and_then(|seconds| seconds.checked_mul(1_000_000_000))
                .map(Timestamp::from_nanos),
            size_bytes: listed.size.and_then(|size| u64::try_from(size).ok()),
            labels: listed.labels.unwrap_or_default(),
        })
    };
    listed.into_iter().filter_map(image).collect()
}

/// An image's id as every engine but some Podmans writes it.
pub(crate) fn image_id(text: &str) -> String {
    let is_bare = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_bare { format!("sha256:{text}") } else { text.to_owned() }
}

/// Sorted, each once; an image without a name is called `<none>:<none>` or `<none>@<none>` by some engines.
fn names(listed: Option<Vec<String>>) -> Vec<String> {
    let mut names: Vec<String> =
        listed.unwrap_or_default().into_iter().filter(|name| !name.contains("<none>")).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<EngineImage> {
        images(&"h".parse().unwrap(), serde_json::from_str(text).unwrap())
    }

    #[test]
    fn every_recorded_list_is_read() {
        for (prefix, tag, digests) in [
            ("d20v1", "bench/busybox:1", 0),
            ("d26v2", "bench/busybox:1", 0),
            ("d28v2", "bench/busybox:1", 0),
            ("p43v1", "localhost/bench/busybox:1", 1),
        ] {
            let path = format!("{}/tests/frames/{prefix}_list_images.json", env!("CARGO_MANIFEST_DIR"));
            let [image] = &of(&std::fs::read_to_string(path).unwrap())[..] else { panic!("{prefix}") };
            assert_eq!(image.tags, [tag], "{prefix}");
            assert_eq!(image.digests.len(), digests, "{prefix}");
            assert!(image.image_id.starts_with("sha256:5c636a78"), "{prefix}");
            assert!(image.size_bytes.is_some_and(|size| size > 1_000_000), "{prefix}");
            assert_eq!(image.created_at.map(Timestamp::as_secs), Some(1_795_173_711), "{prefix}");
        }
    }

    #[test]
    fn a_dangling_image_has_no_names_in_whatever_words_the_engine_says_so() {
        for names in [
            r#""RepoTags":null,"RepoDigests":null"#,
            r#""RepoTags":[],"RepoDigests":[]"#,
            r#""RepoTags":["<none>:<none>"],"RepoDigests":["<none>@<none>"]"#,
        ] {
            let [image] = &of(&format!(r#"[{{"Id":"sha256:aa",{names}}}]"#))[..] else { panic!("{names}") };
            assert_eq!((image.tags.len(), image.digests.len(), image.size_bytes), (0, 0, None), "{names}");
        }
    }

    #[test]
    fn names_are_sorted_and_ids_have_their_algorithm() {
        let id = "ab".repeat(32);
        let images = of(&format!(r#"[{{"Id":"{id}","RepoTags":["b:1","a:1","b:1"],"Size":-1}},{{"Id":""}}]"#));
        assert_eq!(images.len(), 1);
        assert_eq!((images[0].image_id.clone(), images[0].size_bytes), (format!("sha256:{id}"), None));
        assert_eq!(images[0].tags, ["a:1", "b:1"]);
    }
}
