//! Reads sections from three layers: file, environment, flags. The last one that speaks of a key wins.
//!
//! Reading never stops at the first problem: it is noted, the default stands in, and the rest is read too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem, did_you_mean};
use super::section::{Repeated, Section, SectionInfo, join};
use super::setting::{Setting, found};

/// Every variable of dockstream starts with it.
pub(super) const PREFIX: &str = "DOCKSTREAM_";

/// One flag's values for one key.
#[derive(Clone, Debug)]
pub(crate) struct FlagValue {
    /// The key's path.
    pub path: &'static str,
    /// `--listen`.
    pub flag: &'static str,
    /// What was given; several where the flag may be repeated.
    pub texts: Vec<String>,
}

/// The three layers, and what was found wrong in them.
pub(crate) struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    variables: &'a BTreeMap<String, OsString>,
    flags: &'a [FlagValue],
    asked: BTreeSet<String>,
    pub problems: Vec<Problem>,
    pub origins: BTreeMap<String, Origin>,
}

/// A section in the file, or its absence.
pub(crate) struct Place<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    repeated: bool,
    /// What a text in the place of the section says of one of its keys.
    short: Option<(&'static str, Origin, Result<String, String>)>,
}

impl<'a> Place<'a> {
    /// The whole file.
    pub fn root(table: Option<&'a DeTable<'a>>) -> Self {
        Self { path: String::new(), table, repeated: false, short: None }
    }
}

/// The value of a default written in a declaration.
pub(super) fn declared<T: Setting>(toml: &str) -> T {
    let value = DeValue::parse(toml).expect("a declared default is TOML");
    T::from_toml(value.get_ref()).expect("a declared default fits its type")
}

/// `sinks.kafka.brokers` → `DOCKSTREAM_SINKS_KAFKA_BROKERS`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

