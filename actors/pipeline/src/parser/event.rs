//! From an engine's event to an event record: pure.

use std::collections::BTreeSet;

use model::{ContainerId, EngineEvent, EventRecord, HostName, Timestamp};

/// Attributes that Docker itself sets on events; everything else on a container's event is a label.
const ENGINE_ATTRIBUTES: [&str; 12] = [
    "image",
    "name",
    "exitCode",
    "signal",
    "execDuration",
    "execID",
    "oldName",
    "container",
    "driver",
    "type",
    "reference",
    "destination",
];

/// Which arguments of actions may be kept: a command line may hold secrets.
#[derive(Clone, Debug, Default)]
pub struct EventPolicy {
    allowed: BTreeSet<String>,
}

impl EventPolicy {
    /// Keeps health statuses, and the arguments of the actions named.
    pub fn new(actions: impl IntoIterator<Item = String>) -> Self {
        let mut allowed: BTreeSet<String> = actions.into_iter().collect();
        allowed.insert("health_status".into());
        Self { allowed }
    }

    /// The record of `event`.
    pub fn record(&self, host: HostName, received_at: Timestamp, synthetic: bool, event: EngineEvent) -> EventRecord {
        let EngineEvent { timestamp, kind, action, argument, actor_id, mut attributes } = event;
        let is_container = kind == "container";
        let container =
            if is_container { Some(actor_id.as_str()) } else { attributes.get("container").map(String::as_str) };
        let container_id = container.and_then(|id| ContainerId::try_new(id).ok());
        let actor_name = attributes.get("name").cloned();
        let of_container = |key: &str| attributes.get(key).filter(|_| is_container).cloned();
        let image = of_container("image");
        let compose_project = of_container("com.docker.compose.project");
        let compose_service = of_container("com.docker.compose.service");
        // Labels are copied over the engine's own attributes: a word that is no number is a label's.
        let exit_code = attributes.get("exitCode").filter(|_| action == "die").and_then(|code| code.parse().ok());
        let signal = attributes.get("signal").filter(|_| action == "kill").cloned();
        if is_container {
            attributes.retain(|key, _| ENGINE_ATTRIBUTES.contains(&key.as_str()));
        }
        EventRecord {
            argument: argument.filter(|_| self.allowed.contains(&action)),
            container_name: actor_name.clone().filter(|_| is_container),
            host,
            timestamp,
            received_at,
            kind,
            action,
            actor_id,
            actor_name,
            container_id,
            image,
            compose_project,
            compose_service,
            exit_code,
            signal,
            synthetic,
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, action: &str, argument: Option<&str>, attributes: &[(&str, &str)]) -> EngineEvent {
        EngineEvent {
            timestamp: Timestamp::from_nanos(7),
            kind: kind.into(),
            action: action.into(),
            argument: argument.map(Into::into),
            actor_id: "c".repeat(64),
            attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        }
    }

    fn record(event: EngineEvent) -> EventRecord {
        EventPolicy::new([]).record(HostName::try_new("h").unwrap(), Timestamp::from_nanos(8), false, event)
    }

    #[test]
    fn a_command_line_is_not_kept_unless_allowed() {
        let secret = event("container", "exec_create", Some("sh -c 'login --password x'"), &[]);
        assert_eq!(record(secret.clone()).argument, None);
        let open = EventPolicy::new(["exec_create".to_owned()]);
        assert!(open.record(HostName::try_new("h").unwrap(), Timestamp::default(), false, secret).argument.is_some());
    }

    #[test]
    fn a_health_status_is_kept() {
        assert_eq!(
            record(event("container", "health_status", Some("unhealthy"), &[])).argument.as_deref(),
            Some("unhealthy")
        );
    }

    #[test]
    fn a_die_event_tells_its_exit_code_and_whose_it_was() {
        let attributes = [
            ("exitCode", "137"),
            ("name", "web-1"),
            ("image", "nginx:1"),
            ("com.docker.compose.project", "shop"),
            ("token", "x"),
        ];
        let record = record(event("container", "die", None, &attributes));
        assert_eq!(record.exit_code, Some(137));
        assert_eq!(record.container_name.as_deref(), Some("web-1"));
        assert_eq!(record.image.as_deref(), Some("nginx:1"));
        assert_eq!(record.compose_project.as_deref(), Some("shop"));
        assert!(!record.attributes.contains_key("token"), "labels are not attributes");
    }

    #[test]
    fn a_label_that_shadows_the_exit_code_gives_no_exit_code() {
        assert_eq!(record(event("container", "die", None, &[("exitCode", "none of yours")])).exit_code, None);
        assert_eq!(record(event("container", "start", None, &[("exitCode", "1")])).exit_code, None);
    }

    #[test]
    fn a_network_event_names_its_container() {
        let container = "d".repeat(64);
        let record = record(event("network", "connect", None, &[("container", &container), ("name", "bridge")]));
        assert_eq!(record.container_id.unwrap().as_str(), container);
        assert_eq!((record.actor_name.as_deref(), record.container_name), (Some("bridge"), None));
    }
}
