//! Types of values: sizes, secrets, choices.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;

use super::setting::{Printed, Setting, expected, found, print_pairs, quoted, toml_string};

/// A number of bytes, written as people do: `"64MiB"`, `"500kB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// The text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: a whole number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB")]
pub struct InvalidByteSize;

/// Binary units first: a size is printed in the largest that divides it.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// From bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In bytes, as lengths in memory are counted; the largest length where it is more.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidByteSize;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| InvalidByteSize)?;
        let unit = unit.trim_start();
        let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(InvalidByteSize)?;
        number.checked_mul(*factor).map(Self).ok_or(InvalidByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A text that is never printed: `Debug` and every listing show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for Secret {
    const WORD: &'static str = "secret text";
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(Self::new).ok_or_else(|| {
            format!("expected a text, found {} {}", if value.is_integer() { "an" } else { "a" }, value.type_str())
        })
    }
    fn print(&self) -> Printed {
        Printed::Hidden(toml_string("***"))
    }
}

/// Settings handed through to a client library by its own names. Those that carry secrets are never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Name and value, secrets in clear: for the library only.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn redacted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.expose().map(|(name, value)| (name, if is_secret(name) { "***" } else { value }))
    }
}

/// Whether a client library's setting carries a secret: `sasl.password`, `ssl.key.pem`, `sasl.oauthbearer.client.secret` …
fn is_secret(name: &str) -> bool {
    ["password", "secret", "token", "credential", "pem", "sasl.jaas", "oauthbearer.config"]
        .iter()
        .any(|word| name.to_ascii_lowercase().contains(word))
}

impl FromIterator<(String, String)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.redacted()).finish()
    }
}

impl Setting for Properties {
    const WORD: &'static str = BTreeMap::<String, String>::WORD;
    fn from_text(text: &str) -> Result<Self, String> {
        BTreeMap::from_text(text).map(Self)
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        BTreeMap::from_toml(value).map(Self)
    }
    fn print(&self) -> Printed {
        let text = print_pairs(self.redacted());
        if self.names().any(is_secret) { Printed::Hidden(text) } else { Printed::Value(text) }
    }
}

/// Headers of requests, by name. None of their values is ever printed: each may be a key to something.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Name and value, in clear: for the wire only.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn redacted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.expose().map(|(name, _)| (name, "***"))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.redacted()).finish()
    }
}

impl Setting for Headers {
    const WORD: &'static str = BTreeMap::<String, String>::WORD;
    fn from_text(text: &str) -> Result<Self, String> {
        BTreeMap::from_text(text).map(Self)
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        BTreeMap::from_toml(value).map(Self)
    }
    fn print(&self) -> Printed {
        let text = print_pairs(self.redacted());
        if self.0.is_empty() { Printed::Value(text) } else { Printed::Hidden(text) }
    }
}

/// One of a few words.
macro_rules! choice {
    ($(#[doc = $doc:literal])+ $name:ident: $word:literal { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// Every choice.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl Setting for $name {
            const WORD: &'static str = $word;
            fn from_text(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|choice| choice.name() == text).ok_or_else(|| expected(Self::WORD, &quoted(text)))
            }
            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                value.as_str().map_or_else(|| Err(expected(Self::WORD, &found(value))), Self::from_text)
            }
            fn print(&self) -> Printed {
                Printed::Value(toml_string(self.name()))
            }
        }
    };
}

choice! {
    /// Where stats come from.
    CollectMode: "\"auto\", \"stream\", \"poll\" or \"cgroup\"" {
        /// Poll where the engine can (API 1.44 and later), else the stream.
        Auto = "auto",
        /// The engine's own stream, at its own pace.
        Stream = "stream",
        /// One frame per container and interval, asked for.
        Poll = "poll",
        /// The kernel's counters, where the host is this machine and they may be read; else as `Auto`.
        Cgroup = "cgroup",
    }
}

choice! {
    /// What becomes of a container that no rule includes.
    SelectDefault: "\"in\" or \"out\"" {
        /// It is wanted.
        In = "in",
        /// It is not.
        Out = "out",
    }
}

