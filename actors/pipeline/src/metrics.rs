//! dockstream's own metrics. Every name is here, and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actor_runtime::{NodeView, Tree};
use model::{Batch, LossReason, Stream};
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    proto::MetricFamily,
};

use crate::books::Books;
use crate::ports::{Journal, Kept};

/// The metrics of one process. Cheap to share; counting is an atomic addition.
pub struct Metrics {
    registry: Registry,
    books: Arc<Books>,
    engine_errors: IntCounterVec,
    engine_calls: HistogramVec,
    discovery: HistogramVec,
    host_up: IntGaugeVec,
    containers: IntGaugeVec,
    images: IntGaugeVec,
    streams: IntGaugeVec,
    silent: IntGaugeVec,
    connections: IntGaugeVec,
    log_streams: IntGaugeVec,
    events: IntCounterVec,
    event_gaps: IntCounterVec,
    event_history_lost: IntCounterVec,
    unselected: IntGaugeVec,
    cached: IntGaugeVec,
    lookups: IntCounterVec,
    handled: IntCounterVec,
    handling: HistogramVec,
    log_gaps: IntCounterVec,
    batches: IntCounterVec,
    batch_bytes: IntCounterVec,
    journal_bytes: IntGaugeVec,
    journal_failing: IntGaugeVec,
    journal_full: IntGaugeVec,
    journal_append: HistogramVec,
    journal_syncs: IntCounterVec,
    journal_sync_time: CounterVec,
    attempts: IntCounterVec,
    delivery: HistogramVec,
    received: IntCounterVec,
    parsed: IntCounterVec,
    journaled: IntCounterVec,
    dropped: IntCounterVec,
    sink_rows: IntCounterVec,
    dead_letters: IntCounterVec,
    dead_letters_removed: IntCounterVec,
    sink_unkept: IntCounterVec,
    sink_unnamed: IntCounterVec,
    sink_pending: IntGaugeVec,
    sink_lag: GaugeVec,
    depth: IntGaugeVec,
    backpressure: CounterVec,
    restarts: IntCounterVec,
    quarantines: IntCounterVec,
    reloads: IntCounterVec,
    http: HistogramVec,
    /// Held while counters catch up: two at once would raise them twice.
    refreshing: Mutex<()>,
}

