//! The cache before a store that counts, and is away at will; with Redis as it is, paused, killed, refusing and full.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use test_support::Redis;
use tokio::time::{Instant, advance};

use self::counting::CountingStore;
use super::*;
use crate::conformance::fixtures::{id, meta, seconds, start};
use crate::{
    ContainerFilter, ContainerKey, DEFAULT_POINTS, HistoryQuery, Page, Resolution, Selector, Store, StoreError,
};

mod counting;

fn cached(store: &Arc<CountingStore>) -> CachedStore {
    CachedStore::new(store.clone(), &CacheConfig::default()).unwrap()
}

fn beside(store: &Arc<CountingStore>, redis: RedisConfig) -> CachedStore {
    CachedStore::new(store.clone(), &CacheConfig { redis: Some(redis), ..CacheConfig::default() }).unwrap()
}

fn redis(server: &Redis) -> RedisConfig {
    RedisConfig { url: server.url().to_owned(), user: None, password: None, prefix: String::new() }
}

fn web(host: &str) -> ContainerKey {
    ContainerKey { host: meta(host, 1, "web").host.clone(), container_id: id(1) }
}

fn hour() -> HistoryQuery {
    HistoryQuery { from: start(), to: seconds(3_600), resolution: None, max_points: DEFAULT_POINTS }
}

async fn list(store: &CachedStore) -> Result<usize, StoreError> {
    store.containers(&ContainerFilter::default(), &Page::default()).await.map(|listed| listed.data.len())
}

