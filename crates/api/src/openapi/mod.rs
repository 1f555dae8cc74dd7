//! The OpenAPI document and its page, both made from the table of operations.

mod page;
mod schemas;

use serde_json::{Map, Value, json};

use crate::operation::{Body, Operation, Parameter, Repeats, Tag};
use crate::problem::ProblemKind;

pub(crate) use page::page;

/// Problems that any route may answer with.
const COMMON: [ProblemKind; 7] = [
    ProblemKind::UnknownParameter,
    ProblemKind::InvalidParameter,
    ProblemKind::MethodNotAllowed,
    ProblemKind::HostNotAllowed,
    ProblemKind::HeadersTooLarge,
    ProblemKind::Internal,
    ProblemKind::Timeout,
];

/// The OpenAPI 3.1 document of `operations`.
pub(crate) fn document(operations: &[&Operation]) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        paths.insert(operation.path.to_owned(), json!({ "get": describe(operation) }));
    }
    let components: Map<String, Value> =
        schemas::all().iter().map(|schema| (schema.name.to_owned(), schema.to_json())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dockstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Containers, stats, images and events of Docker hosts, as dockstream stored them, and dockstream itself. Read only. \
                            Units stand in names; what is not known is null. Times are RFC 3339, UTC, with nanoseconds. \
                            Errors are RFC 9457 problems. Fields may be added: ignore those you do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/"}],
        "tags": Tag::ALL.map(|tag| json!({"name": tag.name()})),
        "paths": paths,
        "components": {"schemas": components},
    })
}

fn describe(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    if operation.has_id() {
        let (meaning, example) = match operation.tag {
            Tag::Images => {
                let meaning = "An image id, a prefix of 12 or more of its digits, or a tag, its `/` written as `%2F`.";
                (meaning, json!({"tag": {"value": "nginx:1.29"}}))
            }
            Tag::Fleet => ("The name of a host.", json!({"name": {"value": "edge-7"}})),
            _ => ("A full container id, a prefix of 12 or more of it, or a name.", json!({"name": {"value": "web"}})),
        };
        let id = json!({
            "name": "id",
            "in": "path",
            "required": true,
            "description": meaning,
            "schema": {"type": "string"},
            "examples": example,
        });
        parameters.insert(0, id);
    }
    let mut description = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation),
    });
    if !operation.description.is_empty() {
        description["description"] = operation.description.into();
    }
    description
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.repeats {
        Repeats::Never => parameter.kind.schema(),
        Repeats::Allowed => json!({"type": "array", "items": parameter.kind.schema()}),
    };
    json!({"name": parameter.name, "in": "query", "description": parameter.description, "schema": schema})
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    responses.insert("200".into(), json!({"description": operation.summary, "content": content(operation.body)}));
    if operation.id == "getReadiness" {
        let body = content(operation.body);
        responses.insert("503".into(), json!({"description": "It does not, and why.", "content": body}));
    }
    for kind in COMMON.iter().chain(operation.problems) {
        let status = kind.status().as_u16().to_string();
        let entry = responses.entry(status).or_insert_with(|| {
            json!({
                "description": "",
                "content": {"application/problem+json": {"schema": schemas::reference("Problem")}},
            })
        });
        let titles = entry["description"].as_str().unwrap_or_default();
        if !titles.contains(kind.title()) {
            let joined =
                if titles.is_empty() { kind.title().to_owned() } else { format!("{titles}; {}", kind.title()) };
            entry["description"] = joined.into();
        }
    }
    Value::Object(responses)
}

fn content(body: Body) -> Value {
    match body {
        Body::Object(name) => json!({"application/json": {"schema": schemas::reference(name)}}),
        Body::List(name) => json!({"application/json": {"schema": schemas::list_of(name)}}),
        Body::Media(media) => json!({media: {}}),
        Body::ObjectOrPage(name) => {
            json!({"application/json": {"schema": schemas::reference(name)}, "text/html": {}})
        }
    }
}
