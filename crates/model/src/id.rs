//! Identifiers: validated where they enter, cheap to clone, never confused with each other.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// A text that cannot be the identifier it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: {rule}")]
pub struct InvalidId {
    text: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates `text`.
            pub fn try_new(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { text: text.chars().take(80).collect(), what: $what, rule: $rule })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::try_new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 128
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

text_id! {
    /// The name a Docker host has in dockstream. With the container id it is a container's identity.
    HostName, "host name", "1 to 128 of a-z A-Z 0-9 . _ -, the first a letter or a digit", is_name
}

text_id! {
    /// The name of this dockstream process: first part of every batch id.
    NodeName, "node name", "1 to 128 of a-z A-Z 0-9 . _ -, the first a letter or a digit", is_name
}

text_id! {
    /// A full container id: 64 lower-case hexadecimal digits.
    ContainerId, "container id", "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl ContainerId {
    /// The first 12 digits, as the Docker command line shows them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_is_64_lower_case_hex_digits_and_nothing_else() {
        let id = "a".repeat(64);
        assert_eq!(ContainerId::try_new(&id).unwrap().short(), "aaaaaaaaaaaa");
        for bad in ["", "a", &"A".repeat(64), &"g".repeat(64), &"a".repeat(65), "../../etc/passwd"] {
            assert!(ContainerId::try_new(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn a_host_name_cannot_carry_separators_or_control_characters() {
        assert!(HostName::try_new("edge-7.rack_2").is_ok());
        for bad in ["", "-a", "a/b", "a b", "a\n", &"a".repeat(129)] {
            assert!(HostName::try_new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
