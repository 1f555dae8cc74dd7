//! One process, many streams.

use std::time::Duration;

use simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const STREAMS: usize = 1000;
const FRAMES: usize = 3;

#[tokio::test]
async fn a_thousand_streams_get_their_frames() {
    let host = Simulator::host("sim-1").interval(Duration::from_millis(500)).containers(STREAMS).start().unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for id in host.control().ids() {
        let mut socket = UnixStream::connect(host.socket()).await.unwrap();
        socket.write_all(format!("GET /containers/{id}/stats HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).await.unwrap();
        readers.spawn(async move {
            let mut received = Vec::new();
            while received.windows(4).filter(|window| window == b"}\n\r\n").count() < FRAMES {
                let count = socket.read_buf(&mut received).await.unwrap();
                assert!(count > 0, "no stream ends");
            }
            socket
        });
    }
    let everyone =
        tokio::time::timeout(Duration::from_secs(120), readers.join_all()).await.expect("every stream gets frames");
    assert_eq!(everyone.len(), STREAMS);
    assert_eq!(host.control().served().stats_streams, STREAMS);
    drop(everyone);
    assert!(host.control().until(Duration::from_secs(60), |served| served.connections == 0).await);
}
