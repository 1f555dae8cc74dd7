//! What the cache did, as metrics.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, Opts};
use store::cache::CacheCounts;

/// `dockstream_cache_*`, read from the counters of the cache whenever metrics are asked for.
pub struct CacheMetrics {
    counts: Arc<CacheCounts>,
    hits: IntCounterVec,
    misses: IntCounter,
    stale: IntCounter,
    errors: IntCounterVec,
    /// Of two that collect at once, each wants all of it.
    collecting: Mutex<()>,
}

impl CacheMetrics {
    /// Metrics of the cache that counts in `counts`.
    pub fn new(counts: Arc<CacheCounts>) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("dockstream_cache_{name}_total"), help);
        Ok(Self {
            counts,
            hits: IntCounterVec::new(opts("hits", "answers from the cache, by where it had them"), &["cache"])?,
            misses: IntCounter::with_opts(opts("misses", "questions that went on to the store"))?,
            stale: IntCounter::with_opts(opts("stale", "answers too old, given as the store was away"))?,
            errors: IntCounterVec::new(
                opts("errors", "calls of Redis that failed or took too long, or were skipped after such"),
                &["reason"],
            )?,
            collecting: Mutex::default(),
        })
    }
}

impl Collector for CacheMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.hits.desc(), self.misses.desc(), self.stale.desc(), self.errors.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _collecting = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.counts.snapshot();
        let set = |counter: &IntCounter, value: u64| {
            counter.reset();
            counter.inc_by(value);
        };
        set(&self.hits.with_label_values(&["memory"]), now.memory_hits);
        set(&self.hits.with_label_values(&["redis"]), now.redis_hits);
        set(&self.misses, now.misses);
        set(&self.stale, now.stale);
        set(&self.errors.with_label_values(&["failed"]), now.redis_errors);
        set(&self.errors.with_label_values(&["skipped"]), now.redis_skipped);
        [self.hits.collect(), self.misses.collect(), self.stale.collect(), self.errors.collect()].concat()
    }
}
