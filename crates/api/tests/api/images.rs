//! `/api/images`: filters, what a tag means, and what changed.

use serde_json::{Value, json};

use crate::http::get;
use crate::served::Served;
use crate::world::{WEB, image_id, names};

fn ask(path: &str) -> Value {
    let reply = get(Served::shared().address, path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.json()
}

#[test]
fn every_filter_of_images_takes_what_it_names_and_nothing_else() {
    let [nginx, redis, dangling, gone] = ["9bea9f2796e2", "5d41", "77aa", "88bb"].map(image_id);
    for (query, expected) in [
        ("", vec![&redis, &redis, &dangling, &nginx]),
        ("?host=beta", vec![&redis]),
        ("?tag=NGINX", vec![&nginx]),
        ("?used=false", vec![&dangling]),
        ("?used=true&host=alpha", vec![&redis, &nginx]),
        ("?dangling=true", vec![&dangling]),
        ("?dangling=false&tag=redis", vec![&redis, &redis]),
        ("?state=removed", vec![&gone]),
        ("?label=maintainer", vec![&nginx]),
        ("?tag=%25", vec![]),
    ] {
        assert_eq!(
            names(&ask(&format!("/api/images{query}")), "image_id"),
            expected.into_iter().cloned().collect::<Vec<_>>(),
            "{query}"
        );
    }
}

#[test]
fn an_image_is_found_by_id_prefix_and_tag_and_tells_its_containers() {
    let full = image_id("9bea9f2796e2");
    for text in [&full, &full[..30], "9bea9f2796e2", "nginx:1.29", "nginx", "nginx%3Alatest"] {
        let image = ask(&format!("/api/images/{text}"));
        assert_eq!(image["image_id"], full, "{text}");
        assert_eq!(image["used_by"], json!([WEB]));
        assert_eq!(image["containers"], json!([{"container_id": WEB, "container_name": "web", "state": "running"}]));
    }
    let problem = get(Served::shared().address, "/api/images/redis:8");
    assert_eq!(problem.status, 409);
    let candidates = problem.problem("ambiguous-image")["candidates"].clone();
    assert_eq!((&candidates[0]["host"], &candidates[1]["host"]), (&json!("alpha"), &json!("beta")));
    assert_eq!(ask("/api/images/redis:8?host=beta")["host"], "beta");
    // A slash in a tag is part of the name.
    assert_eq!(ask("/api/images/shop%2Fapi:1")["state"], "removed");
}

#[test]
fn what_no_image_is_called_is_404_whatever_it_is() {
    for text in ["nobody", "9bea", "..%2f..%2fetc%2fpasswd", "%27%20OR%201%3D1", "sha256:", "web"] {
        for path in [format!("/api/images/{text}"), format!("/api/images/{text}/history")] {
            let reply = get(Served::shared().address, &path);
            assert_eq!(reply.status, 404, "{path}: {}", reply.body);
            reply.problem("image-not-found");
        }
    }
}

#[test]
fn the_history_of_an_image_is_every_change_that_led_to_it_or_away() {
    let changes = |path: &str| names(&ask(path), "change");
    assert_eq!(changes("/api/images/9bea9f2796e2/history"), ["tag_added", "tag_moved"]);
    assert_eq!(changes("/api/images/nginx:1.29/history"), ["tag_moved"]);
    assert_eq!(changes(&format!("/api/images/{}/history", image_id("88bb"))), ["image_removed"]);
    assert_eq!(changes("/api/images/redis:8/history"), [""; 0]);
    let page = ask("/api/images/9bea9f2796e2/history?limit=1");
    assert_eq!(page["data"][0]["change"], "tag_added");
    let cursor = page["page"]["next_cursor"].as_str().unwrap();
    let next = ask(&format!("/api/images/9bea9f2796e2/history?limit=1&cursor={cursor}"));
    assert_eq!((&next["data"][0]["change"], &next["page"]["next_cursor"]), (&json!("tag_moved"), &Value::Null));
    assert_eq!(next["data"][0]["from_image_id"], image_id("77aa"));
}
