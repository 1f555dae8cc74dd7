//! Pages of lists that this process holds in memory.

use crate::call::Call;
use crate::cursor::{place_of, text_of};
use crate::problem::Problem;

/// The page of `items` that `call` asks for, and where the next one begins. Items are ordered by `key`,
/// which must be unique, so that a page stays what it is while others come and go.
pub(super) fn slice<T>(
    call: &Call,
    mut items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Problem> {
    items.sort_by_cached_key(&key);
    if let Some(place) = call.place()? {
        let last = text_of(&place)?;
        items.retain(|item| key(item) > last);
    }
    let rest = items.split_off(call.limit().min(items.len()));
    let next = items.last().filter(|_| !rest.is_empty()).map(|last| place_of(&key(last)));
    Ok((items, next))
}
