//! Log lines as bytes: texts of identities once per batch, identities once per batch, then one row per line.

use std::collections::HashMap;
use std::sync::Arc;

use model::{ContainerMeta, LogRecord, LogStream, Timestamp};

use super::stats::{Texts, read_meta, write_meta};
use super::wire::{Reader, Writer};
use super::{Unreadable, after, between};

/// What is true of a line, a bit each.
const STDERR: u8 = 1;
const PARTIAL: u8 = 1 << 1;
const TRUNCATED: u8 = 1 << 2;
const INVALID_UTF8: u8 = 1 << 3;

pub(super) fn write(out: &mut Writer, rows: &[LogRecord], opened_at: Timestamp) {
    let mut texts = Texts::default();
    let mut metas = Writer::default();
    let mut seen: HashMap<*const ContainerMeta, u64> = HashMap::new();
    let mut lines = Writer::default();
    for row in rows {
        let next = seen.len() as u64;
        let meta = *seen.entry(Arc::as_ptr(&row.meta)).or_insert_with(|| {
            write_meta(&mut metas, &mut texts, &row.meta);
            next
        });
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        lines.unsigned(meta);
        lines.byte(
            flag(row.stream == LogStream::Stderr, STDERR)
                | flag(row.partial, PARTIAL)
                | flag(row.truncated, TRUNCATED)
                | flag(row.invalid_utf8, INVALID_UTF8),
        );
        lines.signed(between(opened_at, row.timestamp));
        lines.signed(between(opened_at, row.received_at));
        lines.unsigned(u64::from(row.ordinal));
        lines.text(&row.line);
    }
    out.unsigned(texts.all.len() as u64);
    for text in texts.all {
        out.text(text);
    }
    out.unsigned(seen.len() as u64);
    out.raw(&metas.into_bytes());
    out.unsigned(rows.len() as u64);
    out.raw(&lines.into_bytes());
}

pub(super) fn read(from: &mut Reader<'_>, opened_at: Timestamp) -> Result<Vec<LogRecord>, Unreadable> {
    let texts = (0..from.count()?).map(|_| from.text()).collect::<Result<Vec<_>, _>>()?;
    let metas = (0..from.count()?).map(|_| read_meta(from, &texts).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for _ in 0..from.count()? {
        let meta = usize::try_from(from.unsigned()?).ok().and_then(|at| metas.get(at)).ok_or(Unreadable::Shape)?;
        let flags = from.byte()?;
        rows.push(LogRecord {
            meta: meta.clone(),
            timestamp: after(opened_at, from.signed()?),
            received_at: after(opened_at, from.signed()?),
            stream: if flags & STDERR == 0 { LogStream::Stdout } else { LogStream::Stderr },
            ordinal: u32::try_from(from.unsigned()?).map_err(|_| Unreadable::Shape)?,
            line: from.text()?.to_owned(),
            partial: flags & PARTIAL != 0,
            truncated: flags & TRUNCATED != 0,
            invalid_utf8: flags & INVALID_UTF8 != 0,
        });
    }
    if from.is_empty() { Ok(rows) } else { Err(Unreadable::Shape) }
}
