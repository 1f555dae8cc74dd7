//! The past: from rows and packed chunks where the range is short, else from the rollups and what is not in them yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use chunks::{Chunk, ChunkError, Rollup, fields};
use model::{Sample, SampleKind, SampleValue, Timestamp};
use rusqlite::{Connection, Row, params};

use super::pool::QueryError;
use super::read::whole;
use crate::answer::{per_second, rounded};
use crate::{ContainerKey, History, HistoryPoint, HistoryQuery, Plan, Rates, Resolution};

/// The steps of an answer, by their begin.
type Steps = BTreeMap<i64, Rollup>;

/// What is looked for: from the first moment to before the last, in steps of a length or, without one, sample by sample.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) step_ns: Option<i64>,
}

impl Span {
    /// The span of a plan for `query`.
    pub(super) fn of(plan: &Plan, query: &HistoryQuery) -> Self {
        let (from, to) = plan.range(query);
        Self { from: from.as_nanos(), to: to.as_nanos(), step_ns: Some(plan.step_ns) }
    }

    fn step(&self, moment: i64) -> i64 {
        self.step_ns.map_or(moment, |step| start(moment, step))
    }

    fn contains(&self, moment: i64) -> bool {
        (self.from..self.to).contains(&moment)
    }
}

/// The begin of the step that `moment` is in.
fn start(moment: i64, step: i64) -> i64 {
    moment.div_euclid(step).saturating_mul(step)
}

pub(super) fn of_container(
    connection: &Connection,
    container: &ContainerKey,
    query: &HistoryQuery,
    asked: Plan,
) -> Result<History, QueryError> {
    // Rows leave for chunks and rollups at any time: all is looked at as it is at one moment.
    let _moment = connection.unchecked_transaction()?;
    let (mut plan, mut span) = (asked, Span::of(&asked, query));
    loop {
        let (mut step_ns, points) = samples_or_steps(connection, container, &plan, span)?;
        if points.is_empty() {
            // Rollups are kept longer than what they are made from.
            let coarser = plan.coarser(query).filter(|_| query.resolution.is_none());
            if let Some((next, inside)) = coarser {
                (plan, span) = (next, Span::of(&next, &inside));
                continue;
            }
            (plan, step_ns) = (asked, asked.resolution.step_ns().map(|_| asked.step_ns));
        }
        return Ok(History { resolution: plan.resolution, step_ns, from: query.from, to: query.to, points });
    }
}

/// Samples where there are no more of them than points are wanted, else steps; with the length of a step.
fn samples_or_steps(
    connection: &Connection,
    container: &ContainerKey,
    plan: &Plan,
    span: Span,
) -> Result<(Option<i64>, Vec<HistoryPoint>), QueryError> {
    if plan.resolution == Resolution::Raw {
        let samples = Span { step_ns: None, ..span };
        if let Some(points) = points(connection, container, plan.resolution, samples, plan.max_points)? {
            return Ok((None, points));
        }
    }
    let points = points(connection, container, plan.resolution, span, usize::MAX)?;
    Ok((span.step_ns, points.unwrap_or_default()))
}

/// A container's points; `None` where there are more than `limit`. To be called within a transaction.
pub(super) fn points(
    connection: &Connection,
    container: &ContainerKey,
    resolution: Resolution,
    span: Span,
    limit: usize,
) -> Result<Option<Vec<HistoryPoint>>, QueryError> {
    let mut of_container =
        connection.prepare_cached("SELECT series FROM series WHERE host = ?1 AND container_id = ?2")?;
    let of_container = of_container
        .query_map([container.host.as_str(), container.container_id.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut steps = Steps::new();
    for series in of_container {
        let is_few = match resolution {
            Resolution::Raw => add_chunks(connection, series, &span, limit, &mut steps)?,
            _ => add_rollups(connection, series, resolution, &span, &mut steps)?,
        } && add_rows(connection, series, &span, limit, &mut steps)?;
        if !is_few {
            return Ok(None);
        }
    }
    Ok(Some(steps.iter().map(point).collect()))
}

/// The fields that are asked for, by name.
static FIELDS: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = fields().iter().map(|position| Sample::FIELDS[*position]).collect();
    names.join(", ")
});

