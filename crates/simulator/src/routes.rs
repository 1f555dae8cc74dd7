//! The Engine API: which request gets which answer.

use std::sync::Arc;
use std::time::Duration;

use model::{LogStream, Timestamp};

use crate::connection::Connection;
use crate::documents;
use crate::events::Filters;
use crate::faults::{ApiFault, ApiFaultKind};
use crate::http::Request;
use crate::world::{Key, LogRequest, Refused, Removal, World};

/// What the connection's task has to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was answered, or will be by who publishes: wait until that is done.
    Given,
    /// Wait, then ask again without faults.
    After(Duration),
    /// End the connection.
    Hangup,
}

/// Meets the faults first, then answers.
pub(crate) fn answer_with_faults(world: &mut World, connection: &Arc<Connection>, request: &Request) -> Answer {
    let Some(fault) = ApiFault::take(&mut world.api_faults, &request.path) else {
        return answer(world, connection, request);
    };
    world.count_spoiled_call();
    match fault {
        ApiFaultKind::Status(status) => {
            let (method, path) = (&request.method, &request.path);
            connection.respond(&world.banner().error(status, &format!("simulated failure of {method} {path}")));
            Answer::Given
        }
        // Nothing is ever pushed: the connection waits until the client leaves.
        ApiFaultKind::Hang => Answer::Given,
        ApiFaultKind::Delay(delay) => Answer::After(delay),
        ApiFaultKind::Reset => Answer::Hangup,
    }
}

/// Answers a request.
pub(crate) fn answer(world: &mut World, connection: &Arc<Connection>, request: &Request) -> Answer {
    if let Err(refused) = route(world, connection, request) {
        let banner = world.banner();
        connection.respond(&match refused.status {
            304 => banner.empty(304),
            status => banner.error(status, &refused.message),
        });
    }
    Answer::Given
}

fn route(world: &mut World, connection: &Arc<Connection>, request: &Request) -> Result<(), Refused> {
    check_version(world, request)?;
    let segments: Vec<&str> = request.path.split('/').skip(1).collect();
    let method = request.method.as_str();
    let reply = |world: &World, value: &serde_json::Value| {
        connection.respond(&world.banner().json(200, &documents::line(value)))
    };
    let call = |world: &mut World, route: &str| world.count_call(&format!("{method} {route}"));
    match (method, segments.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => {
            call(world, "/_ping");
            connection.respond(&world.banner().pong(method == "HEAD"));
        }
        ("GET", ["version"]) => {
            call(world, "/version");
            reply(world, &documents::version(world));
        }
        ("GET", ["info"]) => {
            call(world, "/info");
            reply(world, &documents::info(world));
        }
        ("GET", ["images", "json"]) => {
            call(world, "/images/json");
            reply(world, &documents::images(world));
        }
        ("GET", ["events"]) => {
            call(world, "/events");
            events(world, connection, request)?;
        }
        ("GET", ["containers", "json"]) => {
            call(world, "/containers/json");
            let filters = filters(request)?;
            let body = documents::list(world, request.flag("all", false), &filters);
            connection.respond(&world.banner().json(200, &body));
        }
        ("GET", ["containers", id, "json"]) => {
            call(world, "/containers/{id}/json");
            let key = world.find(id)?;
            reply(world, &documents::inspect(world, key));
        }
        ("GET", ["containers", id, "stats"]) => {
            call(world, "/containers/{id}/stats");
            let key = world.find(id)?;
            stats(world, connection, request, key)?;
        }
        ("GET", ["containers", id, "logs"]) => {
            call(world, "/containers/{id}/logs");
            let key = world.find(id)?;
            world.watch_log(key, connection, log_request(request)?)?;
        }
        ("POST", ["containers", id, verb]) if VERBS.contains(verb) => {
            call(world, &format!("/containers/{{id}}/{verb}"));
            let key = world.find(id)?;
            act(world, key, verb, request)?;
            connection.respond(&world.banner().empty(204));
        }
        ("DELETE", ["containers", id]) => {
            call(world, "/containers/{id}");
            let key = world.find(id)?;
            let removal = if request.flag("force", false) { Removal::Forced } else { Removal::OnlyStopped };
            world.remove(key, removal)?;
            connection.respond(&world.banner().empty(204));
        }
        _ => return Err(Refused::new(404, "page not found")),
    }
    Ok(())
}

const VERBS: [&str; 7] = ["start", "stop", "restart", "kill", "pause", "unpause", "rename"];

fn act(world: &mut World, key: Key, verb: &str, request: &Request) -> Result<(), Refused> {
    match verb {
        "start" => world.start(key),
        "stop" => world.stop(key),
        "restart" => world.restart(key),
        "kill" => world.kill(key, signal(request.query("signal"))?),
        "pause" => world.pause(key),
        "unpause" => world.unpause(key),
        _ => world.rename(key, request.query("name").unwrap_or_default()),
    }
}

