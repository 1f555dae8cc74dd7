//! What the journal has of a host's images: what changed while nobody looked is told by the next look.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{HostName, ImageRecord};

use crate::ports::Mark;
use crate::position::{Place, Source};

/// The images of one host by the last look of which the journal has everything, records and versions. It outlives
/// restarts of the actor and, by its mark in the journal, the process.
#[derive(Debug)]
pub struct ImageMemory {
    source: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The images as JSON: the position in the mark.
    kept: Option<Arc<[u8]>>,
    /// Looks of which something is on its way, in their order.
    looks: VecDeque<OnItsWay>,
    next: u64,
    /// Records that were lost on the way.
    lost: Vec<ImageRecord>,
}

#[derive(Debug)]
struct OnItsWay {
    /// Places of records, which are told again where they are lost, and of versions, which are not.
    places: BTreeMap<u64, Option<ImageRecord>>,
    images: Arc<[u8]>,
}

/// What one look told, about to be handed on.
pub(crate) struct Told {
    memory: Arc<ImageMemory>,
    places: std::ops::Range<u64>,
}

impl ImageMemory {
    /// What the journal's marks say of the images of `host`.
    pub fn new(host: &HostName, marks: &BTreeMap<String, Vec<u8>>) -> Self {
        let source = format!("images/{host}");
        let kept = marks.get(&source).map(|images| images.as_slice().into());
        Self { source, state: Mutex::new(State { kept, ..State::default() }) }
    }

    /// The images of the last look that the journal has whole; `None` where it has none.
    pub fn images(&self) -> Option<Vec<ImageRecord>> {
        let kept = self.lock().kept.clone()?;
        serde_json::from_slice(&kept)
            .inspect_err(|error| {
                tracing::error!(source = self.source, %error, "the mark of images cannot be read; they begin anew");
            })
            .ok()
    }

    /// The name of its mark.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// A look found `images`, and is told by `records` and then `versions` further ones.
    pub(crate) fn told<'a>(
        self: &Arc<Self>,
        images: impl Iterator<Item = &'a ImageRecord>,
        records: &[ImageRecord],
        versions: usize,
    ) -> Told {
        // Who uses an image is no matter of the next life.
        let images: Vec<_> = images.map(|image| ImageRecord { used_by: None, ..image.clone() }).collect();
        let images = serde_json::to_vec(&images).expect("texts and numbers are JSON").into();
        let mut state = self.lock();
        let first = state.next;
        let all = records.iter().cloned().map(Some).chain((0..versions).map(|_| None));
        let places: BTreeMap<u64, _> = (first..).zip(all).collect();
        state.next += places.len() as u64;
        let numbers = first..state.next;
        state.looks.push_back(OnItsWay { places, images });
        state.settle();
        drop(state);
        Told { memory: self.clone(), places: numbers }
    }

    /// Records that were lost on the way, since the last call.
    pub(crate) fn take_lost(&self) -> Vec<ImageRecord> {
        std::mem::take(&mut self.lock().lost)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Iterator for Told {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let number = self.places.next()?;
        Some(Place { source: self.memory.clone(), number })
    }
}

impl State {
    /// Takes `number` off the way.
    fn take(&mut self, number: u64) -> Option<ImageRecord> {
        self.looks.iter_mut().find_map(|look| look.places.remove(&number)).flatten()
    }

    /// Looks that are told go into the mark.
    fn settle(&mut self) {
        while let Some(look) = self.looks.pop_front_if(|look| look.places.is_empty()) {
            self.kept = Some(look.images);
        }
    }
}

impl Source for ImageMemory {
    fn mark(&self, places: &[u64]) -> Mark {
        let (state, places) = (self.lock(), places.iter().collect::<HashSet<_>>());
        let is_told = |look: &&OnItsWay| look.places.keys().all(|number| places.contains(number));
        let last = state.looks.iter().take_while(is_told).last().map(|look| &look.images);
        let position = last.or(state.kept.as_ref()).map(|images| images.to_vec());
        Mark { source: self.source.clone(), position }
    }

    fn kept(&self, places: &[u64]) {
        let mut state = self.lock();
        for number in places {
            state.take(*number);
        }
        state.settle();
    }

    fn lost(&self, places: &[u64]) {
        let mut state = self.lock();
        for number in places {
            let lost = state.take(*number);
            state.lost.extend(lost);
        }
        state.settle();
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
