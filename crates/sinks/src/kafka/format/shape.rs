//! What a value is made of, read from a schema of ours.

use std::collections::BTreeMap;

use serde_json::Value;

/// A type, as a schema names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// Up to 2^63 - 1.
    Long,
    /// Up to 2^64 - 1; Avro has none.
    Ulong,
    Double,
    Bool,
    /// RFC 3339 in JSON.
    Time,
    Optional(Box<Shape>),
    List(Box<Shape>),
    /// From texts.
    Map(Box<Shape>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: String,
    /// In Avro its place, in Protobuf its number.
    pub number: u32,
    pub shape: Shape,
}

/// Reads a schema of Avro.
pub(super) fn of_avro(text: &str) -> Result<Shape, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    avro(&schema)
}

fn avro(schema: &Value) -> Result<Shape, String> {
    let unknown = || format!("no type of ours: {schema}");
    let inner = |key: &str| avro(schema.get(key).ok_or_else(unknown)?).map(Box::new);
    if let Some([null, other]) = schema.as_array().map(Vec::as_slice) {
        return if null == "null" { Ok(Shape::Optional(Box::new(avro(other)?))) } else { Err(unknown()) };
    }
    let name = schema.as_str().or_else(|| schema.get("type")?.as_str()).ok_or_else(unknown)?;
    Ok(match name {
        "string" => Shape::Text,
        "long" if schema.get("logicalType").is_some_and(|logical| logical == "timestamp-nanos") => Shape::Time,
        "long" => Shape::Long,
        "double" => Shape::Double,
        "boolean" => Shape::Bool,
        "array" => Shape::List(inner("items")?),
        "map" => Shape::Map(inner("values")?),
        "record" => {
            let field = |(number, field): (u32, &Value)| {
                let name = field["name"].as_str().ok_or_else(unknown)?.to_owned();
                Ok(Field { name, number, shape: avro(&field["type"])? })
            };
            let fields = schema["fields"].as_array().ok_or_else(unknown)?;
            Shape::Record((1..).zip(fields).map(field).collect::<Result<_, String>>()?)
        }
        _ => return Err(unknown()),
    })
}

/// A message under way.
#[derive(Default)]
struct Message {
    name: String,
    fields: Vec<Field>,
    nested: BTreeMap<String, Shape>,
}

/// Reads a file of Protobuf as we write them: proto3, one message, one statement a line, and what a message is made of
/// before its fields.
pub(super) fn of_protobuf(text: &str) -> Result<Shape, String> {
    let mut open: Vec<Message> = Vec::new();
    for line in text.lines().map(str::trim) {
        let unknown = || format!("no line of ours: {line}");
        if let Some(name) = line.strip_prefix("message ").and_then(|rest| rest.strip_suffix(" {")) {
            open.push(Message { name: name.to_owned(), ..Message::default() });
        } else if line == "}" {
            let done = open.pop().ok_or_else(unknown)?;
            let shape = Shape::Record(done.fields);
            match open.last_mut() {
                None => return Ok(shape),
                Some(around) => around.nested.insert(done.name, shape),
            };
        } else if let (Some(message), Some(statement)) = (open.last_mut(), line.strip_suffix(';')) {
            let (declared, number) = statement.split_once(" = ").ok_or_else(unknown)?;
            let (kind, name) = declared.rsplit_once(' ').ok_or_else(unknown)?;
            let shape = protobuf(kind, &message.nested).ok_or_else(unknown)?;
            let number = number.parse().map_err(|_| unknown())?;
            message.fields.push(Field { name: name.to_owned(), number, shape });
        }
    }
    Err("no message ends".into())
}

fn protobuf(kind: &str, nested: &BTreeMap<String, Shape>) -> Option<Shape> {
    if let Some(inner) = kind.strip_prefix("map<string, ").and_then(|rest| rest.strip_suffix('>')) {
        return protobuf(inner, nested).map(|values| Shape::Map(Box::new(values)));
    }
    if let Some(inner) = kind.strip_prefix("repeated ") {
        return protobuf(inner, nested).map(|items| Shape::List(Box::new(items)));
    }
    if let Some(inner) = kind.strip_prefix("optional ") {
        return protobuf(inner, nested).map(|inner| Shape::Optional(Box::new(inner)));
    }
    Some(match kind {
        "string" => Shape::Text,
        "int64" => Shape::Long,
        "uint64" => Shape::Ulong,
        "double" => Shape::Double,
        "bool" => Shape::Bool,
        "google.protobuf.Timestamp" => Shape::Time,
        message => nested.get(message)?.clone(),
    })
}

/// `value` is not of `shape`.
pub(super) fn misfit(shape: &Shape, value: &Value) -> String {
    let kind = match shape {
        Shape::Text => "text",
        Shape::Long => "a number up to 2^63 - 1",
        Shape::Ulong => "a number up to 2^64 - 1",
        Shape::Double => "a number",
        Shape::Bool => "true or false",
        Shape::Time => "a time",
        Shape::Optional(inner) => return misfit(inner, value),
        Shape::List(_) => "a list",
        Shape::Map(_) => "a map",
        Shape::Record(_) => "a record",
    };
    let text: String = value.to_string().chars().take(80).collect();
    format!("{text} is not {kind}")
}
