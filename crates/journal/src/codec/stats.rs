//! Samples as bytes: texts once per batch, identities once per batch, then one row per sample with a bit per
//! known field and the known values only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use model::{
    ContainerId, ContainerMeta, HostName, NetworkScope, Sample, SampleKind, SampleValue, StatsRecord, Timestamp,
};

use super::wire::{Reader, Writer};
use super::{Unreadable, after, between};

/// The fields in stored order. A new field goes to the end, so that what older versions wrote stays readable:
/// where the model puts it does not matter here.
pub(super) const STORED: [&str; 32] = [
    "cpu_usage_percent",
    "cpu_usage_ns",
    "cpu_user_ns",
    "cpu_kernel_ns",
    "system_cpu_ns",
    "online_cpus",
    "cpu_throttled_periods",
    "cpu_throttled_ns",
    "memory_usage_bytes",
    "memory_total_bytes",
    "memory_limit_bytes",
    "memory_usage_percent",
    "memory_cache_bytes",
    "network_rx_bytes",
    "network_tx_bytes",
    "network_rx_packets",
    "network_tx_packets",
    "network_rx_errors",
    "network_tx_errors",
    "network_rx_dropped",
    "network_tx_dropped",
    "block_read_bytes",
    "block_write_bytes",
    "pids",
    "pids_limit",
    "interval_ns",
    "cpu_usage_delta_ns",
    "cpu_throttled_delta_ns",
    "network_rx_delta_bytes",
    "network_tx_delta_bytes",
    "block_read_delta_bytes",
    "block_write_delta_bytes",
];

/// Where each field of the model is stored.
static SLOTS: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let slot = |field: &&str| STORED.iter().position(|stored| stored == field);
    Sample::FIELDS.iter().map(|field| slot(field).expect("a test holds STORED to the model's fields")).collect()
});

/// Which slots hold a float, as bits.
static FLOATS: LazyLock<u64> = LazyLock::new(|| {
    let floats = Sample::KINDS.iter().zip(&*SLOTS).filter(|(kind, _)| **kind == SampleKind::Float64);
    floats.fold(0, |bits, (_, slot)| bits | 1 << slot)
});

const NOTHING: SampleValue = SampleValue::Unsigned(None);

/// Network scopes as bytes; `SHARED` is followed by the id.
const UNKNOWN: u8 = 0;
const OWN: u8 = 1;
const HOST: u8 = 2;
const NONE: u8 = 3;
const SHARED: u8 = 4;

pub(super) fn write(out: &mut Writer, rows: &[StatsRecord], opened_at: Timestamp) {
    let mut texts = Texts::default();
    let mut metas = Writer::default();
    let mut seen: HashMap<*const ContainerMeta, u64> = HashMap::new();
    let mut samples = Writer::default();
    for row in rows {
        let next = seen.len() as u64;
        let meta = *seen.entry(Arc::as_ptr(&row.meta)).or_insert_with(|| {
            write_meta(&mut metas, &mut texts, &row.meta);
            next
        });
        samples.unsigned(meta);
        samples.signed(between(opened_at, row.timestamp));
        samples.signed(between(opened_at, row.received_at));
        write_scope(&mut samples, row.network_scope.as_ref());
        write_values(&mut samples, &row.sample);
    }
    out.unsigned(STORED.len() as u64);
    out.unsigned(*FLOATS);
    out.unsigned(texts.all.len() as u64);
    for text in texts.all {
        out.text(text);
    }
    out.unsigned(seen.len() as u64);
    out.raw(&metas.into_bytes());
    out.unsigned(rows.len() as u64);
    out.raw(&samples.into_bytes());
}

/// Texts that repeat across identities: written once, named by number.
#[derive(Default)]
pub(super) struct Texts<'a> {
    pub(super) all: Vec<&'a str>,
    numbers: HashMap<&'a str, u64>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: &'a str) -> u64 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() as u64 - 1
        })
    }

    /// 0 for none, else one more than the text's number.
    fn optional(&mut self, text: Option<&'a str>) -> u64 {
        text.map_or(0, |text| self.number(text) + 1)
    }
}

pub(super) fn write_meta<'a>(out: &mut Writer, texts: &mut Texts<'a>, meta: &'a ContainerMeta) {
    out.unsigned(texts.number(meta.host.as_str()));
    write_id(out, &meta.container_id);
    out.text(&meta.container_name);
    out.unsigned(texts.number(&meta.image));
    out.unsigned(texts.optional(meta.compose_project.as_deref()));
    out.unsigned(texts.optional(meta.compose_service.as_deref()));
    out.byte(u8::from(meta.run.is_some()));
    if let Some(run) = meta.run {
        out.signed(run.as_nanos());
    }
    out.unsigned(meta.labels.len() as u64);
    for (key, value) in &meta.labels {
        out.unsigned(texts.number(key));
        out.unsigned(texts.number(value));
    }
}

