//! Prints the configuration: the reference file, the reference page, and the values in effect.

use std::collections::BTreeMap;

use super::problem::Origin;
use super::reader::variable;
use super::section::{Fallback, Field, PrintedSection, Section, SectionInfo, Shape, join};
use super::setting::Printed;
use super::{Config, sections};

impl Config {
    /// The values in effect as TOML, each with the place it comes from. Secrets are blotted out: what had one
    /// is a comment.
    pub fn to_toml(&self, origins: &BTreeMap<String, Origin>) -> String {
        let mut printed = Vec::new();
        self.print("", &mut printed);
        let mut out = String::new();
        let mut host = 0;
        for PrintedSection { path, values } in &printed {
            // The list's own name has no number in it; the paths of its keys have.
            let (header, path) = if path == "hosts" {
                let item = format!("{path}[{host}]");
                host += 1;
                let place = origins.get(&item).or_else(|| origins.get(path));
                (format!("\n[[{path}]]{}\n", behind(place)), item)
            } else {
                (format!("\n[{path}]\n"), path.clone())
            };
            if !path.is_empty() && !values.is_empty() {
                out.push_str(&header);
            }
            for (name, value) in values {
                let place = behind(origins.get(&join(&path, name)));
                match value {
                    Printed::Value(text) => out.push_str(&format!("{name} = {text}{place}\n")),
                    Printed::Hidden(text) => out.push_str(&format!("# {name} = {text}{place}\n")),
                    Printed::Unset => {}
                }
            }
        }
        out
    }
}

/// A comment behind a value.
fn behind(place: Option<&Origin>) -> String {
    place.map(|place| format!("  # {place}")).unwrap_or_default()
}

/// `pipeline.toml`: every key with its default and what it means.
pub fn example() -> String {
    let mut out = String::from(EXAMPLE_HEAD);
    for section in sections() {
        if section.fields.is_empty() {
            continue;
        }
        if !section.path.is_empty() {
            out.push('\n');
            comment(&mut out, &section.doc.join("\n"));
            out.push_str(match section.shape {
                Shape::Once => "",
                Shape::Many => "# ",
            });
            out.push_str(&header(&section));
            out.push('\n');
        }
        for field in section.fields {
            out.push('\n');
            comment(&mut out, &field.doc.join("\n"));
            let (mark, text) = match field.default {
                Fallback::Value(text) if section.shape == Shape::Once => ("", text),
                Fallback::Value(text) | Fallback::Unset(text) | Fallback::Found(text) => ("# ", text),
            };
            out.push_str(&format!("{mark}{} = {text}\n", field.name));
        }
    }
    out
}

/// `docs/configuration.md`: every key with type, default, variable and meaning.
pub fn page() -> String {
    let mut out = String::from(PAGE_HEAD);
    for section in sections() {
        if section.fields.is_empty() {
            continue;
        }
        let title = if section.path.is_empty() { "At the top".to_owned() } else { format!("`{}`", header(&section)) };
        out.push_str(&format!("\n## {title}\n\n{}\n\n", prose(section.doc)));
        let (columns, line) = if section.shape == Shape::Once { ("variable | ", "---|") } else { ("", "") };
        out.push_str(&format!("| key | type | default | {columns}meaning |\n|---|---|---|{line}---|\n"));
        for field in section.fields {
            let kind = field.word.split(", such as").next().unwrap_or_default();
            let variable = if section.shape == Shape::Once {
                format!("`{}` | ", variable(&join(&section.path, field.name)))
            } else {
                String::new()
            };
            out.push_str(&format!(
                "| `{}` | {kind} | {} | {variable}{} |\n",
                field.name,
                default(field),
                prose(field.doc)
            ));
        }
    }
    out
}

fn header(section: &SectionInfo) -> String {
    match section.shape {
        Shape::Once => format!("[{}]", section.path),
        Shape::Many => format!("[[{}]]", section.path),
    }
}

fn default(field: &Field) -> String {
    match field.default {
        Fallback::Value(text) => format!("`{text}`"),
        Fallback::Unset(text) => format!("none, e.g. `{text}`"),
        Fallback::Found(text) => format!("the machine's, e.g. `{text}`"),
    }
}

fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        out.push_str(&format!("# {}\n", line.trim()));
    }
}

const EXAMPLE_HEAD: &str = "\
# dockstream: every key of the configuration with its default. A file needs only the keys it changes.
#
# Looked for as ./pipeline.toml, then as /etc/dockstream/pipeline.toml; or named with --config.
# Environment variables go over it (DOCKSTREAM_BATCH_AGE=2s for `age` in [batch]), flags over those.
# Durations are written \"200ms\", \"5s\", \"7days\"; sizes \"64KiB\", \"4MiB\", \"500kB\".
# `dockstream check` says whether all is well, `dockstream config` what is in effect.
# This file is printed from the source: `dockstream config --default`.
";

const PAGE_HEAD: &str = r#"# Configuration

<!-- Printed from the source by `dockstream config --reference`: change src/config/mod.rs, not this page. -->

dockstream needs no configuration: it watches the local engine and keeps everything in `./data`. What is said in one of
these places goes over those before it:

1. the defaults below;
2. a file: the one named by `--config` or `DOCKSTREAM_CONFIG`, else `./pipeline.toml`, else `/etc/dockstream/pipeline.toml`;
3. environment variables: `DOCKSTREAM_` and the key's path, in capitals, with `_` for every dot: `DOCKSTREAM_SINKS_KAFKA_BROKERS`;
4. flags: `--data-dir`, `--listen`, `--docker`, `--log`.

`pipeline.toml` in the repository has every key with its default and meaning; `dockstream config --default` prints it.
`dockstream config` prints what is in effect, and where each value comes from. `dockstream check` tries it out.

**How values are written**

| type | in the file | in a variable or flag |
|---|---|---|
| duration | `"200ms"`, `"5s"`, `"1h 30m"`, `"7days"` | `5s` |
| size | `"64KiB"`, `"4MiB"`, `"1GiB"`; `"500kB"` is 500 000 | `4MiB` |
| list | `["a:9092", "b:9092"]` | `a:9092,b:9092` |
| table | `{ team = "edge" }`, or a section of its own | `team=edge,site=berlin` |
| hosts | a `[[hosts]]` section each | `unix:///a.sock,edge=unix:///b.sock`: addresses, with a name or without; they replace those of the file |

An empty variable is as good as none. Secrets are never printed, in no log and no listing; those with a `…_file` key can
stay in a file of their own.

**What is refused.** An unknown key or variable is an error that names the nearest known one, and so is a value that a key
cannot hold, or that does not fit another key. Every problem is told at once, with the key's path and the line or
variable it comes from, and the exit code is 78:

```
unknown key `sinks.kafka.broker` (pipeline.toml:41): did you mean `brokers`?
`batch.age` (DOCKSTREAM_BATCH_AGE): expected a duration, such as "5s", found "5 parsecs"
```

Exit codes: 0 ended in order · 64 wrong usage of the command line · 70 a part failed over and over · 75 not everything
could be delivered within `shutdown.grace` · 78 configuration.
"#;
