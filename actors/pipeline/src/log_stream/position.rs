//! Where the logs of a host are: what outlives the streams, and, by its marks, the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{ContainerId, HostName, Timestamp};

use super::FirstSight;
use super::memory::LogMemory;
use crate::ports::Mark;
use crate::position::Source;

/// Where containers of a host begin that have never been read.
pub(crate) fn floor_mark(host: &HostName, floor: Timestamp) -> Mark {
    Mark { source: floor_source(host), position: Some(floor.as_nanos().to_string().into_bytes()) }
}

fn floor_source(host: &HostName) -> String {
    format!("logs/{host}")
}

/// The positions in the logs of one host.
#[derive(Clone, Debug, Default)]
pub struct LogPositions {
    inner: Arc<Mutex<Positions>>,
}

#[derive(Debug, Default)]
struct Positions {
    /// The name of the mark of the floor.
    source: String,
    containers: HashMap<ContainerId, Arc<LogMemory>>,
    /// Where a container that was never read begins: a little before dockstream was stopped, or else where it began.
    floor: Option<Timestamp>,
}

impl LogPositions {
    /// What the journal's marks say of the logs of `host`. What was never read begins where dockstream was stopped.
    pub fn new(host: &HostName, marks: &BTreeMap<String, Vec<u8>>) -> Self {
        let own = floor_source(host);
        let mut positions = Positions { source: own.clone(), ..Positions::default() };
        for (source, value) in marks.range(own.clone()..).take_while(|(source, _)| source.starts_with(&own)) {
            match source.strip_prefix(&own) {
                Some("") => {
                    let nanos = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    positions.floor = nanos.map(Timestamp::from_nanos);
                }
                Some(rest) if rest.starts_with('/') => {
                    let id = ContainerId::try_new(&rest[1..]).ok();
                    let known = id.and_then(|id| Some((LogMemory::restore(host, &id, value)?, id)));
                    let Some((memory, id)) = known else {
                        tracing::error!(source, "the mark of a log cannot be read; it begins anew");
                        continue;
                    };
                    positions.containers.insert(id, Arc::new(memory));
                }
                _ => {}
            }
        }
        Self { inner: Arc::new(Mutex::new(positions)) }
    }

    /// A life begins at `now`, by the engine's clock: true where it is the first, and no line is to be missed from here on.
    pub(crate) fn begin(&self, now: Timestamp) -> bool {
        let mut positions = self.lock();
        let is_first = positions.floor.is_none();
        // A floor in the engine's future is one of before its clock was set back.
        positions.floor = Some(positions.floor.map_or(now, |floor| floor.min(now)));
        is_first
    }

    /// Where containers begin that were never read.
    pub(super) fn floor(&self) -> Option<Timestamp> {
        self.lock().floor
    }

    /// What is known of the log of a container on `host`.
    pub(super) fn of(&self, host: &HostName, id: &ContainerId) -> Arc<LogMemory> {
        let mut positions = self.lock();
        positions.containers.entry(id.clone()).or_insert_with(|| Arc::new(LogMemory::new(host, id))).clone()
    }

    /// True where there is nothing to read before another run begins: this one, which ended at `ended_at` if it has,
    /// was read to its end, or was over before anything is wanted.
    pub fn is_finished(
        &self,
        id: &ContainerId,
        run: Option<Timestamp>,
        ended_at: Option<Timestamp>,
        first_sight: FirstSight,
    ) -> bool {
        let positions = self.lock();
        match positions.containers.get(id) {
            Some(memory) => memory.has_finished(run, ended_at),
            None => {
                first_sight == FirstSight::Now && ended_at.zip(positions.floor).is_some_and(|(end, floor)| end < floor)
            }
        }
    }

    /// True where the log of this container is being read, and this run of it was not read to its end.
    pub(crate) fn is_open(&self, id: &ContainerId, run: Option<Timestamp>, ended_at: Option<Timestamp>) -> bool {
        let positions = self.lock();
        let memory = positions.containers.get(id);
        memory.is_some_and(|memory| !memory.is_passed_over() && !memory.has_finished(run, ended_at))
    }

    /// The container is there, in this run, and is not wanted: what it writes meanwhile is not read when it comes in.
    /// True where it is passed over from now on.
    pub(crate) fn pass_over(
        &self,
        host: &HostName,
        id: &ContainerId,
        run: Option<Timestamp>,
        first_sight: FirstSight,
    ) -> bool {
        let known = self.lock().containers.get(id).cloned();
        let memory = match (known, first_sight) {
            (Some(memory), _) => memory,
            (None, FirstSight::Now) => self.of(host, id),
            // When it comes in, all of it is wanted.
            (None, FirstSight::All) => return false,
        };
        let is_new = !memory.is_passed_over();
        memory.pass_over(run);
        is_new
    }

    /// The container is wanted, in this run, which goes on or is over.
    pub(crate) fn come_in(&self, id: &ContainerId, run: Option<Timestamp>, is_live: bool, now: Timestamp) {
        let positions = self.lock();
        if let Some(memory) = positions.containers.get(id) {
            memory.come_in(run, is_live, positions.floor, now);
        }
    }

    /// The mark of a container that is passed over; `None` where another one is on its way, or none is needed.
    pub(crate) fn passed_over(&self, id: &ContainerId) -> Option<Mark> {
        let memory = self.lock().containers.get(id).cloned()?;
        (memory.is_passed_over() && memory.is_at_rest()).then(|| memory.mark(&[]))
    }

