//! What the inventories of containers and of images tell each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{ContainerId, ContainerRecord, ImageRecord, digest_in};

/// Which image each container is made of, and which digests each image has. Lent by the topology; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ImageBoard {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// `None` until all containers were looked at.
    uses: Option<HashMap<ContainerId, String>>,
    digests: HashMap<String, Vec<String>>,
}

/// The containers of each image, sorted.
pub type Users = HashMap<String, Vec<ContainerId>>;

impl ImageBoard {
    /// A container was looked at, or is gone (`None`); true where that is news.
    pub fn uses(&self, id: &ContainerId, record: Option<&ContainerRecord>) -> bool {
        let Some(uses) = &mut self.lock().uses else { return false };
        match record.and_then(|record| record.image_id.clone()) {
            Some(image) => uses.get(id) != Some(&image) && uses.insert(id.clone(), image.clone()) != Some(image),
            None => uses.remove(id).is_some(),
        }
    }

    /// These are all containers; true where that is news.
    pub fn uses_exactly<'a>(&self, records: impl Iterator<Item = &'a ContainerRecord>) -> bool {
        let all = records.filter_map(|record| Some((record.container_id.clone(), record.image_id.clone()?))).collect();
        let mut inner = self.lock();
        let is_news = inner.uses.as_ref() != Some(&all);
        inner.uses = Some(all);
        is_news
    }

    /// Which containers each image has; `None` where not all containers are known yet.
    pub fn users(&self) -> Option<Users> {
        let inner = self.lock();
        let mut users = Users::new();
        for (container, image) in inner.uses.as_ref()? {
            users.entry(image.clone()).or_default().push(container.clone());
        }
        users.values_mut().for_each(|containers| containers.sort_unstable());
        Some(users)
    }

    /// These are all images; true where one has other digests than before.
    pub fn has_exactly<'a>(&self, images: impl Iterator<Item = &'a ImageRecord>) -> bool {
        let with_digests = images.filter(|image| !image.digests.is_empty());
        let all = with_digests.map(|image| (image.image_id.clone(), image.digests.clone())).collect();
        let mut inner = self.lock();
        let is_news = inner.digests != all;
        inner.digests = all;
        is_news
    }

    /// The digest of a container's image in the repository it was named by, where an image has one.
    pub fn digest_of(&self, record: &ContainerRecord) -> Option<String> {
        let inner = self.lock();
        let digests = inner.digests.get(record.image_id.as_deref()?)?;
        digest_in(digests, &record.image).map(str::to_owned)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
