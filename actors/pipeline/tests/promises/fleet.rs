//! Hosts come and go while the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerState, HostName, HostStatus, ImageState, LossReason, Stream, Timestamp};
use pipeline::event_monitor::EventMemory;
use pipeline::ports::{EngineApi, EngineFailure, Journal, Mark};
use tokio::time::sleep;

use crate::engine::{DAWN_S, FakeEngine, Port, event};
use crate::images::image;
use crate::world::{Options, World, millis, seconds};

fn engine(name: &str) -> Arc<FakeEngine> {
    let engine = FakeEngine::named(name);
    engine.running(0..2);
    engine
}

fn mark_of(world: &World, host: &str) -> Option<Vec<u8>> {
    world.journal.marks().remove(&format!("events/{host}"))
}

fn shown(world: &World) -> Vec<String> {
    world.board.all().into_iter().map(|record| record.host.to_string()).collect()
}

async fn followed(engine: &Arc<FakeEngine>) {
    wait_for("its streams", || engine.streams(0).0 == 1 && engine.streams(1).0 == 1).await;
}

/// States and events told of one host.
fn told(world: &World, host: &str) -> (Vec<HostStatus>, Vec<String>) {
    let of_host = |name: &HostName| name.as_str() == host;
    world.seen(|seen| {
        let states = seen.hosts.iter().filter(|record| of_host(&record.host)).map(|record| record.status).collect();
        let events = seen.events.iter().filter(|event| of_host(&event.host) && event.kind == "host");
        (states, events.map(|event| event.action.clone()).collect())
    })
}

#[test]
fn a_host_that_is_added_begins_and_one_that_is_removed_ends_while_the_others_are_not_touched() {
    run(async {
        let (stays, goes, comes) = (engine("stays"), engine("goes"), engine("comes"));
        let world = World::of_hosts(Options::default());
        world.want(&[(&stays, 1), (&goes, 2)]);
        followed(&stays).await;
        followed(&goes).await;

        world.want(&[(&stays, 1), (&comes, 3)]);
        followed(&comes).await;
        wait_for("the end of its streams", || goes.streams(0).0 == 0 && goes.streams(1).0 == 0).await;
        sleep(seconds(60)).await;
        assert_eq!((stays.streams(0), stays.calls("identify")), ((1, 1), 1), "as if nothing had happened");
        assert_eq!(goes.calls("identify"), 1);
        assert_eq!(shown(&world), ["comes", "stays"]);
        assert_eq!(told(&world, "goes"), (vec![HostStatus::Up, HostStatus::Removed], vec!["removed".into()]));
        let last = world.seen(|seen| seen.hosts.iter().rfind(|record| record.host.as_str() == "goes").cloned());
        assert_eq!(last.map(|last| (last.url, last.labels["site"].clone())), Some(("fake:".into(), "north".into())));
        assert_eq!(told(&world, "stays").1, Vec::<String>::new());
        world.end().await;
    });
}

#[test]
fn the_containers_and_images_of_a_removed_host_are_told_as_removed_and_nothing_of_them_is_kept() {
    run(async {
        let goes = engine("goes");
        goes.has_images(&[image(1, "web:1", None), image(2, "db:1", None)]);
        let world = World::of_hosts(Options::default());
        world.want(&[(&goes, 1)]);
        followed(&goes).await;
        sleep(seconds(5)).await;
        let kept = |world: &World| world.seen(|seen| seen.marks.keys().filter(|name| name.contains("goes")).count());
        assert_eq!(kept(&world), 3, "two containers, and the images");
        world.want(&[]);
        sleep(seconds(10)).await;
        let last = |world: &World| {
            world.seen(|seen| {
                let containers = seen.containers.iter().map(|record| (record.container_id.to_string(), record.state));
                let images = seen.images.iter().map(|record| (record.image_id.clone(), record.state));
                (containers.collect::<BTreeMap<_, _>>(), images.collect::<BTreeMap<_, _>>(), seen.versions.len())
            })
        };
        let (containers, images, versions) = last(&world);
        assert_eq!(containers.into_values().collect::<Vec<_>>(), [ContainerState::Removed; 2]);
        assert_eq!(images.into_values().collect::<Vec<_>>(), [ImageState::Removed; 2]);
        assert_eq!((world.events("destroy", true), versions), (0, 0), "they are still there, unseen");
        assert_eq!(world.journal.marks().len(), 0);

        // It comes back: all of it is told anew, and no image is called new.
        world.want(&[(&goes, 2)]);
        followed(&goes).await;
        sleep(seconds(5)).await;
        let (containers, images, versions) = last(&world);
        assert_eq!(containers.into_values().collect::<Vec<_>>(), [ContainerState::Running; 2]);
        assert_eq!(images.into_values().collect::<Vec<_>>(), [ImageState::Present; 2]);
        assert_eq!(versions, 0);
        world.end().await;
    });
}

