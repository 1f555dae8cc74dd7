//! Promises of the dead letter in files.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{Rows, Stream};
use pipeline::ports::{Appetite, DeadLetter, Deliver, DeliverError, FailureClass, Letter, Range, Receipt};

use super::folder::Progress;
use super::*;
use crate::fixtures::{batch, noon, one_of_each, stats};

fn letter(sequence: u64) -> Letter {
    let record = batch(sequence, Rows::Stats([stats(1, noon() + Duration::from_secs(sequence))].into()));
    Letter {
        sink: "clickhouse".into(),
        batch: record.id.clone(),
        refused_at: noon(),
        error: "constraint `sane` is violated".into(),
        record,
    }
}

fn letters(sequences: std::ops::Range<u64>) -> Vec<Letter> {
    sequences.map(letter).collect()
}

struct Kept {
    _parent: tempfile::TempDir,
    folder: Folder,
    letters: FileDeadLetter,
}

fn dead_letter(bytes: u64) -> Kept {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::new(parent.path().join("deadletter"));
    Kept { _parent: parent, letters: FileDeadLetter::new(folder.clone(), bytes), folder }
}

fn of_stats() -> Of {
    Of { sink: "clickhouse".into(), stream: Stream::Stats }
}

fn sequences(folder: &Folder) -> Vec<u64> {
    folder.read(&of_stats()).unwrap().entries.iter().map(|entry| entry.sequence).collect()
}

/// A server that takes each row once under its name, refuses some, and can be told to die.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    refused: BTreeSet<u64>,
    /// Every insert it took: its rows, which are its name.
    taken: Vec<Vec<u64>>,
    /// Dies after so many more inserts, having taken the last.
    lives: Option<usize>,
}

impl Server {
    fn rows(&self) -> Vec<u64> {
        let mut rows: Vec<u64> = self.0.lock().unwrap().taken.iter().flatten().copied().collect();
        rows.sort_unstable();
        rows
    }
}

#[async_trait]
impl Deliver for Server {
    fn kind(&self) -> &'static str {
        "fake"
    }
    fn target(&self) -> String {
        "memory".into()
    }
    fn appetite(&self) -> Appetite {
        Appetite { rows: 1, bytes: 1, linger: Duration::ZERO, streams: Stream::ALL.to_vec() }
    }
    async fn prepare(&mut self) -> Result<(), DeliverError> {
        Ok(())
    }
    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let mut state = self.0.lock().unwrap();
        let rows: Vec<u64> = range.batches.iter().map(|batch| batch.id.first).collect();
        if rows.iter().any(|row| state.refused.contains(row)) {
            return Err(DeliverError::new(FailureClass::Poison, "still no good"));
        }
        // An insert under a name it knows is one it has.
        if !state.taken.contains(&rows) {
            state.taken.push(rows);
        }
        if let Some(lives) = &mut state.lives {
            *lives = lives.checked_sub(1).ok_or_else(|| DeliverError::new(FailureClass::Retry, "gone"))?;
            if *lives == 0 {
                state.lives = None;
                return Err(DeliverError::new(FailureClass::Retry, "gone"));
            }
        }
        Ok(Receipt::default())
    }
}

async fn replay(kept: &Kept, server: &Server, patience: Duration) -> Result<Replayed, Stopped> {
    let alone = Alone::take(&kept.folder).unwrap();
    let replay = Replay::new(&alone, &kept.folder, kept.letters.clone(), of_stats(), patience);
    replay.run(&mut server.clone()).await
}

