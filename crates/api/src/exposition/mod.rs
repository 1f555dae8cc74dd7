//! Containers as metrics, in Prometheus' text format or in OpenMetrics: families and their samples, escaped.

use std::fmt::Write;

use model::{ContainerMeta, ContainerRecord, FAMILIES, Known, StatsRecord, family_labels};

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

/// What is known of one container: its state, its newest sample, or both.
#[derive(Default)]
pub(crate) struct Container {
    pub record: Option<ContainerRecord>,
    pub stats: Option<StatsRecord>,
}

impl Container {
    fn known(&self) -> Known<'_> {
        Known { record: self.record.as_ref(), stats: self.stats.as_ref() }
    }

    /// Whom its metrics name: by its state where that is known, with the labels that ride on its samples.
    fn meta(&self) -> Option<ContainerMeta> {
        let sampled = self.stats.as_ref().map(|stats| &*stats.meta);
        let Some(record) = &self.record else { return sampled.cloned() };
        let labels = sampled.map(|meta| meta.labels.clone()).unwrap_or_default();
        Some(ContainerMeta { labels, ..record.meta(&[]) })
    }

    /// The labels that every metric of this container has, each with a comma behind it.
    fn labels(&self) -> String {
        let mut text = String::new();
        let meta = self.meta();
        for (name, value) in meta.as_ref().map(family_labels).into_iter().flatten() {
            label(&mut text, &name, value);
        }
        text
    }
}

/// The containers' metrics. Those of one family stand together, as both formats want it.
pub(crate) fn render(containers: &[Container], format: Format) -> String {
    let labelled: Vec<(String, &Container)> = containers.iter().map(|of| (of.labels(), of)).collect();
    let mut text = String::with_capacity(labelled.len() * FAMILIES.len() * 160);
    for family in FAMILIES {
        let total = family.suffix();
        // OpenMetrics names the family, the older format the sample.
        let named = if format == Format::OpenMetrics { "" } else { total };
        let (name, mut begun) = (family.name, false);
        for (labels, container) in &labelled {
            let Some(reading) = (family.value)(&container.known()) else { continue };
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
            writeln!(text, "}} {}", reading.figure).expect("a string takes what is written");
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
    }

    #[test]
    fn the_page_names_every_metric_with_its_type_and_meaning() {
        let page = include_str!("../../../../docs/prometheus.md");
        let told: Vec<&str> = page.lines().filter(|line| line.starts_with("| `docker_container_")).collect();
        let row = |family: &model::Family| {
            format!("| `{}{}` | {} | {} |", family.name, family.suffix(), family.kind.name(), family.help)
        };
        let expected: Vec<String> = FAMILIES.iter().map(row).collect();
        assert_eq!(told, expected, "docs/prometheus.md should read\n{}\n", expected.join("\n"));
    }
}
