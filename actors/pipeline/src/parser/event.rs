//! From an engine's event to an event record: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{ContainerId, EngineEvent, EventRecord, HostName, Timestamp, exit_cause, signal_name};

use crate::messages::About;

/// Attributes that Docker itself sets on events of containers; everything else there is a label.
const ENGINE_ATTRIBUTES: [&str; 13] = [
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
    "reclaimed",
];

/// True for an attribute of a container's event that the engine itself sets.
pub(crate) fn is_of_engine(attribute: &str) -> bool {
    ENGINE_ATTRIBUTES.contains(&attribute)
}

/// The rules in effect. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct EventPolicy {
    rules: Arc<Mutex<Arc<EventRules>>>,
}

impl EventPolicy {
    /// From now on these are in effect.
    pub fn set(&self, rules: EventRules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub(super) fn get(&self) -> Arc<EventRules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What rides on event records, and what may be kept of them: an argument is a command line and may hold secrets.
#[derive(Debug, Default)]
pub struct EventRules {
    allowed: BTreeSet<String>,
    labels: Arc<[String]>,
}

impl EventRules {
    /// Keeps health statuses, and the arguments of the actions named; `labels` ride on records.
    pub fn new(actions: impl IntoIterator<Item = String>, labels: Arc<[String]>) -> Self {
        let mut allowed: BTreeSet<String> = actions.into_iter().collect();
        allowed.insert("health_status".into());
        Self { allowed, labels }
    }

    /// The record of `event`; `about` is what was known when it came.
    pub fn record(
        &self,
        host: HostName,
        received_at: Timestamp,
        synthetic: bool,
        event: EngineEvent,
        about: &About,
    ) -> EventRecord {
        let EngineEvent { timestamp, kind, action, argument, actor_id, mut attributes } = event;
        let container = about.container.as_deref();
        let is_container = kind == "container";
        let id = if is_container { Some(actor_id.as_str()) } else { attributes.get("container").map(String::as_str) };
        let container_id = id.and_then(|id| ContainerId::try_new(id).ok());
        let actor_name = attributes.get("name").cloned();
        // A container's labels are among the attributes of its events.
        let own = is_container.then_some(&attributes);
        let told = |key: &str| own.and_then(|own| own.get(key)).cloned();
        let label = |key: &str| told(key).or_else(|| container?.labels.get(key).cloned());
        let labels: BTreeMap<String, String> =
            self.labels.iter().filter_map(|key| Some((key.clone(), label(key)?))).collect();
        let (compose_project, compose_service) =
            (label("com.docker.compose.project"), label("com.docker.compose.service"));
        let container_name = told("name").or_else(|| container.map(|container| container.name.clone()));
        let image = told("image").or_else(|| container.map(|container| container.image.clone()));
        // Labels are copied over the engine's own attributes: a word that is no number is a label's.
        let is_end = is_container && action == "die";
        let exit_code = attributes.get("exitCode").filter(|_| is_end).and_then(|code| code.parse().ok());
        let signal = attributes.get("signal").filter(|_| is_container && action == "kill");
        let signal = signal.map(|signal| named(signal));
        if is_container {
            attributes.retain(|key, _| is_of_engine(key));
        }
        EventRecord {
            argument: argument.filter(|_| self.allowed.contains(&action)),
            exit_cause: exit_code.map(|code| exit_cause(code, about.oom_killed)),
            container_name,
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
            labels,
        }
    }
}

/// The name of a signal that the engine tells by its number; any other word as it is.
fn named(signal: &str) -> String {
    signal.parse().ok().and_then(signal_name).map_or_else(|| signal.to_owned(), |name| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Brief;

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

    fn recorded(policy: &EventRules, event: EngineEvent, about: &About) -> EventRecord {
        policy.record(HostName::try_new("h").unwrap(), Timestamp::from_nanos(8), false, event, about)
    }

    fn record(event: EngineEvent) -> EventRecord {
        recorded(&EventRules::new([], Arc::new([])), event, &About::default())
    }

    #[test]
    fn a_command_line_is_not_kept_unless_allowed() {
        let secret = "sh -c 'login --password x'";
        for action in ["exec_create", "exec_start", "exec_detach", "exec_die", "top", "archive-path"] {
            let made = || event("container", action, Some(secret), &[("execID", "abc"), ("cmd", secret)]);
            let kept = record(made());
            assert!(!format!("{kept:?}").contains("password"), "{kept:?}");
            assert_eq!((kept.action.as_str(), kept.attributes["execID"].as_str()), (action, "abc"));
            let open = EventRules::new([action.to_owned()], Arc::new([]));
            assert_eq!(recorded(&open, made(), &About::default()).argument.as_deref(), Some(secret));
        }
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
        assert_eq!((record.exit_code, record.exit_cause.as_deref()), (Some(137), Some("killed (SIGKILL)")));
        assert_eq!(record.container_name.as_deref(), Some("web-1"));
        assert_eq!(record.image.as_deref(), Some("nginx:1"));
        assert_eq!(record.compose_project.as_deref(), Some("shop"));
        assert!(!record.attributes.contains_key("token"), "labels are not attributes");
    }

    #[test]
    fn a_die_event_tells_of_memory_where_that_is_known() {
        let died = event("container", "die", None, &[("exitCode", "137")]);
        let about = About { oom_killed: Some(true), ..About::default() };
        let record = recorded(&EventRules::default(), died, &about);
        assert_eq!(record.exit_cause.as_deref(), Some("killed (SIGKILL), out of memory"));
    }

    #[test]
    fn a_label_that_shadows_the_exit_code_gives_no_exit_code() {
        let shadowed = record(event("container", "die", None, &[("exitCode", "none of yours")]));
        assert_eq!((shadowed.exit_code, shadowed.exit_cause), (None, None));
        assert_eq!(record(event("container", "start", None, &[("exitCode", "1")])).exit_code, None);
    }

    #[test]
    fn a_kill_event_names_its_signal() {
        let signal = |told| record(event("container", "kill", None, &[("signal", told)])).signal.unwrap();
        assert_eq!(
            [signal("15"), signal("34"), signal("SIGHUP"), signal("99")],
            ["SIGTERM", "SIGRTMIN", "SIGHUP", "99"]
        );
        assert_eq!(record(event("container", "start", None, &[("signal", "15")])).signal, None, "a label");
    }

    #[test]
    fn a_network_event_names_its_container_and_tells_what_is_known_of_it() {
        let container = "d".repeat(64);
        let connect = || event("network", "connect", None, &[("container", &container), ("name", "bridge")]);
        let unknown = record(connect());
        assert_eq!(unknown.container_id.unwrap().as_str(), container);
        assert_eq!((unknown.actor_name.as_deref(), unknown.container_name), (Some("bridge"), None));
        let labels = [("team", "blue"), ("com.docker.compose.service", "web")];
        let container = Brief {
            name: "web-1".into(),
            image: "nginx:1".into(),
            labels: labels.map(|(key, value)| (key.into(), value.into())).into(),
            ..Brief::default()
        };
        let about = About { container: Some(Arc::new(container)), ..About::default() };
        let policy = EventRules::new([], Arc::new(["team".to_owned()]));
        let known = recorded(&policy, connect(), &about);
        assert_eq!((known.container_name.as_deref(), known.image.as_deref()), (Some("web-1"), Some("nginx:1")));
        assert_eq!((known.compose_service.as_deref(), known.labels["team"].as_str()), (Some("web"), "blue"));
        assert_eq!(known.actor_name.as_deref(), Some("bridge"));
    }

    #[test]
    fn chosen_labels_of_a_container_ride_on_its_events() {
        let policy = EventRules::new([], Arc::new(["team".to_owned(), "tier".to_owned()]));
        let started = event("container", "start", None, &[("team", "blue"), ("token", "x")]);
        assert_eq!(
            recorded(&policy, started, &About::default()).labels,
            BTreeMap::from([("team".to_owned(), "blue".to_owned())])
        );
    }
}
