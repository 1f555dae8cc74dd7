//! dockstream with a handler of its own: tells of containers that end again and again.
//!
//! `cargo run --example restarts -- --docker unix:///var/run/docker.sock` takes the flags of `dockstream run`.

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;
use std::time::Duration;

use dockstream::cli::{Cli, Exit};
use dockstream::events::{EventHandler, EventHandlerPlan, EventRecord, async_trait};
use dockstream::{commands, config};
use model::Timestamp;

/// So many ends within [`WITHIN`] are too many.
const ENDS: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);

/// Remembers when each container ended.
#[derive(Default)]
struct Restarts {
    ends: HashMap<String, VecDeque<Timestamp>>,
}

#[async_trait]
impl EventHandler for Restarts {
    async fn handle(&mut self, event: &EventRecord) {
        match event.action.as_str() {
            "destroy" => drop(self.ends.remove(&event.actor_id)),
            "die" => {
                let ends = self.ends.entry(event.actor_id.clone()).or_default();
                ends.push_back(event.timestamp);
                ends.retain(|end| *end + WITHIN >= event.timestamp);
                if ends.len() >= ENDS {
                    let name = event.container_name.as_deref().unwrap_or(&event.actor_id);
                    let cause = event.exit_cause.as_deref().unwrap_or("nobody knows why");
                    println!("{name} on {} ended {} times within a minute, at last: {cause}", event.host, ends.len());
                }
            }
            _ => {}
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let environment = config::Environment::of_process();
    let exit: Exit = match config::load(&cli.overrides(), &environment, std::path::Path::new(".")) {
        Ok(loaded) => {
            let restarts = EventHandlerPlan::new("restarts", || Box::<Restarts>::default());
            commands::run_with(&loaded, None, vec![restarts])
        }
        Err(error) => commands::refuse(&error),
    };
    exit.into()
}
