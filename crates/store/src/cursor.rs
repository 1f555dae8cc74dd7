//! Cursors: where a page ended, in a form that invites nobody to build one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The longest cursor that is looked at.
const MAX_LENGTH: usize = 2_048;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<K> {
    /// The list it belongs to.
    list: String,
    /// The key of the last row.
    after: K,
}

/// The cursor of the page of `list` after the row with key `after`.
pub(crate) fn encode<K: Serialize>(list: &str, after: K) -> String {
    let envelope = Envelope { list: list.to_owned(), after };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&envelope).expect("keys are texts and numbers"))
}

/// The key in a cursor of `list`.
pub(crate) fn decode<K: DeserializeOwned>(list: &str, cursor: &str) -> Result<K, StoreError> {
    let bytes = (cursor.len() <= MAX_LENGTH).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice::<Envelope<K>>(&bytes).ok())
        .filter(|envelope| envelope.list == list)
        .map(|envelope| envelope.after)
        .ok_or(StoreError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_back_its_key_and_can_stand_in_a_url() {
        let cursor = encode("events", (i64::MAX, "ü/?&="));
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(decode::<(i64, String)>("events", &cursor), Ok((i64::MAX, "ü/?&=".into())));
    }

    #[test]
    fn what_is_not_a_cursor_of_the_list_is_refused() {
        let other = encode("containers", (1, "a"));
        let long = "A".repeat(MAX_LENGTH + 1);
        for bad in ["", "!", "e30", "bnVsbA", &other, &long] {
            assert_eq!(decode::<(i64, String)>("events", bad), Err(StoreError::BadCursor), "{bad}");
        }
    }
}
