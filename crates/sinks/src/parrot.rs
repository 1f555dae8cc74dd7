//! A server that says the same to whatever it is asked.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// Answers every request with the same words, and remembers the last one's head.
pub(crate) struct Parrot {
    pub url: String,
    /// The head of the last request.
    pub heard: Arc<Mutex<String>>,
}

impl Parrot {
    pub async fn saying(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(String::new()));
        let hears = heard.clone();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 1 << 20];
                let mut end = 0;
                let head = loop {
                    end += stream.read(&mut bytes[end..]).await.unwrap();
                    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
                    if let Some((head, _)) = text.split_once("\r\n\r\n") {
                        break head.to_owned();
                    }
                };
                *hears.lock().await = head;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                // What was not read would reset the connection before the answer is.
                while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
            }
        });
        Self { url, heard }
    }
}

/// Runs what starts parrots.
pub(crate) async fn locally<T>(work: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(work).await
}
