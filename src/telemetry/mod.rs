//! Logs, traces and metrics of dockstream itself.
//!
//! Logs go to standard error. Where `telemetry.otlp_endpoint` is set, traces and metrics leave as OTLP over
//! HTTP, each from a thread of its own: a collector that is slow or away costs telemetry, nothing else.

mod cache;
mod collector;
mod log;
mod metrics;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::NodeName;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::Registry;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config;
use collector::Collector;
use metrics::MetricsExport;

pub use cache::CacheMetrics;
pub use log::log_filter;

/// Spans of these crates are traced, others are not.
const TRACED: [&str; 9] =
    ["actor_runtime", "api", "dockstream", "engine", "journal", "model", "pipeline", "sinks", "store"];

/// What is exported, and by whom; ends with `shutdown`.
#[derive(Debug, Default)]
pub struct Telemetry {
    otlp: Option<Otlp>,
}

#[derive(Debug)]
struct Otlp {
    collector: Arc<Collector>,
    traces: SdkTracerProvider,
    metrics: Option<MetricsExport>,
    interval: Duration,
    attributes: Vec<KeyValue>,
}

/// Telemetry cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.log` is no filter.
    #[error("`telemetry.log`: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// `telemetry.otlp_endpoint` is no address, or the system refused a socket or thread.
    #[error("`telemetry.otlp_endpoint`: {0}")]
    Otlp(String),
    /// The process has a subscriber already.
    #[error("logging has begun already")]
    Begun,
}

/// Begins logging for the whole process, and tracing where a collector is configured.
pub fn init(settings: &config::Telemetry, node: &NodeName) -> Result<Telemetry, TelemetryError> {
    let (subscriber, telemetry) = subscriber(settings, node, log::Look::of_stderr(settings.log_format), io::stderr)?;
    subscriber.try_init().map_err(|_| TelemetryError::Begun)?;
    Ok(telemetry)
}

fn subscriber<W>(
    settings: &config::Telemetry,
    node: &NodeName,
    look: log::Look,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + 'static, Telemetry), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let otlp = settings.otlp_endpoint.as_deref().map(|endpoint| Otlp::connect(endpoint, settings, node)).transpose()?;
    let lines = log::layer(look, writer).with_filter(log_filter(&settings.log)?);
    let traced = Targets::new().with_targets(TRACED.map(|name| (name, LevelFilter::INFO)));
    let spans = otlp
        .as_ref()
        .map(|otlp| tracing_opentelemetry::layer().with_tracer(otlp.traces.tracer("dockstream")).with_filter(traced));
    Ok((tracing_subscriber::registry().with(lines).with(spans), Telemetry { otlp }))
}

impl Telemetry {
    /// Exports what `registry` holds, now and then. Does nothing where no collector is configured.
    pub fn export_metrics(&mut self, registry: Registry) -> Result<(), TelemetryError> {
        if let Some(otlp) = &mut self.otlp {
            let export = MetricsExport::begin(Arc::clone(&otlp.collector), registry, otlp.interval, &otlp.attributes);
            otlp.metrics = Some(export.map_err(|error| TelemetryError::Otlp(error.to_string()))?);
        }
        Ok(())
    }

    /// Exports what is left, and returns after `deadline` at the latest, whether the collector took it or not.
    pub fn shutdown(self, deadline: Duration) {
        let Some(otlp) = self.otlp else { return };
        let end = Instant::now() + deadline;
        // Said before waiting for either, so that both use the same time.
        let metrics = otlp.metrics.map(MetricsExport::stop);
        if otlp.traces.shutdown_with_timeout(deadline).is_err() {
            tracing::warn!("the last traces could not be exported");
        }
        if !metrics.is_none_or(|metrics| metrics.wait(end.saturating_duration_since(Instant::now()))) {
            tracing::warn!("the last metrics could not be exported");
        }
    }
}

impl Otlp {
    fn connect(endpoint: &str, settings: &config::Telemetry, node: &NodeName) -> Result<Self, TelemetryError> {
        let wrong = |error: &dyn std::fmt::Display| TelemetryError::Otlp(error.to_string());
        let collector = Arc::new(Collector::new(endpoint).map_err(|error| wrong(&error))?);
        let attributes = vec![
            KeyValue::new("service.name", settings.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", node.to_string()),
        ];
        let exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&collector) as Arc<_>)
            .with_endpoint(collector.address("/v1/traces"))
            .with_timeout(collector::TIMEOUT)
            .build()
            .map_err(|error| wrong(&error))?;
        let resource = Resource::builder().with_attributes(attributes.clone()).build();
        let traces = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { collector, traces, metrics: None, interval: settings.otlp_interval, attributes })
    }
}

#[cfg(test)]
mod tests;
