//! What went while nobody looked is told by the next look: a consumer's present state stays the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerId, ContainerState, ImageChange, ImageState, LossReason, Stream};
use pipeline::faults::{Faults, Point};
use pipeline::ports::EngineImage;
use tokio::time::sleep;

use crate::engine::{FakeEngine, id, record};
use crate::world::{Options, World, seconds};

/// What a consumer knows that has read everything: the containers that are there.
fn present(world: &World) -> Vec<ContainerId> {
    let mut known = BTreeMap::new();
    world.seen(|seen| {
        for row in &seen.containers {
            known.insert(row.container_id.clone(), row.state);
        }
    });
    known.retain(|_, state| *state != ContainerState::Removed);
    known.into_keys().collect()
}

fn removals(world: &World, number: u32) -> usize {
    let is_it = |row: &&model::ContainerRecord| row.state == ContainerState::Removed && row.container_id == id(number);
    world.seen(|seen| seen.containers.iter().filter(is_it).count())
}

fn image(number: u32, tag: &str) -> EngineImage {
    EngineImage {
        image_id: format!("sha256:{}", id(number)),
        tags: vec![tag.to_owned()],
        digests: Vec::new(),
        created_at: None,
        size_bytes: Some(4_000_000),
        labels: BTreeMap::from([("version".to_owned(), tag.to_owned())]),
    }
}

#[test]
fn a_container_that_went_between_two_lives_is_told_as_removed_once_with_all_that_was_known_of_it() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        let _feed = engine.feed();
        let first = World::start(&engine, Options::default());
        wait_for("the containers", || present(&first).len() == 3).await;
        let known = first.seen(|seen| seen.containers.iter().find(|row| row.container_id == id(1)).cloned()).unwrap();
        let marks = first.seen(|seen| seen.marks.clone());
        first.end().await;

        engine.take_away(1);
        let _feed = engine.feed();
        let second = World::start(&engine, Options { marks, ..Options::default() });
        wait_for("the removal", || removals(&second, 1) == 1).await;
        wait_for("the others", || present(&second) == [id(0), id(2)]).await;
        let told = second.seen(|seen| seen.containers.iter().find(|row| row.container_id == id(1)).cloned()).unwrap();
        assert_eq!((told.container_name, told.labels), (known.container_name, known.labels));
        sleep(seconds(200)).await;
        assert_eq!(removals(&second, 1), 1, "and it is not told again");
        assert_eq!(second.events("destroy", true), 0, "when that was, nobody knows: no event is made up");
        let marks = second.seen(|seen| seen.marks.clone());
        second.end().await;

        let _feed = engine.feed();
        let third = World::start(&engine, Options { marks, ..Options::default() });
        sleep(seconds(70)).await;
        assert_eq!((present(&third), removals(&third, 1)), (vec![id(0), id(2)], 0));
        third.end().await;
    });
}

#[test]
fn a_container_that_goes_while_the_inventory_begins_anew_is_told_as_removed() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..3);
        let armed = Arc::new(AtomicBool::default());
        let strikes = armed.clone();
        let faults = Faults::armed(move |at| {
            assert!(at != Point::Inventory || !strikes.swap(false, Ordering::Relaxed), "sabotage");
        });
        let _feed = engine.feed();
        let world = World::start(&engine, Options { faults, discovery: seconds(5), ..Options::default() });
        wait_for("the containers", || present(&world).len() == 3).await;
        armed.store(true, Ordering::Relaxed);
        engine.take_away(2);
        wait_for("the others", || present(&world) == [id(0), id(1)]).await;
        assert!(world.restarts().0 > 0);
        world.end().await;
    });
}

#[test]
fn a_removal_that_is_lost_on_the_way_is_told_again_by_the_next_look() {
    run(async {
        let engine = FakeEngine::new();
        // They have no stats: the parser has nothing else in hand.
        (0..2).for_each(|number| engine.put(record(number, ContainerState::Exited, 1)));
        let armed = Arc::new(AtomicBool::default());
        let strikes = armed.clone();
        let parser_faults = Faults::armed(move |at| {
            assert!(at != Point::Parser || !strikes.swap(false, Ordering::Relaxed), "sabotage");
        });
        let _feed = engine.feed();
        let world = World::start(&engine, Options { parser_faults, discovery: seconds(20), ..Options::default() });
        sleep(seconds(5)).await;
        assert_eq!(present(&world), [id(0), id(1)]);
        armed.store(true, Ordering::Relaxed);
        engine.take_away(0);
        sleep(seconds(60)).await;
        assert_eq!(world.lost(Stream::Containers, LossReason::Panic), 1);
        assert_eq!((present(&world), removals(&world, 0)), (vec![id(1)], 1));
        world.end().await;
    });
}

#[test]
fn what_became_of_images_between_two_lives_is_told_as_versions() {
    run(async {
        let engine = FakeEngine::new();
        engine.has_images(&[image(1, "app:1"), image(2, "other:1"), image(3, "stays:1")]);
        let _feed = engine.feed();
        let first = World::start(&engine, Options::default());
        wait_for("the images", || first.seen(|seen| seen.images.len()) >= 3).await;
        sleep(seconds(5)).await;
        let marks = first.seen(|seen| seen.marks.clone());
        assert_eq!(first.seen(|seen| seen.versions.len()), 0);
        first.end().await;

        engine.has_images(&[image(4, "app:1"), image(3, "stays:1")]);
        let _feed = engine.feed();
        let second = World::start(&engine, Options { marks, ..Options::default() });
        sleep(seconds(70)).await;
        let mut told = second.seen(|seen| {
            let row = |row: &model::ImageVersionRecord| (row.change.name(), row.reference.clone());
            seen.versions.iter().map(row).collect::<Vec<_>>()
        });
        told.sort_unstable();
        let of = |number: u32| format!("sha256:{}", id(number));
        let mut expected = vec![
            (ImageChange::ImageAdded.name(), of(4)),
            (ImageChange::ImageRemoved.name(), of(1)),
            (ImageChange::ImageRemoved.name(), of(2)),
            (ImageChange::TagMoved.name(), "app:1".to_owned()),
            (ImageChange::TagRemoved.name(), "other:1".to_owned()),
        ];
        expected.sort_unstable();
        assert_eq!(told, expected);
        let last = second.seen(|seen| {
            let row = |row: &model::ImageRecord| (row.image_id.clone(), (row.state, row.labels.len()));
            seen.images.iter().map(row).collect::<BTreeMap<_, _>>()
        });
        let (there, gone) = ((ImageState::Present, 1), (ImageState::Removed, 1));
        assert_eq!(last, BTreeMap::from([(of(1), gone), (of(2), gone), (of(3), there), (of(4), there)]));
        second.end().await;
    });
}
