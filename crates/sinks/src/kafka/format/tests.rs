//! The files in `schemas/` say what the records are, and readers of others' making read what is written by them.

use std::collections::BTreeSet;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use model::{Rows, Timestamp};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage, Value as Proto};
use serde_json::{Map, Value, json};

use super::shape::{Field, of_avro, of_protobuf};
use super::*;
use crate::contract::{json_schema, records};
use crate::fixtures::{batch, one_of_each};
use crate::kafka::encode::encode;

const SECOND: i64 = 1_000_000_000;

/// The shape that follows from a JSON Schema.
fn wanted(format: Format, schema: &Value) -> Shape {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        several => several.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
    };
    let nullable = types.contains(&"null");
    let avro = format == Format::Avro;
    let shape = match types[0] {
        "string" if schema["format"] == "date-time" => Shape::Time,
        "string" => Shape::Text,
        "integer" if avro || schema.get("minimum").is_none() => Shape::Long,
        "integer" => Shape::Ulong,
        "number" => Shape::Double,
        "boolean" => Shape::Bool,
        "array" => Shape::List(Box::new(wanted(format, &schema["items"]))),
        "object" if schema.get("properties").is_some() => {
            let field = |(name, schema): (&String, &Value)| Field {
                name: name.clone(),
                number: 0,
                shape: wanted(format, schema),
            };
            Shape::Record(schema["properties"].as_object().unwrap().iter().map(field).collect())
        }
        _ => {
            let values = &schema["additionalProperties"];
            let inner = match wanted(format, values) {
                // In Protobuf a map has no values that are not there.
                optional @ Shape::Optional(_) if !avro => alone("value", optional),
                inner => inner,
            };
            Shape::Map(Box::new(inner))
        }
    };
    match shape {
        list @ Shape::List(_) if nullable && !avro => alone("items", list),
        // Messages of Protobuf are always there or not.
        message @ (Shape::Record(_) | Shape::Time) if !avro => message,
        shape if nullable => Shape::Optional(Box::new(shape)),
        shape => shape,
    }
}

fn alone(name: &str, shape: Shape) -> Shape {
    Shape::Record(vec![Field { name: name.into(), number: 0, shape }])
}

