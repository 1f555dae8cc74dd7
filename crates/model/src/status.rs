//! The engine's sentence on a container, such as `Up 3 hours (healthy)`.
//!
//! In the words of `docker ps`, by moby `daemon/container/state.go` and docker/go-units `HumanDuration`: only lists carry
//! the sentence, and it is out of date a second later, so it is made where it is needed.

use std::time::Duration;

use crate::{ContainerRecord, ContainerState, Timestamp};

impl ContainerRecord {
    /// The sentence at `now`; `None` where too little is known for one.
    pub fn status_at(&self, now: Timestamp) -> Option<String> {
        let ago = |time: Option<Timestamp>| time.map(|time| human(now.since(time)));
        let code = self.exit_code.unwrap_or(0);
        Some(match self.state {
            ContainerState::Created => "Created".to_owned(),
            ContainerState::Running => match self.health.as_ref().map(|health| health.status.as_str()) {
                Some("starting") => format!("Up {} (health: starting)", ago(self.started_at)?),
                Some(health) => format!("Up {} ({health})", ago(self.started_at)?),
                None => format!("Up {}", ago(self.started_at)?),
            },
            ContainerState::Paused => format!("Up {} (Paused)", ago(self.started_at)?),
            ContainerState::Restarting => format!("Restarting ({code}) {} ago", ago(self.finished_at)?),
            ContainerState::Exited => format!("Exited ({code}) {} ago", ago(self.finished_at)?),
            ContainerState::Removing => "Removal In Progress".to_owned(),
            ContainerState::Dead => "Dead".to_owned(),
            ContainerState::Removed => "Removed".to_owned(),
            ContainerState::Unknown => return None,
        })
    }
}

fn human(duration: Duration) -> String {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    // Hours are rounded to the nearest, the others down.
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3_600 => format!("{} minutes", seconds / 60),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / DAY / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_worded_as_docker_words_them() {
        let worded = |seconds| human(Duration::from_secs(seconds));
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (75, "About a minute"),
            (3_599, "59 minutes"),
            (3_600, "About an hour"),
            (5_399, "About an hour"),
            (5_400, "2 hours"),
            (47 * 3_600, "47 hours"),
            (3 * 86_400, "3 days"),
            (15 * 86_400, "2 weeks"),
            (90 * 86_400, "3 months"),
            (800 * 86_400, "2 years"),
        ] {
            assert_eq!(worded(seconds), words, "{seconds}");
        }
    }
}
