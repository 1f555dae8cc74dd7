//! Registered handlers of events, in a pipeline that runs: they hear of what happens, and one that fails costs no other.

use std::sync::{Arc, Mutex};

use api::Sight;
use dockstream::events::{EventHandler, EventHandlerPlan, EventRecord, async_trait};
use dockstream::topology::{Parts, Topology};
use pipeline::faults::Faults;

use crate::pipeline::{Simulated, eventually, on_a_system, parts, sqlite};

/// Container and action of each event, in their order.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// Notes what it hears.
struct Listener(Heard);

#[async_trait]
impl EventHandler for Listener {
    async fn handle(&mut self, event: &EventRecord) {
        let container = event.container_id.as_ref().map(ToString::to_string).unwrap_or_default();
        self.0.lock().unwrap().push((container, event.action.clone()));
    }
}

/// Fails on the end of a container.
struct Clumsy;

#[async_trait]
impl EventHandler for Clumsy {
    async fn handle(&mut self, event: &EventRecord) {
        assert_ne!(event.action, "die", "sabotage");
    }
}

#[test]
fn a_handler_hears_of_a_restart_from_its_beginning_to_its_end_while_another_fails_on_it() {
    let world = Simulated::new(|engine| engine.containers(2), &[]);
    let heard = Heard::default();
    let mine = heard.clone();
    let handlers = vec![
        EventHandlerPlan::new("clumsy", || Box::new(Clumsy)),
        EventHandlerPlan::new("listener", move || Box::new(Listener(mine.clone()))),
    ];
    on_a_system(async {
        let parts = Parts { handlers, ..parts(&world.config, vec![sqlite(&world.config)], Faults::NONE) };
        let topology = Topology::start(&world.config, parts).unwrap();
        let control = world.engine.control();
        eventually("events are listened to", || (control.served().event_streams > 0).then_some(())).await;
        let id = control.ids()[0].clone();
        control.restart(&id).unwrap();
        let of_container = || {
            let heard = heard.lock().unwrap();
            heard.iter().filter(|(container, _)| *container == id).map(|(_, action)| action.clone()).collect::<Vec<_>>()
        };
        eventually("the restart is heard of", || of_container().contains(&"restart".to_owned()).then_some(())).await;
        // The engine may tell of its first start, too.
        let actions = of_container();
        let restart: Vec<_> = actions.iter().map(String::as_str).skip_while(|action| *action != "die").collect();
        let of_interest = |action: &&str| ["die", "start", "restart"].contains(action);
        assert_eq!(
            restart.into_iter().filter(of_interest).collect::<Vec<_>>(),
            ["die", "start", "restart"],
            "{actions:?}"
        );
        eventually("what became of the events is counted", || {
            let metrics = Sight::metrics(topology.view());
            let counted = |handler: &str, outcome: &str| {
                let name =
                    format!("dockstream_event_handler_events_total{{handler=\"{handler}\",outcome=\"{outcome}\"}} ");
                metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<usize>().ok())
            };
            let all = heard.lock().unwrap().len();
            let are_right = counted("listener", "handled") == Some(all)
                && counted("clumsy", "failed") == Some(1)
                && counted("clumsy", "handled") == Some(all - 1);
            are_right.then_some(())
        })
        .await;
        topology.kill().await;
    });
}
