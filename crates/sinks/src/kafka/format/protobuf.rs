//! Protobuf's binary encoding.

use std::time::Duration;

use model::Timestamp;
use serde_json::Value;

use super::shape::{Field, Shape, misfit};

const VARINT: u32 = 0;
const FIXED: u32 = 1;
const LENGTH: u32 = 2;

/// Writes the fields of the message `value`; an error says which one does not fit.
pub(super) fn write(shape: &Shape, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let Shape::Record(fields) = shape else { return Err(misfit(shape, value)) };
    let Some(record) = value.as_object() else {
        // A list or a text that may be null: a message whose only field it is.
        return match fields.as_slice() {
            [alone] => field(alone, value, out),
            _ => Err(misfit(shape, value)),
        };
    };
    for one in fields {
        let value = record.get(&one.name).unwrap_or(&Value::Null);
        field(one, value, out).map_err(|wrong| format!("{}: {wrong}", one.name))?;
    }
    Ok(())
}

/// A field; null is one that is not there.
fn field(field: &Field, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let number = field.number;
    match &field.shape {
        Shape::Optional(_) | Shape::Record(_) | Shape::Time | Shape::Map(_) if value.is_null() => Ok(()),
        Shape::Optional(inner) => single(number, inner, value, out),
        Shape::List(inner) => {
            let items = value.as_array().ok_or_else(|| misfit(&field.shape, value))?;
            items.iter().try_for_each(|item| single(number, inner, item, out))
        }
        Shape::Map(inner) => {
            let entries = value.as_object().ok_or_else(|| misfit(&field.shape, value))?;
            for (key, value) in entries {
                let mut entry = Vec::new();
                text(1, key, &mut entry);
                single(2, inner, value, &mut entry)?;
                bytes(number, &entry, out);
            }
            Ok(())
        }
        shape => single(number, shape, value, out),
    }
}

fn single(number: u32, shape: &Shape, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || misfit(shape, value);
    match shape {
        Shape::Text => text(number, value.as_str().ok_or_else(wrong)?, out),
        Shape::Long => integer(number, value.as_i64().ok_or_else(wrong)?.cast_unsigned(), out),
        Shape::Ulong => integer(number, value.as_u64().ok_or_else(wrong)?, out),
        Shape::Bool => integer(number, value.as_bool().ok_or_else(wrong)?.into(), out),
        Shape::Double => {
            let double = value.as_f64().ok_or_else(wrong)?;
            tag(number, FIXED, out);
            out.extend(double.to_le_bytes());
        }
        Shape::Time => {
            let time: Timestamp = value.as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            let second = Duration::from_secs(1).as_nanos() as i64;
            let mut message = Vec::new();
            integer(1, time.as_nanos().div_euclid(second).cast_unsigned(), &mut message);
            integer(2, time.as_nanos().rem_euclid(second).cast_unsigned(), &mut message);
            bytes(number, &message, out);
        }
        Shape::Record(_) => {
            let mut message = Vec::new();
            write(shape, value, &mut message)?;
            bytes(number, &message, out);
        }
        Shape::Optional(_) | Shape::List(_) | Shape::Map(_) => return Err(wrong()),
    }
    Ok(())
}

fn tag(number: u32, kind: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | kind), out);
}

fn integer(number: u32, integer: u64, out: &mut Vec<u8>) {
    tag(number, VARINT, out);
    varint(integer, out);
}

fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    bytes(number, text.as_bytes(), out);
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, LENGTH, out);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first.
fn varint(mut left: u64, out: &mut Vec<u8>) {
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