#[test]
fn a_removed_host_of_many_containers_is_told_whole_however_slow_the_journal_is() {
    run(async {
        let goes = FakeEngine::named("goes");
        goes.running(0..1000);
        let world = World::of_hosts(Options { parser_room: 1 << 16, ..Options::default() });
        world.want(&[(&goes, 1)]);
        let states = |world: &World, state| {
            world.seen(|seen| seen.containers.iter().filter(|record| record.state == state).count())
        };
        wait_for("its containers", || states(&world, ContainerState::Running) == 1000).await;
        world.open_gate(false);
        world.want(&[]);
        sleep(seconds(120)).await;
        assert!(states(&world, ContainerState::Removed) < 1000);
        world.open_gate(true);
        sleep(seconds(30)).await;
        assert_eq!(states(&world, ContainerState::Removed), 1000, "each once");
        assert_eq!(world.lost(Stream::Containers, LossReason::Overflow), 0);
        world.end().await;
    });
}

#[test]
fn a_host_with_new_settings_ends_before_it_begins_anew() {
    run(async {
        let (before, after) = (engine("h"), engine("h"));
        let world = World::of_hosts(Options::default());
        world.want(&[(&before, 1)]);
        followed(&before).await;
        // Whatever is wanted in quick succession, the last counts.
        world.want(&[]);
        world.want(&[(&before, 2)]);
        world.want(&[(&after, 3)]);
        followed(&after).await;
        assert_eq!((before.streams(0), before.streams(1)), ((0, 1), (0, 1)));
        assert_eq!(before.calls("identify"), 1);
        assert_eq!(told(&world, "h").1, Vec::<String>::new(), "it was watched all the time");
        world.end().await;
    });
}

#[test]
fn of_a_host_that_is_removed_no_series_of_metrics_is_left() {
    run(async {
        let (stays, goes) = (engine("stays"), engine("goes"));
        let world = World::of_hosts(Options::default());
        world.want(&[(&stays, 1), (&goes, 2)]);
        followed(&stays).await;
        followed(&goes).await;
        goes.fails(Some(EngineFailure::Unreachable));
        sleep(seconds(25)).await;
        assert!(world.metrics.text().contains("failure=\"unreachable\",host=\"goes\""), "{}", world.metrics.text());
        world.want(&[(&stays, 1)]);
        wait_for("its end", || shown(&world) == ["stays"]).await;
        let text = world.metrics.text();
        assert!(!text.contains("host=\"goes\""), "{text}");
        assert!(text.contains("dockstream_host_up{host=\"stays\"} 1"), "{text}");
        world.end().await;
    });
}

#[test]
fn a_host_that_hangs_is_removed_at_once() {
    run(async {
        let hangs = engine("hangs");
        hangs.inspects(0, crate::engine::Manner::Hang);
        let world = World::of_hosts(Options::default());
        world.want(&[(&hangs, 1)]);
        wait_for("it is asked", || hangs.calls("inspect") > 0).await;
        let asked = tokio::time::Instant::now();
        world.want(&[]);
        wait_for("its end", || shown(&world).is_empty()).await;
        assert!(asked.elapsed() < millis(500), "{:?}", asked.elapsed());
        world.end().await;
    });
}

#[test]
fn the_mark_of_a_removed_host_goes_once_its_last_event_is_journaled() {
    run(async {
        let goes = engine("goes");
        let feed = goes.feed();
        let world = World::of_hosts(Options::default());
        world.want(&[(&goes, 1)]);
        wait_for("the beginning is marked", || mark_of(&world, "goes").is_some()).await;
        followed(&goes).await;
        world.open_gate(false);
        feed.send(event(0, "pause", DAWN_S * 1000 + 5_000)).await.unwrap();
        sleep(seconds(1)).await;
        world.want(&[]);
        sleep(seconds(30)).await;
        assert!(mark_of(&world, "goes").is_some(), "its last event is on its way");
        world.open_gate(true);
        wait_for("the end of the mark", || mark_of(&world, "goes").is_none()).await;
        assert_eq!(world.events("pause", false), 1);
        world.end().await;
    });
}