    /// The container is gone from its engine: once its last lines are journaled, it is to be forgotten.
    pub(crate) fn leave(&self, id: &ContainerId) {
        if let Some(memory) = self.lock().containers.get(id) {
            memory.leave();
        }
    }

    /// The container is gone from its engine, unless it came back, and its log with it; the mark that goes, too.
    pub(crate) fn forget(&self, id: &ContainerId) -> Option<Mark> {
        let mut positions = self.lock();
        positions.containers.get(id).filter(|memory| memory.is_left())?;
        positions.containers.remove(id).map(|memory| memory.no_mark())
    }

    /// The marks as they are to be.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let positions = self.lock();
        let floor = positions.floor.map(|floor| floor.as_nanos().to_string().into_bytes());
        let floor = floor.map(|position| Mark { source: positions.source.clone(), position: Some(position) });
        floor.into_iter().chain(positions.containers.values().map(|memory| memory.mark(&[]))).collect()
    }

    /// The same, of a host of which nothing is left to be known.
    pub(crate) fn no_marks(&self) -> Vec<Mark> {
        let positions = self.lock();
        let floor = Mark { source: positions.source.clone(), position: None };
        [floor].into_iter().chain(positions.containers.values().map(|memory| memory.no_mark())).collect()
    }

    /// True where no line is on its way, and nobody else knows of these positions.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
            && self.lock().containers.values().all(|memory| Arc::strong_count(memory) == 1)
    }

    /// The containers of which anything is known.
    pub fn containers(&self) -> Vec<ContainerId> {
        self.lock().containers.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Positions> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn id(number: u64) -> ContainerId {
        ContainerId::try_new(&format!("{number:064x}")).unwrap()
    }

    fn host() -> HostName {
        HostName::try_new("edge-1").unwrap()
    }

    #[test]
    fn positions_come_back_from_their_marks_and_another_hosts_are_not_ours() {
        let own = LogMemory::source_of(&host(), &id(1));
        let others = own.replace("edge-1", "edge-10");
        let broken = LogMemory::source_of(&host(), &id(2));
        let kept = [
            ("logs/edge-1", "-9"),
            ("logs/edge-10", "77"),
            (own.as_str(), "stderr -7 3 partial\n"),
            (others.as_str(), "stdout 5 0\n"),
            (broken.as_str(), "no mark"),
            ("logs/edge-1/x", "stdout 5 0\n"),
            ("events/edge-1", "x"),
        ];
        let kept = kept.map(|(source, value)| (source.to_owned(), value.as_bytes().to_vec())).into();
        let positions = LogPositions::new(&host(), &kept);
        assert_eq!(positions.containers(), [id(1)]);
        let last = positions.of(&host(), &id(1)).last().unwrap();
        assert_eq!((last.timestamp, last.ordinal, last.is_partial), (at(-7), 3, true));
        assert_eq!(positions.floor(), Some(at(-9)), "what was never read begins where dockstream was stopped");
        assert!(positions.forget(&id(1)).is_none(), "it is there");
        positions.leave(&id(1));
        let mark = positions.forget(&id(1)).unwrap();
        assert_eq!((mark.source, mark.position), (own, None));
    }

    #[test]
    fn a_first_life_says_so_and_a_floor_in_the_future_is_corrected() {
        let positions = LogPositions::default();
        assert!(positions.begin(at(10)) && !positions.begin(at(11)));
        assert_eq!(positions.floor(), Some(at(10)), "the begin of reading, not of a container");
        assert!(!positions.begin(at(3)));
        assert_eq!(positions.floor(), Some(at(3)));
    }

    #[test]
    fn a_run_that_was_read_to_its_end_is_not_read_again_and_the_next_one_is() {
        let positions = LogPositions::default();
        positions.of(&host(), &id(1)).finish(Some(at(1)));
        let is_finished = |run| positions.is_finished(&id(1), run, None, FirstSight::Now);
        assert!(is_finished(Some(at(1))));
        assert!(!is_finished(Some(at(2))) && !is_finished(None));
        positions.leave(&id(1));
        positions.forget(&id(1));
        assert!(!is_finished(Some(at(1))));
    }

    #[test]
    fn a_run_that_ended_while_it_was_not_wanted_is_not_read_and_the_next_one_is_whole() {
        let (positions, run) = (LogPositions::default(), Some(at(20)));
        positions.begin(at(10));
        assert!(positions.pass_over(&host(), &id(1), run, FirstSight::Now));
        assert!(!positions.pass_over(&host(), &id(1), run, FirstSight::Now), "that is known");
        positions.come_in(&id(1), run, false, at(50));
        assert!(positions.is_finished(&id(1), run, None, FirstSight::Now));
        assert!(!positions.is_finished(&id(1), Some(at(60)), None, FirstSight::Now));
        positions.pass_over(&host(), &id(1), run, FirstSight::Now);
        positions.come_in(&id(1), Some(at(30)), false, at(50));
        let is_finished = |end| positions.is_finished(&id(1), Some(at(30)), Some(at(end)), FirstSight::Now);
        assert!(!is_finished(40) && is_finished(29));
        assert!(!positions.pass_over(&host(), &id(2), run, FirstSight::All), "it is wanted whole");
    }

    #[test]
    fn a_run_that_was_over_before_anything_is_wanted_is_not_read_at_all() {
        let positions = LogPositions::default();
        positions.begin(at(10));
        let is_finished = |end, first_sight| positions.is_finished(&id(1), None, Some(at(end)), first_sight);
        assert!(is_finished(9, FirstSight::Now));
        assert!(!is_finished(10, FirstSight::Now) && !is_finished(9, FirstSight::All));
    }
}
