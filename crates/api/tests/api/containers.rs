//! `/api/containers`: filters, pages, and what a name means.

use api::ApiConfig;
use model::Rows;
use serde_json::{Value, json};

use crate::http::{Reply, get, request};
use crate::served::Served;
use crate::world::{HOSTILE, WEB, WEB_PREFIX, World, at, container, id, names};

fn list(query: &str) -> Value {
    let reply = get(Served::shared().address, &format!("/api/containers{query}"));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn refused(path: &str) -> Reply {
    get(Served::shared().address, path)
}

#[test]
fn a_list_has_data_page_meta_and_warnings() {
    let list = list("");
    assert_eq!(list["data"].as_array().unwrap().len(), 6);
    assert_eq!(list["page"], json!({"next_cursor": null}));
    assert_eq!(list["meta"]["source"], "store");
    assert_eq!(list["meta"]["stale"], false);
    assert!(list["meta"]["data_age_ms"].as_i64().unwrap() >= 0);
    assert!(list["meta"]["generated_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(list["warnings"], json!([]));
}

#[test]
fn every_filter_takes_what_it_names_and_nothing_else() {
    for (query, expected) in [
        ("?host=beta&state=exited", vec!["old-job"]),
        ("?host=nowhere", vec![]),
        ("?state=paused", vec!["cache"]),
        ("?state=paused&state=exited", vec!["cache", "old-job"]),
        ("?state=removed", vec!["gone"]),
        ("?name=WE", vec!["web"]),
        ("?image=postgres", vec!["db"]),
        ("?label=tier", vec!["db", "web"]),
        ("?label=tier%3Dfront", vec!["web"]),
        ("?label=a%3Db%3Dc", vec!["db"]),
        ("?label=tier&label=a", vec!["db"]),
        ("?project=shop", vec!["db", "web"]),
        ("?health=healthy", vec!["web"]),
        ("?health=unhealthy", vec!["db"]),
        ("?health=none&host=alpha", vec!["cache"]),
        ("?revp=true", vec!["db", "web"]),
        ("?revp=false&host=alpha", vec!["cache"]),
        ("?revp=valid", vec!["web"]),
        ("?revp=invalid", vec!["db"]),
        ("?project=shop&health=healthy&host=alpha&state=running", vec!["web"]),
    ] {
        assert_eq!(names(&list(query), "container_name"), expected, "{query}");
    }
}

#[test]
fn a_filter_is_never_read_as_a_pattern_or_as_sql() {
    for query in
        ["?name=%25", "?name=_", "?image=%27%20OR%201%3D1%20--", "?host=alpha%27--", "?label=%25", "?project=%22%22"]
    {
        assert_eq!(names(&list(query), "container_name"), Vec::<String>::new(), "{query}");
    }
    assert_eq!(names(&list("?name=DROP%20TABLE"), "container_name"), [HOSTILE]);
    assert_eq!(list("")["data"].as_array().unwrap().len(), 6);
}

#[test]
fn a_container_is_found_by_full_id_prefix_and_name() {
    let address = Served::shared().address;
    for text in [WEB, WEB_PREFIX, "web", &WEB[..40]] {
        let reply = get(address, &format!("/api/containers/{text}"));
        assert_eq!((reply.status, reply.json()["container_id"].as_str().unwrap()), (200, WEB), "{text}");
    }
}

#[test]
fn an_ambiguous_name_is_409_with_its_candidates_and_host_decides() {
    let problem = refused("/api/containers/cache");
    assert_eq!(problem.status, 409);
    let problem = problem.problem("ambiguous-container");
    let hosts: Vec<_> =
        problem["candidates"].as_array().unwrap().iter().map(|one| one["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["alpha", "beta"]);
    assert_eq!(problem["candidates"][1]["container_id"], id("7d2e"));
    let reply = get(Served::shared().address, "/api/containers/cache?host=beta");
    assert_eq!((reply.status, reply.json()["state"].as_str().unwrap()), (200, "paused"));
}

#[test]
fn what_no_container_is_called_is_404_whatever_it_is() {
    for text in [
        "nobody",
        "..%2fversion",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "3f4e",
        "%27%20OR%20%271%27%3D%271",
        "%3Cscript%3E",
        "%25",
        "web%3Fhost%3Dbeta",
        "%C3%BC",
        "%FF",
        &"a".repeat(300),
        "web%20",
        "WEB",
        "+",
    ] {
        let reply = refused(&format!("/api/containers/{text}"));
        assert_eq!(reply.status, 404, "{text}: {}", reply.body);
        reply.problem("container-not-found");
    }
    assert_eq!(refused("/api/containers/web?host=beta").status, 404);
}

#[test]
fn a_control_character_in_a_path_is_refused() {
    for text in ["web%00", "%0d%0aSet-Cookie:%20a=b", "%7f", "a%09b"] {
        let reply = refused(&format!("/api/containers/{text}"));
        assert_eq!(reply.status, 400, "{text}");
        reply.problem("invalid-request");
        assert_eq!(reply.header("set-cookie"), None);
    }
}

#[test]
fn a_hostile_name_comes_back_as_the_text_it_is() {
    let address = Served::shared().address;
    let reply = get(address, &format!("/api/containers/{}", id("a051")));
    assert_eq!(reply.json()["container_name"], HOSTILE);
    assert_eq!(reply.json()["labels"]["x\"y"], "</script>");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(get(address, &format!("/api/containers/{encoded}")).json()["container_id"], id("a051"));
}

#[test]
fn pages_have_every_container_once_though_others_come_and_go() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let name = |number: usize| format!("c{number:03}");
    let made = |number: usize| container("alpha", &id(&format!("{:04x}", number + 0x1000)), &name(number), json!({}));
    served.store(Rows::Containers((0..50).map(|number| made(2 * number)).collect::<Vec<_>>().into()));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let list = get(served.address, &format!("/api/containers?limit=7{cursor}")).json();
        seen.extend(
            list["data"].as_array().unwrap().iter().map(|one| one["container_name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = list["page"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        // One more before the place where the reader is, one after it.
        served.store(Rows::Containers(vec![made(2 * page + 1), made(101 + page)].into()));
    }
    assert!(seen.is_sorted());
    seen.retain(|name| name.as_str() < "c100" && name[1..].parse::<usize>().unwrap() % 2 == 0);
    assert_eq!(seen, (0..50).map(|number| name(2 * number)).collect::<Vec<_>>());
}

#[test]
fn a_cursor_works_only_with_the_filters_and_the_route_it_was_made_for() {
    let address = Served::shared().address;
    let first = list("?label=tier&state=running&limit=1");
    let cursor = first["page"]["next_cursor"].as_str().unwrap();
    let second = list(&format!("?state=running&label=tier&limit=5&cursor={cursor}"));
    assert_eq!(names(&second, "container_name"), ["web"]);
    for path in [
        format!("/api/containers?label=tier&cursor={cursor}"),
        format!("/api/containers?label=tier&state=paused&cursor={cursor}"),
        format!("/api/events?cursor={cursor}"),
        format!("/api/hosts?cursor={cursor}"),
        format!("/api/containers?label=tier&state=running&cursor=A{cursor}"),
        "/api/containers?cursor=eyJsaXN0IjoiY29udGFpbmVycyIsImFmdGVyIjpbXX0".to_owned(),
        "/api/containers?cursor=%27".to_owned(),
    ] {
        let reply = get(address, &path);
        assert_eq!(reply.status, 400, "{path}");
        reply.problem("invalid-cursor");
    }
}

#[test]
fn a_container_says_how_long_it_has_been_up_at_the_moment_of_the_answer() {
    let served = Served::empty(ApiConfig::default(), World::default());
    let started = model::Timestamp::from(std::time::SystemTime::now()) - std::time::Duration::from_secs(5 * 86_400);
    let more = json!({"started_at": started, "status": "Up Less than a second"});
    served.store(Rows::Containers(vec![container("alpha", WEB, "web", more)].into()));
    assert_eq!(get(served.address, "/api/containers/web").json()["status"], "Up 5 days");
    assert_eq!(get(served.address, "/api/containers").json()["data"][0]["status"], "Up 5 days");
}

#[test]
fn reverse_proxy_labels_are_listed_with_what_is_wrong_with_them() {
    let ask = |query: &str| {
        let reply = get(Served::shared().address, &format!("/api/revp{query}"));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    for (query, expected) in [
        ("", vec!["db", "web"]),
        ("?valid=true", vec!["web"]),
        ("?valid=false", vec!["db"]),
        ("?domain=SHOP.example.com", vec!["web"]),
        ("?host=beta", vec![]),
        ("?state=paused", vec![]),
    ] {
        assert_eq!(names(&ask(query), "container_name"), expected, "{query}");
    }
    let wrong = &ask("?valid=false")["data"][0];
    assert_eq!((&wrong["domain"], &wrong["backend_port"]), (&json!("db.example.com"), &json!(null)));
    assert_eq!(wrong["errors"][0]["label"], "snadboy.revp.backend-port");
    assert_eq!((&wrong["errors"][0]["value"], &wrong["additional"]), (&json!("many"), &json!({"note": "x"})));
    assert_eq!(get(Served::shared().address, "/api/containers/db").json()["revp"]["errors"], wrong["errors"]);
}

#[test]
fn an_unchanged_answer_is_304_and_a_changed_one_is_not() {
    let served = Served::filled(ApiConfig::default());
    for path in ["/api/containers", "/api/containers/web", "/api/containers/web/stats", "/api/events"] {
        let tag = get(served.address, path).header("etag").unwrap().to_owned();
        for sent in [tag.clone(), format!("\"other\", {tag}"), "*".into()] {
            let reply = request(served.address, "GET", path, &format!("If-None-Match: {sent}\r\n"));
            assert_eq!(
                (reply.status, reply.body.as_str(), reply.header("etag")),
                (304, "", Some(tag.as_str())),
                "{path}"
            );
        }
        let reply = request(served.address, "GET", path, "If-None-Match: \"other\"\r\n");
        assert_eq!(reply.status, 200);
    }
    let tag = get(served.address, "/api/containers").header("etag").unwrap().to_owned();
    let later = json!({"state": "paused", "observed_at": at(60)});
    served.store(Rows::Containers(vec![container("alpha", WEB, "web", later)].into()));
    let reply = request(served.address, "GET", "/api/containers", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(reply.status, 200);
}
