//! Promises of the ledger.

use std::time::Duration;

use model::{HostName, HostStatus, LossReason};
use proptest::prelude::*;

use super::*;

fn host(number: u64) -> Box<HostRecord> {
    let host = HostName::try_new("h").unwrap();
    Box::new(HostRecord {
        memory_bytes: Some(number),
        ..HostRecord::new(host, "", HostStatus::Up, Timestamp::default())
    })
}

fn ledger(count: usize, books: &Arc<Books>) -> BatchLedger {
    let policy = BatchPolicy::try_new(count, 1 << 30, Duration::from_secs(1)).unwrap();
    BatchLedger::new(NodeName::try_new("n").unwrap(), 7, policy, books)
}

fn push(ledger: &BatchLedger, books: &Arc<Books>, number: u64) {
    let custody = books.receive(Stream::Hosts).parsed();
    ledger.push(Chunk { rows: ChunkRows::Host(host(number)), custody }, Timestamp::default());
}

fn rows(batch: &Batch) -> Vec<u64> {
    match &batch.rows {
        Rows::Hosts(rows) => rows.iter().filter_map(|row| row.memory_bytes).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_batch_closes_at_its_count_and_the_next_sequence_follows_without_a_gap() {
    let books = Books::new();
    let ledger = ledger(3, &books);
    for number in 0..7 {
        push(&ledger, &books, number);
    }
    let first = ledger.take_closed().unwrap().batch;
    let second = ledger.take_closed().unwrap().batch;
    assert_eq!((first.id.to_string(), second.id.to_string()), ("n/7/hosts/0-2".into(), "n/7/hosts/3-5".into()));
    assert_eq!((first.trigger, rows(&second)), (Trigger::Count, vec![3, 4, 5]));
    assert!(ledger.take_closed().is_none(), "one row is still open");
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_when_its_first_row_has_the_age_and_not_by_the_timer_of_the_one_before() {
    let books = Books::new();
    let ledger = ledger(2, &books);
    let step = Duration::from_millis(400);
    push(&ledger, &books, 0);
    tokio::time::advance(step).await;
    push(&ledger, &books, 1);
    push(&ledger, &books, 2);
    assert_eq!(ledger.take_closed().unwrap().batch.trigger, Trigger::Count);
    tokio::time::advance(Duration::from_millis(600)).await;
    assert_eq!(ledger.close_aged(), Some(step), "the second batch is 600 ms old");
    assert!(ledger.take_closed().is_none());
    tokio::time::advance(step).await;
    assert_eq!(ledger.close_aged(), None);
    assert_eq!(ledger.take_closed().unwrap().batch.trigger, Trigger::Age);
}

#[test]
fn rows_of_an_abandoned_ledger_are_counted_as_lost() {
    let books = Books::new();
    let abandoned = ledger(10, &books);
    push(&abandoned, &books, 0);
    books.end();
    drop(abandoned);
    assert_eq!(books.of(Stream::Hosts).dropped_after_parsing, [(LossReason::Shutdown, 1)]);
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_batch_in_order(count in 1usize..9, total in 0u64..60, flush_every in 1u64..20) {
        let books = Books::new();
        let ledger = ledger(count, &books);
        for number in 0..total {
            push(&ledger, &books, number);
            if number % flush_every == 0 {
                ledger.close_all(Trigger::Drain);
            }
        }
        ledger.close_all(Trigger::Drain);
        let (mut seen, mut next) = (Vec::new(), 0);
        while let Some(append) = ledger.take_closed() {
            let batch = append.batch;
            prop_assert!(batch.rows.len() <= count);
            prop_assert_eq!(batch.id.first, next);
            prop_assert_eq!(batch.id.last - batch.id.first + 1, batch.rows.len() as u64);
            prop_assert_eq!(append.custody.count(), batch.rows.len() as u64);
            next = batch.id.last + 1;
            seen.extend(rows(&batch));
            append.custody.journaled();
        }
        prop_assert_eq!(seen, (0..total).collect::<Vec<_>>());
        prop_assert!(books.of(Stream::Hosts).is_settled());
        prop_assert_eq!(books.of(Stream::Hosts).journaled, total);
    }
}
