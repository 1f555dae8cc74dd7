//! Containers as metrics, in Prometheus' text format or in OpenMetrics: families and their samples, escaped.

mod families;

use std::collections::BTreeMap;
use std::fmt::Write;

use model::{ContainerRecord, Sample, StatsRecord};

pub(crate) use families::FAMILIES;

/// In which words metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a client that sends this `Accept` is answered in: OpenMetrics only where it is named.
    pub fn accepted(accept: &str) -> Self {
        let named = accept.split(',').any(|media| {
            let mut parts = media.split(';').map(str::trim);
            parts.next() == Some("application/openmetrics-text") && parts.all(|part| part != "q=0")
        });
        if named { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Metrics of one name.
pub(crate) struct Family {
    /// The name, without the `_total` of a counter.
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// The value of a container, as it is written; `None` where it is not known.
    pub value: fn(&Container) -> Option<Reading>,
}

/// One value, and the label it has beside those of its container.
pub(crate) struct Reading {
    pub text: String,
    pub label: Option<(&'static str, String)>,
}

/// What is known of one container: its state, its newest sample, or both.
#[derive(Default)]
pub(crate) struct Container {
    pub record: Option<ContainerRecord>,
    pub stats: Option<StatsRecord>,
}

impl Container {
    fn sample(&self) -> Option<&Sample> {
        self.stats.as_ref().map(|stats| &stats.sample)
    }

    /// The labels that every metric of this container has.
    fn labels(&self) -> String {
        let mut labels: BTreeMap<String, &str> = BTreeMap::new();
        if let Some(meta) = self.stats.as_ref().map(|stats| &stats.meta) {
            for (key, value) in &meta.labels {
                labels.entry(format!("container_label_{}", sanitized(key))).or_insert(value);
            }
        }
        let own = self.stats.as_ref().map(|stats| {
            let meta = &stats.meta;
            (meta.host.as_str(), &meta.container_name, &meta.image, &meta.compose_project, &meta.compose_service)
        });
        let told = self.record.as_ref().map(|record| {
            (
                record.host.as_str(),
                &record.container_name,
                &record.image,
                &record.compose_project,
                &record.compose_service,
            )
        });
        if let Some((host, name, image, project, service)) = told.or(own) {
            labels.insert("host".into(), host);
            labels.insert("container".into(), name);
            labels.insert("image".into(), image);
            labels.insert("compose_project".into(), project.as_deref().unwrap_or(""));
            labels.insert("compose_service".into(), service.as_deref().unwrap_or(""));
        }
        let mut text = String::new();
        for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
            label(&mut text, name, value);
        }
        text
    }
}

/// The containers' metrics. Those of one family stand together, as both formats want it.
pub(crate) fn render(containers: &[Container], format: Format) -> String {
    let labelled: Vec<(String, &Container)> = containers.iter().map(|of| (of.labels(), of)).collect();
    let mut text = String::with_capacity(labelled.len() * FAMILIES.len() * 160);
    for family in FAMILIES {
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        // OpenMetrics names the family, the older format the sample.
        let named = if format == Format::OpenMetrics { "" } else { total };
        let (name, mut begun) = (family.name, false);
        for (labels, container) in &labelled {
            let Some(reading) = (family.value)(container) else { continue };
            if !begun {
                begun = true;
                let kind = family.kind.name();
                writeln!(text, "# HELP {name}{named} {}\n# TYPE {name}{named} {kind}", family.help)
                    .expect("a string takes what is written");
            }
            write!(text, "{name}{total}{{{labels}").expect("a string takes what is written");
            if let Some((key, value)) = &reading.label {
                label(&mut text, key, value);
            }
            // Every label ends with a comma; the last one's goes.
            text.pop();
            writeln!(text, "}} {}", reading.text).expect("a string takes what is written");
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn label(to: &mut String, name: &str, value: &str) {
    to.push_str(name);
    to.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            other => to.push(other),
        }
    }
    to.push_str("\",");
}

/// A container label's key as a part of a Prometheus label's name.
fn sanitized(key: &str) -> String {
    key.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_spoken_with_who_names_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0, text/plain", "text/html,*/*;q=0.8"] {
            assert_eq!(Format::accepted(accept), Format::Prometheus, "{accept}");
        }
    }

    #[test]
    fn a_label_holds_any_text() {
        let mut text = String::new();
        label(&mut text, "k", "a\\b\"c\nd{},ü");
        assert_eq!(text, "k=\"a\\\\b\\\"c\\nd{},ü\",");
        assert_eq!(sanitized("com.example/ü-1"), "com_example___1");
    }

    #[test]
    fn the_page_names_every_metric_with_its_type_and_meaning() {
        let page = include_str!("../../../../docs/prometheus.md");
        let told: Vec<&str> = page.lines().filter(|line| line.starts_with("| `docker_container_")).collect();
        let row = |family: &Family| {
            let total = if family.kind == Kind::Counter { "_total" } else { "" };
            format!("| `{}{total}` | {} | {} |", family.name, family.kind.name(), family.help)
        };
        let expected: Vec<String> = FAMILIES.iter().map(row).collect();
        assert_eq!(told, expected, "docs/prometheus.md should read\n{}\n", expected.join("\n"));
    }

    #[test]
    fn names_follow_the_conventions() {
        for family in FAMILIES {
            let name = family.name;
            assert!(name.starts_with("docker_container_") && !name.ends_with("_total"), "{name}");
            assert!(family.help.ends_with('.') && !family.help.contains(['\\', '\n']), "{name}");
        }
    }
}
