//! Images are known as they are, and every change of them is told once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerRecord, ContainerState, EngineEvent, ImageChange, ImageState, Timestamp};
use pipeline::faults::{Faults, Point};
use pipeline::ports::EngineImage;
use tokio::time::sleep;

use crate::engine::{FakeEngine, event, id, record};
use crate::world::{Options, World, millis, seconds};

pub fn image(number: u32, tag: &str, digest: Option<&str>) -> EngineImage {
    EngineImage {
        image_id: format!("sha256:{}", id(number)),
        tags: vec![tag.to_owned()],
        digests: digest.map(|digest| format!("busybox@sha256:{digest}")).into_iter().collect(),
        created_at: None,
        size_bytes: Some(4_000_000),
        labels: BTreeMap::new(),
    }
}

fn of_image(number: u32, container: u32) -> ContainerRecord {
    let image_id = Some(format!("sha256:{}", id(number)));
    ContainerRecord { image_id, ..record(container, ContainerState::Running, 1) }
}

fn image_event(action: &str) -> EngineEvent {
    EngineEvent { kind: "image".into(), actor_id: "busybox:1".into(), ..event(1, action, 1) }
}

/// Changes so far, with the images they led from and to by number.
fn versions(world: &World) -> Vec<(ImageChange, String)> {
    world.seen(|seen| seen.versions.iter().map(|row| (row.change, row.reference.clone())).collect())
}

#[test]
fn images_are_listed_at_the_start_and_an_event_shows_a_change_at_once() {
    run(async {
        let engine = FakeEngine::new();
        engine.has_images(&[image(1, "busybox:1", None)]);
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        wait_for("the image", || world.seen(|seen| seen.images.len()) == 1).await;
        assert_eq!(versions(&world), []);
        sleep(seconds(2)).await;
        engine.has_images(&[image(2, "busybox:1", None)]);
        feed.try_send(image_event("pull")).unwrap();
        sleep(seconds(2)).await;
        let first = format!("sha256:{}", id(1));
        let second = format!("sha256:{}", id(2));
        let expected = [
            (ImageChange::ImageAdded, second.clone()),
            (ImageChange::TagMoved, "busybox:1".to_owned()),
            (ImageChange::ImageRemoved, first.clone()),
        ];
        let mut told = versions(&world);
        told.sort_by_key(|(change, _)| *change as usize);
        let mut expected = Vec::from(expected);
        expected.sort_by_key(|(change, _)| *change as usize);
        assert_eq!(told, expected);
        let states = world.seen(|seen| {
            let of = |image: &str| seen.images.iter().rfind(|row| row.image_id == image).map(|row| row.state);
            (of(&first), of(&second))
        });
        assert_eq!(states, (Some(ImageState::Removed), Some(ImageState::Present)));
        world.end().await;
    });
}

#[test]
fn a_change_no_event_told_of_is_found_by_the_next_look() {
    run(async {
        let engine = FakeEngine::new();
        engine.has_images(&[image(1, "busybox:1", None)]);
        let _feed = engine.feed();
        let world = World::start(&engine, Options { discovery: seconds(10), ..Options::default() });
        wait_for("the image", || world.seen(|seen| seen.images.len()) == 1).await;
        engine.has_images(&[image(1, "busybox:2", None)]);
        sleep(seconds(15)).await;
        let mut told = versions(&world);
        told.sort_by_key(|(_, reference)| reference.clone());
        let expected = [(ImageChange::TagRemoved, "busybox:1".into()), (ImageChange::TagAdded, "busybox:2".into())];
        assert_eq!(told, expected);
        world.end().await;
    });
}

#[test]
fn many_events_at_once_are_one_look_more() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        sleep(seconds(5)).await;
        let before = engine.calls("images");
        for at in 0..50 {
            feed.try_send(EngineEvent { timestamp: Timestamp::from_millis(at), ..image_event("tag") }).unwrap();
        }
        sleep(seconds(5)).await;
        let looks = engine.calls("images") - before;
        assert!((1..=2).contains(&looks), "{looks}");
        world.end().await;
    });
}

