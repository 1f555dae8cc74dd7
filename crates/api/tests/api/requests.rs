//! Requests as clients and attackers send them.

use std::sync::Arc;
use std::time::Duration;

use api::ApiConfig;
use store::SqliteStore;

use crate::http::{exchange, get, request};
use crate::served::Served;
use crate::stuck::StuckStore;
use crate::world::World;

const PATHS: [&str; 15] = [
    "/",
    "/api",
    "/api/containers",
    "/api/containers/web",
    "/api/containers/web/stats",
    "/api/containers/web/stats/history",
    "/api/containers/web/logs",
    "/api/events",
    "/api/hosts",
    "/api/losses",
    "/api/pipeline",
    "/healthz",
    "/metrics",
    "/metrics/containers",
    "/api/openapi.json",
];

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest_known() {
    let address = Served::shared().address;
    for path in PATHS {
        let reply = get(address, &format!("{path}?surprise=1"));
        assert_eq!(reply.status, 400, "{path}");
        assert_eq!(reply.problem("unknown-parameter")["parameter"], "surprise");
    }
    for (path, nearest) in [
        ("/api/containers?sate=running", "state"),
        ("/api/containers?Host=alpha", "host"),
        ("/api/containers?labels=x", "label"),
        ("/api/events?form=now", "from"),
        ("/api/events?containers=web", "container"),
        ("/api/containers/web/stats/history?maxpoints=5", "max_points"),
        ("/api/containers/web/logs?tails=5", "tail"),
    ] {
        let problem = get(address, path).problem("unknown-parameter");
        assert_eq!(problem["nearest"], nearest, "{path}");
        assert!(problem["detail"].as_str().unwrap().ends_with(&format!("did you mean `{nearest}`?")), "{problem}");
    }
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_what_it_must_be() {
    let address = Served::shared().address;
    for (path, parameter, rule) in [
        ("/api/containers?limit=0", "limit", "a whole number from 1 to 1000"),
        ("/api/containers?limit=1001", "limit", "a whole number from 1 to 1000"),
        ("/api/containers?limit=-1", "limit", "a whole number from 1 to 1000"),
        ("/api/containers?limit=ten", "limit", "a whole number from 1 to 1000"),
        ("/api/containers?state=sleeping", "state", "one of created, running"),
        ("/api/containers?health=good", "health", "one of starting, healthy, unhealthy, none"),
        ("/api/containers?host=", "host", "1 to 512 bytes without control characters"),
        ("/api/containers?name=a%00b", "name", "1 to 512 bytes without control characters"),
        ("/api/containers?label=%3Dfront", "label", "a label key, or key=value"),
        ("/api/events?from=yesterday", "from", "an RFC 3339 time, seconds since 1970, or `now`"),
        ("/api/containers/web/stats/history?resolution=5m", "resolution", "one of raw, 1m, 1h, 1d"),
        ("/api/containers/web/stats/history?max_points=99999", "max_points", "a whole number from 1 to 11000"),
        ("/api/losses?stream=log", "stream", "one of stats, events"),
        ("/api/hosts?host=a&status=up", "host", ""),
    ] {
        let reply = get(address, path);
        assert_eq!(reply.status, 400, "{path}");
        let problem = reply.json();
        assert_eq!(problem["parameter"], parameter, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(rule), "{path}: {problem}");
    }
    let twice = get(address, "/api/containers?host=alpha&host=beta").problem("invalid-parameter");
    assert_eq!(twice["detail"], "`host` is given twice");
}

#[test]
fn a_valid_request_id_is_kept_and_any_other_replaced() {
    let address = Served::shared().address;
    let reply = request(address, "GET", "/api/containers/nobody", "X-Request-ID: job-7.step_2\r\n");
    assert_eq!(reply.problem("container-not-found")["request_id"], "job-7.step_2");
    for bad in ["<script>", "a b", &"x".repeat(129), ""] {
        let reply = request(address, "GET", "/healthz", &format!("X-Request-ID: {bad}\r\n"));
        let made = reply.header("x-request-id").unwrap();
        assert!(made.len() == 32 && made != bad, "{made}");
    }
    let ids: std::collections::BTreeSet<_> =
        (0..20).map(|_| get(address, "/healthz").header("x-request-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn a_wrong_method_is_405_with_the_right_ones() {
    let address = Served::shared().address;
    for path in PATHS {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let reply = request(address, method, path, "");
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
            reply.problem("method-not-allowed");
        }
    }
}

#[test]
fn a_wrong_path_is_a_404_problem_that_names_a_near_one() {
    let address = Served::shared().address;
    assert_eq!(get(address, "/api/container").problem("route-not-found")["nearest"], "/api/containers");
    for path in [
        "/nowhere",
        "/api/",
        "/api/containers/",
        "/api//containers",
        "/api/containers/web/",
        "/api/containers/../events",
        "/%00",
    ] {
        let reply = get(address, path);
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(request(address, "DELETE", "/nowhere", "").status, 404);
}

#[test]
fn head_is_get_without_the_body() {
    let address = Served::shared().address;
    for path in
        ["/api/containers/web", "/api/containers/web/stats", "/api/openapi.json", "/metrics", "/healthz", "/api/docs"]
    {
        let (get, head) = (get(address, path), request(address, "HEAD", path, ""));
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    let head = request(address, "HEAD", "/api/containers/nobody", "");
    assert_eq!((head.status, head.body.as_str()), (404, ""));
}

#[test]
fn a_foreign_host_name_is_refused_wherever_it_stands() {
    let address = Served::shared().address;
    let with = |target: &str, host: &str| {
        exchange(address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "192.168.1.7:8080",
        "localhost:http",
    ] {
        for target in ["/", "/api/containers", "/metrics", "/nowhere"] {
            let reply = with(target, host);
            assert_eq!(reply.status, 421, "{host} {target}");
            reply.problem("host-not-allowed");
        }
    }
    assert_eq!(with("http://evil.example/api", "localhost").status, 421);
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
        assert_eq!(with("/healthz", host).status, 200, "{host}");
    }
    // What proxies say of themselves changes nothing.
    let reply = exchange(
        address,
        b"GET /api HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(reply.status, 421);
}

#[test]
fn a_configured_name_is_answered() {
    let config = ApiConfig { allowed_hosts: vec!["dockstream.lan".into()], ..ApiConfig::default() };
    let served = Served::empty(config, World::default());
    for (host, status) in [("dockstream.lan:8080", 200), ("other.lan", 421)] {
        let reply = exchange(
            served.address,
            format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert_eq!(reply.status, status, "{host}");
    }
}

#[test]
fn no_host_or_two_are_malformed() {
    let address = Served::shared().address;
    let none = exchange(address, b"GET /api HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(none.status, 400);
    let two =
        exchange(address, b"GET /api HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(two.status, 400);
}

#[test]
fn every_answer_carries_the_security_headers() {
    let address = Served::shared().address;
    for path in
        ["/", "/api/containers", "/nowhere", "/api/containers/nobody", "/api/containers?x=1", "/metrics", "/api/docs"]
    {
        let reply = get(address, path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert!(reply.header("cache-control").is_some(), "{path}");
    }
}

#[test]
fn what_is_too_large_is_refused_with_the_limit() {
    let address = Served::shared().address;
    let long = request(address, "GET", &format!("/api/containers?name={}", "a".repeat(9_000)), "");
    assert_eq!((long.status, long.problem("uri-too-long")["limit_bytes"].as_u64()), (414, Some(8_192)));
    let heavy = request(address, "GET", "/api", &format!("X-Filler: {}\r\n", "a".repeat(17_000)));
    assert_eq!((heavy.status, heavy.problem("headers-too-large")["limit_bytes"].as_u64()), (431, Some(16_384)));
    let huge = request(address, "GET", "/api", &format!("X-Filler: {}\r\n", "a".repeat(200_000)));
    assert_eq!(huge.status, 431);
    let body = request(address, "POST", "/api", "Content-Length: 100000\r\n");
    assert_eq!((body.status, body.problem("body-too-large")["limit_bytes"].as_u64()), (413, Some(65_536)));
    assert_eq!(get(address, "/healthz").status, 200);
}

#[test]
fn what_is_no_http_gets_400_and_the_server_goes_on() {
    let address = Served::shared().address;
    for junk in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        assert_eq!(exchange(address, junk).status, 400, "{junk:?}");
    }
    assert_eq!(get(address, "/healthz").status, 200);
}

#[test]
fn whatever_is_asked_no_answer_is_an_error_of_the_server() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "/",
        "api",
        "containers",
        "web",
        "stats",
        "history",
        "events",
        "..",
        "%2f",
        "%00",
        "%ff",
        "?",
        "&",
        "=",
        "limit",
        "cursor",
        "from",
        "now-",
        "9223372036854775807",
        "-1",
        "d",
        "label",
        "state",
        "running",
        "%",
        "+",
        "'",
        "%22",
        ";--",
        "%F0%9F%90%B3",
        "host",
    ];
    for _ in 0..400 {
        let target: String = (0..random.usize(1..14)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let reply = get(Served::shared().address, &format!("/api/{target}"));
        assert!(reply.status < 500, "{target}: {}", reply.body);
        if reply.status >= 400 {
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{target}");
        }
    }
}

#[test]
fn a_handler_that_panics_is_a_500_problem_and_the_server_goes_on() {
    let world = World { on_metrics: || panic!("as told"), ..World::default() };
    let served = Served::empty(ApiConfig::default(), world);
    for _ in 0..5 {
        let reply = get(served.address, "/metrics");
        assert_eq!(reply.status, 500);
        assert!(!reply.problem("internal").to_string().contains("as told"), "a panic's text is for the log");
    }
    assert_eq!(get(served.address, "/healthz").status, 200);
}

#[test]
fn a_store_that_cannot_answer_is_503_with_when_to_come_back() {
    let missing = Arc::new(SqliteStore::open("/nonexistent/dockstream.db"));
    let served = Served::over(ApiConfig::default(), missing);
    for path in ["/api/containers", "/api/containers/web", "/api/containers/web/stats", "/api/events"] {
        let reply = get(served.address, path);
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{path}");
        reply.problem("unavailable");
    }
    assert_eq!(get(served.address, "/api").status, 200, "what the process knows needs no store");
}

#[test]
fn a_request_that_takes_too_long_is_504() {
    let config = ApiConfig { request_timeout: Duration::from_millis(50), ..ApiConfig::default() };
    let served = Served::over(config, Arc::new(StuckStore));
    let reply = get(served.address, "/api/containers");
    assert_eq!(reply.status, 504);
    assert_eq!(reply.problem("timeout")["detail"], "no answer within 50 ms");
    assert_eq!(get(served.address, "/healthz").status, 200);
}

#[test]
fn many_requests_at_once_are_all_answered() {
    let address = Served::shared().address;
    let client = |number: usize| {
        let paths =
            ["/api/containers", "/api/containers/web", "/api/containers/web/stats", "/api/events", "/api/hosts"];
        move || {
            (0..60)
                .map(|turn| get(address, paths[(number + turn) % paths.len()]).status)
                .filter(|status| *status != 200)
                .count()
        }
    };
    let clients: Vec<_> = (0..8).map(|number| std::thread::spawn(client(number))).collect();
    let failed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(failed, 0);
}
