//! The stats record: the same names in JSON, Kafka, SQL and the API.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ContainerId, ContainerMeta, Timestamp};

/// Why a sample has, or has not, network counters of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetworkScope {
    /// The container has its own interfaces.
    Own,
    /// The container uses the interfaces of another one, so its counters are that one's.
    Shared(ContainerId),
    /// The container uses the host's network: Docker reports nothing.
    Host,
    /// The container has no network.
    None,
}

impl fmt::Display for NetworkScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Shared(id) => write!(f, "shared:{id}"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for NetworkScope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "own" => Ok(Self::Own),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            other => match other.strip_prefix("shared:").map(ContainerId::try_new) {
                Some(Ok(id)) => Ok(Self::Shared(id)),
                Some(Err(error)) => Err(error.to_string()),
                None => Err(format!("`{other}` is not a network scope: own, shared:<id>, host or none")),
            },
        }
    }
}

impl Serialize for NetworkScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NetworkScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One value of a [`Sample`], for those who write or read its fields by position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleValue {
    /// A `f64` field.
    Float(Option<f64>),
    /// A `u32` or `u64` field.
    Unsigned(Option<u64>),
}

/// The type of a field of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// `f64`.
    Float64,
    /// `u32`.
    UInt32,
    /// `u64`.
    UInt64,
}

trait Field: Sized {
    const KIND: SampleKind;
    fn wrap(value: Option<Self>) -> SampleValue;
    fn unwrap(value: SampleValue) -> Option<Self>;
}

impl Field for f64 {
    const KIND: SampleKind = SampleKind::Float64;
    fn wrap(value: Option<Self>) -> SampleValue {
        SampleValue::Float(value)
    }
    fn unwrap(value: SampleValue) -> Option<Self> {
        match value {
            SampleValue::Float(value) => value,
            SampleValue::Unsigned(_) => None,
        }
    }
}

impl Field for u64 {
    const KIND: SampleKind = SampleKind::UInt64;
    fn wrap(value: Option<Self>) -> SampleValue {
        SampleValue::Unsigned(value)
    }
    fn unwrap(value: SampleValue) -> Option<Self> {
        match value {
            SampleValue::Unsigned(value) => value,
            SampleValue::Float(_) => None,
        }
    }
}

impl Field for u32 {
    const KIND: SampleKind = SampleKind::UInt32;
    fn wrap(value: Option<Self>) -> SampleValue {
        SampleValue::Unsigned(value.map(u64::from))
    }
    fn unwrap(value: SampleValue) -> Option<Self> {
        match value {
            SampleValue::Unsigned(value) => value.and_then(|value| value.try_into().ok()),
            SampleValue::Float(_) => None,
        }
    }
}

macro_rules! sample {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// What one stats frame says, computed over the sample before. `None` is "not known".
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Sample {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl Sample {
            /// The field names, in the order in which they are written.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The types of the fields, in the order of `FIELDS`.
            pub const KINDS: &'static [SampleKind] = &[$(<$type as Field>::KIND),*];

            /// The values, in the order of `FIELDS`.
            pub fn values(&self) -> impl Iterator<Item = SampleValue> + use<> {
                [$(<$type as Field>::wrap(self.$field)),*].into_iter()
            }

            /// Reads every field through `read`, which gets its position in `FIELDS` and its type. A value of
            /// another type, or out of range, is `None`.
            pub fn read<E>(mut read: impl FnMut(usize, SampleKind) -> Result<SampleValue, E>) -> Result<Self, E> {
                let mut position = 0..;
                Ok(Self {
                    $($field: <$type as Field>::unwrap(read(
                        position.next().expect("an open range does not end"),
                        <$type as Field>::KIND,
                    )?),)*
                })
            }

            fn serialize_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $(map.serialize_entry(stringify!($field), &self.$field)?;)*
                Ok(())
            }
        }
    };
}

