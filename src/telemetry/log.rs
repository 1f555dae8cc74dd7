//! Log lines: which are written, and how they look.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Libraries that tell more than anyone asked for; named in `telemetry.log` they speak again.
const TAMED: &str = "actix_http=warn,actix_server=warn,actix_web=warn,bollard=warn,h2=warn,hyper=warn,hyper_util=warn,mio=warn,opentelemetry=warn,opentelemetry_sdk=warn,rdkafka=warn,rustls=warn";

/// The filter that `telemetry.log` stands for: a level, or levels by part (`info,sinks=debug`).
pub fn log_filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{TAMED},{directives}"))
}
