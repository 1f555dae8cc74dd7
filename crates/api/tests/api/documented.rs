//! `docs/api.md`: every example request runs as written and answers what is written below it.
//!
//! An example is a `console` block: `$ curl …` and its answer. With `BLESS=1` the answers are written anew.

use std::path::PathBuf;

use serde_json::Value;

use crate::http::{Reply, get, request};
use crate::served::Served;

/// What differs from one run to the next.
const VOLATILE: [&str; 5] = ["generated_at", "data_age_ms", "uptime_seconds", "request_id", "version"];

/// Where the documentation has the API.
const BASE: &str = "http://127.0.0.1:8080";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md")
}

struct Example<'a> {
    command: &'a str,
    answer: &'a str,
}

fn examples(text: &str) -> Vec<Example<'_>> {
    text.split("```console\n$ ")
        .skip(1)
        .map(|block| {
            let block = block.split("\n```").next().unwrap();
            let (command, answer) = block.split_once('\n').unwrap_or((block, ""));
            Example { command, answer }
        })
        .collect()
}

/// Does what the command line says. Known are the options the page uses.
fn run(command: &str) -> (Reply, bool) {
    let (mut method, mut headers, mut target, mut shows_head) = ("GET", String::new(), None, false);
    let mut words = words(command).into_iter();
    assert_eq!(words.next().as_deref(), Some("curl"), "{command}");
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {}
            "-si" => shows_head = true,
            "-sI" => (method, shows_head) = ("HEAD", true),
            "-X" => method = if words.next().unwrap() == "DELETE" { "DELETE" } else { panic!("{command}") },
            "-H" => headers += &format!("{}\r\n", words.next().unwrap()),
            "|" => assert_eq!(words.next().as_deref(), Some("jq"), "{command}"),
            url => target = Some(url.strip_prefix(BASE).unwrap_or_else(|| panic!("{command}: {url}")).to_owned()),
        }
    }
    (request(Served::shared().address, method, &target.unwrap(), &headers), shows_head)
}

/// The words of a command line with single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        match at % 2 {
            1 => words.push(part.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    words
}

/// An answer as the page shows it.
fn shown(reply: &Reply, shows_head: bool) -> String {
    let body = if reply.header("content-type").is_some_and(|kind| kind.contains("json")) {
        indented(&reply.body)
    } else {
        reply.body.trim_end().to_owned()
    };
    if !shows_head {
        return body;
    }
    let head: String = ["content-type", "allow", "etag", "retry-after", "x-request-id"]
        .iter()
        .filter_map(|name| Some(format!("{name}: {}\n", reply.header(name)?)))
        .collect();
    format!("HTTP/1.1 {}\n{head}\n{body}", reply.line).trim_end().to_owned()
}

/// JSON over several lines, its fields in their order; short objects and lists stay on one line.
fn indented(json: &str) -> String {
    let mut out = String::new();
    write_indented(&mut out, json.trim(), 0);
    out
}

fn write_indented(out: &mut String, json: &str, depth: usize) {
    let parts = parts(json);
    if json.len() + 2 * depth <= 100 || parts.is_empty() {
        let spaced = if parts.is_empty() { json.to_owned() } else { one_line(json) };
        return out.push_str(&spaced);
    }
    let (open, close) = (&json[..1], &json[json.len() - 1..]);
    out.push_str(open);
    for (at, part) in parts.iter().enumerate() {
        out.push_str(if at == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        match key_of(part) {
            Some((key, value)) => {
                out.push_str(&format!("{key}: "));
                write_indented(out, value, depth + 1);
            }
            None => write_indented(out, part, depth + 1),
        }
    }
    out.push_str(&format!("\n{}{close}", "  ".repeat(depth)));
}

fn one_line(json: &str) -> String {
    let parts: Vec<String> = parts(json)
        .iter()
        .map(|part| match key_of(part) {
            Some((key, value)) => format!("{key}: {}", one_line(value)),
            None => one_line(part),
        })
        .collect();
    match parts.is_empty() {
        true => json.to_owned(),
        false => format!("{}{}{}", &json[..1], parts.join(", "), &json[json.len() - 1..]),
    }
}

/// The members of an object or the items of a list; nothing for anything else.
fn parts(json: &str) -> Vec<&str> {
    if !json.starts_with(['{', '[']) || json.len() <= 2 {
        return Vec::new();
    }
    let inner = &json[1..json.len() - 1];
    let (mut parts, mut begin, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[begin..]);
    parts
}

/// `"key":value` → key with its quotes, and value.
fn key_of(part: &str) -> Option<(&str, &str)> {
    let rest = part.strip_prefix('"')?;
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let value = rest[end + 1..].strip_prefix(':')?;
    Some((&part[..end + 2], value))
}

/// A shown answer without what differs from run to run.
fn comparable(text: &str) -> String {
    let (head, body) = match text.split_once("\n\n") {
        Some((head, body)) => (head, body),
        None if text.starts_with("HTTP/") => (text, ""),
        None => ("", text),
    };
    let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("x-request-id")).collect();
    let body = serde_json::from_str::<Value>(body).map_or(body.to_owned(), |mut value| {
        forget_volatile(&mut value);
        format!("{value:#}")
    });
    format!("{}\n\n{body}", head.join("\n"))
}

fn forget_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
            // How long a container has been up; of a problem, the status is a number.
            if fields.get("status").is_some_and(Value::is_string) && fields.contains_key("container_id") {
                fields.remove("status");
            }
            fields.values_mut().for_each(forget_volatile);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_volatile),
        _ => {}
    }
}

#[test]
fn every_example_runs_as_written_and_answers_what_is_written() {
    let text = std::fs::read_to_string(path()).unwrap();
    let blesses = std::env::var_os("BLESS").is_some();
    let mut blessed = text.clone();
    for Example { command, answer } in examples(&text) {
        let (reply, shows_head) = run(command);
        let shown = shown(&reply, shows_head);
        let is_same = comparable(answer) == comparable(&shown);
        if blesses && !is_same {
            let (before, after) = (format!("$ {command}\n{answer}\n```"), format!("$ {command}\n{shown}\n```"));
            let before = if answer.is_empty() { format!("$ {command}\n```") } else { before };
            assert!(blessed.contains(&before), "{command}");
            blessed = blessed.replacen(&before, &after, 1);
        } else if !is_same {
            assert_eq!(comparable(answer), comparable(&shown), "{command}\n(BLESS=1 writes the answers anew)");
        }
    }
    if blesses && blessed != text {
        std::fs::write(path(), blessed).unwrap();
    }
}

#[test]
fn every_route_and_every_problem_is_on_the_page() {
    let text = std::fs::read_to_string(path()).unwrap();
    let document = get(Served::shared().address, "/api/openapi.json").json();
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("`GET {path}`")), "{path} is not described");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for parameter in item["get"]["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            assert!(text.contains(&format!("`{name}`")), "{path}: `{name}` is not described");
        }
    }
    for kind in document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap() {
        assert!(text.contains(&format!("`{}`", kind.as_str().unwrap())), "{kind} is not described");
    }
    assert!(examples(&text).len() >= 15);
}