pub(super) fn read_meta(from: &mut Reader<'_>, texts: &[&str]) -> Result<ContainerMeta, Unreadable> {
    let text = |number: u64| usize::try_from(number).ok().and_then(|at| texts.get(at)).ok_or(Unreadable::Shape);
    let optional = |number: u64| match number {
        0 => Ok(None),
        number => text(number - 1).map(|text| Some((*text).to_owned())),
    };
    let host = HostName::try_new(text(from.unsigned()?)?).map_err(|_| Unreadable::Shape)?;
    let container_id = read_id(from)?;
    let container_name = from.text()?.to_owned();
    let image = (*text(from.unsigned()?)?).to_owned();
    let compose_project = optional(from.unsigned()?)?;
    let compose_service = optional(from.unsigned()?)?;
    let run = match from.byte()? {
        0 => None,
        _ => Some(Timestamp::from_nanos(from.signed()?)),
    };
    let mut labels = BTreeMap::new();
    for _ in 0..from.count()? {
        let (key, value) = (text(from.unsigned()?)?, text(from.unsigned()?)?);
        labels.insert((*key).to_owned(), (*value).to_owned());
    }
    Ok(ContainerMeta { host, container_id, container_name, image, compose_project, compose_service, run, labels })
}

/// 64 hexadecimal digits as 32 bytes.
fn write_id(out: &mut Writer, id: &ContainerId) {
    let digit = |byte: u8| if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
    for pair in id.as_str().as_bytes().chunks_exact(2) {
        out.byte(digit(pair[0]) << 4 | digit(pair[1]));
    }
}

fn read_id(from: &mut Reader<'_>) -> Result<ContainerId, Unreadable> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = from.raw(32)?.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text: String = digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect();
    ContainerId::try_new(&text).map_err(|_| Unreadable::Shape)
}

fn write_scope(out: &mut Writer, scope: Option<&NetworkScope>) {
    match scope {
        None => out.byte(UNKNOWN),
        Some(NetworkScope::Own) => out.byte(OWN),
        Some(NetworkScope::Host) => out.byte(HOST),
        Some(NetworkScope::None) => out.byte(NONE),
        Some(NetworkScope::Shared(id)) => {
            out.byte(SHARED);
            write_id(out, id);
        }
    }
}

fn read_scope(from: &mut Reader<'_>) -> Result<Option<NetworkScope>, Unreadable> {
    Ok(match from.byte()? {
        UNKNOWN => None,
        OWN => Some(NetworkScope::Own),
        HOST => Some(NetworkScope::Host),
        NONE => Some(NetworkScope::None),
        SHARED => Some(NetworkScope::Shared(read_id(from)?)),
        _ => return Err(Unreadable::Shape),
    })
}

fn write_values(out: &mut Writer, sample: &Sample) {
    let mut slots = [NOTHING; STORED.len()];
    for (value, slot) in sample.values().zip(&*SLOTS) {
        slots[*slot] = value;
    }
    let known = slots.iter().enumerate().fold(0u64, |bits, (slot, value)| match value {
        SampleValue::Float(None) | SampleValue::Unsigned(None) => bits,
        _ => bits | 1 << slot,
    });
    out.unsigned(known);
    for value in slots {
        match value {
            SampleValue::Float(Some(value)) => out.raw(&value.to_bits().to_le_bytes()),
            SampleValue::Unsigned(Some(value)) => out.unsigned(value),
            SampleValue::Float(None) | SampleValue::Unsigned(None) => {}
        }
    }
}

fn read_values(from: &mut Reader<'_>, floats: u64, slots: &mut [SampleValue]) -> Result<Sample, Unreadable> {
    let known = from.unsigned()?;
    for (slot, value) in slots.iter_mut().enumerate() {
        *value = match (known >> slot & 1 == 1, floats >> slot & 1 == 1) {
            (false, _) => NOTHING,
            (true, true) => {
                let bits = from.raw(8)?.try_into().map_err(|_| Unreadable::Shape)?;
                SampleValue::Float(Some(f64::from_bits(u64::from_le_bytes(bits))))
            }
            (true, false) => SampleValue::Unsigned(Some(from.unsigned()?)),
        };
    }
    // A field this version added was not stored: not known. One it does not know was read over above.
    Sample::read(|position, _| Ok(slots.get(SLOTS[position]).copied().unwrap_or(NOTHING)))
}

pub(super) fn read(from: &mut Reader<'_>, opened_at: Timestamp) -> Result<Vec<StatsRecord>, Unreadable> {
    let width = from.count()?;
    let floats = from.unsigned()?;
    if width > 64 {
        return Err(Unreadable::Shape);
    }
    let texts = (0..from.count()?).map(|_| from.text()).collect::<Result<Vec<_>, _>>()?;
    let metas = (0..from.count()?).map(|_| read_meta(from, &texts).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let mut slots = vec![NOTHING; width];
    let mut rows = Vec::new();
    for _ in 0..from.count()? {
        let meta = usize::try_from(from.unsigned()?).ok().and_then(|at| metas.get(at)).ok_or(Unreadable::Shape)?;
        rows.push(StatsRecord {
            meta: meta.clone(),
            timestamp: after(opened_at, from.signed()?),
            received_at: after(opened_at, from.signed()?),
            network_scope: read_scope(from)?,
            sample: read_values(from, floats, &mut slots)?,
        });
    }
    if from.is_empty() { Ok(rows) } else { Err(Unreadable::Shape) }
}
