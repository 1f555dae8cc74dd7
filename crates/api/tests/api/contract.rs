//! The OpenAPI document tells the truth: every route is in it, and every answer is what it says.

use serde_json::{Map, Value};

use crate::http::{get, request};
use crate::served::Served;
use crate::world::WEB;

fn document() -> Value {
    get(Served::shared().address, "/api/openapi.json").json()
}

/// A path that answers 200, for each path of the document.
fn sample(path: &str) -> String {
    match path {
        "/api/containers/{id}/stats/history" => {
            format!(
                "/api/containers/{WEB}/stats/history?from=2026-11-20T12:00:00Z&to=2026-11-20T12:01:00Z&resolution=1m"
            )
        }
        "/api/containers" => "/api/containers?state=running&state=exited&state=paused".into(),
        other => named(other),
    }
}

/// A path that names something that is there.
fn named(path: &str) -> String {
    let name = match path {
        _ if path.starts_with("/api/images") => "nginx:1.29",
        _ if path.starts_with("/api/hosts") => "alpha",
        _ => WEB,
    };
    path.replace("{id}", name)
}

#[test]
fn every_path_of_the_document_is_served_and_every_path_served_is_in_it() {
    let document = document();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/",
        "/api",
        "/api/containers",
        "/api/containers/{id}",
        "/api/containers/{id}/logs",
        "/api/containers/{id}/stats",
        "/api/containers/{id}/stats/history",
        "/api/docs",
        "/api/events",
        "/api/hosts",
        "/api/hosts/{id}",
        "/api/images",
        "/api/images/{id}",
        "/api/images/{id}/history",
        "/api/losses",
        "/api/openapi.json",
        "/api/pipeline",
        "/api/revp",
        "/healthz",
        "/metrics",
        "/metrics/containers",
        "/readyz",
    ];
    assert_eq!(paths, expected);
    for path in paths {
        let status = get(Served::shared().address, &sample(path)).status;
        assert!(status == 200 || path == "/readyz" && status == 503, "{path}: {status}");
    }
}

#[test]
fn every_answer_is_what_its_schema_says_to_the_last_field() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let content = &item["get"]["responses"]["200"]["content"]["application/json"];
        let Some(schema) = content.get("schema") else { continue };
        let reply = request(Served::shared().address, "GET", &sample(path), "Accept: application/json\r\n");
        check(&document, schema, &reply.json(), path);
    }
}

#[test]
fn every_field_and_every_parameter_is_described() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, shape) in schema["properties"].as_object().unwrap() {
            assert!(shape["description"].as_str().is_some_and(|text| text.len() > 3), "{name}.{field}");
        }
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().unwrap() {
            assert!(parameter["description"].as_str().is_some_and(|text| text.len() > 3), "{path}: {parameter}");
        }
    }
}

#[test]
fn every_problem_is_what_its_schema_says() {
    let document = document();
    let schema = &document["components"]["schemas"]["Problem"];
    for path in [
        "/api/containers/cache",
        "/api/containers/nobody",
        "/api/images/nobody",
        "/api/images/redis:8",
        "/api/containers?x=1",
        "/api/containers?limit=0",
        "/nowhere",
        "/api/containers?cursor=x",
        "/api/containers/db/stats",
        "/api/containers/a%00",
    ] {
        check(&document, schema, &get(Served::shared().address, path).json(), path);
    }
}

#[test]
fn every_parameter_of_the_document_is_taken() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().unwrap() {
            let schema = &parameter["schema"];
            let schema = if schema["type"] == "array" { &schema["items"] } else { schema };
            let (name, place) = (parameter["name"].as_str().unwrap(), &parameter["in"]);
            if place == "path" || name == "cursor" {
                continue;
            }
            let value = match (&schema["enum"][0], &schema["examples"][0], &schema["default"]) {
                (Value::String(word), ..) => word.clone(),
                (_, Value::String(example), _) => example.clone(),
                (.., Value::Number(number)) => number.to_string(),
                _ => "alpha".into(),
            };
            let path = named(path);
            let reply = get(Served::shared().address, &format!("{path}?{name}={value}"));
            assert_eq!(reply.status, 200, "{path}?{name}={value}: {}", reply.body);
        }
    }
}

#[test]
fn the_page_of_the_api_explains_every_problem_and_links_only_to_what_it_has() {
    let page = get(Served::shared().address, "/api/docs").body;
    let document = document();
    for kind in document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap() {
        let anchor = kind.as_str().unwrap().strip_prefix("/api/docs#").unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
    for link in page.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let mut ids = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        ids.push(item["get"]["operationId"].as_str().unwrap());
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operation id is given twice");
}

/// Checks `value` against the part of JSON Schema that the document uses; an unknown field is an error.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(document, document.pointer(&reference[1..]).unwrap(), value, at);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        let fits = if value.is_null() { &either[1] } else { &either[0] };
        return check(document, fits, value, at);
    }
    let allowed: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at}: no type: {other}"),
    };
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(
        allowed.contains(&actual) || actual == "integer" && allowed.contains(&"number"),
        "{at}: {actual} is not {allowed:?}"
    );
    if let (Some(words), false) = (schema["enum"].as_array(), value.is_null()) {
        assert!(words.contains(value), "{at}: {value} is not one of {words:?}");
    }
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| check(document, &schema["items"], item, &format!("{at}/{index}")));
        }
        Value::Object(fields) => check_fields(document, schema, fields, at),
        Value::String(text) if schema["format"] == "date-time" => {
            assert!(text.parse::<model::Timestamp>().is_ok() && text.ends_with('Z'), "{at}: {text}");
        }
        _ => {}
    }
}

fn check_fields(document: &Value, schema: &Value, fields: &Map<String, Value>, at: &str) {
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(fields.contains_key(name.as_str().unwrap()), "{at}: {name} is missing");
    }
    for (name, value) in fields {
        let at = format!("{at}/{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) => panic!("{at} is not in the document"),
            (Value::Null, more) => check(document, more, value, &at),
            (known, _) => check(document, known, value, &at),
        }
    }
}
