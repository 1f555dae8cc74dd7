//! Who is not wanted leaves nothing behind: no stream, no record, no event.

use actor_runtime::testkit::{run, wait_for};
use model::{ContainerRecord, ContainerState, EngineEvent, Stream};
use pipeline::selection::{LABEL, Rules, Selection, Standing, Words};
use tokio::time::sleep;

use crate::engine::{DAWN_S, FakeEngine, event, id, record};
use crate::world::{Options, World, seconds};

fn excluding(names: &[&str], states: &[ContainerState]) -> Selection {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Selection { exclude: Rules { names, states: states.to_vec(), ..Rules::default() }, ..Selection::default() }
}

fn options(selection: Selection) -> Options {
    Options { selection, ..Options::default() }
}

/// An event of a container that is called so.
fn of(number: u32, name: &str, action: &str, at_s: i64) -> EngineEvent {
    let mut event = event(number, action, (DAWN_S + at_s) * 1000);
    event.attributes.insert("name".into(), name.into());
    event.attributes.insert("image".into(), "busybox".into());
    event
}

/// The states of one container that were recorded.
fn states(world: &World, number: u32) -> Vec<ContainerState> {
    world.seen(|seen| {
        let of = seen.containers.iter().filter(|record| record.container_id == id(number));
        of.map(|record| record.state).collect()
    })
}

fn unselected(world: &World) -> i64 {
    let text = world.metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("dockstream_containers_unselected{host=\"h\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn of_a_container_that_is_not_wanted_nothing_is_streamed_and_nothing_recorded() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..4);
        let world = World::start(&engine, options(excluding(&["c1", "c2"], &[])));
        wait_for("the others", || engine.streams(0).0 == 1 && engine.streams(3).0 == 1).await;
        feed.try_send(of(1, "c1", "kill", 1)).unwrap();
        feed.try_send(of(0, "c0", "kill", 2)).unwrap();
        wait_for("the event of the other", || world.events("kill", false) == 1).await;
        engine.take_away(1);
        feed.try_send(of(1, "c1", "destroy", 3)).unwrap();
        wait_for("its end", || unselected(&world) == 1).await;
        sleep(seconds(90)).await;
        assert_eq!((engine.streams(1).1, engine.streams(2).1), (0, 0), "streams opened");
        assert_eq!([states(&world, 1).len(), states(&world, 2).len()], [0, 0]);
        let names = world.seen(|seen| {
            let of_stats = seen.stats.iter().map(|record| record.meta.container_name.clone());
            let of_events = seen.events.iter().filter_map(|event| event.container_name.clone());
            of_stats.chain(of_events).collect::<std::collections::BTreeSet<_>>()
        });
        assert!(!names.contains("c1") && !names.contains("c2"), "{names:?}");
        world.end().await;
    });
}

#[test]
fn who_changes_its_name_comes_in_or_goes_out_and_both_are_told() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..2);
        let renamed = |number, name: &str| ContainerRecord {
            container_name: name.into(),
            ..record(number, ContainerState::Running, 1)
        };
        let world = World::start(&engine, options(excluding(&["c1", "tmp-*"], &[])));
        wait_for("one stream", || engine.streams(0).0 == 1 && unselected(&world) == 1).await;
        engine.put(renamed(0, "tmp-0"));
        engine.put(renamed(1, "web"));
        feed.try_send(of(0, "tmp-0", "rename", 1)).unwrap();
        feed.try_send(of(1, "web", "rename", 2)).unwrap();
        wait_for("the other stream", || engine.streams(0).0 == 0 && engine.streams(1).0 == 1).await;
        wait_for("both events", || world.events("rename", false) == 2).await;
        engine.take_away(0);
        feed.try_send(of(0, "tmp-0", "destroy", 3)).unwrap();
        let last = vec![ContainerState::Running, ContainerState::Running, ContainerState::Removed];
        wait_for("the last word", || states(&world, 0) == last).await;
        assert_eq!((states(&world, 1), world.events("destroy", false)), (vec![ContainerState::Running], 0));
        world.end().await;
    });
}

#[test]
fn a_state_that_is_not_wanted_is_told_once_with_the_event_that_led_to_it() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let world = World::start(&engine, options(excluding(&[], &[ContainerState::Exited])));
        wait_for("its stream", || engine.streams(0).0 == 1).await;
        engine.put(record(0, ContainerState::Exited, 1));
        feed.try_send(of(0, "c0", "die", 1)).unwrap();
        wait_for("its end", || states(&world, 0) == [ContainerState::Running, ContainerState::Exited]).await;
        feed.try_send(of(0, "c0", "resize", 2)).unwrap();
        sleep(seconds(20)).await;
        assert_eq!((world.events("die", false), world.events("resize", false)), (1, 0));
        engine.put(record(0, ContainerState::Running, 5));
        feed.try_send(of(0, "c0", "start", 3)).unwrap();
        wait_for("its stream again", || engine.streams(0).0 == 1 && states(&world, 0).len() == 3).await;
        world.end().await;
    });
}

