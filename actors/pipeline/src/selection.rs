//! Which containers are wanted, and which events: pure. The same rules hold for every kind of data.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use model::{ContainerRecord, ContainerState};

/// The label that has the last word on its container: `true` for in, `false` for out.
pub const LABEL: &str = "dockstream.enable";

/// A pattern over a whole text: `*` for any characters, `?` for one, `[a-z]` for one of these, `{a,b}` for either.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

/// A text that cannot be a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: String,
}

impl Pattern {
    /// True where all of `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        self.matcher.is_match(text)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |reason: String| InvalidPattern { pattern: text.chars().take(80).collect(), reason };
        if text.is_empty() {
            return Err(invalid("it is empty, and nothing would fit".to_owned()));
        }
        let glob = GlobBuilder::new(text).backslash_escape(true).build();
        let glob = glob.map_err(|error| invalid(error.kind().to_string()))?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A label: `key`, or `key=value`, each of them a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelPattern {
    key: Pattern,
    value: Option<Pattern>,
}

impl LabelPattern {
    /// True where one of `labels` fits.
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let value_fits = |value: &String| self.value.as_ref().is_none_or(|pattern| pattern.fits(value));
        labels.iter().any(|(key, value)| self.key.fits(key) && value_fits(value))
    }
}

impl FromStr for LabelPattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        match text.split_once('=') {
            None => Ok(Self { key: text.parse()?, value: None }),
            // A label may be there and hold nothing.
            Some((key, "")) => Ok(Self { key: key.parse()?, value: Some("{,}".parse()?) }),
            Some((key, value)) => Ok(Self { key: key.parse()?, value: Some(value.parse()?) }),
        }
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => self.key.fmt(f),
            Some(value) if value.as_str() == "{,}" => write!(f, "{}=", self.key),
            Some(value) => write!(f, "{}={value}", self.key),
        }
    }
}

/// Rules by name, image, label and state. A key without a rule says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Names, any of which fits.
    pub names: Vec<Pattern>,
    /// Images as named at creation, any of which fits.
    pub images: Vec<Pattern>,
    /// Labels, any of which fits.
    pub labels: Vec<LabelPattern>,
    /// States, any of which it is.
    pub states: Vec<ContainerState>,
}

impl Rules {
    fn verdicts(&self, who: &Who<'_>) -> [Option<bool>; 4] {
        fn verdict<T>(rules: &[T], fits: impl Fn(&T) -> bool) -> Option<bool> {
            (!rules.is_empty()).then(|| rules.iter().any(fits))
        }
        [
            verdict(&self.names, |name| name.fits(who.name)),
            verdict(&self.images, |image| image.fits(who.image)),
            verdict(&self.labels, |label| label.fits(who.labels)),
            verdict(&self.states, |state| *state == who.state),
        ]
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.images.is_empty() && self.labels.is_empty() && self.states.is_empty()
    }

    /// Every key with rules has one that fits.
    fn all_fit(&self, who: &Who<'_>) -> bool {
        self.verdicts(who).into_iter().flatten().all(|fits| fits)
    }

    /// Some rule fits.
    fn any_fits(&self, who: &Who<'_>) -> bool {
        self.verdicts(who).into_iter().flatten().any(|fits| fits)
    }
}

/// What selection looks at.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The container's name, without the leading slash.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its state.
    pub state: ContainerState,
}

impl<'a> From<&'a ContainerRecord> for Who<'a> {
    fn from(record: &'a ContainerRecord) -> Self {
        Self { name: &record.container_name, image: &record.image, labels: &record.labels, state: record.state }
    }
}

/// What becomes of a container of which no rule speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is wanted.
    #[default]
    In,
    /// It is not.
    Out,
}

/// Words that are wanted, by patterns; one that begins with `!` says what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    wanted: Vec<Pattern>,
    unwanted: Vec<Pattern>,
}

impl Words {
    /// True where a pattern fits, or there is none, and none of those with `!` fits.
    pub fn take(&self, word: &str) -> bool {
        let is_wanted = self.wanted.is_empty() || self.wanted.iter().any(|pattern| pattern.fits(word));
        is_wanted && !self.unwanted.iter().any(|pattern| pattern.fits(word))
    }

