//! Images of a host: tags that move, digests, and the events the engine tells of them.

use std::collections::BTreeSet;

use model::{digest_in, repository_of};

use super::{Refused, World, network_id};
use crate::events::Event;

/// One image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// `sha256:…`.
    pub(crate) id: String,
    pub(crate) tags: BTreeSet<String>,
    /// `name@sha256:…`.
    pub(crate) digests: BTreeSet<String>,
    /// Seconds since 1970.
    pub(crate) created: i64,
    pub(crate) size: usize,
}

impl World {
    /// The id of the image called `name`; one that is missing is made, without a word.
    pub(super) fn image_called(&mut self, name: &str) -> String {
        if let Some(image) = self.images.iter().find(|image| image.tags.contains(name)) {
            return image.id.clone();
        }
        self.make_image(name, network_id(name), BTreeSet::new())
    }

    fn make_image(&mut self, name: &str, digits: String, digests: BTreeSet<String>) -> String {
        let id = format!("sha256:{digits}");
        let size = 40_000_000 + name.len() * 1_000_000;
        let tags = BTreeSet::from([name.to_owned()]);
        self.images.push(Image { id: id.clone(), tags, digests, created: 1_795_173_711, size });
        id
    }

    pub(crate) fn images(&self) -> &[Image] {
        &self.images
    }

    /// How many containers are made of an image.
    pub(crate) fn users_of(&self, id: &str) -> usize {
        self.containers().filter(|container| container.image_id == id).count()
    }

    /// A newer image takes the name: `pull`. What had it keeps its digest alone.
    pub(crate) fn pull(&mut self, name: &str) -> String {
        self.pulls += 1;
        let digits = network_id(&format!("{name} {}", self.pulls));
        let repository = repository_of(name).to_owned();
        let digest = format!("{repository}@sha256:{}", network_id(&format!("manifest of {digits}")));
        for image in &mut self.images {
            image.tags.remove(name);
        }
        let id = self.make_image(name, digits, BTreeSet::from([digest]));
        self.publish(Event::new("image", "pull", name).attribute("name", repository));
        id
    }

    /// Gives an image, by id or name, another name, which it takes from whichever had it: `tag`.
    pub(crate) fn tag(&mut self, image: &str, name: &str) -> Result<(), Refused> {
        let index = self.find_image(image)?;
        for image in &mut self.images {
            image.tags.remove(name);
        }
        self.images[index].tags.insert(name.to_owned());
        let event = Event::new("image", "tag", self.images[index].id.clone());
        self.publish(event.attribute("name", name));
        Ok(())
    }

    /// Pushes a name: the image has a digest in that repository from now on, `push`.
    pub(crate) fn push(&mut self, name: &str) -> Result<(), Refused> {
        let index = self.find_image(name)?;
        let repository = repository_of(name).to_owned();
        let digests: Vec<String> = self.images[index].digests.iter().cloned().collect();
        if digest_in(&digests, name).is_none() {
            let digest = format!("{repository}@sha256:{}", network_id(&format!("pushed {}", self.images[index].id)));
            self.images[index].digests.insert(digest);
        }
        self.publish(Event::new("image", "push", name).attribute("name", repository));
        Ok(())
    }

    /// Removes a name, and the image with its last one: `untag`, `delete`. By its id all its names go. An image that a
    /// container has is not removed.
    pub(crate) fn remove_image(&mut self, image: &str) -> Result<(), Refused> {
        let index = self.find_image(image)?;
        let is_id = !self.images[index].tags.contains(image);
        let (id, names) = (self.images[index].id.clone(), self.images[index].tags.clone());
        let is_last = is_id || names.len() == 1;
        if is_last && self.users_of(&id) > 0 {
            let message = format!("conflict: unable to delete {image} - image is being used by a container");
            return Err(Refused::new(409, message));
        }
        for name in names.iter().filter(|name| is_id || *name == image) {
            self.images[index].tags.remove(name);
            self.publish(Event::new("image", "untag", id.clone()).attribute("name", name.clone()));
        }
        if is_last {
            self.images.remove(index);
            self.publish(Event::new("image", "delete", id.clone()).attribute("name", id));
        }
        Ok(())
    }

    fn find_image(&self, reference: &str) -> Result<usize, Refused> {
        let is_meant = |image: &Image| image.tags.contains(reference) || image.id == reference;
        let found = self.images.iter().position(is_meant);
        found.ok_or_else(|| Refused::new(404, format!("No such image: {reference}")))
    }
}
