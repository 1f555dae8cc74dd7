//! What every store promises. `conformance!(make)` makes a test of each promise; `make` is an async function
//! that returns a [`Subject`]: an empty database, its store, and the sink that fills it.

mod agreement;
pub(crate) mod containers;
pub(crate) mod events;
pub(crate) mod fixtures;
mod generated;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod losses;
mod questions;
pub(crate) mod stats;
pub(crate) mod totals;

use std::any::Any;
use std::sync::Arc;

use model::{Batch, BatchId, NodeName, Rows, Timestamp, Trigger};
use pipeline::ports::{Deliver, Range};

use crate::Store;

/// A store under test.
pub(crate) struct Subject {
    pub store: Arc<dyn Store>,
    sink: Box<dyn Deliver>,
    sequence: u64,
    /// What must live as long as the database: its folder, its server.
    _ground: Box<dyn Any + Send>,
}

impl Subject {
    pub fn new(store: Arc<dyn Store>, sink: Box<dyn Deliver>, ground: impl Any + Send) -> Self {
        Self { store, sink, sequence: 1, _ground: Box::new(ground) }
    }

    pub async fn stored(&mut self, rows: Rows) {
        let (first, count) = (self.sequence, rows.len() as u64);
        self.sequence += count;
        let id = BatchId {
            node: NodeName::try_new("node").unwrap(),
            epoch: 1,
            stream: rows.stream(),
            first,
            last: first + count - 1,
        };
        let batch = Batch { id, trigger: Trigger::Count, bytes: 1, opened_at: Timestamp::default(), rows };
        self.sink.deliver(&Range { first, end: first + 1, batches: vec![batch] }).await.unwrap();
    }
}

macro_rules! conformance {
    ($make:path) => {
        $crate::conformance::conformance!($make, containers:
            a_container_comes_back_as_it_was_stored,
            containers_are_paged_by_name_without_repetition_or_gap,
            a_filter_takes_what_it_names_and_nothing_else,
            removed_containers_are_listed_only_when_asked_for,
            a_container_is_found_by_id_prefix_and_name,
            an_ambiguous_name_tells_its_candidates_and_the_host_decides,
            a_name_that_was_given_again_means_the_container_that_is_there,
            what_a_person_types_is_never_read_as_sql,
            a_name_is_found_whatever_characters_it_has,
            a_cursor_of_another_list_is_refused,
        );
        $crate::conformance::conformance!($make, events:
            an_event_comes_back_as_it_was_stored,
            events_are_paged_from_the_newest_without_repetition_or_gap,
            events_are_filtered_by_what_they_are_and_when,
        );
        $crate::conformance::conformance!($make, images:
            an_image_comes_back_as_it_was_stored,
            images_are_paged_by_tag_without_repetition_or_gap,
            an_image_filter_takes_what_it_names_and_nothing_else,
            an_image_is_found_by_id_prefix_and_tag,
            the_history_of_an_image_and_of_a_tag_is_what_changed_of_it,
        );
        $crate::conformance::conformance!($make, logs:
            a_line_comes_back_as_it_was_stored_and_twice_stored_is_there_once,
            the_newest_lines_come_oldest_first_and_the_next_page_is_older_without_repetition_or_gap,
            lines_are_filtered_by_where_they_were_written_when_and_what_they_say,
            a_container_without_lines_has_an_empty_log,
        );
        $crate::conformance::conformance!($make, stats:
            the_latest_sample_is_the_newest_with_its_rates,
            a_container_without_samples_has_no_latest,
            the_latest_of_all_has_each_container_once_and_leaves_out_the_stale,
            a_short_history_is_the_samples_themselves,
            what_is_not_known_stays_null_and_a_gap_stays_a_gap,
            a_long_history_has_mean_lowest_and_highest_and_sums_of_deltas,
            more_samples_than_points_make_longer_steps,
            a_history_spans_restarts_and_ends_before_its_end,
            a_history_of_rollups_has_whole_steps_also_at_its_ends,
            hosts_come_back_as_they_were_stored,
            a_host_that_is_no_longer_watched_is_not_listed_until_it_is_watched_again,
        );
        $crate::conformance::conformance!($make, totals:
            totals_sum_what_is_known_and_count_a_shared_network_once,
            a_history_of_totals_sums_the_containers_of_each_step,
            a_history_of_totals_counts_a_shared_network_once,
        );
        $crate::conformance::conformance!($make, losses:
            a_loss_comes_back_as_it_was_stored,
            losses_are_paged_from_the_newest_without_repetition_or_gap,
            losses_are_filtered_by_what_was_lost_where_why_and_when,
        );
    };
    ($make:path, $room:ident: $($promise:ident,)*) => {$(
        #[tokio::test]
        async fn $promise() {
            $crate::conformance::$room::$promise($make().await).await;
        }
    )*};
}
pub(crate) use conformance;
