//! The pipeline: the live supervision tree, the sinks, the books.

use actor_runtime::{ExitKind, NodeKind, NodeState, NodeView};
use model::Timestamp;
use serde::Serialize;

use crate::answer;
use crate::call::Call;
use crate::operation::{Answer, Body, Operation, Tag};
use crate::{SampleBooks, SinkView};

pub(super) const NOW: Operation = Operation {
    id: "getPipeline",
    path: "/api/pipeline",
    tag: Tag::Dockstream,
    summary: "The pipeline at this moment: supervision tree, sinks, books",
    description: "Every actor with its state, restarts, last exit and queue; every sink with its books, which balance: \
                  `journaled = delivered + rejected + dropped + pending`, and for frames \
                  `received = parsed + dropped + in_flight`.",
    parameters: &[],
    body: Body::Object("Pipeline"),
    problems: &[],
    handle: |call| Box::pin(now(call)),
};

#[derive(Serialize)]
struct Pipeline {
    generated_at: Timestamp,
    tree: Node,
    sinks: Vec<SinkView>,
    frames: SampleBooks,
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
        sinks: sight.sinks(),
        frames: sight.books(),
    })
}
