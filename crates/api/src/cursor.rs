//! Cursors: where a list goes on, bound to the filters it was made with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::problem::{Problem, ProblemKind};

/// Characters of a seal.
const SEAL: usize = 11;

/// Marks a cursor as belonging to one route and one set of filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal(String);

impl Seal {
    /// The seal of a route with these filters.
    pub fn new(operation: &str, filters: &[(&str, &str)]) -> Self {
        let mut hash = Sha256::new();
        for text in std::iter::once(operation).chain(filters.iter().flat_map(|(name, value)| [*name, *value])) {
            // The length first, so that no two different lists read the same.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Self(URL_SAFE_NO_PAD.encode(&hash.finalize()[..8]))
    }

    /// The cursor a client gets for `place`, which must be safe in a URL.
    pub fn close(&self, place: &str) -> String {
        format!("{}{place}", self.0)
    }

    /// The place in a cursor that a client sent.
    pub fn open(&self, cursor: &str) -> Result<String, Problem> {
        let (seal, place) = cursor.split_at_checked(SEAL).ok_or_else(|| refused("the cursor is cut short"))?;
        if seal != self.0 {
            return Err(refused("the cursor belongs to another route or to other filters"));
        }
        Ok(place.to_owned())
    }
}

/// Any text as a place.
pub(crate) fn place_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The text of a place.
pub(crate) fn text_of(place: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(place).map_err(|_| refused("the cursor is damaged"))?;
    String::from_utf8(bytes).map_err(|_| refused("the cursor is damaged"))
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidCursor, why).with("parameter", "cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_under_the_filters_it_was_made_with_and_no_others() {
        let seal = Seal::new("containers", &[("host", "a"), ("state", "running")]);
        let cursor = seal.close("place");
        assert_eq!(seal.open(&cursor).unwrap(), "place");
        for other in [
            Seal::new("events", &[("host", "a"), ("state", "running")]),
            Seal::new("containers", &[("host", "a")]),
            Seal::new("containers", &[("host", "as"), ("tate", "running")]),
        ] {
            assert!(other.open(&cursor).is_err());
        }
    }

    #[test]
    fn a_forged_or_broken_cursor_is_refused() {
        let seal = Seal::new("containers", &[]);
        for bad in ["x", "AAAA", "AAAAAAAAAAA", "äääääääääää", "' or 1=1 --", &seal.close("place")[1..]] {
            assert!(seal.open(bad).is_err(), "{bad} was taken");
        }
        for bad in ["!", "A", "_w"] {
            assert!(text_of(bad).is_err(), "{bad} was taken");
        }
    }
}
