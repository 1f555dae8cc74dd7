//! The JSON documents of the control plane: recorded ones, with this host's facts put in.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::events::Filters;
use crate::spec::Network;
use crate::world::{Container, Health, Image, Key, State, World, network_id, network_of};

/// A document as the engine sends it: with a newline at its end.
pub(crate) fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// `GET /version`.
pub(crate) fn version(world: &World) -> Value {
    world.settings.profile.shapes().version.clone()
}

/// `GET /info`.
pub(crate) fn info(world: &World) -> Value {
    let mut info = world.settings.profile.shapes().info.clone();
    let (all, running, paused) = world.census();
    let machine = world.settings.machine;
    info["ID"] = json!(format!("SIMU:{}", world.settings.name));
    info["Name"] = json!(world.settings.name);
    info["Containers"] = json!(all);
    info["ContainersRunning"] = json!(running);
    info["ContainersPaused"] = json!(paused);
    info["ContainersStopped"] = json!(all - running - paused);
    info["Images"] = json!(world.images().len());
    info["NCPU"] = json!(machine.cpus);
    info["MemTotal"] = json!(machine.memory_bytes);
    info["SystemTime"] = time(Some(world.clock.now()));
    info
}

/// `GET /images/json`: every image, in no order that means anything.
pub(crate) fn images(world: &World) -> Value {
    let image = |image: &Image| {
        json!({
            "Containers": world.users_of(&image.id),
            "Created": image.created,
            "Id": image.id,
            "Labels": null,
            "ParentId": "",
            "RepoDigests": image.digests,
            "RepoTags": image.tags,
            "SharedSize": -1,
            "Size": image.size,
        })
    };
    world.images().iter().map(image).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    id: &'a str,
    names: [String; 1],
    image: &'a str,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    command: &'a str,
    created: i64,
    ports: Vec<Value>,
    labels: &'a BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: Value,
    network_settings: Value,
    mounts: [(); 0],
}

/// `GET /containers/json`, newest first.
pub(crate) fn list(world: &World, all: bool, filters: &Filters) -> Vec<u8> {
    let now = world.clock.now();
    let shown = |container: &&Container| {
        // A filter by status widens the list to containers that do not run, as in the engine.
        (all || container.state.is_live() || filters.names("status"))
            && filters.allow("id", |id| container.id.starts_with(id))
            && filters.allow("name", |name| matches_name(&container.spec.name, name))
            && filters.allow("status", |status| container.state.name() == status)
            && filters.allow("health", |health| container.health.map_or("none", Health::name) == health)
            && filters.allow("ancestor", |image| container.spec.image == image)
            && filters.allow_labels(&container.spec.labels)
    };
    let listed = |container: &Container| {
        serde_json::to_vec(&Listed {
            id: &container.id,
            names: [format!("/{}", container.spec.name)],
            image: &container.spec.image,
            image_id: &container.image_id,
            command: &container.spec.command,
            created: container.created_at.as_secs(),
            ports: port(container).into_iter().collect(),
            labels: &container.spec.labels,
            state: container.state.name(),
            status: status(container, now),
            host_config: json!({ "NetworkMode": network_mode(world, container) }),
            network_settings: json!({ "Networks": networks(container) }),
            mounts: [],
        })
        .expect("a list entry has string keys only")
    };
    let entries: Vec<Vec<u8>> = world.containers().rev().filter(shown).map(listed).collect();
    let mut body = vec![b'['];
    body.extend_from_slice(&entries.join(&b','));
    body.extend_from_slice(b"]\n");
    body
}

/// A name filter is a part of the name, or the whole of it between `^` (or `^/`) and `$`.
fn matches_name(name: &str, wanted: &str) -> bool {
    let (from_start, wanted) = wanted.strip_prefix('^').map_or((false, wanted), |rest| (true, rest));
    let (to_end, wanted) = wanted.strip_suffix('$').map_or((false, wanted), |rest| (true, rest));
    let wanted = wanted.strip_prefix('/').unwrap_or(wanted);
    match (from_start, to_end) {
        (true, true) => name == wanted,
        (true, false) => name.starts_with(wanted),
        (false, true) => name.ends_with(wanted),
        (false, false) => name.contains(wanted),
    }
}

