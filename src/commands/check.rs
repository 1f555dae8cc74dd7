//! `dockstream check`: tries everything out, a line each.

use super::parts::{engines, redis_of, sinks, store};
use super::refuse;
use crate::cli::Exit;
use crate::config::Loaded;

/// Tries out what `loaded` names.
pub fn check(loaded: &Loaded) -> Exit {
    let engines = match engines(&loaded.config) {
        Ok(engines) => engines,
        Err(error) => return refuse(&error),
    };
    let sinks = sinks(&loaded.config, None).into_iter().map(|plan| (plan.name, (plan.connect)())).collect();
    let store = store(&loaded.config);
    actix_rt::System::new().block_on(crate::check::check(
        loaded,
        engines,
        sinks,
        (store.as_ref(), redis_of(&loaded.config)),
        |finding| println!("{finding}"),
    ))
}
