//! The table, on the screen and in the documentation.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::machine;

/// One figure, and what it is to be held against.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What came out.
    pub figure: String,
    /// The named reference of the same run, and the ratio.
    pub reference: String,
    /// What was wanted.
    pub bar: Option<Bar>,
    /// How it was measured.
    pub conditions: String,
}

/// What is wanted of a figure, and whether it is so.
pub struct Bar {
    text: &'static str,
    is_met: bool,
}

impl Bar {
    /// A bar in words.
    pub fn new(text: &'static str, is_met: bool) -> Self {
        Self { text, is_met }
    }
}

/// All rows of a run.
pub struct Report {
    conditions: String,
    load_before: f64,
    rows: Vec<Row>,
}

/// Between these lines the page is ours.
const BEGIN: &str = "<!-- suite: begin -->";
const END: &str = "<!-- suite: end -->";

impl Report {
    /// An empty report on this machine as it is now.
    pub fn begin() -> Self {
        Self { conditions: machine::conditions(), load_before: machine::load(), rows: Vec::new() }
    }

    /// Adds what a bench found.
    pub fn add(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    fn circumstances(&self) -> String {
        let (before, after) = (self.load_before, machine::load());
        format!("{}. Load before {before:.1}, after {after:.1}.", self.conditions)
    }

    /// For a screen.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.circumstances());
        for Row { what, figure, reference, bar, conditions } in &self.rows {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{what}\n  {figure}\n  reference  {}\n", reference.replace("**", ""));
            if let Some(Bar { text: bar, is_met }) = bar {
                let _ = writeln!(text, "  bar        {bar}: {}", verdict(*is_met));
            }
            let _ = writeln!(text, "  conditions {conditions}");
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n| what | figure | reference in the same run | bar | conditions |\n|---|---|---|---|---|\n",
            self.circumstances()
        );
        for Row { what, figure, reference, bar, conditions } in &self.rows {
            let bar =
                bar.as_ref().map_or_else(|| "–".to_owned(), |bar| format!("{}: **{}**", bar.text, verdict(bar.is_met)));
            let _ = writeln!(text, "| {what} | {figure} | {reference} | {bar} | {conditions} |");
        }
        text
    }

    /// Puts the table into the page.
    pub fn record(&self) -> anyhow::Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (head, rest) = page.split_once(BEGIN).context("the page has no place for the table")?;
        let (_, tail) = rest.split_once(END).context("the page has no end of the table")?;
        fs::write(&path, format!("{head}{BEGIN}\n{}{END}{tail}", self.markdown()))?;
        println!("recorded in docs/performance.md");
        Ok(())
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "not met" }
}
