//! `dockstream migrate`: makes and upgrades what the sinks write to, a line for each step.

use std::time::Duration;

use sinks::migrate::Migrate;

use super::parts::migrations;
use crate::check::{Finding, data_folder};
use crate::cli::Exit;
use crate::config::Loaded;

/// No sink's tables or topics are waited for longer than that; what was done stays done.
const PATIENCE: Duration = Duration::from_secs(600);

/// Brings up to date what `loaded` names.
pub fn migrate(loaded: &Loaded) -> Exit {
    let config = &loaded.config;
    // Held where nobody has it: the embedded store lies in it. A dockstream that runs is no obstacle.
    let (_folder, _, outcome) = data_folder(config);
    if let (Err(error), true) = (outcome, config.sinks.sqlite.enabled) {
        println!("{}", Finding { subject: "data".into(), outcome: Err(error) });
        return Exit::Config;
    }
    let tell = |finding: Finding| println!("{finding}");
    actix_rt::System::new().block_on(bring_up(migrations(config), tell))
}

/// One after the other, whatever becomes of the others.
async fn bring_up(places: Vec<(&str, Box<dyn Migrate>)>, mut tell: impl FnMut(Finding) + Send) -> Exit {
    let mut exit = Exit::Ended;
    for (name, mut place) in places {
        let subject = format!("sink {name}");
        let mut step = |text| tell(Finding { subject: subject.clone(), outcome: Ok(text) });
        let outcome = match tokio::time::timeout(PATIENCE, place.migrate(&mut step)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("not done within {}", humantime::format_duration(PATIENCE))),
        };
        if outcome.is_err() {
            exit = Exit::Config;
        }
        tell(Finding { subject, outcome });
    }
    exit
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    enum Place {
        Old,
        Broken,
        Silent,
    }

    #[async_trait]
    impl Migrate for Place {
        async fn migrate(&mut self, tell: &mut (dyn FnMut(String) + Send)) -> Result<String, String> {
            match self {
                Self::Old => {
                    tell("table made".into());
                    Ok("version 2".into())
                }
                Self::Broken => Err("no such server".into()),
                Self::Silent => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_step_has_its_line_and_what_fails_stops_nothing_else() {
        let places: Vec<(&str, Box<dyn Migrate>)> =
            vec![("a", Box::new(Place::Broken)), ("b", Box::new(Place::Silent)), ("c", Box::new(Place::Old))];
        let mut lines = Vec::new();
        let exit = bring_up(places, |finding| lines.push(finding.to_string())).await;
        assert_eq!(exit, Exit::Config);
        let expected = [
            "fail sink a  no such server",
            "fail sink b  not done within 10m",
            "ok   sink c  table made",
            "ok   sink c  version 2",
        ];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn all_well_ends_in_order() {
        let exit = bring_up(vec![("a", Box::new(Place::Old))], |_| {}).await;
        assert_eq!(exit, Exit::Ended);
    }
}
