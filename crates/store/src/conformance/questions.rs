//! What every store is asked over data made by chance.

use model::{ContainerState, ImageState, LogStream, LossReason, Stream};
use serde::Serialize;
use serde_json::{Value, json};

use super::fixtures::{id, seconds};
use super::generated::{HOSTS, NAMES, TAGS, World, keys};
use crate::{
    ContainerFilter, EventFilter, HistoryQuery, ImageFilter, LabelMatch, Listed, LogFilter, LossFilter, Page,
    RevpFilter, Selector, Store, StoreError,
};

/// Every question with its answer, or with the error that is the answer.
pub(super) async fn answers(store: &dyn Store, world: &World) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    inventory(store, &mut all).await;
    streams(store, world, &mut all).await;
    numbers(store, world, &mut all).await;
    all
}

fn told<T: Serialize>(answer: Result<T, StoreError>) -> Value {
    match answer {
        Ok(answer) => json!(answer),
        Err(error) => json!(format!("{:?}: {error}", error.class())),
    }
}

/// Every page of a list, a few rows each.
macro_rules! pages {
    ($store:ident.$list:ident($($argument:expr),+)) => {{
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let listed = $store.$list($($argument,)+ &Page { limit: 6, cursor }).await;
            let next = listed.as_ref().ok().and_then(|listed| listed.next_cursor.clone());
            pages.push(told(listed.map(|Listed { data, .. }| data)));
            cursor = next;
            if cursor.is_none() || pages.len() > 100 {
                break json!(pages);
            }
        }
    }};
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn label(text: &str) -> Vec<LabelMatch> {
    vec![text.parse().unwrap()]
}

async fn inventory(store: &dyn Store, all: &mut Vec<(String, Value)>) {
    let any = ContainerFilter::default;
    let filters = [
        any(),
        ContainerFilter { host: text("b"), ..any() },
        ContainerFilter { states: vec![ContainerState::Exited, ContainerState::Removed], ..any() },
        ContainerFilter { name: text("EB"), ..any() },
        ContainerFilter { name: text("Ü"), ..any() },
        ContainerFilter { name: text("\\"), ..any() },
        ContainerFilter { name: text("%'"), ..any() },
        ContainerFilter { name: text(""), ..any() },
        ContainerFilter { image: text("POST"), ..any() },
        ContainerFilter { image: text("sha256:1"), ..any() },
        ContainerFilter { image_id: text("sha256:2"), ..any() },
        ContainerFilter { labels: label("team"), ..any() },
        ContainerFilter { labels: [label("team=blue"), label("tier")].concat(), ..any() },
        ContainerFilter { labels: label("it's=a=b"), ..any() },
        ContainerFilter { labels: label("tier="), ..any() },
        ContainerFilter { project: text("ü"), ..any() },
        ContainerFilter { health: text("unhealthy"), ..any() },
        ContainerFilter { health: text("none"), ..any() },
        ContainerFilter { revp: Some(RevpFilter::With), ..any() },
        ContainerFilter { revp: Some(RevpFilter::Without), ..any() },
        ContainerFilter { revp: Some(RevpFilter::Valid), ..any() },
        ContainerFilter { revp: Some(RevpFilter::Invalid), ..any() },
        ContainerFilter { domain: text("a.EXAMPLE"), ..any() },
        ContainerFilter { domain: text(""), ..any() },
    ];
    for filter in filters {
        all.push((format!("{filter:?}"), pages!(store.containers(&filter))));
    }
    let any = ImageFilter::default;
    let filters = [
        any(),
        ImageFilter { host: text("a"), ..any() },
        ImageFilter { state: Some(ImageState::Removed), ..any() },
        ImageFilter { tag: text("api"), ..any() },
        ImageFilter { tag: text("ü"), ..any() },
        ImageFilter { labels: label("team=blue"), ..any() },
        ImageFilter { is_used: Some(true), ..any() },
        ImageFilter { is_used: Some(false), ..any() },
        ImageFilter { is_dangling: Some(true), ..any() },
        ImageFilter { is_dangling: Some(false), ..any() },
    ];
    for filter in filters {
        all.push((format!("{filter:?}"), pages!(store.images(&filter))));
    }
    for name in NAMES.into_iter().chain(["/web", "nobody", id(1).as_str(), &id(2).as_str()[..12]]) {
        let selector = Selector::new(name);
        all.push((format!("container {name}"), told(store.container(&selector).await)));
        let on_host = Selector { host: Some("b".into()), ..selector };
        all.push((format!("container {name} on b"), told(store.container(&on_host).await)));
    }
    let image = format!("sha256:{}", id(1));
    for name in TAGS.into_iter().chain(["nginx", "nobody", &image, &image[..30]]) {
        let selector = Selector::new(name);
        all.push((format!("image {name}"), told(store.image(&selector).await)));
        all.push((format!("history of image {name}"), pages!(store.image_history(&selector))));
    }
    let on_host = Selector { host: Some("a".into()), ..Selector::new(image) };
    all.push(("image on a".into(), told(store.image(&on_host).await)));
    all.push(("history of image on a".into(), pages!(store.image_history(&on_host))));
    all.push(("hosts".into(), told(store.hosts().await)));
    for host in HOSTS {
        all.push((format!("host {host}"), told(store.host(host).await)));
    }
}