/// Asks what is cached, each once.
async fn ask_all(store: &CachedStore) {
    list(store).await.unwrap();
    store.latest(&web("a")).await.unwrap();
    store.totals(start()).await.unwrap();
    store.image(&Selector::new("sha256:1")).await.unwrap();
    store.history(&web("a"), &hour()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_for_its_time_and_no_longer() {
    let store = Arc::new(CountingStore::default());
    let cached = cached(&store);
    ask_all(&cached).await;
    ask_all(&cached).await;
    assert_eq!(store.asked(), 5);
    // What has 2 s, 10 s, 30 s and 300 s is asked anew after that, and not before.
    for (seconds, asked) in [(1, 5), (1, 7), (1, 7), (7, 10), (20, 14), (270, 19)] {
        advance(Duration::from_millis(seconds * 1_000)).await;
        ask_all(&cached).await;
        assert_eq!(store.asked(), asked, "{seconds} s on");
    }
}

#[tokio::test]
async fn questions_that_differ_are_told_apart() {
    let store = Arc::new(CountingStore::default());
    let cached = cached(&store);
    let filters = [
        ContainerFilter::default(),
        ContainerFilter { host: Some("a".into()), ..ContainerFilter::default() },
        ContainerFilter { name: Some("a".into()), ..ContainerFilter::default() },
    ];
    for filter in &filters {
        for page in [Page::default(), Page { limit: 7, cursor: None }, Page { limit: 7, cursor: Some("x".into()) }] {
            cached.containers(filter, &page).await.unwrap();
        }
    }
    assert_eq!(store.asked(), 9);
    for host in ["a", "b"] {
        cached.latest(&web(host)).await.unwrap();
        cached.history(&web(host), &hour()).await.unwrap();
        cached.history(&web(host), &HistoryQuery { resolution: Some(Resolution::Day), ..hour() }).await.unwrap();
        cached.history(&web(host), &HistoryQuery { max_points: 7, ..hour() }).await.unwrap();
        cached.image(&Selector { host: Some(host.into()), ..Selector::new("sha256:1") }).await.unwrap();
        cached.container(&Selector { host: Some(host.into()), ..Selector::new("web") }).await.unwrap();
    }
    assert_eq!(store.asked(), 9 + 12);
    assert_eq!(cached.counts().snapshot().memory_hits, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stampede_asks_the_store_once() {
    let store = Arc::new(CountingStore::slow(Duration::from_secs(1)));
    let cached = cached(&store);
    let mut all: Vec<_> = (0..200).map(|_| Box::pin(list(&cached))).collect();
    let answers = futures_all(&mut all).await;
    assert!(answers.iter().all(|answer| *answer == Ok(1)));
    assert_eq!(store.asked(), 1);
    let counts = cached.counts().snapshot();
    assert_eq!((counts.misses, counts.memory_hits), (1, 199));
}

async fn futures_all<F: Future + Unpin>(all: &mut [F]) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_the_last_answer_is_given_and_marked_as_stale() {
    let store = Arc::new(CountingStore::default());
    let cached = cached(&store);
    assert_eq!(noting_staleness(list(&cached)).await, (Ok(1), None));
    store.go_away();
    advance(Duration::from_secs(9)).await;
    assert_eq!(noting_staleness(list(&cached)).await, (Ok(1), None), "it is not too old yet");
    advance(Duration::from_secs(2)).await;
    assert_eq!(noting_staleness(list(&cached)).await, (Ok(1), Some(Duration::from_secs(11))));
    let asked = store.asked();
    assert_eq!(noting_staleness(list(&cached)).await.1, Some(Duration::from_secs(11)));
    assert_eq!(store.asked(), asked, "nobody else waits for a store that is away");
    assert_eq!(cached.counts().snapshot().stale, 2);
    let unknown = cached.totals(start()).await;
    assert_eq!(unknown, Err(StoreError::Unavailable("away".into())), "there is nothing older to give");
    store.come_back();
    advance(Duration::from_secs(2)).await;
    assert_eq!(noting_staleness(list(&cached)).await, (Ok(1), None));
}

#[tokio::test]
async fn what_is_not_there_is_an_answer_of_the_store_each_time() {
    let store = Arc::new(CountingStore::default());
    let cached = cached(&store);
    for _ in 0..2 {
        let gone = cached.image(&Selector::new("gone")).await;
        assert_eq!(gone, Err(StoreError::ImageNotFound("gone".into())));
    }
    assert_eq!(store.asked(), 2);
}

#[tokio::test]
async fn in_redis_are_the_keys_and_times_that_are_promised() {
    let server = Redis::start();
    let store = Arc::new(CountingStore::default());
    let promised = BTreeMap::from([
        ("containers:list".to_owned(), 10_000),
        (format!("stats:container:{}:latest", id(1)), 2_000),
        ("stats:total:latest".to_owned(), 2_000),
        ("image:sha256:1".to_owned(), 300_000),
        (format!("query:stats:{}:{}:{}", id(1), start(), seconds(3_600)), 30_000),
    ]);
    for (key, ttl) in promised {
        // A key may be gone before it is looked at, on a machine with much to do.
        let deadline = Instant::now() + Duration::from_secs(120);
        let (expires, envelope) = loop {
            let mut cached = beside(&store, redis(&server));
            cached.redis_mut().be_patient();
            ask_all(&cached).await;
            let expires: i64 = server.ask(&format!("PEXPIRETIME {key}")).unwrap().parse().unwrap();
            if let (true, Some(envelope)) = (expires > 0, server.ask(&format!("GET {key}"))) {
                break (expires, envelope);
            }
            assert!(Instant::now() < deadline, "{key} is never there");
        };
        let envelope: serde_json::Value = serde_json::from_str(&envelope).unwrap();
        let at: model::Timestamp = envelope["at"].as_str().unwrap().parse().unwrap();
        let life = expires - at.as_nanos() / 1_000_000;
        assert!((ttl - 1..ttl + 60_000).contains(&life), "{key}: {life} ms of {ttl}");
        let left: i64 = server.ask(&format!("PTTL {key}")).unwrap().parse().unwrap();
        assert!(left <= ttl, "{key}: {left} ms of {ttl}");
    }
}

#[tokio::test]
async fn two_processes_share_what_is_in_redis_under_their_prefix() {
    let server = Redis::start_with(&["--password", "secret"]);
    let store = Arc::new(CountingStore::default());
    let config = RedisConfig { password: Some("secret".into()), prefix: "fleet:".into(), ..redis(&server) };
    let process = |config: &RedisConfig| {
        let mut cached = beside(&store, config.clone());
        cached.redis_mut().be_patient();
        cached
    };
    let (one, other) = (process(&config), process(&config));
    let image = Selector::new("sha256:1");
    let first = one.image(&image).await.unwrap();
    assert_eq!(other.image(&image).await.unwrap(), first);
    assert_eq!(store.asked(), 1);
    assert_eq!((one.counts().snapshot().misses, other.counts().snapshot().redis_hits), (1, 1));
    let elsewhere = process(&RedisConfig { prefix: "other:".into(), ..config });
    elsewhere.image(&image).await.unwrap();
    assert_eq!(store.asked(), 2);
    // All that goes through it comes back as it was.
    for cached in [&one, &other] {
        let history = cached.history(&web("a"), &hour()).await.unwrap();
        assert_eq!(history, store.history(&web("a"), &hour()).await.unwrap());
        let latest = cached.latest(&web("a")).await.unwrap();
        assert_eq!(latest, store.latest(&web("a")).await.unwrap());
    }
}

/// The longest that one of many requests takes, by the runtime's clock: it goes on only where all wait.
async fn slowest(cached: &CachedStore, requests: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0..requests {
        let begin = Instant::now();
        cached.image(&Selector::new(format!("sha256:{number}-{}", begin.elapsed().as_nanos()))).await.unwrap();
        slowest = slowest.max(begin.elapsed());
    }
    slowest
}

#[tokio::test]
async fn a_redis_that_hangs_slows_no_request_by_more_than_50_ms_and_soon_none_at_all() {
    let server = Redis::start();
    let store = Arc::new(CountingStore::default());
    let cached = beside(&store, redis(&server));
    cached.image(&Selector::new("sha256:first")).await.unwrap();
    server.pause();
    tokio::time::pause();
    assert!(slowest(&cached, 20).await <= Duration::from_millis(50));
    let counts = cached.counts().snapshot();
    assert!(counts.redis_errors >= 1 && counts.redis_skipped >= 30, "{counts:?}");
    assert_eq!(slowest(&cached, 20).await, Duration::ZERO, "it is left alone");
    tokio::time::resume();
    server.resume();
    recovers(&cached, &server).await;
}

/// Waits until Redis takes what the cache puts down.
async fn recovers(cached: &CachedStore, server: &Redis) {
    let deadline = Instant::now() + Duration::from_secs(120);
    for number in 0.. {
        let image = format!("sha256:again-{number}");
        cached.image(&Selector::new(&image)).await.unwrap();
        if server.ask(&format!("GET image:{image}")).is_some() {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", cached.counts().snapshot());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_costs_no_answer_and_is_used_again_when_it_is_back() {
    let server = Redis::start();
    let store = Arc::new(CountingStore::default());
    let cached = beside(&store, redis(&server));
    ask_all(&cached).await;
    server.kill9();
    for number in 0..20 {
        cached.image(&Selector::new(format!("sha256:{number}"))).await.unwrap();
    }
    assert!(cached.counts().snapshot().redis_errors >= 1);
    server.restart();
    recovers(&cached, &server).await;
}

#[tokio::test]
async fn a_redis_that_refuses_or_is_full_costs_no_answer() {
    let locked = Redis::start_with(&["--password", "secret"]);
    let full = Redis::start_with(&["--maxmemory", "1kb"]);
    let wrong = RedisConfig { password: Some("wr0ng".into()), ..redis(&locked) };
    for config in [redis(&locked), wrong, redis(&full)] {
        assert!(!format!("{config:?}").contains("wr0ng"));
        let store = Arc::new(CountingStore::default());
        let mut cached = beside(&store, config);
        cached.redis_mut().be_patient();
        for number in 0..5 {
            cached.image(&Selector::new(format!("sha256:{number}"))).await.unwrap();
        }
        let counts = cached.counts().snapshot();
        assert_eq!((store.asked(), counts.redis_hits), (5, 0));
        assert!(counts.redis_errors >= 1, "{counts:?}");
    }
}

#[test]
fn an_address_that_is_none_is_told_without_what_may_be_a_secret_in_it() {
    let store = Arc::new(CountingStore::default());
    let config = RedisConfig { url: "http://me:hunter2@a".into(), user: None, password: None, prefix: String::new() };
    let error = CachedStore::new(store, &CacheConfig { redis: Some(config), ..CacheConfig::default() }).err().unwrap();
    assert!(!error.contains("hunter2"), "{error}");
}