#[tokio::test]
async fn a_letter_of_every_stream_comes_back_as_it_was_to_the_last_bit() {
    let kept = dead_letter(1 << 20);
    for batch in one_of_each() {
        let record = model::Batch { id: model::BatchId { last: batch.id.first, ..batch.id.clone() }, ..batch };
        let record = match &record.rows {
            Rows::Stats(rows) => model::Batch { rows: Rows::Stats([rows[0].clone()].into()), ..record },
            Rows::Events(rows) => model::Batch { rows: Rows::Events([rows[0].clone()].into()), ..record },
            Rows::Containers(rows) => model::Batch { rows: Rows::Containers([rows[0].clone()].into()), ..record },
            Rows::Images(rows) => model::Batch { rows: Rows::Images([rows[0].clone()].into()), ..record },
            Rows::ImageVersions(rows) => model::Batch { rows: Rows::ImageVersions([rows[0].clone()].into()), ..record },
            Rows::Hosts(rows) => model::Batch { rows: Rows::Hosts([rows[0].clone()].into()), ..record },
            Rows::Losses(rows) => model::Batch { rows: Rows::Losses([rows[0].clone()].into()), ..record },
            Rows::Logs(rows) => model::Batch { rows: Rows::Logs([rows[0].clone()].into()), ..record },
        };
        let letter = Letter { batch: record.id.clone(), record, ..letter(0) };
        kept.letters.keep(std::slice::from_ref(&letter)).await.unwrap();
        let of = Of { sink: "clickhouse".into(), stream: letter.stream() };
        let back = kept.folder.read(&of).unwrap().entries[0].letter().unwrap();
        assert_eq!((back.record.rows, back.record.id), (letter.record.rows, letter.record.id));
        assert_eq!((back.batch, back.refused_at, back.error), (letter.batch, letter.refused_at, letter.error));
    }
    assert_eq!(kept.folder.all().unwrap().len(), Stream::ALL.len());
}

#[tokio::test]
async fn a_letter_that_comes_again_is_kept_once_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let kept = dead_letter(1 << 20);
    assert_eq!(kept.letters.keep(&letters(0..3)).await.unwrap().new[&Stream::Stats], 3);
    assert_eq!(kept.letters.keep(&letters(1..5)).await.unwrap().new[&Stream::Stats], 2);
    assert_eq!(sequences(&kept.folder), [0, 1, 2, 3, 4]);
    for file in fs::read_dir(kept.folder.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn letters_that_fill_many_files_and_come_again_are_kept_once() {
    let kept = dead_letter(16 << 20);
    for first in (0..6_000).step_by(500) {
        kept.letters.keep(&letters(first..first + 500)).await.unwrap();
    }
    assert!(kept.folder.segments().unwrap().len() > 4);
    assert_eq!(kept.letters.keep(&letters(0..6_001)).await.unwrap().new[&Stream::Stats], 1);
}

#[tokio::test]
async fn half_a_line_is_no_letter_and_the_next_one_stands_on_its_own() {
    let kept = dead_letter(1 << 20);
    kept.letters.keep(&letters(0..2)).await.unwrap();
    let file = kept.folder.file(&kept.folder.segments().unwrap()[0]);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() - 10]).unwrap();
    assert_eq!(sequences(&kept.folder), [0]);
    kept.letters.keep(&letters(1..3)).await.unwrap();
    assert_eq!(sequences(&kept.folder), [0, 1, 2]);
    assert_eq!(kept.folder.read(&of_stats()).unwrap().damaged, 0);
}