    /// The patterns as they are written, those with `!` last.
    pub fn texts(&self) -> Vec<String> {
        let unwanted = self.unwanted.iter().map(|pattern| format!("!{pattern}"));
        self.wanted.iter().map(ToString::to_string).chain(unwanted).collect()
    }
}

impl Words {
    /// From patterns as they are written.
    ///
    /// # Errors
    /// One of them is not a pattern.
    pub fn try_new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        let mut words = Self::default();
        for text in texts {
            match text.strip_prefix('!') {
                Some(text) => words.unwanted.push(text.parse()?),
                None => words.wanted.push(text.parse()?),
            }
        }
        Ok(words)
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// What becomes of containers where nothing is included by name.
    pub default: Standing,
    /// Where it has rules, only who fits one of each of its keys is wanted.
    pub include: Rules,
    /// Who fits any of these is not wanted.
    pub exclude: Rules,
    /// Types of events.
    pub event_types: Words,
    /// Actions of events.
    pub event_actions: Words,
}

impl Selection {
    /// True where the data of this container are wanted.
    pub fn takes<'a>(&self, who: impl Into<Who<'a>>) -> bool {
        let who = who.into();
        if let Some(enabled) = who.labels.get(LABEL).and_then(|value| truth(value)) {
            return enabled;
        }
        !self.exclude.any_fits(&who)
            && if self.include.is_empty() { self.takes_others() } else { self.include.all_fit(&who) }
    }

    /// True where the data of this container would be wanted if nothing but its state were another.
    pub fn takes_in_another_state(&self, record: &ContainerRecord) -> bool {
        let who = Who::from(record);
        ContainerState::OF_ENGINES.into_iter().any(|state| self.takes(Who { state, ..who }))
    }

    /// True where a container is wanted of which nothing is known.
    pub fn takes_strangers(&self) -> bool {
        self.include.is_empty() && self.takes_others()
    }

    fn takes_others(&self) -> bool {
        self.default == Standing::In
    }

    /// True where events of this type and action are wanted.
    pub fn takes_event(&self, kind: &str, action: &str) -> bool {
        self.event_types.take(kind) && self.event_actions.take(action)
    }
}

