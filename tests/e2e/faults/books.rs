//! The books as `/api/pipeline` shows them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The books of all streams and sinks at one moment.
#[derive(Clone, Debug)]
pub struct Books {
    pub streams: BTreeMap<String, StreamBooks>,
    pub sinks: BTreeMap<String, SinkBooks>,
}

/// From the engines to the journal.
#[derive(Clone, Debug)]
pub struct StreamBooks {
    pub received: u64,
    pub journaled: u64,
    /// Dropped, by reason.
    pub before_parsing: BTreeMap<String, u64>,
    pub after_parsing: BTreeMap<String, u64>,
    /// On the way to a record, and on the way to the journal.
    in_parsing: i64,
    in_batching: i64,
}

/// From the journal to a server.
#[derive(Clone, Debug)]
pub struct SinkBooks {
    pub journaled: u64,
    pub delivered: u64,
    pub rejected: u64,
    pub dropped: u64,
    pub pending: u64,
}

impl Books {
    /// Reads them, and fails where they do not balance.
    pub fn of(pipeline: &Value) -> Self {
        let list = |name: &str| pipeline[name].as_array().cloned().unwrap_or_else(|| panic!("no {name} in {pipeline}"));
        let name = |item: &Value, key: &str| item[key].as_str().expect("a name").to_owned();
        let books = Self {
            streams: list("streams").iter().map(|item| (name(item, "stream"), StreamBooks::of(item))).collect(),
            sinks: list("sinks").iter().map(|item| (name(item, "sink"), SinkBooks::of(item))).collect(),
        };
        for (sink, books) in &books.sinks {
            let settled = books.delivered + books.rejected + books.dropped + books.pending;
            assert_eq!(books.journaled, settled, "the books of {sink} do not balance: {books:?}");
        }
        books
    }

    /// True where nothing is on its way: all that came is accounted for, and all that was journaled is settled.
    pub fn are_settled(&self) -> bool {
        self.streams.values().all(|stream| stream.in_parsing == 0 && stream.in_batching == 0)
            && self.sinks.values().all(|sink| sink.pending == 0)
    }

    /// What was dropped and is a loss, by reason: before the journal, and after it for some sink.
    pub fn losses(&self) -> BTreeMap<String, u64> {
        let mut losses = BTreeMap::new();
        for stream in self.streams.values() {
            let dropped = stream.before_parsing.iter().chain(&stream.after_parsing);
            for (reason, count) in dropped.filter(|(reason, _)| !EXPECTED.contains(&reason.as_str())) {
                *losses.entry(reason.clone()).or_default() += count;
            }
        }
        for (sink, books) in &self.sinks {
            for (what, count) in [("dropped", books.dropped), ("rejected", books.rejected)] {
                if count > 0 {
                    losses.insert(format!("{what} by {sink}"), count);
                }
            }
        }
        losses
    }

    /// Records dropped between parser and journal, where they may have had their numbers.
    pub fn dropped_after_parsing(&self) -> u64 {
        self.streams.values().flat_map(|stream| stream.after_parsing.values()).sum()
    }

    pub fn sink(&self, name: &str) -> &SinkBooks {
        self.sinks.get(name).unwrap_or_else(|| panic!("no sink {name}: {self:?}"))
    }

    pub fn stream(&self, name: &str) -> &StreamBooks {
        self.streams.get(name).unwrap_or_else(|| panic!("no stream {name}: {self:?}"))
    }
}

/// What is dropped for these reasons was never to be kept: the engine said it twice, or said nothing, or more than was asked.
const EXPECTED: [&str; 3] = ["between_intervals", "duplicate_frame", "empty_frame"];

impl StreamBooks {
    fn of(books: &Value) -> Self {
        let way = |key: &str| books[key].as_i64().unwrap_or_else(|| panic!("no {key} in {books}"));
        let reasons = |key: &str| {
            let dropped = books[key].as_object().into_iter().flatten();
            dropped.map(|(reason, count)| (reason.clone(), count.as_u64().expect("a count"))).collect()
        };
        Self {
            received: count(books, "received"),
            journaled: count(books, "journaled"),
            before_parsing: reasons("dropped_before_parsing"),
            after_parsing: reasons("dropped_after_parsing"),
            in_parsing: way("in_parsing"),
            in_batching: way("in_batching"),
        }
    }

    /// Everything dropped, expected or not.
    pub fn dropped(&self) -> u64 {
        self.before_parsing.values().chain(self.after_parsing.values()).sum()
    }
}

impl SinkBooks {
    fn of(books: &Value) -> Self {
        Self {
            journaled: count(books, "journaled"),
            delivered: count(books, "delivered"),
            rejected: count(books, "rejected"),
            dropped: count(books, "dropped"),
            pending: count(books, "pending"),
        }
    }

    /// Rows of which it is known what became of them.
    pub fn settled(&self) -> u64 {
        self.journaled - self.pending
    }
}

fn count(books: &Value, key: &str) -> u64 {
    books[key].as_u64().unwrap_or_else(|| panic!("no {key} in {books}"))
}