#[test]
fn a_host_that_comes_back_while_its_last_events_are_on_their_way_goes_on_where_it_was() {
    run(async {
        let back = engine("back");
        let feed = back.feed();
        let world = World::of_hosts(Options::default());
        world.want(&[(&back, 1)]);
        followed(&back).await;
        world.open_gate(false);
        let at = DAWN_S * 1000 + 5_000;
        feed.send(event(0, "pause", at)).await.unwrap();
        sleep(seconds(1)).await;
        world.want(&[]);
        sleep(seconds(10)).await;
        let again = back.feed();
        world.want(&[(&back, 2)]);
        world.open_gate(true);
        wait_for("it is listened to again", || back.since().len() == 2).await;
        assert_eq!(back.since()[1], Some(Timestamp::from_millis(at - 2_000)));
        // The engine replays.
        again.send(event(0, "pause", at)).await.unwrap();
        again.send(event(0, "unpause", at + 1)).await.unwrap();
        wait_for("the new event", || world.events("unpause", false) == 1).await;
        assert_eq!(world.events("pause", false), 1);
        sleep(seconds(5)).await;
        assert!(mark_of(&world, "back").is_some(), "the next life of the process goes on here");
        world.end().await;
    });
}

#[test]
fn a_host_that_is_added_goes_on_from_the_mark_that_an_earlier_life_left() {
    run(async {
        let known = engine("known");
        let world = World::of_hosts(Options::default());
        let before = EventMemory::new(Port(known.clone()).host(), None);
        assert!(before.present_mark().is_none());
        // Version 1: the watermark, and no events after it.
        let mut position = vec![1];
        position.extend((DAWN_S * 1_000_000_000 - 60_000_000_000).to_le_bytes());
        world.journal.mark(Mark { source: "events/known".into(), position: Some(position) }).await.unwrap();
        world.want(&[(&known, 1)]);
        wait_for("it is listened to", || known.since().len() == 1).await;
        assert_eq!(known.since()[0], Some(Timestamp::from_millis((DAWN_S - 62) * 1000)));
        world.end().await;
    });
}

#[test]
fn a_host_that_was_taken_away_while_nobody_watched_is_told_as_removed_with_all_it_had() {
    run(async {
        let (stays, gone) = (engine("stays"), engine("gone"));
        gone.has_images(&[image(1, "web:1", None)]);
        // What an earlier process left in its journal.
        let before = World::of_hosts(Options::default());
        before.want(&[(&stays, 1), (&gone, 2)]);
        followed(&stays).await;
        followed(&gone).await;
        sleep(seconds(5)).await;
        let seen = before.seen(|seen| seen.marks.clone());
        let marks: Vec<Mark> = before.journal.marks().into_iter().chain(seen).map(mark).collect();
        before.end().await;

        let world = World::of_hosts(Options::default());
        for mark in marks {
            world.journal.mark(mark).await.unwrap();
        }
        world.fleet.remember(&*world.journal);
        world.want(&[(&stays, 1)]);
        followed(&stays).await;
        sleep(seconds(10)).await;
        assert_eq!(told(&world, "gone"), (vec![HostStatus::Removed], vec!["removed".into()]));
        world.seen(|seen| {
            let removed = seen.containers.iter().filter(|record| record.state == ContainerState::Removed);
            assert_eq!(removed.count(), 2);
            let images: Vec<_> = seen.images.iter().map(|record| (record.host.as_str(), record.state)).collect();
            assert_eq!(images, [("gone", ImageState::Removed)]);
        });
        // Those of the containers go with their last records.
        let left = world.journal.marks().into_keys().filter(|source| source.contains("/gone"));
        assert_eq!(left.filter(|source| !source.starts_with("containers/")).collect::<Vec<_>>(), Vec::<String>::new());
        world.end().await;
    });
}

fn mark((source, position): (String, Vec<u8>)) -> Mark {
    Mark { source, position: Some(position) }
}