#[test]
fn a_failed_look_is_taken_again_soon_and_takes_nothing_away() {
    run(async {
        let engine = FakeEngine::new();
        engine.has_images(&[image(1, "busybox:1", None)]);
        let _feed = engine.feed();
        engine.fail_images(3);
        let world = World::start(&engine, Options::default());
        sleep(seconds(20)).await;
        assert_eq!(world.seen(|seen| seen.images.len()), 1);
        engine.fail_images(1);
        sleep(seconds(70)).await;
        assert_eq!((world.seen(|seen| seen.images.len()), versions(&world)), (1, vec![]));
        world.end().await;
    });
}

#[test]
fn an_image_tells_which_containers_are_made_of_it() {
    run(async {
        let engine = FakeEngine::new();
        engine.has_images(&[image(1, "busybox:1", None)]);
        engine.put(of_image(1, 10));
        engine.put(of_image(1, 11));
        let feed = engine.feed();
        let world = World::start(&engine, Options::default());
        let used_by = || world.seen(|seen| seen.images.last().and_then(|row| row.used_by.clone()));
        wait_for("both users", || used_by().is_some_and(|used_by| used_by == [id(10), id(11)])).await;
        engine.take_away(10);
        feed.try_send(event(10, "destroy", 1)).unwrap();
        wait_for("one user", || used_by().is_some_and(|used_by| used_by == [id(11)])).await;
        world.end().await;
    });
}

#[test]
fn a_container_tells_the_digest_of_its_image_once_that_is_known() {
    run(async {
        let engine = FakeEngine::new();
        engine.put(of_image(1, 10));
        engine.fail_images(2);
        engine.has_images(&[image(1, "busybox:1", Some("d1"))]);
        let _feed = engine.feed();
        let world = World::start(&engine, Options::default());
        let digest = || world.seen(|seen| seen.containers.last().and_then(|row| row.image_digest.clone()));
        wait_for("the digest", || digest().as_deref() == Some("sha256:d1")).await;
        let records = world.seen(|seen| seen.containers.len());
        sleep(seconds(130)).await;
        assert_eq!(world.seen(|seen| seen.containers.len()), records, "and it is not told again");
        world.end().await;
    });
}

#[test]
fn images_that_fail_fail_alone_and_what_changed_meanwhile_is_told() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        engine.has_images(&[image(1, "busybox:1", None)]);
        let armed = Arc::new(AtomicBool::default());
        let strikes = armed.clone();
        let faults = Faults::armed(move |at| {
            assert!(at != Point::Images || !strikes.swap(false, Ordering::Relaxed), "sabotage");
        });
        let feed = engine.feed();
        let world = World::start(&engine, Options { faults, ..Options::default() });
        wait_for("the image", || world.seen(|seen| seen.images.len()) == 1).await;
        wait_for("the streams", || (0..3).all(|number| engine.streams(number) == (1, 1))).await;
        sleep(seconds(1)).await;
        let lists = engine.calls("list");
        armed.store(true, Ordering::Relaxed);
        engine.has_images(&[image(1, "busybox:2", None)]);
        feed.try_send(image_event("tag")).unwrap();
        sleep(millis(5_000)).await;
        assert_eq!(world.restarts().0, 1);
        let mut told = versions(&world);
        told.sort_by_key(|(_, reference)| reference.clone());
        let expected = [(ImageChange::TagRemoved, "busybox:1".into()), (ImageChange::TagAdded, "busybox:2".into())];
        assert_eq!(told, expected);
        assert_eq!(engine.calls("list"), lists, "the inventory did not notice");
        assert!((0..3).all(|number| engine.streams(number) == (1, 1)));
        world.end().await;
    });
}