choice! {
    /// Where refused records go.
    DeadLetterPlace: "\"file\" or \"topic\"" {
        /// JSON lines in the data folder.
        File = "file",
        /// A topic of the Kafka sink's cluster.
        Topic = "topic",
    }
}

choice! {
    /// Where a log is begun that was never read.
    LogTail: "\"now\" or \"all\"" {
        /// With what is written from now on.
        Now = "now",
        /// With all there is of it.
        All = "all",
    }
}

choice! {
    /// How log lines look.
    LogFormat: "\"auto\", \"pretty\" or \"json\"" {
        /// Pretty on a terminal, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Pretty = "pretty",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// How Kafka messages are compressed.
    Compression: "\"none\", \"gzip\", \"snappy\" or \"lz4\"" {
        /// Not at all.
        None = "none",
        /// Gzip.
        Gzip = "gzip",
        /// Snappy.
        Snappy = "snappy",
        /// LZ4.
        Lz4 = "lz4",
    }
}

choice! {
    /// What values in Kafka are.
    KafkaFormat: "\"json\", \"avro\" or \"protobuf\"" {
        /// JSON objects.
        Json = "json",
        /// Avro, with a schema registry.
        Avro = "avro",
        /// Protobuf, with a schema registry.
        Protobuf = "protobuf",
    }
}

choice! {
    /// An interface of InfluxDB's.
    InfluxApi: "\"v1\" or \"v2\"" {
        /// `/write`, into a database.
        V1 = "v1",
        /// `/api/v2/write`, into a bucket.
        V2 = "v2",
    }
}

choice! {
    /// Whether a connection to PostgreSQL is encrypted.
    PostgresTls: "\"off\" or \"verify\"" {
        /// It is not.
        Off = "off",
        /// It is, with a server that proves who it is.
        Verify = "verify",
    }
}

choice! {
    /// Whether tables are made for TimescaleDB.
    TimescaleUse: "\"auto\", \"on\" or \"off\"" {
        /// Where the database has it.
        Auto = "auto",
        /// Yes.
        On = "on",
        /// No.
        Off = "off",
    }
}

choice! {
    /// In what a receiver of OTLP is spoken to.
    OtlpProtocol: "\"grpc\" or \"http\"" {
        /// gRPC.
        Grpc = "grpc",
        /// Protobuf over HTTP.
        Http = "http",
    }
}

choice! {
    /// Where the journal is kept.
    JournalKind: "\"disk\" or \"memory\"" {
        /// In the data folder.
        Disk = "disk",
        /// In memory, for as long as the process lives.
        Memory = "memory",
    }
}

choice! {
    /// When the disk has to have what was journaled.
    JournalSync: "\"always\", \"interval\" or \"off\"" {
        /// Before a batch counts as journaled.
        Always = "always",
        /// Every so often.
        Interval = "interval",
        /// When the file is put in order.
        Off = "off",
    }
}

choice! {
    /// Where answers of the store are kept for a while.
    CacheKind: "\"memory\", \"redis\" or \"off\"" {
        /// In the process.
        Memory = "memory",
        /// In Redis, and in the process.
        Redis = "redis",
        /// Nowhere.
        Off = "off",
    }
}

choice! {
    /// What the API reads.
    StoreKind: "\"auto\", \"sqlite\", \"clickhouse\" or \"postgres\"" {
        /// The embedded store where it is used, else ClickHouse, else PostgreSQL.
        Auto = "auto",
        /// The embedded store.
        Sqlite = "sqlite",
        /// ClickHouse.
        ClickHouse = "clickhouse",
        /// PostgreSQL.
        Postgres = "postgres",
    }
}

choice! {
    /// What happens when the journal is full.
    WhenFull: "\"block\" or \"drop_oldest\"" {
        /// Sources wait.
        Block = "block",
        /// The oldest records go, counted.
        DropOldest = "drop_oldest",
    }
}
