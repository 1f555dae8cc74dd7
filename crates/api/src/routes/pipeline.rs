//! The pipeline: the live supervision tree, the sinks, the books.

use std::collections::BTreeMap;

use actor_runtime::{ExitKind, NodeKind, NodeState, NodeView};
use model::{LossReason, Stream, Timestamp};
use pipeline::books::StreamBooks;
use pipeline::ports::{SinkBooks, StorageState};
use pipeline::stats_stream::Silent;
use serde::Serialize;

use crate::SinkView;
use crate::answer;
use crate::call::Call;
use crate::operation::{Answer, Body, Operation, Tag};

pub(super) const NOW: Operation = Operation {
    id: "getPipeline",
    path: "/api/pipeline",
    tag: Tag::Dockstream,
    summary: "The pipeline at this moment: supervision tree, sinks, books",
    description: "Every actor with its state, restarts, last exit and queue. The books balance, of each sink \
                  `journaled = delivered + rejected + dropped + pending`, and of each stream before the journal \
                  `received = parsed + dropped before parsing + in_parsing` and \
                  `parsed = journaled + dropped after parsing + in_batching`.",
    parameters: &[],
    body: Body::Object("Pipeline"),
    problems: &[],
    handle: |call| Box::pin(now(call)),
};

#[derive(Serialize)]
struct Pipeline {
    generated_at: Timestamp,
    tree: Node,
    streams: Vec<Books>,
    journal: Journal,
    sinks: Vec<Sink>,
    silent: Vec<Silent>,
}

#[derive(Serialize)]
struct Books {
    stream: Stream,
    received: u64,
    in_parsing: i128,
    parsed: u64,
    in_batching: i128,
    journaled: u64,
    dropped_before_parsing: BTreeMap<LossReason, u64>,
    dropped_after_parsing: BTreeMap<LossReason, u64>,
}

impl From<StreamBooks> for Books {
    fn from(books: StreamBooks) -> Self {
        Self {
            stream: books.stream,
            received: books.received,
            in_parsing: books.in_parsing(),
            parsed: books.parsed,
            in_batching: books.in_batching(),
            journaled: books.journaled,
            dropped_before_parsing: books.dropped_before_parsing.into_iter().collect(),
            dropped_after_parsing: books.dropped_after_parsing.into_iter().collect(),
        }
    }
}

#[derive(Serialize)]
struct Journal {
    kind: &'static str,
    bytes: u64,
    limit_bytes: u64,
    full: bool,
    failing: Option<String>,
}

impl From<StorageState> for Journal {
    fn from(state: StorageState) -> Self {
        let StorageState { kind, bytes, limit_bytes, is_full: full, failing, syncs: _ } = state;
        Self { kind, bytes, limit_bytes, full, failing }
    }
}

#[derive(Serialize)]
struct Sink {
    #[serde(flatten)]
    books: SinkBooks,
    kind: &'static str,
    target: String,
    failures: u64,
    delivered_at: Option<Timestamp>,
    failing: Option<String>,
}

impl From<SinkView> for Sink {
    fn from(SinkView { books, state }: SinkView) -> Self {
        let pipeline::sink::SinkState { kind, target, failures, delivered_at, failing } = state;
        Self { books, kind, target, failures, delivered_at, failing }
    }
}

#[derive(Serialize)]
struct Node {
    name: String,
    kind: NodeKind,
    state: NodeState,
    restarts: u64,
    last_exit: Option<LastExit>,
    depth: Option<u32>,
    capacity: Option<u32>,
    backpressure_ns: Option<u64>,
    children: Vec<Node>,
}

#[derive(Serialize)]
struct LastExit {
    kind: ExitKind,
    text: String,
    at: Option<Timestamp>,
}

impl From<NodeView> for Node {
    fn from(view: NodeView) -> Self {
        let at = view.last_exit_at_ns.map(Timestamp::from_nanos);
        Self {
            name: view.name,
            kind: view.kind,
            state: view.state,
            restarts: view.restarts,
            last_exit: view.last_exit.map(|exit| LastExit { kind: exit.kind(), text: exit.to_string(), at }),
            depth: view.depth,
            capacity: view.capacity,
            backpressure_ns: view.backpressure_ns,
            children: view.children.into_iter().map(Self::from).collect(),
        }
    }
}

async fn now(call: Call) -> Answer {
    let sight = &call.api.sight;
    answer::moment(&Pipeline {
        generated_at: call.now,
        tree: sight.tree().into(),
        streams: sight.books().into_iter().map(Books::from).collect(),
        journal: sight.journal().into(),
        sinks: sight.sinks().into_iter().map(Sink::from).collect(),
        silent: sight.silent(),
    })
}
