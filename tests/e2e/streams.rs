//! The set of streams is the set of containers that have stats, whatever happens to either.

use std::collections::BTreeSet;

use dockstream::topology::Topology;
use model::{LossReason, Stream};
use simulator::{ContainerSpec, FrameFault, Profile, State};

use crate::pipeline::{Simulated, count, eventually, on_a_system};

/// `discovery_interval` where nobody looks by the clock while the test runs: what is found is found by events alone.
const BY_EVENTS: &str = "1h";

fn world(profile: Profile, containers: usize, discovery: &str) -> Simulated {
    let variables = [("DOCKSTREAM_COLLECT_DISCOVERY_INTERVAL", discovery)];
    Simulated::new(|engine| engine.engine(profile).containers(containers), &variables)
}

impl Simulated {
    /// Short ids of the containers that have stats.
    fn truth(&self) -> BTreeSet<String> {
        let control = self.engine.control();
        let has_stats = |id: &String| matches!(control.state(id), Ok(State::Running | State::Paused));
        control.ids().into_iter().filter(has_stats).map(|id| id[..12].to_owned()).collect()
    }

    async fn settles(&self, topology: &Topology, what: &str) {
        eventually(&format!("the streams are right after: {what}"), || {
            (tracked(topology) == self.truth()).then_some(())
        })
        .await;
    }

    fn events(&self, container: &str, action: &str) -> u64 {
        let sql =
            format!("SELECT count(*) FROM container_events WHERE container_id = '{container}' AND action = '{action}'");
        count(&self.config, &sql)
    }
}

/// Short ids of the containers whose streams are in the supervision tree.
fn tracked(topology: &Topology) -> BTreeSet<String> {
    let view = topology.tree().view();
    let group =
        |view: &actor_runtime::NodeView, name: &str| view.children.iter().find(|child| child.name == name).cloned();
    let streams = group(&view, "hosts").and_then(|hosts| group(&hosts, "sim")).and_then(|host| group(&host, "streams"));
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    streams.map(|streams| streams.children.iter().map(|child| short(&child.name)).collect()).unwrap_or_default()
}

#[test]
fn the_streams_follow_every_life_a_container_can_have() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let world = world(profile, 5, BY_EVENTS);
        on_a_system(async {
            let topology = world.start();
            world.settles(&topology, "the start").await;
            let control = world.engine.control();
            let first = control.ids()[0].clone();
            type Step<'a> = (&'a str, Box<dyn Fn() + 'a>);
            let steps: Vec<Step<'_>> = vec![
                ("stop", Box::new(|| control.stop(&first).unwrap())),
                ("start", Box::new(|| control.start(&first).unwrap())),
                ("pause", Box::new(|| control.pause(&first).unwrap())),
                ("unpause", Box::new(|| control.unpause(&first).unwrap())),
                ("a fast restart", Box::new(|| control.restart(&first).unwrap())),
                ("a rename", Box::new(|| control.rename(&first, "renamed").unwrap())),
                ("an OOM kill", Box::new(|| control.oom(&first).unwrap())),
                ("a new container", Box::new(|| drop(control.add(ContainerSpec::new("late")).unwrap()))),
                (
                    "a container that is made but not started",
                    Box::new(|| drop(control.create(ContainerSpec::new("idle")).unwrap())),
                ),
                ("kill", Box::new(|| control.kill("late").unwrap())),
                ("removal", Box::new(|| control.remove("late").unwrap())),
                (
                    "a restart loop",
                    Box::new(|| {
                        (0..5).for_each(|_| control.restart("idle").or_else(|_| control.start("idle")).unwrap())
                    }),
                ),
            ];
            for (what, step) in steps {
                step();
                world.settles(&topology, what).await;
            }
            topology.kill().await;
        });
    }
}

#[test]
fn what_no_event_told_is_right_within_one_discovery_interval_and_recorded_as_synthetic() {
    let world = world(Profile::Docker20, 5, "1s");
    on_a_system(async {
        let topology = world.start();
        world.settles(&topology, "the start").await;
        let control = world.engine.control();
        let ids = control.ids();
        control.lose_events(1000);
        control.stop(&ids[0]).unwrap();
        control.remove(&ids[1]).unwrap();
        let late = control.add(ContainerSpec::new("unheard")).unwrap();
        world.settles(&topology, "events were lost").await;
        for (container, action) in [(&ids[0], "die"), (&ids[1], "destroy"), (&late, "start")] {
            eventually(&format!("a synthetic {action}"), || (world.events(container, action) == 1).then_some(())).await;
        }
        assert_eq!(count(&world.config, "SELECT count(*) FROM container_events WHERE synthetic"), 3);
        topology.kill().await;
    });
}