sample! {
    /// CPU use as `docker stats` shows it: 100 is one full core.
    cpu_usage_percent: f64,
    /// CPU time used since the container started, in nanoseconds.
    cpu_usage_ns: u64,
    /// Part of `cpu_usage_ns` spent in user mode.
    cpu_user_ns: u64,
    /// Part of `cpu_usage_ns` spent in the kernel.
    cpu_kernel_ns: u64,
    /// CPU time of the whole host, all states, in nanoseconds.
    system_cpu_ns: u64,
    /// CPUs the host has online.
    online_cpus: u32,
    /// Scheduler periods in which the container was throttled, since it started.
    cpu_throttled_periods: u64,
    /// Time the container was throttled, in nanoseconds, since it started.
    cpu_throttled_ns: u64,
    /// Memory in use as `docker stats` shows it: without the inactive page cache.
    memory_usage_bytes: u64,
    /// Memory in use with the page cache.
    memory_total_bytes: u64,
    /// The limit, or the host's memory where the container has none.
    memory_limit_bytes: u64,
    /// `memory_usage_bytes` of `memory_limit_bytes`.
    memory_usage_percent: f64,
    /// The page cache charged to the container.
    memory_cache_bytes: u64,
    /// Bytes received over all interfaces since the container started.
    network_rx_bytes: u64,
    /// Bytes sent over all interfaces since the container started.
    network_tx_bytes: u64,
    /// Packets received.
    network_rx_packets: u64,
    /// Packets sent.
    network_tx_packets: u64,
    /// Receive errors.
    network_rx_errors: u64,
    /// Send errors.
    network_tx_errors: u64,
    /// Received packets dropped.
    network_rx_dropped: u64,
    /// Sent packets dropped.
    network_tx_dropped: u64,
    /// Bytes read from block devices since the container started.
    block_read_bytes: u64,
    /// Bytes written to block devices since the container started.
    block_write_bytes: u64,
    /// Processes and threads.
    pids: u64,
    /// The limit on `pids`; `None` where there is none.
    pids_limit: u64,
    /// Time since the sample before, by the engine's clock.
    interval_ns: u64,
    /// Growth of `cpu_usage_ns` over the interval; `None` across a reset.
    cpu_usage_delta_ns: u64,
    /// Growth of `cpu_throttled_ns` over the interval.
    cpu_throttled_delta_ns: u64,
    /// Growth of `network_rx_bytes` over the interval.
    network_rx_delta_bytes: u64,
    /// Growth of `network_tx_bytes` over the interval.
    network_tx_delta_bytes: u64,
    /// Growth of `block_read_bytes` over the interval.
    block_read_delta_bytes: u64,
    /// Growth of `block_write_bytes` over the interval.
    block_write_delta_bytes: u64,
}

/// One sample of one container. Serialises flat, in the documented order.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsRecord {
    /// Whose sample it is.
    pub meta: Arc<ContainerMeta>,
    /// When the engine read the counters, by the engine's clock.
    pub timestamp: Timestamp,
    /// When dockstream received the frame, by its own clock.
    pub received_at: Timestamp,
    /// Why there are, or are not, network counters.
    pub network_scope: Option<NetworkScope>,
    /// The values.
    pub sample: Sample,
}

impl Serialize for StatsRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.meta.serialize_identity(&mut map)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("received_at", &self.received_at)?;
        map.serialize_entry("network_scope", &self.network_scope)?;
        self.sample.serialize_fields(&mut map)?;
        if !self.meta.labels.is_empty() {
            map.serialize_entry("labels", &self.meta.labels)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for StatsRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Flat {
            #[serde(flatten)]
            meta: ContainerMeta,
            timestamp: Timestamp,
            received_at: Timestamp,
            network_scope: Option<NetworkScope>,
            #[serde(flatten)]
            sample: Sample,
        }
        let flat = Flat::deserialize(deserializer)?;
        Ok(Self {
            meta: Arc::new(flat.meta),
            timestamp: flat.timestamp,
            received_at: flat.received_at,
            network_scope: flat.network_scope,
            sample: flat.sample,
        })
    }
}
