//! The control plane.

use serde_json::Value;
use simulator::{ContainerSpec, Health, Network, Profile, RestartPolicy, SimulatedHost, Simulator, State};

use crate::client::{Client, get, post};

fn host() -> SimulatedHost {
    Simulator::host("sim-1").containers(10).manual().start().unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["Names"][0].as_str().unwrap()).collect()
}

#[test]
fn a_ping_tells_who_answers() {
    let host = Simulator::host("sim-1").engine(Profile::Docker20).start().unwrap();
    let pong = get(host.socket(), "/_ping");
    assert_eq!((pong.status, pong.body.as_slice()), (200, b"OK".as_slice()));
    for header in [
        "Api-Version: 1.41",
        "Server: Docker/20.10.24 (linux)",
        "Docker-Experimental: false",
        "Ostype: linux",
        "Date: ",
    ] {
        assert!(pong.head.contains(header), "{header} in {}", pong.head);
    }
    let mut head = Client::send(host.socket(), "HEAD", "/v1.41/_ping");
    assert_eq!(head.response().body, b"");
    head.request("GET", "/_ping");
    assert_eq!(head.response().body, b"OK", "the connection is kept");
}

#[test]
fn paths_work_with_and_without_a_version_that_the_engine_speaks() {
    let host = Simulator::host("sim-1").engine(Profile::Docker20).start().unwrap();
    assert_eq!(get(host.socket(), "/version").json()["ApiVersion"], "1.41");
    assert_eq!(get(host.socket(), "/v1.24/version").json()["ApiVersion"], "1.41");
    let too_new = get(host.socket(), "/v1.51/version");
    assert_eq!(too_new.status, 400);
    assert_eq!(too_new.json()["message"], "client version 1.51 is too new. Maximum supported API version is 1.41");
    assert_eq!(get(host.socket(), "/v1.1/version").status, 400);
}

#[test]
fn info_counts_what_is_there() {
    let host = host();
    host.control().stop("web-1").unwrap();
    host.control().pause("db-1").unwrap();
    let info = get(host.socket(), "/info").json();
    assert_eq!(info["Name"], "sim-1");
    assert_eq!((&info["Containers"], &info["ContainersRunning"]), (&10.into(), &8.into()));
    assert_eq!((&info["ContainersPaused"], &info["ContainersStopped"]), (&1.into(), &1.into()));
    assert_eq!(
        (&info["NCPU"], &info["MemTotal"], &info["OSType"]),
        (&4.into(), &(16u64 << 30).into(), &"linux".into())
    );
}

#[test]
fn a_list_shows_what_runs_and_everything_on_request() {
    let host = host();
    host.control().stop("web-1").unwrap();
    let running = get(host.socket(), "/containers/json").json();
    assert_eq!(running.as_array().unwrap().len(), 9);
    assert!(!names(&running).contains(&"/web-1"));
    let all = get(host.socket(), "/containers/json?all=1").json();
    assert_eq!(
        names(&all),
        ["/api-2", "/web-2", "/proxy-1", "/cron-1", "/worker-1", "/queue-1", "/cache-1", "/db-1", "/api-1", "/web-1"]
    );
    let stopped = &all[9];
    assert_eq!(
        (&stopped["State"], &stopped["Status"]),
        (&"exited".into(), &"Exited (0) Less than a second ago".into())
    );
    assert_eq!(all[8]["Labels"]["com.docker.compose.service"], "api");
}