/// A series of metrics could not be made: two of them share a name.
#[derive(Debug, thiserror::Error)]
#[error("metric cannot be registered: {0}")]
pub struct MetricError(#[from] prometheus::Error);

const LATENCIES: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

impl Metrics {
    /// The metrics of a process with these books.
    pub fn new(books: Arc<Books>) -> Result<Arc<Self>, MetricError> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, MetricError> {
            let metric = IntCounterVec::new(Opts::new(format!("dockstream_{name}"), help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, MetricError> {
            let metric = IntGaugeVec::new(Opts::new(format!("dockstream_{name}"), help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let seconds = |name: &str, help: &str, labels: &[&str]| -> Result<GaugeVec, MetricError> {
            let metric = GaugeVec::new(Opts::new(format!("dockstream_{name}"), help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let total_seconds = |name: &str, help: &str, labels: &[&str]| -> Result<CounterVec, MetricError> {
            let metric = CounterVec::new(Opts::new(format!("dockstream_{name}"), help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| -> Result<HistogramVec, MetricError> {
            let options = HistogramOpts::new(format!("dockstream_{name}"), help).buckets(LATENCIES.to_vec());
            let metric = HistogramVec::new(options, labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Arc::new(Self {
            engine_errors: counter(
                "connection_errors_total",
                "failed engine calls and broken streams",
                &["host", "failure"],
            )?,
            engine_calls: histogram(
                "api_call_duration_seconds",
                "engine calls, until they were answered or had failed; of a stream its opening",
                &["host", "call"],
            )?,
            discovery: histogram("discovery_duration_seconds", "a full look at all containers of a host", &["host"])?,
            host_up: gauge("host_up", "1 where the engine answers", &["host"])?,
            containers: gauge("containers_discovered", "containers by the last inventory", &["host", "state"])?,
            images: gauge("images_discovered", "images by the last look", &["host"])?,
            streams: gauge("followed_containers", "containers whose stats are followed", &["host"])?,
            connections: gauge(
                "active_connections",
                "open connections to the engine: a stream each, and those kept for calls",
                &["host"],
            )?,
            silent: gauge("silent_streams", "running containers of which the engine gives no stats", &["host"])?,
            log_streams: gauge("log_streams", "log streams that are followed", &["host"])?,
            events: counter(
                "events_processed_total",
                "engine events taken, by what became of them",
                &["host", "outcome"],
            )?,
            event_gaps: counter(
                "event_gaps_total",
                "times at which events may have been missed and the inventory was asked",
                &["host"],
            )?,
            event_history_lost: counter(
                "event_history_lost_total",
                "times at which an engine had forgotten events that were not told yet; each is an event of type host",
                &["host"],
            )?,
            unselected: gauge("containers_unselected", "containers whose data are not wanted", &["host"])?,
            cached: gauge("container_cache_entries", "containers known for events that only name them", &["host"])?,
            lookups: counter(
                "container_cache_lookups_total",
                "lookups of containers that an event only names: hit, or miss and asked of the engine",
                &["host", "outcome"],
            )?,
            handled: counter(
                "event_handler_events_total",
                "events for registered handlers: handled, dropped because the handler was behind, failed by a panic",
                &["handler", "outcome"],
            )?,
            handling: histogram("event_handler_duration_seconds", "events being handled", &["handler"])?,
            log_gaps: counter(
                "log_gaps_total",
                "times at which lines were gone from an engine before they could be read",
                &["host"],
            )?,
            batches: counter("batches_total", "closed batches", &["stream", "trigger"])?,
            batch_bytes: counter("batch_bytes_total", "estimated bytes of closed batches", &["stream"])?,
            journal_bytes: gauge("journal_bytes", "bytes of records that some sink has not taken yet", &[])?,
            journal_failing: gauge("journal_failing", "1 where the journal's storage fails", &[])?,
            journal_full: gauge("journal_full", "1 where the pipeline waits for room in the journal", &[])?,
            journal_append: histogram(
                "journal_append_duration_seconds",
                "batches being journaled, waits included",
                &[],
            )?,
            journal_syncs: counter("journal_syncs_total", "times the journal waited for the disk", &[])?,
            journal_sync_time: total_seconds(
                "journal_sync_seconds_total",
                "time the journal waited for the disk",
                &[],
            )?,
            attempts: counter("sink_attempts_total", "deliveries tried, by outcome", &["sink", "outcome"])?,
            delivery: histogram("sink_delivery_duration_seconds", "successful deliveries", &["sink"])?,
            received: counter("received_total", "frames, events and states received", &["stream"])?,
            parsed: counter("parsed_total", "those that became records", &["stream"])?,
            journaled: counter("journaled_total", "records the journal has", &["stream"])?,
            dropped: counter(
                "dropped_total",
                "items dropped before the journal had them",
                &["stream", "stage", "reason"],
            )?,
            sink_rows: counter(
                "sink_records_total",
                "records of a sink, by what became of them",
                &["sink", "outcome"],
            )?,
            dead_letters: counter(
                "deadletter_records_total",
                "records refused for good and kept in the dead letter",
                &["sink", "stream"],
            )?,
            dead_letters_removed: counter(
                "deadletter_removed_total",
                "records removed from the dead letter to make room: nobody has them any more",
                &["sink", "stream"],
            )?,
            sink_unkept: counter(
                "sink_unkept_rows_total",
                "rows that a sink took and does not keep: as old as they get, or for room, or too late, or damaged",
                &["sink", "reason"],
            )?,
            sink_unnamed: counter(
                "sink_refused_unnamed_total",
                "what a sink's server refused of deliveries it took, in its own units, without saying which",
                &["sink", "unit"],
            )?,
            sink_pending: gauge("sink_lag_records", "records a sink has still to deliver", &["sink"])?,
            sink_lag: seconds("sink_lag_seconds", "age of the oldest record a sink has still to deliver", &["sink"])?,
            depth: gauge("mailbox_depth", "units queued or being handled, by stage", &["stage"])?,
            backpressure: total_seconds(
                "backpressure_seconds_total",
                "time senders waited for room, by stage",
                &["stage"],
            )?,
            restarts: counter("restarts_total", "actors restarted, by how they had ended", &["exit"])?,
            quarantines: counter("quarantines_total", "streams set aside for failing too often", &[])?,
            reloads: counter(
                "config_reloads_total",
                "configurations read again, by what became of them",
                &["outcome"],
            )?,
            http: histogram("http_request_duration_seconds", "answered requests", &["route", "status"])?,
            refreshing: Mutex::default(),
            registry,
            books,
        }))
    }

    /// Where other parts of the process register metrics of their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A failed engine call or a broken stream.
    pub fn engine_error(&self, host: &str, failure: &str) {
        self.engine_errors.with_label_values(&[host, failure]).inc();
    }

    /// A finished engine call.
    pub fn engine_call(&self, host: &str, call: &str, took: Duration) {
        self.engine_calls.with_label_values(&[host, call]).observe(took.as_secs_f64());
    }

    /// A finished look at all containers; counts by state.
    pub fn discovered(&self, host: &str, took: Duration, states: &[(&str, i64)]) {
        self.discovery.with_label_values(&[host]).observe(took.as_secs_f64());
        for (state, count) in states {
            self.containers.with_label_values(&[host, state]).set(*count);
        }
    }

    /// How many images a host has.
    pub fn images(&self, host: &str, count: usize) {
        self.images.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a host answers.
    pub fn host(&self, host: &str, is_up: bool) {
        self.host_up.with_label_values(&[host]).set(i64::from(is_up));
    }

    /// How many connections to a host are open.
    pub fn connections(&self, host: &str, count: u64) {
        self.connections.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Of how many containers of a host the stats are followed.
    pub fn streams(&self, host: &str, count: usize) {
        self.streams.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many running containers of a host give no stats.
    pub fn silent(&self, host: &str, count: usize) {
        self.silent.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many log streams of a host are followed.
    pub fn log_streams(&self, host: &str, count: usize) {
        self.log_streams.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A host is no longer watched: its series end.
    pub fn forget_host(&self, host: &str) {
        forget(&self.engine_errors, host);
        forget(&self.engine_calls, host);
        forget(&self.discovery, host);
        forget(&self.host_up, host);
        forget(&self.containers, host);
        forget(&self.images, host);
        forget(&self.streams, host);
        forget(&self.silent, host);
        forget(&self.connections, host);
        forget(&self.events, host);
        forget(&self.event_gaps, host);
        forget(&self.event_history_lost, host);
        forget(&self.unselected, host);
        forget(&self.cached, host);
        forget(&self.lookups, host);
        forget(&self.log_streams, host);
        forget(&self.log_gaps, host);
    }

    /// A changed configuration was `taken` up, or `refused`.
    pub fn reloaded(&self, outcome: &str) {
        self.reloads.with_label_values(&[outcome]).inc();
    }

    /// An event taken: `new`, `duplicate`, `unselected` or `dropped`.
    pub fn event(&self, host: &str, outcome: &str) {
        self.events.with_label_values(&[host, outcome]).inc();
    }

    /// Events may have been missed.
    pub fn event_gap(&self, host: &str) {
        self.event_gaps.with_label_values(&[host]).inc();
    }

    /// An engine had forgotten events that were not told yet.
    pub fn event_history_lost(&self, host: &str) {
        self.event_history_lost.with_label_values(&[host]).inc();
    }

    /// How many containers of a host are not wanted.
    pub fn unselected(&self, host: &str, count: usize) {
        self.unselected.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many containers of a host are known.
    pub fn containers_cached(&self, host: &str, count: usize) {
        self.cached.with_label_values(&[host]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A container was looked up: `hit` or `miss`.
    pub fn container_lookup(&self, host: &str, outcome: &str) {
        self.lookups.with_label_values(&[host, outcome]).inc();
    }

    /// What became of an event at a registered handler: `dropped` or `failed`.
    pub fn event_unhandled(&self, handler: &str, outcome: &str) {
        self.handled.with_label_values(&[handler, outcome]).inc();
    }

    /// A registered handler took an event.
    pub fn event_handled(&self, handler: &str, took: Duration) {
        self.handled.with_label_values(&[handler, "handled"]).inc();
        self.handling.with_label_values(&[handler]).observe(took.as_secs_f64());
    }

    /// Lines of a log were gone from their engine before they could be read.
    pub fn log_gap(&self, host: &str) {
        self.log_gaps.with_label_values(&[host]).inc();
    }

    /// A batch the journal has.
    pub fn batch(&self, batch: &Batch) {
        let stream = batch.id.stream.name();
        self.batches.with_label_values(&[stream, batch.trigger.name()]).inc();
        self.batch_bytes.with_label_values(&[stream]).inc_by(batch.bytes as u64);
    }

    /// Batches that the journal has, and how long that took.
    pub fn journaled(&self, took: Duration) {
        self.journal_append.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// An attempt at a delivery: `delivered`, or the class of its failure.
    pub fn attempt(&self, sink: &str, outcome: &str) {
        self.attempts.with_label_values(&[sink, outcome]).inc();
    }

    /// A successful delivery.
    pub fn delivered(&self, sink: &str, took: Duration) {
        self.delivery.with_label_values(&[sink]).observe(took.as_secs_f64());
    }

    /// Records of a sink that the dead letter has now, and older ones it has no more.
    pub fn dead_lettered(&self, sink: &str, kept: &Kept) {
        for (stream, count) in &kept.new {
            self.dead_letters.with_label_values(&[sink, stream.name()]).inc_by(*count);
        }
        for ((sink, stream), count) in &kept.removed {
            self.dead_letters_removed.with_label_values(&[sink, stream.name()]).inc_by(*count);
        }
    }

    /// Counts rows that a sink took and does not keep, by reason.
    pub fn unkept(&self, sink: &str, rows: &[(&str, u64)]) {
        for (reason, count) in rows {
            self.sink_unkept.with_label_values(&[sink, reason]).inc_by(*count);
        }
    }

    /// What a sink's server refused of a delivery it took, without saying which.
    pub fn refused_unnamed(&self, sink: &str, unit: &str, count: u64) {
        self.sink_unnamed.with_label_values(&[sink, unit]).inc_by(count);
    }

    /// An answered request of the API; `route` is its template.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        self.http.with_label_values(&[route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// Brings what is counted elsewhere (books, journal, tree) up to date.
    pub fn refresh(&self, journal: &dyn Journal, tree: &Tree, now: model::Timestamp) {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in Stream::ALL {
            let books = self.books.of(stream);
            let name = stream.name();
            catch_up(&self.received, &[name], books.received);
            catch_up(&self.parsed, &[name], books.parsed);
            catch_up(&self.journaled, &[name], books.journaled);
            for (stage, drops) in
                [("parsing", &books.dropped_before_parsing), ("batching", &books.dropped_after_parsing)]
            {
                for (reason, count) in drops {
                    catch_up(&self.dropped, &[name, stage, LossReason::name(*reason)], *count);
                }
            }
        }
        let storage = journal.storage();
        let set = |gauge: &IntGaugeVec, value: i64| gauge.with_label_values::<&str>(&[]).set(value);
        set(&self.journal_bytes, i64::try_from(storage.bytes).unwrap_or(i64::MAX));
        set(&self.journal_failing, i64::from(storage.failing.is_some()));
        set(&self.journal_full, i64::from(storage.is_full));
        catch_up(&self.journal_syncs, &[], storage.syncs.0);
        let waited = self.journal_sync_time.with_label_values::<&str>(&[]);
        waited.inc_by((storage.syncs.1.as_secs_f64() - waited.get()).max(0.0));
        for books in journal.books() {
            let sink = books.sink.as_str();
            for (outcome, count) in [
                ("journaled", books.journaled),
                ("delivered", books.delivered),
                ("rejected", books.rejected),
                ("dropped", books.dropped),
            ] {
                catch_up(&self.sink_rows, &[sink, outcome], count);
            }
            self.sink_pending.with_label_values(&[sink]).set(i64::try_from(books.pending).unwrap_or(i64::MAX));
            let lag = books.oldest_pending.map_or(Duration::ZERO, |oldest| now.since(oldest));
            self.sink_lag.with_label_values(&[sink]).set(lag.as_secs_f64());
        }
        for (exit, count) in tree.restarts() {
            catch_up(&self.restarts, &[exit.name()], count);
        }
        catch_up(&self.quarantines, &[], tree.quarantines());
        for group in &tree.view().children {
            self.refresh_stages(group);
        }
    }

    /// Sets depth and waits of each stage: actors of one kind are summed.
    fn refresh_stages(&self, group: &NodeView) {
        let stages: &[&str] = match group.name.as_str() {
            "parsing" => &["parser"],
            "delivery" => &["batcher", "journal"],
            _ => return,
        };
        for stage in stages {
            let parts = group.children.iter().filter(|child| child.name.starts_with(stage));
            let (depth, waited) = parts.fold((0, 0), |(depth, waited), part| {
                (depth + i64::from(part.depth.unwrap_or(0)), waited + part.backpressure_ns.unwrap_or(0))
            });
            self.depth.with_label_values(&[stage]).set(depth);
            let backpressure = self.backpressure.with_label_values(&[stage]);
            // A group that was built anew counts from zero again: the metric goes on from where it was.
            backpressure.inc_by((Duration::from_nanos(waited).as_secs_f64() - backpressure.get()).max(0.0));
        }
    }

    /// All metrics, as data.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All metrics, in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.gather()).unwrap_or_default()
    }
}

/// Ends the series of a host.
fn forget<B: MetricVecBuilder>(metric: &MetricVec<B>, host: &str) {
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels: HashMap<&str, &str> =
                series.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("host") == Some(&host) {
                // It can only be gone already.
                metric.remove(&labels).ok();
            }
        }
    }
}

/// Raises a counter to what was counted elsewhere.
fn catch_up(counter: &IntCounterVec, labels: &[&str], total: u64) {
    let counter = counter.with_label_values(labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}