/// Adds samples that are rows. False where they become too many.
fn add_rows(
    connection: &Connection,
    series: i64,
    span: &Span,
    limit: usize,
    steps: &mut Steps,
) -> Result<bool, QueryError> {
    let sql =
        format!("SELECT timestamp, {} FROM samples WHERE series = ?1 AND timestamp >= ?2 AND timestamp < ?3", *FIELDS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![series, span.from, span.to])?;
    while let Some(row) = rows.next()? {
        steps.entry(span.step(row.get(0)?)).or_default().merge(&Rollup::from(&read_sample(row)?));
        if steps.len() > limit {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_sample(row: &Row<'_>) -> rusqlite::Result<Sample> {
    let mut columns = (1..).zip(fields()).peekable();
    Sample::read(|position, kind| {
        let column = columns.next_if(|(_, field)| **field == position).map(|(column, _)| column);
        Ok(match (kind, column) {
            (SampleKind::Float64, Some(column)) => SampleValue::Float(row.get(column)?),
            (SampleKind::Float64, None) => SampleValue::Float(None),
            (_, Some(column)) => SampleValue::Unsigned(whole(row, column)?),
            (_, None) => SampleValue::Unsigned(None),
        })
    })
}

/// Adds samples that are packed. False where they become too many.
fn add_chunks(
    connection: &Connection,
    series: i64,
    span: &Span,
    limit: usize,
    steps: &mut Steps,
) -> Result<bool, QueryError> {
    // Chunks of a series do not overlap: those that lie inside are enough to see that there are too many.
    let inside = "SELECT coalesce(sum(samples), 0) FROM chunks WHERE series = ?1 AND first >= ?2 AND last < ?3";
    if span.step_ns.is_none() && limit < usize::MAX {
        let inside: i64 =
            connection.prepare_cached(inside)?.query_row(params![series, span.from, span.to], |row| row.get(0))?;
        if usize::try_from(inside).is_ok_and(|inside| inside > limit) {
            return Ok(false);
        }
    }
    let mut statement =
        connection.prepare_cached("SELECT chunk, data FROM chunks WHERE series = ?1 AND first < ?3 AND last >= ?2")?;
    let mut rows = statement.query(params![series, span.from, span.to])?;
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        if let Err(error) = add_chunk(data, span, steps) {
            tell_once(row.get(0)?, error);
        }
        if steps.len() > limit {
            return Ok(false);
        }
    }
    Ok(true)
}

fn add_chunk(data: &[u8], span: &Span, steps: &mut Steps) -> Result<(), ChunkError> {
    let mut chunk = Chunk::parse(data)?;
    let (moments, samples) = (chunk.timestamps()?, chunk.samples(fields())?);
    // One step after the other: it is put together before its place is looked for.
    let mut open: Option<(i64, Rollup)> = None;
    let moments = moments.iter().map(|moment| moment.as_nanos());
    for (moment, sample) in moments.zip(&samples).filter(|(moment, _)| span.contains(*moment)) {
        let step = span.step(moment);
        match &mut open {
            Some((of, rollup)) if *of == step => rollup.merge(&Rollup::from(sample)),
            _ => {
                if let Some((of, rollup)) = open.replace((step, Rollup::from(sample))) {
                    steps.entry(of).or_default().merge(&rollup);
                }
            }
        }
    }
    if let Some((of, rollup)) = open {
        steps.entry(of).or_default().merge(&rollup);
    }
    Ok(())
}

/// Damaged chunks are a gap in the answer, and told in the log, each once.
fn tell_once(chunk: i64, error: ChunkError) {
    static TOLD: Mutex<BTreeSet<i64>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < 1_000 && told.insert(chunk) {
        tracing::error!(chunk, %error, "a chunk of samples is damaged: what it held is missing from histories");
    }
}

/// Adds the rollups of samples that are no longer rows.
fn add_rollups(
    connection: &Connection,
    series: i64,
    resolution: Resolution,
    span: &Span,
    steps: &mut Steps,
) -> Result<bool, QueryError> {
    static COLUMNS: LazyLock<String> = LazyLock::new(|| {
        let names: Vec<&str> = Rollup::COLUMNS.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    });
    let sql = format!(
        "SELECT timestamp, {} FROM samples_{} WHERE series = ?1 AND timestamp >= ?2 AND timestamp < ?3",
        *COLUMNS,
        resolution.name()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![series, span.from, span.to])?;
    while let Some(row) = rows.next()? {
        let rollup = Rollup::read(|position, is_float| {
            Ok::<_, rusqlite::Error>(match is_float {
                true => SampleValue::Float(row.get(1 + position)?),
                false => SampleValue::Unsigned(whole(row, 1 + position)?),
            })
        })?;
        steps.entry(span.step(row.get(0)?)).or_default().merge(&rollup);
    }
    Ok(true)
}

fn point((begin, of): (&i64, &Rollup)) -> HistoryPoint {
    let rate = |of_sum: &chunks::Sum| {
        let known = of.interval_ns.unwrap_or(0).saturating_sub(of_sum.unknown_ns);
        of_sum.total.and_then(|delta| per_second(delta, known))
    };
    let (cpu, memory, part) = (&of.cpu_usage_percent, &of.memory_usage_bytes, &of.memory_usage_percent);
    HistoryPoint {
        timestamp: Timestamp::from_nanos(*begin),
        samples: of.samples,
        interval_ns: of.interval_ns,
        memory_limit_bytes: of.memory_limit_bytes,
        pids: of.pids.max,
        cpu_usage_percent: cpu.mean(of.samples),
        cpu_usage_percent_min: cpu.min,
        cpu_usage_percent_max: cpu.max,
        memory_usage_bytes: rounded(memory.mean(of.samples)),
        memory_usage_bytes_min: memory.min,
        memory_usage_bytes_max: memory.max,
        memory_usage_percent: part.mean(of.samples),
        memory_usage_percent_min: part.min,
        memory_usage_percent_max: part.max,
        cpu_usage_delta_ns: of.cpu_usage_delta_ns.total,
        cpu_throttled_delta_ns: of.cpu_throttled_delta_ns.total,
        network_rx_delta_bytes: of.network_rx_delta_bytes.total,
        network_tx_delta_bytes: of.network_tx_delta_bytes.total,
        block_read_delta_bytes: of.block_read_delta_bytes.total,
        block_write_delta_bytes: of.block_write_delta_bytes.total,
        rates: Rates {
            cpu_throttled_ns_per_second: rate(&of.cpu_throttled_delta_ns),
            network_rx_bytes_per_second: rate(&of.network_rx_delta_bytes),
            network_tx_bytes_per_second: rate(&of.network_tx_delta_bytes),
            block_read_bytes_per_second: rate(&of.block_read_delta_bytes),
            block_write_bytes_per_second: rate(&of.block_write_delta_bytes),
        },
    }
}
