//! Bytes that are not what was written.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::disk::store::FILE;

/// A journal with 40 entries of 20 rows, two sinks, one of them half way and with a range under delivery.
async fn written(folder: &TempDir) -> Range {
    let journal = open(folder);
    journal.register("a", appetite(100, Duration::ZERO));
    journal.register("b", appetite(100, Duration::ZERO));
    for entry in 0..40 {
        journal.append(vec![losses(1 + entry * 20, 20)], Vec::new()).await.unwrap();
    }
    for _ in 0..4 {
        settle(&journal, "a").await;
    }
    let held = journal.next("a").await.unwrap();
    journal.stop().await;
    held
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join(FILE)
}

/// Opens, takes everything, and gives what "b" got and lost; the books balance all the while.
async fn drained(folder: &TempDir) -> (Vec<u64>, u64) {
    let journal = open(folder);
    journal.register("a", appetite(100, Duration::ZERO));
    journal.register("b", appetite(100, Duration::ZERO));
    journal.close();
    let mut got = Vec::new();
    for sink in ["a", "b"] {
        while let Some(range) = journal.next(sink).await {
            journal.commit(sink, &range, &Receipt::default()).await.unwrap();
            if sink == "b" {
                got.extend(firsts(&range));
            }
            for books in journal.books() {
                let settled = books.delivered + books.rejected + books.dropped;
                assert_eq!(books.journaled, settled + books.pending, "{books:?}");
            }
        }
    }
    let books = books_of(&journal, "b");
    assert_eq!((books.pending, books.pending_bytes), (0, 0));
    let lost: u64 =
        journal.losses().iter().filter(|loss| loss.sink.as_deref() == Some("b")).map(|loss| loss.count).sum();
    assert_eq!(lost, books.dropped);
    assert!(journal.losses().iter().all(|loss| loss.reason == LossReason::Corrupt));
    journal.stop().await;
    (got, lost)
}

#[tokio::test]
async fn a_damaged_entry_is_skipped_and_counted_and_the_rest_arrives() {
    let folder = TempDir::new().unwrap();
    written(&folder).await;
    let db = rusqlite::Connection::open(file(&folder)).unwrap();
    db.execute("update bodies set body = zeroblob(length(body)) where position = 30", []).unwrap();
    db.execute("update bodies set body = substr(body, 1, 40) where position = 31", []).unwrap();
    db.execute("delete from bodies where position = 32", []).unwrap();
    drop(db);
    let (got, lost) = drained(&folder).await;
    let expected: Vec<u64> = (0..40).filter(|entry| !(30..=32).contains(entry)).map(|entry| 1 + entry * 20).collect();
    assert_eq!((got, lost), (expected, 60));
}

#[tokio::test]
async fn a_damaged_head_is_read_from_the_entry_itself_and_where_that_is_gone_too_the_rows_are_counted() {
    let folder = TempDir::new().unwrap();
    written(&folder).await;
    let db = rusqlite::Connection::open(file(&folder)).unwrap();
    db.execute("update heads set head = x'00'", []).unwrap();
    db.execute("delete from bodies where position = 7", []).unwrap();
    drop(db);
    let (got, lost) = drained(&folder).await;
    let expected: Vec<u64> = (0..40).filter(|entry| *entry != 7).map(|entry| 1 + entry * 20).collect();
    assert_eq!((got, lost), (expected, 20));
}

#[tokio::test]
async fn a_sink_whose_place_is_damaged_gets_everything_there_is() {
    let folder = TempDir::new().unwrap();
    written(&folder).await;
    let db = rusqlite::Connection::open(file(&folder)).unwrap();
    db.execute("update sinks set state = x'00'", []).unwrap();
    drop(db);
    let (got, lost) = drained(&folder).await;
    assert_eq!((got.len(), lost), (40, 0));
}

#[tokio::test]
async fn where_the_names_of_the_tables_are_damaged_the_entries_are_read_out_for_every_sink() {
    let folder = TempDir::new().unwrap();
    written(&folder).await;
    let mut bytes = fs::read(file(&folder)).unwrap();
    let at = bytes.windows(10).position(|window| window == b"state blob").unwrap();
    bytes[at] ^= 4;
    fs::write(file(&folder), bytes).unwrap();
    let (got, lost) = drained(&folder).await;
    assert_eq!((got.len(), lost), (40, 0));
}

#[tokio::test]
async fn a_file_of_a_later_layout_is_left_alone() {
    let folder = TempDir::new().unwrap();
    written(&folder).await;
    let db = rusqlite::Connection::open(file(&folder)).unwrap();
    let mark: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0)).unwrap();
    db.execute_batch(&format!("pragma user_version = 2; pragma application_id = {}", mark + 1)).unwrap();
    drop(db);
    assert!(matches!(DiskJournal::open(folder.path(), options()), Err(OpenError::Storage { .. })));
    let db = rusqlite::Connection::open(file(&folder)).unwrap();
    assert_eq!(db.query_row("select count(*) from bodies", [], |row| row.get::<_, i64>(0)).unwrap(), 40);
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_replaced_and_the_journal_works() {
    let folder = TempDir::new().unwrap();
    fs::write(file(&folder), vec![0x5a; 100_000]).unwrap();
    let journal = open(&folder);
    journal.register("a", eager());
    journal.append(vec![losses(1, 1)], Vec::new()).await.unwrap();
    assert_eq!(firsts(&settle(&journal, "a").await), [1]);
}

#[tokio::test]
async fn whatever_bits_flip_and_wherever_the_file_ends_it_opens_delivers_and_balances() {
    let seed = std::env::var("DOCKSTREAM_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let origin = TempDir::new().unwrap();
    written(&origin).await;
    let bytes = fs::read(file(&origin)).unwrap();
    for round in 0..60 {
        let folder = TempDir::new().unwrap();
        let mut damaged = bytes.clone();
        if round % 3 == 0 {
            damaged.truncate(random.usize(..damaged.len()));
        } else {
            for _ in 0..random.usize(1..40) {
                let at = random.usize(..damaged.len());
                damaged[at] ^= 1 << random.u8(..8);
            }
        }
        fs::write(file(&folder), &damaged).unwrap();
        let (got, _) = drained(&folder).await;
        assert!(got.is_sorted_by(|a, b| a < b) || got.is_empty(), "round {round}: an entry came twice: {got:?}");
        let journal = open(&folder);
        journal.register("a", eager());
        journal.append(vec![losses(10_000, 1)], Vec::new()).await.unwrap();
        assert_eq!(firsts(&settle(&journal, "a").await), [10_000], "round {round}");
    }
}
