//! What the stores hold in the end, compared with each other, with the books, and with what the engine told.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use model::Stream;
use simulator::Control;
use test_support::{ClickHouse, Kafka};

use super::books::Books;
use super::stir::Restarts;
use super::tables::Tables;
use crate::stores::{self, Kind, Row, Sent};

/// A sample is known by the first three.
const STATS: [(&str, Kind); 7] = [
    ("host", Kind::Text),
    ("container_id", Kind::Text),
    ("timestamp", Kind::Time),
    ("received_at", Kind::Time),
    ("cpu_usage_ns", Kind::Whole),
    ("cpu_usage_delta_ns", Kind::Whole),
    ("memory_usage_percent", Kind::Float),
];

/// An event is known by the first five.
const EVENTS: [(&str, Kind); 7] = [
    ("host", Kind::Text),
    ("timestamp", Kind::Time),
    ("type", Kind::Text),
    ("action", Kind::Text),
    ("actor_id", Kind::Text),
    ("received_at", Kind::Time),
    ("synthetic", Kind::Flag),
];

/// What a record is known by.
type Identity = Vec<String>;

/// The records of one kind in one store: by identity, what else was compared.
#[derive(Default)]
struct Records {
    by_identity: BTreeMap<Identity, u64>,
    twice: Vec<Identity>,
}