#[test]
fn events_that_are_replayed_doubled_or_out_of_order_change_nothing() {
    let world = world(Profile::Docker20, 5, BY_EVENTS);
    on_a_system(async {
        let topology = world.start();
        world.settles(&topology, "the start").await;
        let control = world.engine.control();
        let id = control.add(ContainerSpec::new("subject")).unwrap();
        world.settles(&topology, "the subject came").await;
        control.reverse_events(3);
        control.restart(&id).unwrap();
        control.stop(&id).unwrap();
        control.start(&id).unwrap();
        world.settles(&topology, "events came in reverse").await;
        for _ in 0..3 {
            control.replay_events(200);
            control.cut_events();
        }
        eventually("every event is there once", || {
            (world.events(&id, "start") == 3 && world.events(&id, "die") == 2).then_some(())
        })
        .await;
        // A container that comes after all the repetitions shows that they have been worked through.
        let marker = control.add(ContainerSpec::new("marker")).unwrap();
        eventually("the marker's events", || (world.events(&marker, "start") == 1).then_some(())).await;
        assert_eq!((world.events(&id, "start"), world.events(&id, "die")), (3, 2));
        world.settles(&topology, "all the repetitions").await;
        topology.kill().await;
    });
}

#[test]
fn the_streams_are_right_after_the_daemon_was_away_and_the_world_changed_meanwhile() {
    let world = world(Profile::Docker28, 6, BY_EVENTS);
    on_a_system(async {
        let topology = world.start();
        world.settles(&topology, "the start").await;
        let control = world.engine.control();
        let ids = control.ids();
        control.stop_daemon();
        eventually("the host is seen to be down", || {
            let hosts = api::Sight::hosts(topology.view());
            hosts[0].last_error.is_some().then_some(())
        })
        .await;
        control.stop(&ids[0]).unwrap();
        control.remove(&ids[1]).unwrap();
        control.add(ContainerSpec::new("meanwhile")).unwrap();
        control.start_daemon().unwrap();
        world.settles(&topology, "the daemon is back").await;
        let journaled = topology.books(Stream::Stats).journaled;
        eventually("samples flow again", || (topology.books(Stream::Stats).journaled > journaled + 20).then_some(()))
            .await;
        topology.kill().await;
    });
}

#[test]
fn a_spoiled_frame_is_counted_by_its_reason_and_the_stream_goes_on() {
    let world = world(Profile::Docker20, 2, BY_EVENTS);
    on_a_system(async {
        let topology = world.start();
        eventually("samples flow", || (topology.books(Stream::Stats).journaled > 10).then_some(())).await;
        let control = world.engine.control();
        let id = control.ids()[0].clone();
        let faults = [
            (FrameFault::Garbage, LossReason::NotJson),
            (FrameFault::Truncated, LossReason::Truncated),
            (FrameFault::OtherShape, LossReason::UnexpectedShape),
            (FrameFault::EngineError, LossReason::EngineError),
            (FrameFault::Zero, LossReason::EmptyFrame),
        ];
        for (fault, reason) in faults {
            let lost = || {
                topology
                    .books(Stream::Stats)
                    .dropped_before_parsing
                    .iter()
                    .any(|(of, count)| *of == reason && *count > 0)
            };
            let mut looks = 0;
            eventually(&format!("{fault:?} is counted as {reason}"), || {
                // The pace lets only some of them through to the parser: now and then all are passed over.
                if looks % 100 == 0 {
                    control.spoil_next(8, &id, fault).unwrap();
                }
                looks += 1;
                lost().then_some(())
            })
            .await;
        }
        control.spoil_next(2, &id, FrameFault::Cut).unwrap();
        control.spoil_next(8, &id, FrameFault::Split(7)).unwrap();
        let sql = format!("SELECT count(*) FROM container_stats WHERE container_id = '{id}'");
        let stored = count(&world.config, &sql);
        eventually("the stream goes on", || (count(&world.config, &sql) > stored + 10).then_some(())).await;
        topology.kill().await;
    });
}

#[test]
fn a_container_whose_stream_hangs_costs_only_itself() {
    let world = world(Profile::Docker20, 5, BY_EVENTS);
    on_a_system(async {
        let topology = world.start();
        eventually("samples flow", || (topology.books(Stream::Stats).journaled > 20).then_some(())).await;
        let control = world.engine.control();
        let ids = control.ids();
        control.stall(&ids[0]).unwrap();
        control.hang_next(1, &format!("/containers/{}/json", ids[1]));
        let journaled = topology.books(Stream::Stats).journaled;
        eventually("the others flow", || (topology.books(Stream::Stats).journaled > journaled + 100).then_some(()))
            .await;
        control.resume(&ids[0]).unwrap();
        topology.kill().await;
    });
}
