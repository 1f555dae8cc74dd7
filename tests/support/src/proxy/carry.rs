//! Accepting connections, and carrying what they say as the line allows.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::door::{Door, Listener, Stream};
use super::{Line, Place, State};

/// What is carried at once.
const PIECE: usize = 16 * 1024;

/// Which way something goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// Carries until the proxy is dropped.
pub(super) async fn accept(door: Door, mut state: watch::Receiver<State>, followed: &AtomicU64) {
    let mut connections = JoinSet::new();
    let mut listener: Option<Listener> = None;
    loop {
        let now = state.borrow_and_update().clone();
        if now.line == Line::Cut {
            listener = None;
        } else if listener.is_none() {
            listener = Some(door.open().unwrap_or_else(|error| panic!("cannot listen at {:?}: {error}", door.place())));
        }
        followed.store(now.version, Ordering::Release);
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { break },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            client = accepted(listener.as_ref()) => drop(connections.spawn(serve(client, now.target, state.clone()))),
        }
    }
    if let Place::Unix(path) = door.place() {
        let _ = std::fs::remove_file(path);
    }
}

async fn accepted(listener: Option<&Listener>) -> Stream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok(client) => return client,
            // Out of file descriptors: connections wait until some are free.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Carries one connection until it ends.
async fn serve(mut client: Stream, target: Option<Place>, state: watch::Receiver<State>) {
    let (resets, abandoned) = (state.borrow().resets, state.borrow().abandoned);
    let Some(target) = target else { return client.reset() };
    let Ok(mut server) = target.connect().await else { return client.reset() };
    let carried = {
        let (from_client, to_client) = split(&mut client);
        let (from_server, to_server) = split(&mut server);
        let valve = |way| Valve { state: state.clone(), abandoned, way, carried: 0 };
        let both = async {
            tokio::try_join!(
                carry(from_client, to_server, valve(Way::ToServer)),
                carry(from_server, to_client, valve(Way::ToClient))
            )
        };
        tokio::select! {
            carried = both => carried.is_ok(),
            () = torn(state.clone(), resets) => false,
        }
    };
    if !carried {
        client.reset();
        server.reset();
    }
}

/// Waits until the line is cut or the connection is to be reset.
async fn torn(mut state: watch::Receiver<State>, resets: u64) {
    // An error: the proxy is dropped.
    let _ = state.wait_for(|state| state.line == Line::Cut || state.resets > resets).await;
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut valve: Valve) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        valve.opens().await?;
        let count = from.read(&mut piece).await?;
        let line = valve.opens().await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let passing = valve.pass(line, count).await;
        to.write_all(&piece[..passing]).await?;
        if passing < count {
            to.flush().await?;
            return Err(ErrorKind::ConnectionReset.into());
        }
    }
}

/// What one direction of one connection has to pass.
struct Valve {
    state: watch::Receiver<State>,
    abandoned: u64,
    way: Way,
    /// Bytes carried since the line is brittle.
    carried: u64,
}

impl Valve {
    /// Waits until something may pass; how the line is then.
    async fn opens(&mut self) -> io::Result<Line> {
        let (way, abandoned) = (self.way, self.abandoned);
        let passes = |state: &State| {
            let open = match state.line {
                Line::Clear | Line::Slow { .. } | Line::Brittle { .. } => true,
                Line::Silent | Line::Cut => false,
                Line::Deaf => way == Way::ToServer,
            };
            open && state.abandoned == abandoned
        };
        let state = self.state.wait_for(passes).await;
        state.map(|state| state.line).map_err(|_| ErrorKind::ConnectionReset.into())
    }

    /// Takes the time that `count` bytes need; how many of them pass.
    async fn pass(&mut self, line: Line, count: usize) -> usize {
        match line {
            Line::Brittle { after } if self.way == Way::ToServer => {
                let passing = after.saturating_sub(self.carried).min(count as u64);
                self.carried += passing;
                return usize::try_from(passing).unwrap_or(count);
            }
            Line::Slow { delay, rate } => {
                sleep(delay + Duration::from_secs_f64(count as f64 / f64::from(rate.max(1)))).await;
            }
            _ => {}
        }
        self.carried = 0;
        count
    }
}
