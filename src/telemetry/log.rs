//! Log lines: which are written, and how they look.

use std::fmt;
use std::io::IsTerminal;
use std::time::SystemTime;

use model::Timestamp;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// Libraries that tell more than anyone asked for; named in `telemetry.log` they speak again.
const TAMED: [&str; 12] = [
    "actix_http",
    "actix_server",
    "actix_web",
    "bollard",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "opentelemetry",
    "opentelemetry_sdk",
    "rdkafka",
    "rustls",
];

/// The filter that `telemetry.log` stands for: a level, or levels by part (`info,sinks=debug`).
pub fn log_filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let everywhere =
        directives.split(',').filter_map(|directive| directive.trim().parse::<LevelFilter>().ok()).next_back();
    let tamed = everywhere.unwrap_or(LevelFilter::OFF).min(LevelFilter::WARN);
    let tamed: Vec<_> = TAMED.iter().map(|library| format!("{library}={tamed}")).collect();
    EnvFilter::builder().parse(format!("{},{directives}", tamed.join(",")))
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Pretty {
        /// Whether the terminal shows colours.
        colours: bool,
    },
    /// One JSON object a line.
    Json,
}

impl Look {
    /// What fits `format` where lines go to standard error.
    pub fn of_stderr(format: LogFormat) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self::fitting(format, std::io::stderr().is_terminal(), set("NO_COLOR"))
    }

    /// What fits `format` on a terminal or elsewhere. Colours are never written into a file.
    pub fn fitting(format: LogFormat, terminal: bool, no_colours: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !terminal => Self::Json,
            LogFormat::Auto | LogFormat::Pretty => Self::Pretty { colours: terminal && !no_colours },
        }
    }
}

/// Writes lines of that look.
pub(super) fn layer<S, W>(look: Look, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match look {
        Look::Pretty { colours } => lines.compact().with_ansi(colours).with_timer(Clock::Milliseconds).boxed(),
        Look::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_timer(Clock::Nanoseconds)
            .boxed(),
    }
}

/// RFC 3339 UTC, as everywhere in dockstream; shorter for people.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Milliseconds,
    Nanoseconds,
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = Timestamp::from(SystemTime::now()).to_string();
        match self {
            Self::Milliseconds => write!(writer, "{}Z", now.get(..23).unwrap_or(&now)),
            Self::Nanoseconds => writer.write_str(&now),
        }
    }
}
