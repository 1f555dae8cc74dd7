//! The document as a page, for a person.

use std::fmt::Write;

use serde_json::Value;

use super::schemas::{self, Field};
use crate::html::{self, escape};
use crate::operation::{Body, Kind, Operation, Parameter, Repeats, Tag};
use crate::problem::ProblemKind;

/// Every route, schema and problem, on one page.
pub(crate) fn page(operations: &[&Operation]) -> String {
    let mut body = String::from(
        "<h1>dockstream API</h1><p>Also as an <a href=\"/api/openapi.json\">OpenAPI document</a>. \
         <a href=\"#problems\">Problems</a>, <a href=\"#schemas\">schemas</a>.</p>",
    );
    for tag in Tag::ALL {
        let _ = write!(body, "<h2>{}</h2>", tag.name());
        for operation in operations.iter().filter(|operation| operation.tag == tag) {
            describe(&mut body, operation);
        }
    }
    body.push_str("<h2 id=\"problems\">Problems</h2>");
    for kind in ProblemKind::ALL {
        let _ = write!(
            body,
            "<h3 id=\"{}\">{} {}</h3><p><code>{}</code></p><p>{}</p>",
            kind.slug(),
            kind.status().as_u16(),
            kind.title(),
            kind.uri(),
            prose(kind.meaning())
        );
    }
    body.push_str("<h2 id=\"schemas\">Schemas</h2>");
    for schema in schemas::all() {
        let _ = write!(body, "<h3 id=\"schema-{0}\">{0}</h3><p>{1}</p>", schema.name, prose(schema.description));
        fields(&mut body, &schema.fields);
    }
    html::page("dockstream API", &body)
}

fn describe(body: &mut String, operation: &Operation) {
    let _ = write!(
        body,
        "<h3 id=\"{}\"><code>GET {}</code></h3><p>{}. {}</p>",
        operation.id,
        escape(operation.path),
        prose(operation.summary),
        prose(operation.description)
    );
    if !operation.parameters.is_empty() {
        body.push_str("<table><tr><th>Parameter</th><th>Value</th><th></th></tr>");
        for parameter in operation.parameters {
            let _ = write!(
                body,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                parameter.name,
                value(parameter),
                prose(parameter.description)
            );
        }
        body.push_str("</table>");
    }
    let _ = match operation.body {
        Body::Object(name) => write!(body, "<p>Answers <a href=\"#schema-{name}\">{name}</a>.</p>"),
        Body::List(name) => write!(body, "<p>Answers a list of <a href=\"#schema-{name}\">{name}</a>.</p>"),
        Body::Media(media) => write!(body, "<p>Answers <code>{}</code>.</p>", escape(media)),
        Body::ObjectOrPage(name) => write!(body, "<p>Answers <a href=\"#schema-{name}\">{name}</a> or a page.</p>"),
    };
}

fn value(parameter: &Parameter) -> String {
    let value = match parameter.kind {
        Kind::Text => "text".to_owned(),
        Kind::Label => "<code>key</code> or <code>key=value</code>".to_owned(),
        Kind::Word(words) => words.iter().map(|word| format!("<code>{word}</code>")).collect::<Vec<_>>().join(", "),
        Kind::Time => prose(crate::moment::SHAPE),
        Kind::Integer { min, max, default } => format!("{min} to {max}, else {default}"),
        Kind::Cursor => "cursor".to_owned(),
    };
    match parameter.repeats {
        Repeats::Never => value,
        Repeats::Allowed => format!("{value}; may be repeated"),
    }
}

fn fields(body: &mut String, fields: &[Field]) {
    body.push_str("<table><tr><th>Field</th><th>Type</th><th></th></tr>");
    for field in fields {
        let (name, kind) = (field.name, kind(&field.shape));
        let _ =
            write!(body, "<tr><td><code>{name}</code></td><td>{kind}</td><td>{}</td></tr>", prose(field.description));
    }
    body.push_str("</table>");
}

/// The type of a field in a few words.
fn kind(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(either) = field["anyOf"].as_array() {
        return either.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let of = |name: &str| match name {
        "array" => format!("list of {}", kind(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map to {}", kind(&field["additionalProperties"]))
        }
        other => other.to_owned(),
    };
    let mut text = match &field["type"] {
        Value::String(name) => of(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(of).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    };
    if field["format"] == "date-time" {
        text = text.replace("string", "time");
    }
    text
}

/// Text with `code` in backticks, as HTML.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in escape(text).split('`').enumerate() {
        let _ = if at % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}
