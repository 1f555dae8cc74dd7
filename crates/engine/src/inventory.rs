//! The list of containers: ids and states.
//!
//! Decoded by our own types: bollard's enums are closed, and one state it does not know (Podman has some) would
//! lose the whole list.

use model::{ContainerId, ContainerState, HostName};
use serde::Deserialize;

/// One entry of `GET /containers/json`; the rest of it `inspect` tells better.
#[derive(Deserialize)]
pub(crate) struct Listed {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "State")]
    state: Option<String>,
}

/// Ids and states; an entry without a proper id is logged and left out.
pub(crate) fn containers(host: &HostName, listed: Vec<Listed>) -> Vec<(ContainerId, ContainerState)> {
    let entry = |listed: Listed| match ContainerId::try_new(&listed.id) {
        Ok(id) => Some((id, state(listed.state.as_deref()))),
        Err(error) => {
            tracing::warn!(%host, %error, "the engine lists a container that cannot be told by its id");
            None
        }
    };
    listed.into_iter().filter_map(entry).collect()
}

/// The state by the engine's word, Podman's words included.
pub(crate) fn state(word: Option<&str>) -> ContainerState {
    let word = word.unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        // Asked to stop, and still running.
        "stopping" => ContainerState::Running,
        "configured" | "initialized" => ContainerState::Created,
        word => word.parse().unwrap_or(ContainerState::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_list_is_read() {
        for prefix in ["d20v1", "d26v2", "d28v2", "p43v1"] {
            let path = format!("{}/tests/frames/{prefix}_list_containers.json", env!("CARGO_MANIFEST_DIR"));
            let listed = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            let containers = containers(&"h".parse().unwrap(), listed);
            assert!(containers.iter().any(|(_, state)| *state == ContainerState::Running), "{prefix}");
        }
    }

    #[test]
    fn one_strange_entry_does_not_lose_the_list() {
        let id = "ab".repeat(32);
        let text = format!(
            r#"[{{"Id":"short","State":"running"}},{{"Id":"{id}","State":"levitating","New":{{}}}},{{"Id":"{id}"}}]"#
        );
        let containers = containers(&"h".parse().unwrap(), serde_json::from_str(&text).unwrap());
        assert_eq!(containers.iter().map(|(_, state)| *state).collect::<Vec<_>>(), [ContainerState::Unknown; 2]);
    }

    #[test]
    fn podmans_states_are_understood() {
        for (word, expected) in [
            ("stopping", ContainerState::Running),
            ("initialized", ContainerState::Created),
            ("configured", ContainerState::Created),
            ("stopped", ContainerState::Exited),
            ("Exited", ContainerState::Exited),
        ] {
            assert_eq!(state(Some(word)), expected, "{word}");
        }
    }
}