#[tokio::test]
async fn a_full_dead_letter_loses_its_oldest_letters_and_counts_them() {
    let kept = dead_letter(256 << 10);
    let (mut gone, mut total) = (0, 0);
    for first in (0..2_000).step_by(50) {
        let outcome = kept.letters.keep(&letters(first..first + 50)).await.unwrap();
        total += outcome.new[&Stream::Stats];
        gone += outcome.removed.values().sum::<u64>();
    }
    let left = sequences(&kept.folder);
    assert!(gone > 0 && left.len() as u64 == total - gone, "{gone} of {total} gone, {} left", left.len());
    assert_eq!(left, (gone..2_000).collect::<Vec<_>>(), "the oldest went");
    let bytes: u64 =
        fs::read_dir(kept.folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= (256 + 128) << 10, "{bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_replay_delivers_what_is_taken_and_keeps_what_is_refused_again_with_the_new_error() {
    let kept = dead_letter(1 << 20);
    kept.letters.keep(&letters(0..600)).await.unwrap();
    let server = Server::default();
    server.0.lock().unwrap().refused = [7, 300, 599].into();
    let replayed = replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    assert_eq!(replayed, Replayed { delivered: 597, refused: 3, damaged: 0 });
    assert_eq!(server.rows(), (0..600).filter(|row| ![7, 300, 599].contains(row)).collect::<Vec<_>>());
    let left = kept.folder.read(&of_stats()).unwrap().entries;
    let told: Vec<_> = left.iter().map(|entry| (entry.sequence, entry.error.as_str())).collect();
    assert_eq!(told, [(7, "still no good"), (300, "still no good"), (599, "still no good")]);
    server.0.lock().unwrap().refused.clear();
    let replayed = replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    assert_eq!((replayed.delivered, server.rows().len()), (3, 600));
    assert!(kept.folder.read(&of_stats()).unwrap().entries.is_empty());
    assert_eq!(replay(&kept, &server, Duration::from_secs(5)).await.unwrap(), Replayed::default());
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_cut_off_at_any_insert_goes_on_without_losing_or_doubling_a_line() {
    let refused: BTreeSet<u64> = [0, 5, 6, 255, 256, 400].into();
    for lives in [1, 2, 3, 5, 8, 13, 21, 34] {
        let kept = dead_letter(1 << 20);
        kept.letters.keep(&letters(0..600)).await.unwrap();
        let server = Server::default();
        server.0.lock().unwrap().refused = refused.clone();
        server.0.lock().unwrap().lives = Some(lives);
        // No patience: the first answer that is lost ends it, and the server has what it was sent.
        let first = replay(&kept, &server, Duration::ZERO).await;
        // More letters come, and what some were refused for is repaired, before the next one begins.
        kept.letters.keep(&letters(600..610)).await.unwrap();
        server.0.lock().unwrap().refused = [5].into();
        server.0.lock().unwrap().lives = None;
        if first.is_err() {
            replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
        }
        replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
        assert_eq!(server.rows(), (0..610).filter(|row| *row != 5).collect::<Vec<_>>(), "cut off at {lives}");
        assert_eq!(sequences(&kept.folder), [5]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_was_killed_before_it_noted_a_refusal_does_not_deliver_that_letter_twice() {
    let kept = dead_letter(1 << 20);
    kept.letters.keep(&letters(0..3)).await.unwrap();
    let server = Server::default();
    server.0.lock().unwrap().refused = [1].into();
    // What a replay leaves that was killed when the second line had been refused, and kept again, alone.
    let [first] = &kept.folder.segments().unwrap()[..] else { panic!("one file") };
    let later = kept.folder.begin(&of_stats()).unwrap();
    server.0.lock().unwrap().taken.push(vec![0]);
    kept.folder.note(first, Progress { settled: 1, part: 2 }).unwrap();
    kept.letters.append(&of_stats(), &[&letter(1)], first.number).unwrap();
    assert!(kept.folder.text(&later).unwrap().unwrap().contains("\"sequence\":1"));
    // It is repaired before the next one begins.
    server.0.lock().unwrap().refused.clear();
    replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    assert_eq!(server.rows(), [0, 1, 2]);
    assert!(sequences(&kept.folder).is_empty());
}

#[tokio::test(start_paused = true)]
async fn letters_of_two_starts_with_one_number_are_two_letters() {
    let kept = dead_letter(1 << 20);
    let mut other = letter(1);
    other.record.id.epoch += 1;
    kept.letters.keep(&[letter(1), other]).await.unwrap();
    let server = Server::default();
    // It knows rows by number alone, so the second is to come in an insert of its own.
    let replayed = replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    assert_eq!((replayed.delivered, server.rows()), (2, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_line_is_set_aside_and_stops_nobody() {
    let kept = dead_letter(1 << 20);
    kept.letters.keep(&letters(0..3)).await.unwrap();
    let file = kept.folder.file(&kept.folder.segments().unwrap()[0]);
    let text = fs::read_to_string(&file).unwrap().replacen("\"sequence\":1,", "\"sequence\":?,", 1);
    fs::write(&file, text).unwrap();
    let server = Server::default();
    let replayed = replay(&kept, &server, Duration::from_secs(5)).await.unwrap();
    assert_eq!(replayed, Replayed { delivered: 2, refused: 0, damaged: 1 });
    assert_eq!(server.rows(), [0, 2]);
    assert!(fs::read_to_string(kept.folder.path().join("damaged")).unwrap().contains("\"sequence\":?"));
}

#[tokio::test]
async fn one_replay_runs_at_a_time() {
    let kept = dead_letter(1 << 20);
    let _running = Alone::take(&kept.folder).unwrap();
    assert!(matches!(Alone::take(&kept.folder), Err(Stopped::Busy)));
}
