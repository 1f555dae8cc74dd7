//! A client that people use is content with what it gets.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptions, StatsOptionsBuilder,
};
use bollard::{BollardRequest, Docker};
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use simulator::{Profile, SimulatedHost, Simulator};
use tokio::net::UnixStream;

/// A connection per call, on the simulated socket.
fn connect(host: &SimulatedHost) -> Docker {
    let socket = host.socket().to_owned();
    let transport = move |mut request: BollardRequest| {
        let socket = socket.clone();
        async move {
            let io = TokioIo::new(UnixStream::connect(socket).await?);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
            Ok(sender.send_request(request).await?)
        }
    };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), 10, bollard::API_DEFAULT_VERSION).unwrap()
}

#[tokio::test]
async fn bollard_lists_inspects_and_streams() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let host = Simulator::host("sim-1")
            .engine(profile)
            .interval(Duration::from_millis(50))
            .containers(10)
            .start()
            .unwrap();
        let docker = connect(&host);
        assert_eq!(docker.ping().await.unwrap(), "OK");
        let version = docker.version().await.unwrap();
        assert_eq!(version.api_version.unwrap(), format!("1.{}", profile.api_version().1));
        assert_eq!(docker.info().await.unwrap().containers, Some(10));
        assert_eq!(docker.list_images(None::<ListImagesOptions>).await.unwrap().len(), 8);

        let filters = HashMap::from([("label", vec!["com.docker.compose.project=shop-1"])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await.unwrap();
        assert_eq!(listed.len(), 8);
        let id = listed[0].id.clone().unwrap();
        let inspected = docker.inspect_container(&id, None).await.unwrap();
        assert_eq!(inspected.name.as_deref(), Some("/proxy-1"));

        let mut stats = docker.stats(&id, Some(StatsOptionsBuilder::default().stream(true).build()));
        let (first, second) = (stats.next().await.unwrap().unwrap(), stats.next().await.unwrap().unwrap());
        assert!(first.read < second.read);
        assert_eq!(
            second.precpu_stats.unwrap().cpu_usage.unwrap().total_usage,
            first.cpu_stats.unwrap().cpu_usage.unwrap().total_usage
        );
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let polled = docker.stats(&id, Some(options)).next().await.unwrap().unwrap();
        assert_eq!(polled.networks.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn bollard_changes_containers_and_hears_of_it() {
    let host = Simulator::host("sim-1").containers(3).start().unwrap();
    let docker = connect(&host);
    let options =
        EventsOptionsBuilder::default().since("0").filters(&HashMap::from([("type", vec!["container"])])).build();
    let mut events = docker.events(Some(options));
    for expected in ["create", "start", "create", "start", "create", "start"] {
        assert_eq!(events.next().await.unwrap().unwrap().action.as_deref(), Some(expected));
    }
    docker.stop_container("web-1", None).await.unwrap();
    docker.restart_container("db-1", None).await.unwrap();
    docker.remove_container("web-1", None).await.unwrap();
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "destroy") {
        told.push(events.next().await.unwrap().unwrap().action.unwrap());
    }
    assert_eq!(told, ["kill", "die", "stop", "kill", "die", "stop", "start", "restart", "destroy"]);
    let missing = docker.inspect_container("web-1", None).await.unwrap_err();
    assert!(matches!(missing, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }));
}
