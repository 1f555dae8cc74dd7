//! `dockstream deadletter`: shows what servers refused for good, and delivers it again.

mod table;

use std::io::{self, Write};
use std::time::Duration;

use model::Stream;
use pipeline::ports::DeadLetterError;
use sinks::deadletter::{Alone, Entry, FileDeadLetter, Folder, Of, Replay, Replayed, Stopped};

use super::parts::{dead_letter_topic, sinks as sink_plans};
use crate::cli::{self, Exit};
use crate::config::{Config, Loaded};

/// A server that is away for longer is left to another day.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the dead letter cannot be shown or replayed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("dead letter in {folder}: {error}")]
    Folder { folder: String, error: io::Error },
    #[error(transparent)]
    Topic(#[from] DeadLetterError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Carries out what is asked of the dead letter; works whether or not dockstream runs.
pub fn deadletter(loaded: &Loaded, action: &cli::DeadLetter) -> Exit {
    let config = &loaded.config;
    let outcome = actix_rt::System::new().block_on(async {
        match action {
            cli::DeadLetter::List { of, json } => list(config, of, *json).await,
            cli::DeadLetter::Replay { of, dry_run: true } => rehearse(config, of).await,
            cli::DeadLetter::Replay { of, dry_run: false } => replay(config, of).await,
        }
    });
    outcome.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        match failure {
            Failure::Stopped(Stopped::Busy | Stopped::Server { .. }) => Exit::DrainIncomplete,
            Failure::Folder { .. } | Failure::Topic(_) | Failure::Stopped(Stopped::Folder { .. }) => Exit::Config,
        }
    })
}

/// What is asked for, and nothing else.
fn is_wanted(wanted: &cli::Letters, sink: &str, stream: Stream) -> bool {
    wanted.sink.as_deref().is_none_or(|name| name == sink) && wanted.stream.is_none_or(|of| of == stream)
}

/// All letters asked for, and how many lines are damaged.
async fn found(config: &Config, wanted: &cli::Letters) -> Result<(Vec<Entry>, usize), Failure> {
    let folder = Folder::new(config.dead_letter_folder());
    let failed = |error| Failure::Folder { folder: folder.path().display().to_string(), error };
    let (mut entries, mut damaged) = (Vec::new(), 0);
    for of in folder.all().map_err(failed)?.iter().filter(|of| is_wanted(wanted, &of.sink, of.stream)) {
        let content = folder.read(of).map_err(failed)?;
        entries.extend(content.entries);
        damaged += content.damaged;
    }
    if let Some(topic) = dead_letter_topic(config) {
        let of_topic = topic.read().await?;
        entries.extend(of_topic.into_iter().filter(|entry| is_wanted(wanted, &entry.sink, entry.stream)));
    }
    entries.sort_by_key(|entry| entry.refused_at);
    Ok((entries, damaged))
}

async fn list(config: &Config, wanted: &cli::Letters, json: bool) -> Result<Exit, Failure> {
    let (entries, damaged) = found(config, wanted).await?;
    let text = if json { table::lines(&entries) } else { table::table(&entries, damaged) };
    // Who reads only the first lines has what was wanted.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(Exit::Ended)
}

async fn rehearse(config: &Config, wanted: &cli::Letters) -> Result<Exit, Failure> {
    let (entries, _) = found(config, wanted).await?;
    for (of, count) in table::counts(&entries) {
        println!("{} {}: would deliver {}", of.sink, of.stream, table::records(count));
    }
    if entries.is_empty() {
        println!("{}", table::NOTHING);
    }
    Ok(Exit::Ended)
}

async fn replay(config: &Config, wanted: &cli::Letters) -> Result<Exit, Failure> {
    let folder = Folder::new(config.dead_letter_folder());
    let failed = |error| Failure::Folder { folder: folder.path().display().to_string(), error };
    let files = FileDeadLetter::new(folder.clone(), config.deadletter.bytes.bytes());
    let alone = Alone::take(&folder)?;
    if let Some(topic) = dead_letter_topic(config) {
        topic.move_into(&files).await?;
    }
    let (mut exit, mut any) = (Exit::Ended, false);
    // Without transactions, whose cursor would pass over old records.
    let plans = sink_plans(config, None);
    for of in folder.all().map_err(failed)?.into_iter().filter(|of| is_wanted(wanted, &of.sink, of.stream)) {
        let left = folder.read(&of).map_err(failed)?;
        if left.entries.is_empty() && left.damaged == 0 {
            continue;
        }
        any = true;
        let Some(plan) = plans.iter().find(|plan| *plan.name == *of.sink) else {
            exit = Exit::DrainIncomplete;
            let kept = table::records(left.entries.len() as u64);
            println!("{} {}: {kept} kept: this sink is not enabled", of.sink, of.stream);
            continue;
        };
        let mut deliver = (plan.connect)();
        let outcome = Replay::new(&alone, &folder, files.clone(), of.clone(), PATIENCE).run(&mut *deliver).await;
        deliver.close().await;
        if !told(&of, &outcome) {
            exit = Exit::DrainIncomplete;
        }
    }
    if !any {
        println!("{}", table::NOTHING);
    }
    Ok(exit)
}

/// Says what became of letters; true where all are with their server.
fn told(of: &Of, outcome: &Result<Replayed, Stopped>) -> bool {
    let Of { sink, stream } = of;
    match outcome {
        Ok(Replayed { delivered, refused, damaged }) => {
            let mut line = format!("{sink} {stream}: {} delivered", table::records(*delivered));
            if *refused > 0 {
                line += &format!(", {refused} refused again: see dockstream deadletter list");
            }
            if *damaged > 0 {
                line += &format!(", {damaged} damaged lines set aside");
            }
            println!("{line}");
            *refused == 0 && *damaged == 0
        }
        Err(stopped) => {
            eprintln!("{sink} {stream}: {stopped}; what was not delivered is kept");
            false
        }
    }
}