impl Records {
    fn of(rows: Vec<Row>, columns: &[(&'static str, Kind)], identity: usize) -> Self {
        let mut records = Self::default();
        rows.iter().for_each(|row| records.add(row, columns, identity));
        records
    }

    fn add(&mut self, row: &Row, columns: &[(&'static str, Kind)], identity: usize) {
        let (known_by, others) = columns.split_at(identity);
        let text = |(name, _): &(&'static str, Kind)| row[name].clone().expect("what a record is known by is known");
        let identity: Identity = known_by.iter().map(text).collect();
        let mut hasher = DefaultHasher::new();
        others.iter().for_each(|(name, _)| row[name].hash(&mut hasher));
        if self.by_identity.insert(identity.clone(), hasher.finish()).is_some() {
            self.twice.push(identity);
        }
    }

    /// Fails where one has a record, or a value, that the other has not.
    fn assert_same(&self, other: &Self, between: &str) {
        let missing = |one: &Self, other: &Self| -> Vec<Identity> {
            one.by_identity.keys().filter(|identity| !other.by_identity.contains_key(*identity)).cloned().collect()
        };
        let (only_here, only_there) = (missing(self, other), missing(other, self));
        let first = |list: &[Identity]| list.iter().take(3).cloned().collect::<Vec<_>>();
        assert!(
            only_here.is_empty() && only_there.is_empty(),
            "{between}: {} and {} records; only in the first {} {:?}, only in the second {} {:?}",
            self.by_identity.len(),
            other.by_identity.len(),
            only_here.len(),
            first(&only_here),
            only_there.len(),
            first(&only_there),
        );
        let differing: Vec<_> =
            self.by_identity.iter().filter(|(key, value)| other.by_identity[*key] != **value).collect();
        assert!(
            differing.is_empty(),
            "{between}: other values in {} records, {:?}",
            differing.len(),
            differing.first()
        );
    }
}

/// The records of one store.
struct Store {
    name: &'static str,
    stats: Records,
    events: Records,
}

/// What all of them hold.
pub struct Audit {
    stores: [Store; 3],
    others: Tables,
    /// Sequences of the batches in Kafka, by epoch and stream: first, last, and how many records there are.
    batches: Batches,
}

impl Audit {
    /// Reads all of it: the embedded store, the topics `name.stats` and so on, the database `name` in ClickHouse.
    pub fn of(database: &Path, kafka: &Kafka, clickhouse: &ClickHouse, name: &str) -> Self {
        let mut batches = BTreeMap::new();
        let topic = |stream: Stream| Topic { kafka, name: format!("{name}.{stream}"), stream };
        let inserted = |table: &str, columns| stores::clickhouse(clickhouse, &format!("{name}.{table}"), columns);
        let in_kafka = Store {
            name: "Kafka",
            stats: topic(Stream::Stats).read(Some((&STATS, 3)), &mut batches),
            events: topic(Stream::Events).read(Some((&EVENTS, 5)), &mut batches),
        };
        for stream in Stream::ALL.into_iter().filter(|stream| !matches!(stream, Stream::Stats | Stream::Events)) {
            topic(stream).read(None, &mut batches);
        }
        let sqlite = Store {
            name: "SQLite",
            stats: Records::of(stores::sqlite(database, "container_stats", &STATS), &STATS, 3),
            events: Records::of(stores::sqlite(database, "container_events", &EVENTS), &EVENTS, 5),
        };
        let in_clickhouse = Store {
            name: "ClickHouse",
            stats: Records::of(inserted("container_stats", &STATS), &STATS, 3),
            events: Records::of(inserted("container_events", &EVENTS), &EVENTS, 5),
        };
        let others = Tables::of(database, clickhouse, name);
        Self { stores: [sqlite, in_kafka, in_clickhouse], others, batches }
    }

    fn kept(&self) -> &Store {
        &self.stores[0]
    }

    /// Each store has every record once, and the same as the others.
    pub fn stores_agree(&self) {
        for store in &self.stores {
            for records in [&store.stats, &store.events] {
                let (count, first) = (records.twice.len(), records.twice.first());
                assert!(count == 0, "{} has {count} records twice, such as {first:?}", store.name);
            }
        }
        let (kept, others) = self.stores.split_first().expect("there are three");
        for other in others {
            other.stats.assert_same(&kept.stats, &format!("samples in {} and SQLite", other.name));
            other.events.assert_same(&kept.events, &format!("events in {} and SQLite", other.name));
        }
        let in_kafka = |stream: Stream| {
            let of_stream = self.batches.iter().filter(|((_, name), _)| *name == stream.to_string());
            of_stream.flat_map(|(_, batches)| batches.values()).sum()
        };
        self.others.stores_agree(in_kafka);
    }

    /// Sequences have no gaps, and batches are whole: nothing that was journaled is missing everywhere. What was lost
    /// between parser and journal, counted, may have had numbers.
    pub fn nothing_is_missing(&self, lost_with_numbers: u64) {
        let mut missing = 0;
        for ((epoch, stream), batches) in &self.batches {
            let mut next = 0;
            for ((first, last), count) in batches {
                assert_eq!(*count, last - first + 1, "records of batch {epoch}/{stream}/{first}-{last}");
                assert!(*first >= next, "batch {epoch}/{stream}/{first}-{last} begins before {next}");
                missing += first - next;
                next = last + 1;
            }
        }
        assert!(missing <= lost_with_numbers, "{missing} sequence numbers are missing, {lost_with_numbers} were lost");
    }

    /// Every sample is one that the engine sent.
    pub fn all_was_sent(&self, control: &Control) {
        let mut sent = BTreeMap::new();
        for container in control.ids() {
            let times: BTreeSet<String> =
                control.truths(&container).iter().map(|truth| truth.read.as_nanos().to_string()).collect();
            sent.insert(container, times);
        }
        let invented: Vec<&Identity> = self
            .kept()
            .stats
            .by_identity
            .keys()
            .filter(|identity| !sent.get(&identity[1]).is_some_and(|times| times.contains(&identity[2])))
            .collect();
        assert!(invented.is_empty(), "{} samples were never sent, such as {:?}", invented.len(), invented.first());
    }

    /// Every restart of a container is there, but for events that were lost, counted.
    pub fn all_restarts_are_told(&self, restarts: &Restarts, lost: u64) {
        let told = |container: &String| {
            let is_restart = |identity: &&Identity| identity[3] == "restart" && identity[4] == *container;
            self.kept().events.by_identity.keys().filter(is_restart).count() as u64
        };
        let mut untold = BTreeMap::new();
        for (container, count) in restarts {
            let told = told(container);
            assert!(told <= *count, "{told} restarts of {container} are told, {count} were made");
            if told < *count {
                untold.insert(container.clone(), count - told);
            }
        }
        let missing: u64 = untold.values().sum();
        assert!(missing <= lost, "{missing} restarts are not told, {lost} events were lost: {untold:?}");
    }

    /// Where dockstream lived once, its books say how much there is.
    pub fn holds_what_was_journaled(&self, books: &Books) {
        let counts = [("stats", &self.kept().stats), ("events", &self.kept().events)];
        for (stream, records) in counts {
            assert_eq!(records.by_identity.len() as u64, books.stream(stream).journaled, "{stream} in the stores");
        }
        self.others.hold_what_was_journaled(books);
    }

    /// Samples and events that were journaled, by their sequences.
    pub fn journaled(&self) -> u64 {
        let of_interest = self.batches.iter().filter(|((_, stream), _)| stream == "stats" || stream == "events");
        of_interest.flat_map(|(_, batches)| batches.keys()).map(|(first, last)| last - first + 1).sum()
    }

    /// Samples and events in each store.
    pub fn held(&self) -> [u64; 3] {
        self.stores.each_ref().map(|store| (store.stats.by_identity.len() + store.events.by_identity.len()) as u64)
    }

    /// Records that some store has twice.
    pub fn twice(&self) -> u64 {
        self.stores.iter().map(|store| (store.stats.twice.len() + store.events.twice.len()) as u64).sum()
    }
}

type Batches = BTreeMap<(u64, String), BTreeMap<(u64, u64), u64>>;

/// Where one stream is in Kafka.
struct Topic<'a> {
    kafka: &'a Kafka,
    name: String,
    stream: Stream,
}

impl Topic<'_> {
    /// Its batches, and its records where they are asked for.
    fn read(&self, columns: Option<(&[(&'static str, Kind)], usize)>, batches: &mut Batches) -> Records {
        let mut records = Records::default();
        stores::each_in_topic(self.kafka.bootstrap(), &self.name, |sent| {
            if let Some((columns, identity)) = columns {
                records.add(&sent.row(columns), columns, identity);
            }
            let (epoch, first, last) = batch_of(&sent);
            *batches.entry((epoch, self.stream.to_string())).or_default().entry((first, last)).or_default() += 1;
        });
        records
    }
}

/// Epoch, first and last sequence of the batch a message came in: `node/epoch/stream/first-last`.
fn batch_of(sent: &Sent) -> (u64, u64, u64) {
    let name = &sent.headers["batch-id"];
    let parts: Vec<&str> = name.split('/').collect();
    let number = |text: &str| text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (first, last) = parts[3].split_once('-').unwrap_or_else(|| panic!("{name}"));
    (number(parts[1]), number(first), number(last))
}
