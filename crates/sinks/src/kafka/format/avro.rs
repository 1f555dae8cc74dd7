//! Avro's binary encoding.

use model::Timestamp;
use serde_json::Value;

use super::shape::{Shape, misfit};

/// Writes `value`; an error says which field does not fit.
pub(super) fn write(shape: &Shape, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = || misfit(shape, value);
    match shape {
        Shape::Text => text(value.as_str().ok_or_else(wrong)?, out),
        Shape::Long | Shape::Ulong => long(value.as_i64().ok_or_else(wrong)?, out),
        Shape::Double => out.extend(value.as_f64().ok_or_else(wrong)?.to_le_bytes()),
        Shape::Bool => out.push(value.as_bool().ok_or_else(wrong)?.into()),
        Shape::Time => {
            let time: Timestamp = value.as_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            long(time.as_nanos(), out);
        }
        Shape::Optional(_) if value.is_null() => long(0, out),
        Shape::Optional(inner) => {
            long(1, out);
            write(inner, value, out)?;
        }
        Shape::List(inner) => {
            let items = value.as_array().ok_or_else(wrong)?;
            block(items.len(), out);
            items.iter().try_for_each(|item| write(inner, item, out))?;
            end_of(items.len(), out);
        }
        Shape::Map(inner) => {
            let entries = value.as_object().ok_or_else(wrong)?;
            block(entries.len(), out);
            for (key, value) in entries {
                text(key, out);
                write(inner, value, out)?;
            }
            end_of(entries.len(), out);
        }
        Shape::Record(fields) => {
            let record = value.as_object().ok_or_else(wrong)?;
            for field in fields {
                match (record.get(&field.name), &field.shape) {
                    // What JSON leaves out where it is empty.
                    (None, Shape::Map(_)) => out.push(0),
                    (value, shape) => {
                        let value = value.unwrap_or(&Value::Null);
                        write(shape, value, out).map_err(|wrong| format!("{}: {wrong}", field.name))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A list or map is one block, and an empty one; one that is empty is that alone.
fn block(count: usize, out: &mut Vec<u8>) {
    long(i64::try_from(count).unwrap_or(i64::MAX), out);
}

fn end_of(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    block(text.len(), out);
    out.extend(text.as_bytes());
}

/// Zigzag, seven bits a byte, the lowest first.
fn long(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
