//! The suite's own processes: the simulated engine, and the clients that read its stats streams.
//!
//! Each prints its count for every line it is given, and ends with its input.

use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use bollard::{BollardRequest, Docker};
use clap::{Args, ValueEnum};
use engine::{HostOptions, HostUrl};
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use model::{CpuClock, OsFamily, compute};
use pipeline::ports::{Decode, EngineApi};
use simulator::Simulator;
use tokio::net::UnixStream;

use crate::child::Measured;

/// What a process of the suite is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The simulated engine; counts frames it has sent.
    Engine,
    /// Reads all streams with bollard, typed; counts frames.
    Typed,
    /// Reads all streams with dockstream's own client and computes samples; counts them.
    Source,
}

/// Where the simulated engine is, and how large.
#[derive(Clone, Debug, Args)]
pub struct SimulatedEngine {
    /// Its socket.
    #[arg(long, hide = true, default_value = "engine.sock")]
    socket: PathBuf,
    /// Its containers, each with a frame a second.
    #[arg(long, hide = true, default_value_t = 0)]
    containers: usize,
}

impl SimulatedEngine {
    /// One in `folder`.
    pub fn at(folder: &Path, containers: usize) -> Self {
        Self { socket: folder.join("engine.sock"), containers }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Starts a process for `role`; when this returns it is ready.
    pub fn spawn(&self, role: Role) -> anyhow::Result<Measured> {
        let (name, word) = match role {
            Role::Engine => ("the simulated engine", "engine"),
            Role::Typed => ("the bollard client", "typed"),
            Role::Source => ("the source alone", "source"),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", word, "--containers", &self.containers.to_string(), "--socket"]).arg(&self.socket);
        let mut process = Measured::spawn(name, &command)?;
        process.line("ready")?;
        Ok(process)
    }
}

impl Role {
    /// Plays it until the input ends.
    pub fn play(self, engine: &SimulatedEngine) -> anyhow::Result<()> {
        rlimit::increase_nofile_limit(u64::MAX)?;
        match self {
            Self::Engine => {
                let host = Simulator::host("simulated").socket(&engine.socket).containers(engine.containers).start()?;
                answer(|| host.control().served().frames.sent)
            }
            Self::Typed => read(engine, typed),
            Self::Source => read(engine, source),
        }
    }
}

/// Gives `count` for every line, until there is none.
fn answer(count: impl Fn() -> u64) -> anyhow::Result<()> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{}", count());
    }
    Ok(())
}

type Client = fn(SimulatedEngine, Arc<AtomicU64>) -> futures_util::future::LocalBoxFuture<'static, anyhow::Result<()>>;

/// Reads on one thread, and answers on another.
fn read(engine: &SimulatedEngine, client: Client) -> anyhow::Result<()> {
    let frames = Arc::new(AtomicU64::new(0));
    let (engine, counted) = (engine.clone(), frames.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        let mut done = Ok(());
        allocation_counter::opt_out(|| done = runtime.block_on(client(engine, counted)));
        if let Err(error) = done {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
    });
    answer(|| frames.load(Ordering::Relaxed))
}

/// As a program on bollard does it: a task per container, each frame decoded into its types.
fn typed(
    engine: SimulatedEngine,
    frames: Arc<AtomicU64>,
) -> futures_util::future::LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let docker = bollard_at(&engine.socket)?;
        let all = ListContainersOptionsBuilder::default().all(true).build();
        let mut readers = tokio::task::JoinSet::new();
        for container in docker.list_containers(Some(all)).await? {
            let id = container.id.context("a container has an id")?;
            let mut stats = docker.stats(&id, Some(StatsOptionsBuilder::default().stream(true).build()));
            let frames = frames.clone();
            readers.spawn(async move {
                while let Some(frame) = stats.next().await {
                    std::hint::black_box(frame?);
                    frames.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        finish(readers).await
    })
}

/// A connection for each call, as bollard's own client has it for streams.
fn bollard_at(socket: &Path) -> anyhow::Result<Docker> {
    let socket = socket.to_owned();
    let transport = move |mut request: BollardRequest| {
        let socket = socket.clone();
        async move {
            let io = TokioIo::new(connect(&socket).await?);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
            *request.uri_mut() = path.parse().map_err(bollard::errors::Error::from)?;
            Ok(sender.send_request(request).await?)
        }
    };
    Ok(Docker::connect_with_custom_transport(transport, Some("http://docker"), 120, bollard::API_DEFAULT_VERSION)?)
}

/// Connects, again and again while too many others do.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(Duration::from_millis(5)).await,
            outcome => return outcome,
        }
    }
}

/// As dockstream's own source does it, without actors: a task per container, each frame decoded and computed.
fn source(
    engine: SimulatedEngine,
    frames: Arc<AtomicU64>,
) -> futures_util::future::LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let url: HostUrl = engine.url().parse()?;
        let host = Arc::new(engine::Host::new("simulated".parse()?, &url, &HostOptions::default())?);
        host.identify().await?;
        let mut readers = tokio::task::JoinSet::new();
        for (id, _) in host.list().await? {
            let (host, frames) = (host.clone(), frames.clone());
            readers.spawn(async move {
                let mut stats = host.stats(&id).await?;
                let mut previous = None;
                while let Some(bytes) = stats.next().await {
                    let decoded = engine::frame::FrameDecoder.decode(&bytes?);
                    let frame = decoded.map_err(|reason| anyhow::anyhow!("a frame is {reason}"))?;
                    let sample = compute::sample(previous.as_ref(), &frame, OsFamily::Linux, CpuClock::System);
                    std::hint::black_box(sample);
                    previous = Some(frame);
                    frames.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        finish(readers).await
    })
}

async fn finish(mut readers: tokio::task::JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = readers.join_next().await {
        ended??;
    }
    Ok(())
}