fn signal(text: Option<&str>) -> Result<u8, Refused> {
    let Some(text) = text else { return Ok(9) };
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let number = match name {
        "HUP" => Some(1),
        "INT" => Some(2),
        "KILL" => Some(9),
        "USR1" => Some(10),
        "USR2" => Some(12),
        "TERM" => Some(15),
        other => other.parse().ok().filter(|number| (1..65).contains(number)),
    };
    number.ok_or_else(|| Refused::new(400, format!("invalid signal: {text}")))
}

fn check_version(world: &World, request: &Request) -> Result<(), Refused> {
    let Some((major, minor)) = request.version else { return Ok(()) };
    let (max, min) = (world.settings.profile.api_version(), world.settings.profile.min_api_version());
    if (major, minor) > max {
        let (max_major, max_minor) = max;
        let message = format!(
            "client version {major}.{minor} is too new. Maximum supported API version is {max_major}.{max_minor}"
        );
        return Err(Refused::new(400, message));
    }
    if (major, minor) < min {
        let (min_major, min_minor) = min;
        return Err(Refused::new(
            400,
            format!(
                "client version {major}.{minor} is too old. Minimum supported API version is {min_major}.{min_minor}, \
                 please upgrade your client to a newer version"
            ),
        ));
    }
    Ok(())
}

fn stats(world: &mut World, connection: &Arc<Connection>, request: &Request, key: Key) -> Result<(), Refused> {
    let (stream, one_shot) = (request.flag("stream", true), request.flag("one-shot", false));
    match (stream, one_shot) {
        (true, true) => return Err(Refused::new(400, "cannot have stream=true and one-shot=true")),
        (true, false) => world.watch_stats(key, connection),
        (false, one_shot) => world.poll_stats(key, connection, one_shot),
    }
    Ok(())
}

fn log_request(request: &Request) -> Result<LogRequest, Refused> {
    let streams = LogStream::ALL.map(|stream| request.flag(stream.name(), false));
    if streams == [false, false] {
        return Err(Refused::new(400, "Bad parameters: you must choose at least one stream"));
    }
    // Unlike events, logs take no RFC 3339.
    let time = |key| {
        let text = request.query(key).filter(|text| !matches!(*text, "" | "0"));
        text.map(|text| log_time(text).ok_or_else(|| Refused::new(500, format!("invalid value for \"{key}\""))))
            .transpose()
    };
    Ok(LogRequest {
        follow: request.flag("follow", false),
        streams,
        since: time("since")?,
        until: time("until")?,
        // As in the engine: what is no number is everything.
        tail: request.query("tail").and_then(|tail| tail.parse().ok()),
        timestamps: request.flag("timestamps", false),
    })
}

fn log_time(text: &str) -> Option<Timestamp> {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| event_time(text).ok()).flatten()
}

fn events(world: &mut World, connection: &Arc<Connection>, request: &Request) -> Result<(), Refused> {
    let filters = filters(request)?;
    let time = |key| request.query(key).filter(|text| !text.is_empty()).map(event_time).transpose();
    let (since, until) = (time("since")?, time("until")?);
    world.watch_events(connection, since, until, filters);
    Ok(())
}

fn filters(request: &Request) -> Result<Filters, Refused> {
    match request.query("filters") {
        None | Some("") => Ok(Filters::default()),
        Some(json) => Filters::parse(json).ok_or_else(|| Refused::new(400, "invalid filter")),
    }
}

/// `seconds`, `seconds.fraction` or RFC 3339.
fn event_time(text: &str) -> Result<Timestamp, Refused> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if let (Ok(seconds), true) = (seconds.parse::<i64>(), digits) {
        let nanos: i64 = format!("{fraction:0<9.9}").parse().unwrap_or(0);
        return Ok(Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)));
    }
    text.parse().map_err(|_| Refused::new(400, format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_times_keep_their_fraction() {
        let nanos = |text| event_time(text).map(Timestamp::as_nanos);
        assert_eq!(nanos("12"), Ok(12_000_000_000));
        assert_eq!(nanos("12.5"), Ok(12_500_000_000));
        assert_eq!(nanos("1795175444.002260246"), Ok(1_795_175_444_002_260_246));
        assert_eq!(nanos("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        assert_eq!(nanos("soon").unwrap_err().status, 400);
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        assert_eq!(signal(None), Ok(9));
        assert_eq!(signal(Some("SIGTERM")), Ok(15));
        assert_eq!(signal(Some("USR1")), Ok(10));
        assert_eq!(signal(Some("15")), Ok(15));
        assert_eq!(signal(Some("NOISE")).unwrap_err().status, 400);
    }
}