async fn streams(store: &dyn Store, world: &World, all: &mut Vec<(String, Value)>) {
    let any = EventFilter::default;
    let filters = [
        any(),
        EventFilter { host: text("a"), ..any() },
        EventFilter { kind: text("container"), action: text("die"), ..any() },
        EventFilter { container: text(NAMES[0]), ..any() },
        EventFilter { container: text(id(2).as_str()), ..any() },
        EventFilter { container: text(&id(3).as_str()[..20]), ..any() },
        EventFilter { labels: label("team"), ..any() },
        EventFilter { labels: label("team=blue"), ..any() },
        EventFilter { from: Some(seconds(5)), to: Some(seconds(9)), ..any() },
    ];
    for filter in filters {
        all.push((format!("{filter:?}"), pages!(store.events(&filter))));
    }
    let any = LossFilter::default;
    let filters = [
        any(),
        LossFilter { stream: Some(Stream::Stats), ..any() },
        LossFilter { reason: Some(LossReason::Coalesced), ..any() },
        LossFilter { sink: text("x'y"), ..any() },
        LossFilter { from: Some(seconds(40)), to: Some(seconds(50)), ..any() },
        LossFilter { from: Some(world.since), ..any() },
    ];
    for filter in filters {
        all.push((format!("{filter:?}"), pages!(store.losses(&filter))));
    }
    let any = LogFilter::default;
    let filters = [
        any(),
        LogFilter { stream: Some(LogStream::Stderr), ..any() },
        LogFilter { text: text("A"), ..any() },
        LogFilter { text: text("ü"), ..any() },
        LogFilter { text: text("\t"), ..any() },
        LogFilter { text: text("\\"), ..any() },
        LogFilter { from: Some(seconds(3)), to: Some(seconds(8)), ..any() },
    ];
    let all_keys = keys();
    let (first, second) = (&all_keys[0], &all_keys[1]);
    for filter in &filters {
        all.push((format!("lines of the first {filter:?}"), pages!(store.logs(first, filter))));
    }
    all.push(("lines of the second".into(), pages!(store.logs(second, &any()))));
}

async fn numbers(store: &dyn Store, world: &World, all: &mut Vec<(String, Value)>) {
    let since = [seconds(0), world.since];
    for since in since {
        all.push((format!("latest of all since {since}"), told(store.latest_all(since).await)));
        all.push((format!("totals since {since}"), told(store.totals(since).await)));
    }
    let day = HistoryQuery { from: seconds(0), to: seconds(86_400), resolution: None, max_points: 50 };
    let year = HistoryQuery { to: seconds(300 * 86_400), ..day.clone() };
    let nothing = HistoryQuery { to: day.from, ..day.clone() };
    for range in world.ranges.iter().chain(&[day, year, nothing]) {
        all.push((format!("history of totals {range:?}"), told(store.total_history(range).await)));
        for container in keys().into_iter().step_by(3) {
            let question = format!("history of {container:?} {range:?}");
            all.push((question, told(store.history(&container, range).await)));
        }
    }
    for container in keys() {
        all.push((format!("latest of {container:?}"), told(store.latest(&container).await)));
    }
}