/// `GET /containers/{id}/json`.
pub(crate) fn inspect(world: &World, key: Key) -> Value {
    let container = world.container(key);
    let (id, spec) = (&container.id, &container.spec);
    let mut words = spec.command.split(' ');
    let (path, args) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
    let folder = format!("/var/lib/docker/containers/{id}");
    let mut document = world.settings.profile.shapes().inspect.clone();
    let mut set = |pointer: &str, value: Value| {
        *document.pointer_mut(pointer).expect("the recorded document has what is put in here") = value;
    };
    set("/Id", json!(id));
    set("/Created", time(Some(container.created_at)));
    set("/Path", json!(path));
    set("/Args", json!(args));
    set("/State", state(container));
    set("/Image", json!(container.image_id));
    set("/ResolvConfPath", json!(format!("{folder}/resolv.conf")));
    set("/HostnamePath", json!(format!("{folder}/hostname")));
    set("/HostsPath", json!(format!("{folder}/hosts")));
    set("/LogPath", json!(format!("{folder}/{id}-json.log")));
    set("/Name", json!(format!("/{}", spec.name)));
    set("/RestartCount", json!(container.restarts));
    set("/HostConfig/NetworkMode", json!(network_mode(world, container)));
    set("/HostConfig/RestartPolicy", json!({ "Name": spec.restart.name(), "MaximumRetryCount": 0 }));
    set("/HostConfig/Memory", json!(spec.memory_limit.unwrap_or(0)));
    set("/HostConfig/NanoCpus", json!(spec.cpu_limit.map_or(0, |cores| (cores * 1e9) as u64)));
    set("/HostConfig/PidsLimit", json!(spec.pids_limit));
    set("/Config/Hostname", json!(&id[..12]));
    set("/Config/Env", if spec.env.is_empty() { Value::Null } else { json!(spec.env) });
    set("/Config/Cmd", json!(spec.command.split(' ').collect::<Vec<_>>()));
    set("/Config/Image", json!(spec.image));
    set("/Config/Labels", json!(spec.labels));
    set("/Config/Tty", json!(spec.is_terminal));
    set("/NetworkSettings/Networks", networks(container));
    set("/NetworkSettings/Ports", published(container));
    document
}

fn state(container: &Container) -> Value {
    let mut state = json!({
        "Status": container.state.name(),
        "Running": container.state.is_live() || container.state == State::Restarting,
        "Paused": container.state == State::Paused,
        "Restarting": container.state == State::Restarting,
        "OOMKilled": container.oom_killed,
        "Dead": false,
        "Pid": container.pid,
        "ExitCode": container.exit_code,
        "Error": "",
        "StartedAt": time(container.started_at),
        "FinishedAt": time(container.finished_at),
    });
    if let Some(health) = container.health {
        let failing = if health == Health::Unhealthy { 3 } else { 0 };
        state["Health"] = json!({ "Status": health.name(), "FailingStreak": failing, "Log": [] });
    }
    state
}

/// A time as the engine writes it; one that never was is the year 1.
fn time(time: Option<Timestamp>) -> Value {
    time.map_or_else(|| json!("0001-01-01T00:00:00Z"), |time| json!(rfc3339(time).to_string()))
}

fn network_mode(world: &World, container: &Container) -> String {
    match &container.spec.network {
        Network::Own(_) => "bridge".into(),
        Network::Host => "host".into(),
        Network::None => "none".into(),
        Network::SharedWith(owner) => match world.find(owner) {
            Ok(key) => format!("container:{}", world.container(key).id),
            Err(_) => format!("container:{owner}"),
        },
    }
}

fn networks(container: &Container) -> Value {
    if matches!(container.spec.network, Network::SharedWith(_)) {
        return json!({});
    }
    let (name, _) = network_of(&container.spec.network);
    let address = if container.state.is_live() && name == "bridge" {
        format!("172.17.{}.{}", container.key / 250 % 256, container.key % 250 + 2)
    } else {
        String::new()
    };
    json!({ name: {
        "IPAMConfig": null, "Links": null, "Aliases": null, "NetworkID": network_id(name), "EndpointID": "",
        "Gateway": "", "IPAddress": address, "IPPrefixLen": 16, "IPv6Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "MacAddress": "", "DriverOpts": null,
    }})
}

fn port(container: &Container) -> Option<Value> {
    let (host, inside) = container.spec.port?;
    Some(json!({ "IP": "0.0.0.0", "PrivatePort": inside, "PublicPort": host, "Type": "tcp" }))
}

fn published(container: &Container) -> Value {
    let Some((host, inside)) = container.spec.port else { return json!({}) };
    json!({ format!("{inside}/tcp"): [{ "HostIp": "0.0.0.0", "HostPort": host.to_string() }] })
}

/// The engine's sentence, such as `Up 3 hours (healthy)`.
fn status(container: &Container, now: Timestamp) -> String {
    let since = |time: Option<Timestamp>| human(time.map_or(Duration::ZERO, |time| now.since(time)));
    match container.state {
        State::Created => "Created".into(),
        State::Running => {
            let up = since(container.started_at);
            match container.health {
                Some(Health::Starting) => format!("Up {up} (health: starting)"),
                Some(health) => format!("Up {up} ({})", health.name()),
                None => format!("Up {up}"),
            }
        }
        State::Paused => format!("Up {} (Paused)", since(container.started_at)),
        State::Restarting => format!("Restarting ({}) {} ago", container.exit_code, since(container.finished_at)),
        State::Exited => format!("Exited ({}) {} ago", container.exit_code, since(container.finished_at)),
    }
}

/// As go-units words a duration.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 => format!("{} minutes", seconds / 60),
        3600..7200 => "About an hour".into(),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_worded_as_docker_words_them() {
        let worded = |seconds| human(Duration::from_secs(seconds));
        assert_eq!(worded(0), "Less than a second");
        assert_eq!(worded(75), "About a minute");
        assert_eq!(worded(3 * 3600), "3 hours");
        assert_eq!(worded(3 * 86_400), "3 days");
    }

    #[test]
    fn a_name_filter_matches_parts_and_anchors() {
        assert!(matches_name("web-1", "web"));
        assert!(matches_name("web-1", "^/web-1$"));
        assert!(!matches_name("web-11", "^web-1$"));
        assert!(matches_name("web-11", "^/web-1"));
    }
}
