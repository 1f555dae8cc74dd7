//! Answers: bare objects, lists in their envelope, entity tags.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use model::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::operation::Answer;
use crate::problem::{Problem, ProblemKind};

const JSON: &str = "application/json";

/// Where the data of a list came from.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// What this process knows at this moment.
    Live,
    /// What the store holds.
    Store,
}

/// A page of a list, before it has an envelope.
pub(crate) struct Listing<T> {
    pub data: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
    pub source: Source,
    /// When the newest item was seen; `None` where there are no items.
    pub newest: Option<Timestamp>,
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    data: &'a RawValue,
    page: Page<'a>,
    meta: Meta,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Page<'a> {
    next_cursor: Option<&'a str>,
}

#[derive(Serialize)]
struct Meta {
    generated_at: Timestamp,
    source: Source,
    stale: bool,
    data_age_ms: Option<i64>,
}

/// A list in its envelope; its entity tag covers all but `meta`, which differs each time.
pub(crate) fn list<T: Serialize>(call: &Call, listing: Listing<T>) -> Answer {
    list_as(call, listing, |data| data)
}

/// A list of which another view is shown: what that says of the moment is not part of the entity tag.
pub(crate) fn list_as<T: Serialize, U: Serialize>(
    call: &Call,
    listing: Listing<T>,
    view: impl FnOnce(Vec<T>) -> Vec<U>,
) -> Answer {
    let data = to_raw_value(&listing.data).map_err(unserialisable)?;
    let next = listing.next.map(|place| call.seal().close(&place));
    let mut hash = Sha256::new();
    hash.update(data.get());
    hash.update(next.as_deref().unwrap_or_default());
    for warning in &listing.warnings {
        hash.update(warning);
    }
    let tag = format!("W/{}", tag_of(hash));
    if is_known(call, &tag) {
        return Ok(not_modified(&tag));
    }
    let shown = to_raw_value(&view(listing.data)).map_err(unserialisable)?;
    let body = Envelope {
        data: &shown,
        page: Page { next_cursor: next.as_deref() },
        meta: Meta {
            generated_at: call.now,
            source: listing.source,
            stale: store::staleness().is_some(),
            data_age_ms: listing.newest.map(|newest| call.now.nanos_since(newest).max(0) / 1_000_000),
        },
        warnings: &listing.warnings,
    };
    let body = serde_json::to_vec(&body).map_err(unserialisable)?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, JSON))
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .insert_header((ETAG, tag))
        .body(body))
}

/// A bare object with its entity tag.
pub(crate) fn object<T: Serialize>(call: &Call, value: &T) -> Answer {
    tagged(call, tag_of_value(value)?, value)
}

/// `shown` with the entity tag of `value`, a weak one: what it says of the moment is not part of that.
pub(crate) fn object_as<T: Serialize, U: Serialize>(call: &Call, value: &T, shown: &U) -> Answer {
    tagged(call, format!("W/{}", tag_of_value(value)?), shown)
}

fn tag_of_value<T: Serialize>(value: &T) -> Result<String, Problem> {
    Ok(tag_of(Sha256::new_with_prefix(serde_json::to_vec(value).map_err(unserialisable)?)))
}

fn tagged<T: Serialize>(call: &Call, tag: String, shown: &T) -> Answer {
    if is_known(call, &tag) {
        return Ok(not_modified(&tag));
    }
    let body = serde_json::to_vec(shown).map_err(unserialisable)?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, JSON))
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .insert_header((ETAG, tag))
        .body(body))
}

/// A bare object that is another one at every moment: never kept, never compared.
pub(crate) fn moment<T: Serialize>(value: &T) -> Answer {
    let body = serde_json::to_vec(value).map_err(unserialisable)?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, JSON)).insert_header((CACHE_CONTROL, "no-store")).body(body))
}

fn tag_of(hash: Sha256) -> String {
    let mut tag = String::from("\"");
    for byte in &hash.finalize()[..16] {
        write!(tag, "{byte:02x}").expect("a string takes all that is written to it");
    }
    tag.push('"');
    tag
}

/// Weak comparison, as `If-None-Match` asks for.
fn is_known(call: &Call, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let sent = call.header(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.split(',').any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

fn not_modified(tag: &str) -> HttpResponse {
    HttpResponse::NotModified().insert_header((CACHE_CONTROL, "private, no-cache")).insert_header((ETAG, tag)).finish()
}

fn unserialisable(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be written as JSON");
    Problem::new(ProblemKind::Internal, "the answer cannot be written as JSON")
}