/// Without numbers, and fields by name.
fn unnumbered(shape: Shape) -> Shape {
    let inner = |shape: Box<Shape>| Box::new(unnumbered(*shape));
    match shape {
        Shape::Optional(shape) => Shape::Optional(inner(shape)),
        Shape::List(shape) => Shape::List(inner(shape)),
        Shape::Map(shape) => Shape::Map(inner(shape)),
        Shape::Record(mut fields) => {
            let numbers: BTreeSet<u32> = fields.iter().map(|field| field.number).collect();
            assert!(numbers.len() == fields.len() && !numbers.contains(&0), "{fields:?}");
            fields.sort_by(|one, other| one.name.cmp(&other.name));
            let field = |field: Field| Field { number: 0, shape: unnumbered(field.shape), ..field };
            Shape::Record(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}

#[test]
fn the_schemas_of_avro_and_protobuf_have_the_fields_of_the_json_schema() {
    for stream in Stream::ALL {
        let json = json_schema(stream);
        let avro = of_avro(Format::Avro.schema(stream).unwrap()).unwrap();
        assert_eq!(unnumbered(avro), wanted(Format::Avro, &json), "{stream}");
        let protobuf = of_protobuf(Format::Protobuf.schema(stream).unwrap()).unwrap();
        assert_eq!(unnumbered(protobuf), wanted(Format::Protobuf, &json), "{stream}");
    }
    assert_eq!(Format::Json.schema(Stream::Stats), None);
}

/// What each record is, where JSON leaves nothing out.
fn whole(rows: &Rows) -> Vec<Value> {
    let mut all = records(rows);
    for record in &mut all {
        let labels = matches!(rows.stream(), Stream::Stats | Stream::Logs).then(|| json!({}));
        if let Some(labels) = labels {
            record.as_object_mut().unwrap().entry("labels").or_insert(labels);
        }
    }
    all
}

/// The value of each row that has one, less its frame.
fn written(format: Format, rows: &Rows) -> Vec<Vec<u8>> {
    let encoder = Encoder::with_ids(format);
    let id = encoder.ids[&rows.stream()].to_be_bytes();
    let frame: Vec<u8> = [0].into_iter().chain(id).chain((format == Format::Protobuf).then_some(0)).collect();
    let values = (0..rows.len()).filter_map(|index| encode(&encoder, rows, index).unwrap().unwrap().value);
    values.map(|value| value.strip_prefix(frame.as_slice()).unwrap().to_vec()).collect()
}

pub(in crate::kafka) fn json_of_avro(value: Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => value.into(),
        Avro::Long(value) => value.into(),
        Avro::Double(value) => value.into(),
        Avro::String(value) => value.into(),
        Avro::TimestampNanos(nanos) => Timestamp::from_nanos(nanos).to_string().into(),
        Avro::Union(_, value) => json_of_avro(*value),
        Avro::Array(items) => items.into_iter().map(json_of_avro).collect(),
        Avro::Map(entries) => {
            Value::Object(entries.into_iter().map(|(key, value)| (key, json_of_avro(value))).collect())
        }
        Avro::Record(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, json_of_avro(value))).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_record_in_avro_is_read_by_another_reader() {
    for batch in one_of_each() {
        let stream = batch.id.stream;
        let schema = apache_avro::Schema::parse_str(Format::Avro.schema(stream).unwrap()).unwrap();
        let read = |bytes: Vec<u8>| {
            let mut rest = bytes.as_slice();
            let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut rest).unwrap();
            assert!(rest.is_empty(), "{stream}: {} bytes too many", rest.len());
            json_of_avro(value)
        };
        let seen: Vec<Value> = written(Format::Avro, &batch.rows).into_iter().map(read).collect();
        assert!(!seen.is_empty());
        assert_eq!(seen, there(&batch.rows), "{stream}");
    }
}

/// The records that are no tombstones.
fn there(rows: &Rows) -> Vec<Value> {
    let json = Encoder::with_ids(Format::Json);
    let is_there = |(index, _): &(usize, Value)| encode(&json, rows, *index).unwrap().unwrap().value.is_some();
    whole(rows).into_iter().enumerate().filter(is_there).map(|(_, record)| record).collect()
}

fn json_of_protobuf(message: &DynamicMessage) -> Value {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Timestamp" {
        let part = |name| {
            message.get_field_by_name(name).unwrap().as_i64().or(message
                .get_field_by_name(name)
                .unwrap()
                .as_i32()
                .map(i64::from))
        };
        return Timestamp::from_nanos(part("seconds").unwrap() * SECOND + part("nanos").unwrap()).to_string().into();
    }
    let one = |value: &Proto| match value {
        Proto::Bool(value) => (*value).into(),
        Proto::I64(value) => (*value).into(),
        Proto::U64(value) => (*value).into(),
        Proto::F64(value) => (*value).into(),
        Proto::String(value) => value.clone().into(),
        Proto::Message(message) => json_of_protobuf(message),
        other => panic!("{other:?}"),
    };
    let mut object = Map::new();
    for field in descriptor.fields() {
        let value = message.get_field(&field);
        let value = match value.as_ref() {
            _ if field.supports_presence() && !message.has_field(&field) => Value::Null,
            Proto::List(items) => items.iter().map(one).collect(),
            Proto::Map(entries) => {
                let entry =
                    |(key, value): (&prost_reflect::MapKey, &Proto)| (key.as_str().unwrap().to_owned(), one(value));
                Value::Object(entries.iter().map(entry).collect())
            }
            single => one(single),
        };
        object.insert(field.name().to_owned(), value);
    }
    let fields: Vec<_> = descriptor.fields().collect();
    match fields.as_slice() {
        // Stands for a list or a text that may be null.
        [alone] if alone.is_list() || matches!(alone.kind(), Kind::String) => object.remove(alone.name()).unwrap(),
        _ => Value::Object(object),
    }
}

#[test]
fn every_record_in_protobuf_is_read_by_another_reader() {
    let folder = tempfile::tempdir().unwrap();
    for batch in one_of_each() {
        let stream = batch.id.stream;
        let file = format!("docker.{stream}.proto");
        std::fs::write(folder.path().join(&file), Format::Protobuf.schema(stream).unwrap()).unwrap();
        let compiled = protox::compile([&file], [folder.path()]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(compiled).unwrap();
        let first = pool.files().find(|one| one.name() == file).unwrap().messages().next().unwrap();
        let read = |bytes: Vec<u8>| json_of_protobuf(&DynamicMessage::decode(first.clone(), bytes.as_slice()).unwrap());
        let seen: Vec<Value> = written(Format::Protobuf, &batch.rows).into_iter().map(read).collect();
        assert!(!seen.is_empty());
        assert_eq!(seen, there(&batch.rows), "{stream}");
    }
}

#[test]
fn a_counter_beyond_a_long_is_refused_in_avro_by_its_name_and_whole_in_protobuf() {
    let [mut record] = [crate::fixtures::loss(crate::fixtures::noon())];
    record.count = u64::MAX;
    let rows = Rows::Losses([record].into());
    let refused = encode(&Encoder::with_ids(Format::Avro), &rows, 0).unwrap().unwrap_err();
    let words = "a record does not fit its schema: count: 18446744073709551615 is not a number up to 2^63 - 1";
    assert_eq!(refused.to_string(), words);
    assert_eq!(written(Format::Protobuf, &rows).len(), 1);
}

#[test]
fn tombstones_have_no_value_in_any_format() {
    let gone = crate::fixtures::container(1, model::ContainerState::Removed, crate::fixtures::noon());
    let batch = batch(1, Rows::Containers([gone].into()));
    for format in [Format::Json, Format::Avro, Format::Protobuf] {
        let encoder = Encoder::with_ids(format);
        assert_eq!(encode(&encoder, &batch.rows, 0).unwrap().unwrap().value, None);
    }
}
