//! What answers look like: one schema a type, its fields in the order in which they are written.

mod inventory;
mod process;
mod stored;

use serde_json::{Map, Value, json};

/// One object type.
pub(super) struct Schema {
    pub name: &'static str,
    pub description: &'static str,
    pub fields: Vec<Field>,
}

/// One field of an object.
pub(super) struct Field {
    pub name: &'static str,
    pub shape: Value,
    pub description: &'static str,
    /// False where the field may be missing; one that is not known is there, and null.
    pub required: bool,
}

impl Schema {
    /// As JSON Schema.
    pub fn to_json(&self) -> Value {
        let required: Vec<_> = self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let properties: Map<String, Value> = self
            .fields
            .iter()
            .map(|field| {
                let mut shape = field.shape.clone();
                if !field.description.is_empty() {
                    shape["description"] = field.description.into();
                }
                (field.name.to_owned(), shape)
            })
            .collect();
        json!({"type": "object", "description": self.description, "required": required, "properties": properties})
    }
}

/// All schemas, in reading order.
pub(super) fn all() -> Vec<Schema> {
    vec![
        inventory::container(),
        inventory::container_health(),
        inventory::port(),
        inventory::network(),
        inventory::mount(),
        inventory::revp(),
        inventory::revp_health_check(),
        inventory::revp_error(),
        inventory::revp_entry(),
        inventory::image(),
        inventory::image_detail(),
        inventory::image_user(),
        inventory::image_version(),
        stored::stats(),
        stored::history(),
        stored::history_point(),
        stored::log_line(),
        stored::event(),
        stored::host(),
        process::loss(),
        process::pipeline(),
        process::silent(),
        process::node(),
        process::last_exit(),
        process::journal(),
        process::sink(),
        process::stream_books(),
        process::status(),
        process::host_line(),
        process::sink_line(),
        process::link(),
        process::health(),
        process::readiness(),
        process::problem(),
        process::candidate(),
        process::page(),
        process::meta(),
    ]
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The envelope of lists.
pub(super) fn list_of(name: &str) -> Value {
    json!({
        "type": "object",
        "required": ["data", "page", "meta", "warnings"],
        "properties": {
            "data": array(reference(name)),
            "page": reference("Page"),
            "meta": reference("Meta"),
            "warnings": {"type": "array", "items": {"type": "string"}, "description": "What is missing in the answer, in words."},
        }
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn words(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn integer() -> Value {
    json!({"type": "integer"})
}

/// A count or a size: never negative, up to 2^64 − 1.
fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

/// Also null: not known.
fn maybe(mut shape: Value) -> Value {
    match shape["type"].as_str().map(str::to_owned) {
        Some(name) => {
            shape["type"] = json!([name, "null"]);
            shape
        }
        None => json!({"anyOf": [shape, {"type": "null"}]}),
    }
}

fn field(name: &'static str, shape: Value, description: &'static str) -> Field {
    Field { name, shape, description, required: true }
}