impl<'a> Reader<'a> {
    pub fn new(file: &str, text: &'a str, variables: &'a BTreeMap<String, OsString>, flags: &'a [FlagValue]) -> Self {
        Self {
            file: file.into(),
            text,
            variables,
            flags,
            asked: BTreeSet::new(),
            problems: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// The line on which a span of the file begins.
    pub fn line(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Origin::File { file: Arc::clone(&self.file), line: before.matches('\n').count() + 1 }
    }

    /// Reads one key.
    pub fn setting<T: Setting>(&mut self, place: &Place<'_>, name: &str, default: impl FnOnce() -> T) -> T {
        let path = join(&place.path, name);
        let (origin, value) = if let Some((origin, texts)) = self.override_of(place, &path) {
            (origin, texts.and_then(|texts| T::from_text(texts.first().map_or("", String::as_str))))
        } else if let Some((_, origin, text)) = place.short.as_ref().filter(|(key, ..)| *key == name) {
            (origin.clone(), text.as_ref().map_err(String::clone).and_then(|text| T::from_text(text)))
        } else if let Some((key, value)) = place.table.and_then(|table| table.get_key_value(name)) {
            (self.line(key.span()), T::from_toml(value.get_ref()))
        } else {
            return default();
        };
        self.origins.insert(path.clone(), origin.clone());
        value.unwrap_or_else(|error| {
            self.problems.push(Problem::Value { path, place: origin, error });
            default()
        })
    }

    /// Reads the section `name` inside of `place`.
    pub fn section<S: Section>(&mut self, place: &Place<'_>, name: &str) -> S {
        let path = join(&place.path, name);
        let mut short = S::SHORT.and_then(|key| {
            let (origin, texts) = self.override_of(place, &path)?;
            Some((key, origin, texts.map(|texts| texts.first().cloned().unwrap_or_default())))
        });
        let table = match place.table.and_then(|table| table.get_key_value(name)) {
            None => None,
            Some((key, value)) => value.get_ref().as_table().or_else(|| {
                if let (Some(name), Some(text)) = (S::SHORT, value.get_ref().as_str()) {
                    short.get_or_insert_with(|| (name, self.line(key.span()), Ok(text.to_owned())));
                    return None;
                }
                let error =
                    format!("this is a section: write [{path}] and its keys below it, not {}", found(value.get_ref()));
                self.problems.push(Problem::Value { path: path.clone(), place: self.line(key.span()), error });
                None
            }),
        };
        S::read(self, &Place { path, table, repeated: false, short })
    }

    /// Reads every `[[name]]` inside of `place`; a variable or flag replaces all of them.
    pub fn list<S: Repeated>(&mut self, place: &Place<'_>, name: &str) -> Vec<S> {
        let path = join(&place.path, name);
        if let Some((origin, texts)) = self.override_of(place, &path) {
            self.origins.insert(path.clone(), origin.clone());
            return texts.and_then(|texts| S::from_texts(&texts)).unwrap_or_else(|error| {
                self.problems.push(Problem::Value { path, place: origin, error });
                Vec::new()
            });
        }
        let Some((key, value)) = place.table.and_then(|table| table.get_key_value(name)) else {
            return Vec::new();
        };
        let origin = self.line(key.span());
        let tables: Option<Vec<_>> = value
            .get_ref()
            .as_array()
            .and_then(|items| items.iter().map(|item| Some((item.span(), item.get_ref().as_table()?))).collect());
        let Some(tables) = tables else {
            let error = format!("expected one [[{path}]] section for each, found {}", found(value.get_ref()));
            self.problems.push(Problem::Value { path, place: origin, error });
            return Vec::new();
        };
        self.origins.insert(path.clone(), origin);
        let read = |(index, (span, table)): (usize, (Range<usize>, &DeTable<'_>))| {
            let path = format!("{path}[{index}]");
            let line = self.line(span);
            self.origins.insert(path.clone(), line);
            S::read(self, &Place { path, table: Some(table), repeated: true, short: None })
        };
        tables.into_iter().enumerate().map(read).collect()
    }

    /// What a flag or, failing that, a variable says of a key; an empty variable says nothing.
    fn override_of(&mut self, place: &Place<'_>, path: &str) -> Option<(Origin, Result<Vec<String>, String>)> {
        if place.repeated {
            return None;
        }
        let name = variable(path);
        let variable = self.variables.get(&name).filter(|value| !value.is_empty());
        self.asked.insert(name.clone());
        if let Some(flag) = self.flags.iter().find(|flag| flag.path == path) {
            return Some((Origin::Flag(flag.flag), Ok(flag.texts.clone())));
        }
        let text = variable?.to_str().map(|text| vec![text.to_owned()]);
        Some((Origin::Variable(name), text.ok_or_else(|| "the value is not UTF-8".to_owned())))
    }

    /// Notes every key of the section that is not one of `known`.
    pub fn refuse_unknown(&mut self, place: &Place<'_>, known: &[&str]) {
        for key in place.table.iter().flat_map(|table| table.keys()) {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = did_you_mean(name, known.iter().copied()).map(|names| hint(&names, '`'));
                let hint = hint.or_else(|| self.elsewhere(name)).unwrap_or_default();
                self.problems.push(Problem::UnknownKey {
                    path: join(&place.path, name),
                    place: self.line(key.span()),
                    hint,
                });
            }
        }
    }

    /// A key that exists, but in another section.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let sections: Vec<SectionInfo> = super::sections();
        let home = sections.iter().find(|section| section.fields.iter().any(|field| field.name == name))?;
        Some(match (home.path.as_str(), home.shape) {
            ("", _) => ": it belongs at the top, above every [section]".to_owned(),
            (path, super::section::Shape::Once) => format!(": it belongs in [{path}]"),
            (path, super::section::Shape::Many) => format!(": it belongs in [[{path}]]"),
        })
    }

    /// Notes every `DOCKSTREAM_…` variable that no key asked for. Called last.
    pub fn refuse_unknown_variables(&mut self, also_known: &[&str]) {
        for name in self.variables.keys().filter(|name| name.starts_with(PREFIX)) {
            if !self.asked.contains(name) && !also_known.contains(&name.as_str()) && !is_service_link(name) {
                let known = self.asked.iter().map(String::as_str).chain(also_known.iter().copied());
                let hint = did_you_mean(name, known).map(|names| hint(&names, ' ')).unwrap_or_default();
                self.problems.push(Problem::UnknownVariable { name: name.clone(), hint });
            }
        }
    }
}

fn hint(names: &[&str], quote: char) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{quote}{name}{quote}").trim().to_owned()).collect();
    format!(": did you mean {}?", names.join(" or "))
}

/// Kubernetes sets `DOCKSTREAM_SERVICE_HOST`, `DOCKSTREAM_PORT_8080_TCP_ADDR` … in every pod beside a service named `dockstream`.
fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|first: char| first.is_ascii_digit()))
}