#[test]
fn a_list_is_filtered_by_id_name_label_and_status() {
    let host = host();
    host.control().stop("web-1").unwrap();
    let list = |filters: &str| {
        get(host.socket(), &format!("/containers/json?all=1&filters={}", filters.replace('"', "%22"))).json()
    };
    let id = host.control().id("db-1").unwrap();
    assert_eq!(names(&list(&format!(r#"{{"id":["{id}"]}}"#))), ["/db-1"]);
    assert_eq!(names(&list(r#"{"name":["web"]}"#)), ["/web-2", "/web-1"]);
    assert_eq!(names(&list(r#"{"label":["com.docker.compose.service=cache"]}"#)), ["/cache-1"]);
    assert_eq!(names(&list(r#"{"status":["exited"]}"#)), ["/web-1"]);
    assert_eq!(get(host.socket(), "/containers/json?filters=%5B").status, 400);
}

#[test]
fn an_inspect_tells_what_the_specification_said() {
    let spec = ContainerSpec::new("db")
        .image("postgres:16", "postgres -c fsync=on")
        .compose("shop", "db")
        .env("POSTGRES_PASSWORD", "simulated-secret")
        .restart(RestartPolicy::Always)
        .memory_limit(64 << 20)
        .cpu_limit(1.5)
        .pids_limit(100)
        .port(5432, 5432);
    for profile in [Profile::Docker20, Profile::Docker28] {
        let host = Simulator::host("sim-1").engine(profile).manual().container(spec.clone()).start().unwrap();
        let id = host.control().id("db").unwrap();
        let inspect = get(host.socket(), "/containers/db/json").json();
        assert_eq!(
            inspect,
            get(host.socket(), &format!("/containers/{}/json", &id[..12])).json(),
            "a prefix of the id will do"
        );
        assert_eq!((&inspect["Id"], &inspect["Name"]), (&id.as_str().into(), &"/db".into()));
        assert_eq!(inspect["State"]["Status"], "running");
        assert_eq!(inspect["State"]["StartedAt"], "2026-01-01T00:00:00Z");
        assert_eq!(inspect["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(inspect["Config"]["Image"], "postgres:16");
        assert_eq!(inspect["Config"]["Labels"]["com.docker.compose.project"], "shop");
        assert_eq!(inspect["Config"]["Env"][0], "POSTGRES_PASSWORD=simulated-secret");
        assert_eq!(inspect["HostConfig"]["RestartPolicy"]["Name"], "always");
        assert_eq!(
            (&inspect["HostConfig"]["Memory"], &inspect["HostConfig"]["NanoCpus"]),
            (&(64 << 20).into(), &1_500_000_000.into())
        );
        assert_eq!(inspect["HostConfig"]["PidsLimit"], 100);
        assert_eq!(inspect["NetworkSettings"]["Ports"]["5432/tcp"][0]["HostPort"], "5432");
        host.control().oom("db").unwrap();
        let state = get(host.socket(), "/containers/db/json").json()["State"].clone();
        assert_eq!(
            (&state["Status"], &state["OOMKilled"], &state["ExitCode"]),
            (&"restarting".into(), &true.into(), &137.into())
        );
    }
}

#[test]
fn an_inspect_names_the_container_whose_network_is_shared() {
    let host = Simulator::host("sim-1")
        .manual()
        .container(ContainerSpec::new("owner"))
        .container(ContainerSpec::new("guest").network(Network::SharedWith("owner".into())))
        .start()
        .unwrap();
    let owner = host.control().id("owner").unwrap();
    let mode = get(host.socket(), "/containers/guest/json").json()["HostConfig"]["NetworkMode"].clone();
    assert_eq!(mode, format!("container:{owner}"));
}

#[test]
fn health_is_told_by_list_and_inspect() {
    let host = host();
    host.control().set_health("db-1", Health::Unhealthy).unwrap();
    assert_eq!(get(host.socket(), "/containers/db-1/json").json()["State"]["Health"]["Status"], "unhealthy");
    let listed = get(host.socket(), "/containers/json?filters=%7B%22name%22:%5B%22db-1%22%5D%7D").json();
    assert_eq!(listed[0]["Status"], "Up Less than a second (unhealthy)");
}

#[test]
fn images_are_those_that_containers_have() {
    let images = get(host().socket(), "/images/json").json();
    let nginx = images.as_array().unwrap().iter().find(|image| image["RepoTags"][0] == "nginx:1.27").unwrap();
    assert_eq!(nginx["Containers"], 2);
}

#[test]
fn a_pull_moves_a_tag_and_containers_keep_what_they_were_made_of() {
    let host = host();
    let control = host.control();
    let image_of = |container: &str| {
        get(host.socket(), &format!("/containers/{container}/json")).json()["Image"].as_str().unwrap().to_owned()
    };
    let before = image_of("web-1");
    let pulled = control.pull("nginx:1.27");
    assert_ne!(pulled, before);
    assert_eq!(image_of("web-1"), before);
    let image = |id: &str| {
        let images = get(host.socket(), "/images/json").json();
        images.as_array().unwrap().iter().find(|image| image["Id"] == id).cloned()
    };
    let (old, new) = (image(&before).unwrap(), image(&pulled).unwrap());
    assert_eq!((old["RepoTags"].as_array().unwrap().len(), &old["Containers"]), (0, &2.into()));
    assert_eq!((&new["RepoTags"][0], &new["Containers"]), (&"nginx:1.27".into(), &0.into()));
    assert!(new["RepoDigests"][0].as_str().unwrap().starts_with("nginx@sha256:"));

    control.tag(&pulled, "nginx:stable").unwrap();
    control.push("nginx:stable").unwrap();
    assert_eq!(control.remove_image(&before).unwrap_err().status, 409);
    control.remove_image("nginx:1.27").unwrap();
    assert_eq!(image(&pulled).unwrap()["RepoTags"], serde_json::json!(["nginx:stable"]));
    control.remove_image("nginx:stable").unwrap();
    assert_eq!((image(&pulled), control.remove_image("nginx:stable").unwrap_err().status), (None, 404));
}

#[test]
fn what_is_not_there_is_a_404_in_the_engines_words() {
    let host = host();
    for path in ["/containers/nobody/json", "/containers/nobody/stats"] {
        let answer = get(host.socket(), path);
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["message"], "No such container: nobody");
    }
    assert_eq!(get(host.socket(), "/nonsense").json()["message"], "page not found");
}

#[test]
fn a_client_can_change_containers_and_is_refused_what_makes_no_sense() {
    let host = host();
    let state = || host.control().state("web-1").unwrap();
    assert_eq!(post(host.socket(), "/containers/web-1/start").status, 304);
    assert_eq!(post(host.socket(), "/containers/web-1/pause").status, 204);
    assert_eq!(state(), State::Paused);
    assert_eq!(post(host.socket(), "/containers/web-1/pause").status, 409);
    assert_eq!(post(host.socket(), "/containers/web-1/unpause").status, 204);
    assert_eq!(post(host.socket(), "/containers/web-1/stop?t=1").status, 204);
    assert_eq!(state(), State::Exited);
    assert_eq!(post(host.socket(), "/containers/web-1/stop").status, 304);
    assert_eq!(post(host.socket(), "/containers/web-1/kill").status, 409);
    assert_eq!(post(host.socket(), "/containers/web-1/restart").status, 204);
    assert_eq!(state(), State::Running);
    assert_eq!(post(host.socket(), "/containers/web-1/rename?name=front").status, 204);
    assert_eq!(post(host.socket(), "/containers/front/rename?name=db-1").status, 409);
    assert_eq!(Client::send(host.socket(), "DELETE", "/containers/front").response().status, 409);
    assert_eq!(post(host.socket(), "/containers/front/kill?signal=SIGKILL").status, 204);
    assert_eq!(Client::send(host.socket(), "DELETE", "/v1.51/containers/front").response().status, 204);
    assert_eq!(get(host.socket(), "/containers/front/json").status, 404);
}

#[test]
fn calls_are_counted_by_route() {
    let host = host();
    get(host.socket(), "/containers/web-1/json");
    get(host.socket(), "/v1.50/containers/db-1/json");
    post(host.socket(), "/containers/db-1/stop");
    let served = host.control().served();
    assert_eq!(served.calls["GET /containers/{id}/json"], 2);
    assert_eq!(served.calls["POST /containers/{id}/stop"], 1);
    assert_eq!(served.accepted, 3);
}
