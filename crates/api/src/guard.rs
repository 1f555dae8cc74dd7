//! What every request passes, whatever its route: limits, the `Host` check, ids, headers, the log.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Version;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use tracing::Instrument;

use crate::api::Api;
use crate::call::Template;
use crate::problem::{Problem, ProblemKind};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::routes::READINESS;

/// Bytes that path and query may have together.
const MAX_URI: usize = 8 * 1024;

/// What a page may do: nothing. Pages that have a style say so themselves.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The outermost layer.
pub(crate) async fn guard(
    api: web::Data<Api>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let arrived = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let span =
        tracing::info_span!("request", request_id = id.as_str(), method = %request.method(), path = request.path());
    let checked = check(&api, &request);
    let answer = async {
        let mut answer = match checked {
            Ok(()) => next.call(request).await?.map_into_boxed_body(),
            Err(problem) => {
                let answer = problem.answer(request.request(), &id);
                request.into_response(answer)
            }
        };
        let headers = answer.headers_mut();
        headers.insert(REQUEST_ID, id.header());
        for (name, value) in HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if !headers.contains_key(CONTENT_SECURITY_POLICY) {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        }
        let (status, took) = (answer.status(), arrived.elapsed());
        let route = answer.request().extensions().get::<Template>().map_or("unmatched", |template| template.0);
        // A probe is told "not ready" as often as it asks: that is news only to the probe.
        match status.is_server_error() && route != READINESS {
            true => tracing::warn!(status = status.as_u16(), ?took, "answered with an error of the server"),
            false => tracing::debug!(status = status.as_u16(), ?took, "answered"),
        }
        api.sight.answered(route, status.as_u16(), took);
        Ok(answer)
    };
    answer.instrument(span).await
}

fn check(api: &Api, request: &ServiceRequest) -> Result<(), Problem> {
    let headers = request.headers();
    let too_large = |kind, what: &str, limit: usize| {
        Err(Problem::new(kind, format!("{what} of more than {limit} bytes")).with("limit_bytes", limit))
    };
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri > MAX_URI {
        return too_large(ProblemKind::UriTooLong, "a URI", MAX_URI);
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > api.config.header_limit {
        return too_large(ProblemKind::HeadersTooLarge, "headers", api.config.header_limit);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > api.config.body_limit as u64) {
        return too_large(ProblemKind::BodyTooLarge, "a body", api.config.body_limit);
    }
    check_host(api, request)
}

/// The name the client used must be one a web page of someone else cannot have.
fn check_host(api: &Api, request: &ServiceRequest) -> Result<(), Problem> {
    let malformed = |why: &str| Err(Problem::new(ProblemKind::InvalidRequest, why));
    let name = match host(request.headers()) {
        Ok(Some(name)) => name,
        // HTTP/1.0 has no hosts; browsers do not speak it.
        Ok(None) if request.version() == Version::HTTP_10 => return Ok(()),
        Ok(None) => return malformed("the Host header is missing"),
        Err(()) => return malformed("there is more than one Host header, or it is no text"),
    };
    if !is_allowed(name, api.listen, &api.config.allowed_hosts) {
        let shown: String = name.chars().take(64).collect();
        return Err(Problem::new(ProblemKind::HostNotAllowed, format!("`{shown}` is not a name this API answers to")));
    }
    // An absolute request target names a host too.
    match request.uri().host() {
        Some(target) if !is_allowed(target, api.listen, &api.config.allowed_hosts) => Err(Problem::new(
            ProblemKind::HostNotAllowed,
            "the request target names a host this API does not answer to",
        )),
        _ => Ok(()),
    }
}

fn host(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(HOST);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Loopback names, the address listened on (any address, where that is all of them), and what is configured.
fn is_allowed(authority: &str, listen: SocketAddr, configured: &[String]) -> bool {
    let Some(name) = without_port(authority) else { return false };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) if address.is_loopback() || address == listen.ip() || listen.ip().is_unspecified() => true,
        Ok(_) => configured.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)),
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost"
                || name.ends_with(".localhost")
                || configured.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name))
        }
    }
}

/// `name`, `name:port`, `1.2.3.4:port`, `[::1]:port` → what stands before the port.
fn without_port(authority: &str) -> Option<&str> {
    let is_port =
        |text: &str| text.is_empty() || text.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => is_port(port).then_some(name)?,
        _ => authority,
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(authority: &str) -> bool {
        is_allowed(authority, "127.0.0.1:8080".parse().unwrap(), &["dockstream.lan".into()])
    }

    #[test]
    fn loopback_names_with_any_port_are_allowed() {
        for name in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:9",
            "localhost.",
            "app.localhost",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
            "localhost:",
            "dockstream.lan:8080",
            "Dockstream.LAN",
        ] {
            assert!(allowed(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_resemble_loopback_are_not() {
        for name in [
            "",
            ":8080",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "evil.example#localhost",
            "10.0.0.1:8080",
            "[::2]:8080",
            "localhost:port",
            "localhost:99999",
            "0.0.0.0",
            "notlocalhost",
            "localhost..",
            "localhost:80:80",
            "127.0.0.1:+80",
        ] {
            assert!(!allowed(name), "{name}");
        }
    }

    #[test]
    fn who_listens_on_every_address_answers_to_every_address_but_to_no_foreign_name() {
        let everywhere = "0.0.0.0:8080".parse().unwrap();
        assert!(is_allowed("10.0.0.7:8080", everywhere, &[]));
        assert!(!is_allowed("evil.example:8080", everywhere, &[]));
    }
}
