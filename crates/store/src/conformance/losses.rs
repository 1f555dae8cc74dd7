//! Promises about losses.

use model::{LossReason, LossRecord, Rows, Stream};

use super::Subject;
use super::fixtures::{seconds, start};
use crate::{LossFilter, Page};

fn loss(second: u64, stream: Stream, sink: Option<&str>, reason: LossReason) -> LossRecord {
    LossRecord { stream, sink: sink.map(str::to_owned), reason, count: 7, first_at: start(), last_at: seconds(second) }
}

pub(crate) async fn a_loss_comes_back_as_it_was_stored(mut subject: Subject) {
    let whole = loss(1, Stream::Logs, None, LossReason::RateLimited);
    let of_sink = loss(2, Stream::ImageVersions, Some("kafka"), LossReason::JournalFull);
    subject.stored(Rows::Losses(vec![whole.clone(), of_sink.clone()].into())).await;
    let listed = subject.store.losses(&LossFilter::default(), &Page::default()).await.unwrap();
    let found: Vec<_> = listed.data.iter().map(|loss| (loss.node.as_str(), loss.epoch, loss.sequence)).collect();
    assert_eq!(found, [("node", 1, 2), ("node", 1, 1)]);
    let records: Vec<_> = listed.data.into_iter().map(|loss| loss.record).collect();
    assert_eq!((records, listed.next_cursor), (vec![of_sink, whole], None));
}

pub(crate) async fn losses_are_paged_from_the_newest_without_repetition_or_gap(mut subject: Subject) {
    // Three at each moment, so that pages end between equal times.
    let rows: Vec<_> = (0..24).map(|number| loss(number / 3, Stream::Stats, None, LossReason::Coalesced)).collect();
    subject.stored(Rows::Losses(rows.into())).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = subject.store.losses(&LossFilter::default(), &Page { limit: 5, cursor }).await.unwrap();
        seen.extend(listed.data.into_iter().map(|loss| loss.sequence));
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=24).rev().collect::<Vec<_>>());
}

pub(crate) async fn losses_are_filtered_by_what_was_lost_where_why_and_when(mut subject: Subject) {
    let rows = vec![
        loss(1, Stream::Stats, None, LossReason::Coalesced),
        loss(2, Stream::Stats, Some("kafka"), LossReason::Rejected),
        loss(3, Stream::Logs, Some("x' OR '1'='1"), LossReason::Rejected),
    ];
    subject.stored(Rows::Losses(rows.into())).await;
    let all = LossFilter::default;
    let cases: Vec<(&str, LossFilter, &[u64])> = vec![
        ("stream", LossFilter { stream: Some(Stream::Logs), ..all() }, &[3]),
        ("sink", LossFilter { sink: Some("kafka".into()), ..all() }, &[2]),
        ("an odd sink", LossFilter { sink: Some("x' OR '1'='1".into()), ..all() }, &[3]),
        ("reason", LossFilter { reason: Some(LossReason::Rejected), ..all() }, &[3, 2]),
        ("from", LossFilter { from: Some(seconds(2)), ..all() }, &[3, 2]),
        ("to", LossFilter { to: Some(start()), ..all() }, &[]),
        ("until some begins", LossFilter { to: Some(seconds(1)), ..all() }, &[3, 2, 1]),
    ];
    for (what, filter, expected) in cases {
        let listed = subject.store.losses(&filter, &Page::default()).await.unwrap();
        assert_eq!(listed.data.iter().map(|loss| loss.sequence).collect::<Vec<_>>(), expected, "{what}");
    }
}
