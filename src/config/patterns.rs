//! Values that select: patterns, states.

use std::fmt::Display;
use std::str::FromStr;

use model::ContainerState;
use pipeline::selection::{InvalidPattern, Words};
use toml::de::DeValue;

use super::problem::did_you_mean;
use super::setting::{Printed, Setting, quoted};

/// Patterns: in TOML `["a-*", "b"]`, in a variable `a-*,b`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns<P>(pub Vec<P>);

impl<P: FromStr<Err = InvalidPattern> + Display> Setting for Patterns<P> {
    const WORD: &'static str = "list of patterns";
    fn from_text(text: &str) -> Result<Self, String> {
        of_texts(&split(text))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        of_texts(&Vec::<String>::from_toml(value)?)
    }
    fn print(&self) -> Printed {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().print()
    }
}

fn of_texts<P: FromStr<Err = InvalidPattern>>(texts: &[String]) -> Result<Patterns<P>, String> {
    let patterns = texts.iter().map(|text| text.parse().map_err(|error: InvalidPattern| error.to_string()));
    patterns.collect::<Result<_, _>>().map(Patterns)
}

impl Setting for Words {
    const WORD: &'static str = "list of patterns";
    fn from_text(text: &str) -> Result<Self, String> {
        of_words(&split(text))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        of_words(&Vec::<String>::from_toml(value)?)
    }
    fn print(&self) -> Printed {
        self.texts().print()
    }
}

fn of_words(texts: &[String]) -> Result<Words, String> {
    Words::try_new(texts.iter().map(String::as_str)).map_err(|error| error.to_string())
}

/// The states in which a container can be found.
pub(super) const STATES: [ContainerState; 7] = [
    ContainerState::Created,
    ContainerState::Running,
    ContainerState::Paused,
    ContainerState::Restarting,
    ContainerState::Removing,
    ContainerState::Exited,
    ContainerState::Dead,
];

/// States of containers, by their words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct States(pub Vec<ContainerState>);

impl Setting for States {
    const WORD: &'static str = "list of states";
    fn from_text(text: &str) -> Result<Self, String> {
        of_states(&Vec::<String>::from_text(text)?)
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        of_states(&Vec::<String>::from_toml(value)?)
    }
    fn print(&self) -> Printed {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().print()
    }
}

fn of_states(texts: &[String]) -> Result<States, String> {
    let state = |text: &String| {
        let names = STATES.map(ContainerState::name);
        STATES.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            let hint =
                did_you_mean(text, names.into_iter()).map(|near| format!(": did you mean {}?", near.join(" or ")));
            format!(
                "{} is no state of a container{}",
                quoted(text),
                hint.unwrap_or_else(|| format!(": there are {}", names.join(", ")))
            )
        })
    };
    texts.iter().map(state).collect::<Result<_, _>>().map(States)
}

/// The items between commas; those inside of braces belong to a pattern.
fn split(text: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0_u32);
    for c in text.chars() {
        depth = match c {
            '{' => depth + 1,
            '}' => depth.saturating_sub(1),
            _ => depth,
        };
        match (c, depth, items.last_mut()) {
            (',', 0, _) => items.push(String::new()),
            (c, _, Some(item)) => item.push(c),
            _ => {}
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}
