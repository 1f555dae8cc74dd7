//! Promises of the memory of images.

use model::{ImageState, Timestamp};

use super::*;

fn image(id: &str) -> ImageRecord {
    ImageRecord {
        host: "h".parse().unwrap(),
        image_id: format!("sha256:{id}"),
        state: ImageState::Present,
        tags: Vec::new(),
        digests: Vec::new(),
        created_at: None,
        size_bytes: None,
        labels: BTreeMap::new(),
        used_by: None,
        observed_at: Timestamp::default(),
    }
}

fn memory(marks: &[Mark]) -> Arc<ImageMemory> {
    let marks = marks.iter().filter_map(|mark| Some((mark.source.clone(), mark.position.clone()?))).collect();
    Arc::new(ImageMemory::new(&"h".parse().unwrap(), &marks))
}

/// The images that the next life finds.
fn kept(mark: Mark) -> Option<Vec<String>> {
    let images = memory(&[mark]).images()?;
    Some(images.into_iter().map(|image| image.image_id.replace("sha256:", "")).collect())
}

/// Tells of a look that found `images`, all new, and `versions`; the numbers of the places.
fn tell(memory: &Arc<ImageMemory>, images: &[&str], versions: usize) -> Vec<u64> {
    let images: Vec<_> = images.iter().map(|id| image(id)).collect();
    memory.told(images.iter(), &images, versions).map(|place| place.number).collect()
}

#[test]
fn a_look_is_in_the_mark_once_all_it_told_is_in_the_journal_or_in_hand() {
    let memory = memory(&[]);
    let places = tell(&memory, &["a", "b"], 1);
    assert_eq!(places.len(), 3);
    assert_eq!(kept(memory.mark(&places[..2])), None);
    memory.kept(&places[..2]);
    assert_eq!(kept(memory.mark(&places[2..])), Some(vec!["a".to_owned(), "b".to_owned()]));
    memory.kept(&places[2..]);
    assert_eq!(memory.images().unwrap().len(), 2);
}

#[test]
fn a_later_look_waits_for_the_earlier_one() {
    let memory = memory(&[]);
    let first = tell(&memory, &["a"], 0);
    let second = tell(&memory, &["b"], 0);
    assert_eq!(kept(memory.mark(&second)), None);
    memory.kept(&second);
    assert_eq!(kept(memory.mark(&[])), None);
    assert_eq!(kept(memory.mark(&first)), Some(vec!["b".to_owned()]));
}

#[test]
fn what_is_lost_is_told_again_and_holds_nothing_up() {
    let memory = memory(&[]);
    let places = tell(&memory, &["a", "b"], 1);
    memory.kept(&places[..1]);
    memory.lost(&places[1..]);
    let lost: Vec<_> = memory.take_lost().into_iter().map(|record| record.image_id).collect();
    assert_eq!((lost, memory.take_lost().len()), (vec!["sha256:b".to_owned()], 0));
    assert_eq!(kept(memory.mark(&[])), Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_mark_that_cannot_be_read_is_as_good_as_none() {
    let mark = Mark { source: "images/h".into(), position: Some(b"nonsense".to_vec()) };
    assert_eq!(memory(&[mark]).images(), None);
    let of_another = Mark { source: "images/other".into(), position: Some(b"[]".to_vec()) };
    assert_eq!(memory(&[of_another]).images(), None);
}
