//! The process ends without warning.

use std::io::{BufRead, BufReader};
use std::process::{Command as Process, Stdio};

use super::*;

const CHILD: &str = "DOCKSTREAM_TEST_JOURNAL";

/// Not a test of its own: what the killed process runs. Says what it knows to be kept and delivered.
#[test]
fn writes_until_it_is_killed_where_it_is_told_to() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Arc::new(DiskJournal::open(Path::new(&folder), options()).unwrap());
        journal.register("a", appetite(40, Duration::ZERO));
        let start = 1 + books_of(&*journal, "a").journaled;
        let reader = journal.clone();
        tokio::spawn(async move {
            loop {
                let range = reader.next("a").await.unwrap();
                println!("\nsent {} {}", range.batches[0].id.first, range.batches.last().unwrap().id.last);
                reader.commit("a", &range, &Receipt::default()).await.unwrap();
                println!("\ndelivered {}", range.batches.last().unwrap().id.last);
            }
        });
        for first in (start..).step_by(7) {
            journal.append(vec![losses(first, 7)], Vec::new()).await.unwrap();
            println!("\nkept {}", first + 6);
        }
    });
}

/// What the child said last.
#[derive(Debug, Default)]
struct Said {
    kept: u64,
    delivered: u64,
    sent: Option<(u64, u64)>,
}

/// Lets a child work on `folder` for a while, then kills it.
fn work_and_die(folder: &TempDir, alive: Duration) -> Said {
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::tests::killed::writes_until_it_is_killed_where_it_is_told_to", "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut said = Said::default();
    let mut since = None;
    for line in out.lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["kept", last] => said.kept = last.parse().unwrap_or(said.kept),
            ["delivered", last] => said.delivered = last.parse().unwrap_or(said.delivered),
            ["sent", first, last] => said.sent = first.parse().ok().zip(last.parse().ok()).or(said.sent),
            _ => continue,
        }
        // Killed in the midst of work, and what it said until then is read to the end.
        if since.get_or_insert_with(Clock::now).elapsed() > alive {
            let _ = child.kill();
        }
    }
    child.wait().unwrap();
    said
}

#[tokio::test]
async fn a_process_killed_twenty_times_loses_nothing_it_kept_and_sends_nothing_in_other_bounds() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    for round in 0..20 {
        let said = work_and_die(&folder, Duration::from_millis(random.u64(1..80)));
        assert!(said.kept > 0, "round {round}: it never came to work");
        let journal = open(&folder);
        let books = books_of(&journal, "a");
        assert_eq!(books.journaled, books.delivered + books.pending, "round {round}: {books:?}");
        assert!(books.journaled >= said.kept, "round {round}: {said:?} {books:?}");
        assert!(books.delivered >= said.delivered, "round {round}: {said:?} {books:?}");
        assert_eq!(books.dropped, 0);
        journal.register("a", appetite(1000, Duration::ZERO));
        if let Some((first, last)) = said.sent.filter(|(_, last)| *last > books.delivered) {
            let again = journal.next("a").await.unwrap();
            let bounds = (again.batches[0].id.first, again.batches.last().unwrap().id.last);
            assert_eq!(bounds, (first, last), "round {round}: a range that was sent comes in other bounds");
        }
        let mut expected = books.delivered + 1;
        while books_of(&journal, "a").pending > 0 {
            for batch in settle(&journal, "a").await.batches {
                assert_eq!(batch.id.first, expected, "round {round}");
                expected = batch.id.last + 1;
            }
        }
        assert_eq!(expected, books.journaled + 1);
        journal.stop().await;
    }
}