#[test]
fn a_label_opts_in_where_the_default_is_out() {
    run(async {
        let engine = FakeEngine::new();
        engine.running(0..2);
        let mut chosen = record(2, ContainerState::Running, 1);
        chosen.labels.insert(LABEL.into(), "true".into());
        engine.put(chosen);
        let selection = Selection { default: Standing::Out, ..Selection::default() };
        let world = World::start(&engine, options(selection));
        wait_for("its stream", || engine.streams(2).0 == 1).await;
        wait_for("the count", || unselected(&world) == 2).await;
        assert_eq!((engine.streams(0).1, engine.streams(1).1), (0, 0));
        world.end().await;
    });
}

#[test]
fn events_that_are_not_wanted_are_no_records_and_still_move_the_inventory() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let words = |texts: &[&str]| Words::try_new(texts.iter().copied()).unwrap();
        let selection = Selection {
            event_types: words(&["container"]),
            event_actions: words(&["!start", "!exec_*"]),
            ..Selection::default()
        };
        let world = World::start(&engine, options(selection));
        wait_for("one stream", || engine.streams(0).0 == 1).await;
        engine.running(0..2);
        for (action, at) in [("exec_create", 1), ("exec_die", 2), ("start", 3), ("kill", 4)] {
            feed.try_send(of(1, "c1", action, at)).unwrap();
        }
        let network = EngineEvent { kind: "network".into(), ..event(7, "create", (DAWN_S + 5) * 1000) };
        feed.try_send(network).unwrap();
        wait_for("the other stream", || engine.streams(1).0 == 1).await;
        wait_for("the one event", || world.events("kill", false) == 1).await;
        sleep(seconds(90)).await;
        assert_eq!(world.seen(|seen| seen.events.len()), 1);
        assert_eq!(world.books.of(Stream::Events).received, 1, "no other was ever on its way");
        world.end().await;
    });
}

#[test]
fn an_event_that_only_names_a_container_tells_who_it_is_or_the_next_one_does() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let connect = |number: u32, at_s: i64| {
            let container =
                [("container".to_owned(), id(number).to_string()), ("name".to_owned(), "bridge".to_owned())];
            let of_network = event(99, "connect", (DAWN_S + at_s) * 1000);
            EngineEvent { kind: "network".into(), attributes: container.into(), ..of_network }
        };
        let world = World::start(&engine, Options::default());
        wait_for("the first look", || engine.calls("list") >= 1).await;
        // It was made and is connected at once: nobody could have looked at it meanwhile.
        engine.inspects(1, crate::engine::Manner::Hang);
        feed.try_send(of(1, "web", "create", 1)).unwrap();
        feed.try_send(connect(1, 2)).unwrap();
        // This one nobody has heard of, but the engine knows it.
        engine.put(record(2, ContainerState::Running, 1));
        feed.try_send(connect(2, 3)).unwrap();
        wait_for("the look at it", || states(&world, 2).len() == 1).await;
        feed.try_send(connect(2, 4)).unwrap();
        wait_for("all three", || world.events("connect", false) == 3).await;
        let names = world.seen(|seen| {
            let connects = seen.events.iter().filter(|event| event.action == "connect");
            connects.map(|event| event.container_name.clone()).collect::<Vec<_>>()
        });
        assert_eq!(names, [Some("web".to_owned()), None, Some("c2".to_owned())]);
        world.end().await;
    });
}

#[test]
fn what_another_selection_leaves_out_is_told_as_removed_once_and_nothing_is_made_up() {
    run(async {
        let engine = FakeEngine::new();
        let _feed = engine.feed();
        engine.running(0..2);
        let first = World::start(&engine, Options::default());
        wait_for("the containers", || states(&first, 0).len() + states(&first, 1).len() == 2).await;
        let marks = first.seen(|seen| seen.marks.clone());
        first.end().await;

        let _feed = engine.feed();
        let second = World::start(&engine, Options { marks, ..options(excluding(&["c0"], &[])) });
        wait_for("the last word", || states(&second, 0) == [ContainerState::Removed]).await;
        // What becomes of it is nobody's concern any more.
        for state in [ContainerState::Paused, ContainerState::Exited] {
            engine.put(record(0, state, 1));
            sleep(seconds(90)).await;
        }
        engine.take_away(0);
        sleep(seconds(90)).await;
        assert_eq!(
            (states(&second, 0), states(&second, 1)),
            (vec![ContainerState::Removed], vec![ContainerState::Running])
        );
        assert_eq!(second.seen(|seen| seen.events.len()), 0);
        second.end().await;
    });
}

#[test]
fn a_state_that_is_not_wanted_is_still_the_last_one_told_after_a_restart_and_becomes_no_removal() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        engine.running(0..1);
        let selection = || options(excluding(&[], &[ContainerState::Exited, ContainerState::Paused]));
        let first = World::start(&engine, selection());
        wait_for("its stream", || engine.streams(0).0 == 1).await;
        engine.put(record(0, ContainerState::Exited, 1));
        feed.try_send(of(0, "c0", "die", 1)).unwrap();
        wait_for("its end", || states(&first, 0) == [ContainerState::Running, ContainerState::Exited]).await;
        let marks = first.seen(|seen| seen.marks.clone());
        first.end().await;

        let second = World::start(&engine, Options { marks, discovery: seconds(5), ..selection() });
        sleep(seconds(90)).await;
        assert!(states(&second, 0).is_empty());
        engine.take_away(0);
        wait_for("its removal", || states(&second, 0) == [ContainerState::Removed]).await;
        second.end().await;
    });
}