/// The truth in a label; `None` where it is none of the usual words.
fn truth(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(names: &[&str], images: &[&str], labels: &[&str], states: &[ContainerState]) -> Rules {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Rules {
            names: patterns(names),
            images: patterns(images),
            labels: labels.iter().map(|text| text.parse().unwrap()).collect(),
            states: states.to_vec(),
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn takes(selection: &Selection, name: &str, image: &str, pairs: &[(&str, &str)]) -> bool {
        selection.takes(Who { name, image, labels: &labels(pairs), state: ContainerState::Running })
    }

    #[test]
    fn without_rules_everything_is_taken_or_with_default_out_nothing() {
        assert!(takes(&Selection::default(), "web", "nginx:1", &[]));
        let out = Selection { default: Standing::Out, ..Selection::default() };
        assert!(!takes(&out, "web", "nginx:1", &[]) && !out.takes_strangers());
    }

    #[test]
    fn of_each_key_that_includes_one_rule_has_to_fit() {
        let include = rules(&["web-*", "db"], &["registry.example/*"], &["team=blue", "tier"], &[]);
        let selection = Selection { include, ..Selection::default() };
        let image = "registry.example/shop/web:1";
        assert!(takes(&selection, "web-1", image, &[("team", "blue")]));
        assert!(takes(&selection, "db", image, &[("tier", "back")]));
        assert!(!takes(&selection, "web", image, &[("team", "blue")]), "the name");
        assert!(!takes(&selection, "web-1", "nginx", &[("team", "blue")]), "the image");
        assert!(!takes(&selection, "web-1", image, &[("team", "green")]), "the label");
        assert!(!selection.takes_strangers());
    }

    #[test]
    fn any_rule_that_excludes_wins_over_all_that_include() {
        let selection = Selection {
            include: rules(&["*"], &[], &[], &[]),
            exclude: rules(&["*-test"], &["busybox*"], &["env=dev*"], &[ContainerState::Paused]),
            ..Selection::default()
        };
        assert!(takes(&selection, "web", "nginx", &[("env", "prod")]));
        assert!(!takes(&selection, "web-test", "nginx", &[]));
        assert!(!takes(&selection, "web", "busybox:1", &[]));
        assert!(!takes(&selection, "web", "nginx", &[("env", "development")]));
        let none = BTreeMap::new();
        assert!(!selection.takes(Who { name: "web", image: "nginx", labels: &none, state: ContainerState::Paused }));
    }

    #[test]
    fn the_label_has_the_last_word_if_it_is_one() {
        let nothing = Selection { default: Standing::Out, ..Selection::default() };
        let excluded = Selection { exclude: rules(&["web"], &[], &[], &[]), ..Selection::default() };
        for (value, expected) in [("true", true), ("FALSE", false), ("1", true), (" off ", false)] {
            assert_eq!(takes(&nothing, "web", "nginx", &[(LABEL, value)]), expected, "{value}");
            assert_eq!(takes(&excluded, "web", "nginx", &[(LABEL, value)]), expected, "{value}");
            assert_eq!(takes(&Selection::default(), "web", "nginx", &[(LABEL, value)]), expected, "{value}");
        }
        assert!(takes(&Selection::default(), "web", "nginx", &[(LABEL, "maybe")]));
        assert!(!takes(&nothing, "web", "nginx", &[(LABEL, "")]));
    }

    #[test]
    fn a_pattern_covers_the_whole_text() {
        let fits = |pattern: &str, text: &str| pattern.parse::<Pattern>().unwrap().fits(text);
        assert!(fits("web", "web") && !fits("web", "web-1") && !fits("web", "my-web"));
        assert!(fits("*/nginx:*", "registry.example:5000/a/b/nginx:1.29"), "a star crosses slashes");
        assert!(fits("web-[0-9]", "web-7") && !fits("web-[0-9]", "web-x"));
        assert!(fits("{web,db}-?", "db-1") && !fits("Web", "web"));
        assert!(fits(r"a\*b", "a*b") && !fits(r"a\*b", "axb"));
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_the_reason() {
        let error = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        assert!(
            error("web-[0-9").starts_with("`web-[0-9` is not a pattern: unclosed character class"),
            "{}",
            error("web-[0-9")
        );
        assert!(error("").contains("it is empty"));
        assert!("=x".parse::<LabelPattern>().is_err());
    }

    #[test]
    fn a_label_may_have_to_be_there_with_any_value_with_one_or_with_none() {
        let fits = |pattern: &str, value: &str| {
            let pattern: LabelPattern = pattern.parse().unwrap();
            assert_eq!(pattern.to_string().parse::<LabelPattern>().unwrap(), pattern);
            pattern.fits(&labels(&[("team", value)]))
        };
        assert!(fits("team", "blue") && fits("team", "") && fits("t*=b*", "blue"));
        assert!(fits("team=", "") && !fits("team=", "blue") && !fits("tier", "blue"));
    }

    #[test]
    fn events_are_taken_by_type_and_action() {
        let words = |texts: &[&str]| Words::try_new(texts.iter().copied()).unwrap();
        let selection = Selection {
            event_types: words(&["container", "image"]),
            event_actions: words(&["!exec_*", "!top"]),
            ..Selection::default()
        };
        assert!(selection.takes_event("container", "die") && selection.takes_event("image", "pull"));
        assert!(!selection.takes_event("network", "connect") && !selection.takes_event("container", "exec_die"));
        let some = Selection { event_actions: words(&["d*", "!destroy"]), ..Selection::default() };
        assert!(some.takes_event("container", "die") && !some.takes_event("container", "destroy"));
        assert!(!some.takes_event("container", "start"));
        assert_eq!(some.event_actions.texts(), ["d*", "!destroy"]);
    }

    proptest! {
        #[test]
        fn a_literal_name_includes_itself_and_excludes_itself(name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", other in "[a-z]{1,8}") {
            let only = Selection { include: rules(&[&name], &[], &[], &[]), ..Selection::default() };
            let without = Selection { exclude: rules(&[&name], &[], &[], &[]), ..Selection::default() };
            prop_assert_eq!(takes(&only, &other, "i", &[]), name == other);
            prop_assert_eq!(takes(&without, &other, "i", &[]), name != other);
        }
    }
}
