//! Handlers that others register hear of every event in its order, and cost nobody else anything.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actor_runtime::testkit::{run, wait_for};
use async_trait::async_trait;
use model::EventRecord;
use pipeline::ports::{EventHandler, EventHandlerPlan};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::engine::{FakeEngine, event};
use crate::world::{Options, World, seconds};

type Heard = Arc<Mutex<Vec<EventRecord>>>;

/// What a handler does with each event after it has written it down.
#[derive(Clone)]
enum Manner {
    Takes,
    /// Panics at events with this action.
    PanicsAt(&'static str),
    /// Takes nothing until the gate is open.
    Waits(watch::Receiver<bool>),
}

struct Recording {
    heard: Heard,
    manner: Manner,
}

#[async_trait]
impl EventHandler for Recording {
    async fn handle(&mut self, event: &EventRecord) {
        match &mut self.manner {
            Manner::Takes => {}
            Manner::PanicsAt(action) => assert_ne!(*action, event.action, "sabotage"),
            Manner::Waits(gate) => drop(gate.wait_for(|is_open| *is_open).await),
        }
        self.heard.lock().unwrap().push(event.clone());
    }
}

/// A handler, what it hears, and how often it was made.
fn handler(name: &str, manner: Manner) -> (EventHandlerPlan, Heard, Arc<AtomicU32>) {
    let (heard, made) = (Heard::default(), Arc::<AtomicU32>::default());
    let (told, counted) = (heard.clone(), made.clone());
    let plan = EventHandlerPlan::new(name, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::new(Recording { heard: told.clone(), manner: manner.clone() })
    });
    (plan, heard, made)
}

fn counted(world: &World, handler: &str, outcome: &str) -> u64 {
    let name = format!("dockstream_event_handler_events_total{{handler=\"{handler}\",outcome=\"{outcome}\"}} ");
    world.metrics.text().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn every_handler_hears_of_every_event_in_the_order_of_its_actor() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let handlers = [handler("one", Manner::Takes), handler("two", Manner::Takes)];
        let plans = handlers.iter().map(|(plan, ..)| plan.clone()).collect();
        let world = World::start(&engine, Options { handlers: plans, parsers: 3, ..Options::default() });
        for at in 0..300u32 {
            feed.try_send(event(at % 7, &format!("a{at}"), i64::from(at))).unwrap();
        }
        for (_, heard, made) in &handlers {
            wait_for("every event", || heard.lock().unwrap().len() == 300).await;
            let heard = heard.lock().unwrap();
            for number in 0..7 {
                let actor = crate::engine::id(number).to_string();
                let times: Vec<_> =
                    heard.iter().filter(|event| event.actor_id == actor).map(|event| event.timestamp).collect();
                assert!(times.is_sorted(), "{number}: {times:?}");
            }
            assert_eq!(made.load(Ordering::Relaxed), 1);
        }
        assert_eq!((counted(&world, "one", "handled"), counted(&world, "two", "handled")), (300, 300));
        world.end().await;
    });
}

#[test]
fn a_handler_that_panics_is_made_anew_and_loses_the_event_it_failed_on() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let (bad, heard, made) = handler("bad", Manner::PanicsAt("die"));
        let (good, all, _) = handler("good", Manner::Takes);
        let world = World::start(&engine, Options { handlers: vec![bad, good], ..Options::default() });
        for (at, action) in ["start", "die", "kill", "stop"].into_iter().enumerate() {
            feed.try_send(event(1, action, at as i64)).unwrap();
        }
        wait_for("the rest", || heard.lock().unwrap().len() == 3 && all.lock().unwrap().len() == 4).await;
        let actions: Vec<_> = heard.lock().unwrap().iter().map(|event| event.action.clone()).collect();
        assert_eq!(
            (actions, made.load(Ordering::Relaxed)),
            (vec!["start".into(), "kill".into(), "stop".to_owned()], 2)
        );
        assert_eq!((counted(&world, "bad", "failed"), counted(&world, "bad", "handled")), (1, 3));
        assert_eq!(world.seen(|seen| seen.events.len()), 4, "and every event was recorded");
        world.end().await;
    });
}

#[test]
fn a_handler_that_always_panics_is_set_aside_and_nothing_else_ends() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let (bad, heard, made) = handler("bad", Manner::PanicsAt("die"));
        let world = World::start(&engine, Options { handlers: vec![bad], ..Options::default() });
        for at in 0..50 {
            feed.try_send(event(1, "die", at)).unwrap();
        }
        sleep(seconds(20)).await;
        assert!(made.load(Ordering::Relaxed) < 10, "{} times", made.load(Ordering::Relaxed));
        feed.try_send(event(2, "kill", 60)).unwrap();
        wait_for("the event", || world.events("kill", false) == 1).await;
        assert_eq!((world.events("die", false), world.restarts().1), (50, 1));
        assert!(heard.lock().unwrap().is_empty());
        world.end().await;
    });
}

#[test]
fn a_handler_that_is_behind_misses_events_counted_and_holds_up_nobody() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let (gate, closed) = watch::channel(false);
        let (slow, heard, _) = handler("slow", Manner::Waits(closed));
        let (good, all, _) = handler("good", Manner::Takes);
        let world = World::start(&engine, Options { handlers: vec![slow, good], ..Options::default() });
        for at in 0..5000u32 {
            feed.try_send(event(at, "die", i64::from(at))).unwrap();
        }
        wait_for("every event", || world.events("die", false) == 5000 && all.lock().unwrap().len() == 5000).await;
        gate.send_replace(true);
        let missed = counted(&world, "slow", "dropped");
        assert!((800..=5000 - 4096).contains(&missed), "{missed} missed");
        wait_for("what waited", || counted(&world, "slow", "handled") + missed == 5000).await;
        assert_eq!(heard.lock().unwrap().len() as u64, 5000 - missed);
        world.end().await;
    });
}

#[test]
fn a_handler_that_hangs_is_made_anew_and_does_not_hold_up_the_end() {
    run(async {
        let engine = FakeEngine::new();
        let feed = engine.feed();
        let (_gate, closed) = watch::channel(false);
        let (hung, _, made) = handler("hung", Manner::Waits(closed));
        let world = World::start(&engine, Options { handlers: vec![hung], ..Options::default() });
        for at in 0..3 {
            feed.try_send(event(1, "die", at)).unwrap();
        }
        sleep(seconds(45)).await;
        assert_eq!((made.load(Ordering::Relaxed), counted(&world, "hung", "failed")), (2, 1));
        let metrics = world.metrics.clone();
        world.end().await;
        let text = metrics.text();
        let lost: u64 = text
            .lines()
            .filter(|line| line.starts_with("dockstream_event_handler_events_total{handler=\"hung\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(lost, 3, "each is counted once: {text}");
    });
}
