//! Promises of the memory of containers.

use super::super::table::tests::record;
use super::*;

fn memory(marks: &BTreeMap<String, Vec<u8>>) -> Arc<ContainerMemory> {
    Arc::new(ContainerMemory::new(&"h".parse().unwrap(), marks))
}

/// The journal has what lies at `place`; its marks after that.
fn keep(marks: &mut BTreeMap<String, Vec<u8>>, place: &Place) {
    let Mark { source, position } = place.source.mark(&[place.number]);
    match position {
        Some(position) => drop(marks.insert(source, position)),
        None => drop(marks.remove(&source)),
    }
    place.source.kept(&[place.number]);
}

fn removed(record: &ContainerRecord) -> ContainerRecord {
    ContainerRecord { state: ContainerState::Removed, ..record.clone() }
}

#[test]
fn the_next_life_knows_who_was_there_and_not_who_was_removed() {
    let (mut marks, stays) = (BTreeMap::new(), record('a', ContainerState::Running, 1));
    let goes = record('b', ContainerState::Running, 1);
    let before = memory(&marks);
    for told in [&stays, &goes, &removed(&goes)] {
        keep(&mut marks, &before.place(told));
    }
    for memory in [before, memory(&marks)] {
        assert_eq!(memory.beside(&[]), std::slice::from_ref(&stays.container_id));
        assert_eq!(memory.beside(std::slice::from_ref(&stays.container_id)), []);
        assert_eq!((memory.last(&stays.container_id), memory.last(&goes.container_id)), (Some(stays.clone()), None));
    }
    assert_eq!(Arc::new(ContainerMemory::new(&"other".parse().unwrap(), &marks)).beside(&[]), []);
}

#[test]
fn a_removal_is_told_once_and_again_where_it_was_lost_on_the_way() {
    let (mut marks, there) = (BTreeMap::new(), record('a', ContainerState::Running, 1));
    let memory = memory(&marks);
    keep(&mut marks, &memory.place(&there));
    let place = memory.place(&removed(&there));
    assert_eq!((memory.beside(&[]), memory.last(&there.container_id)), (vec![], None), "it is on its way");
    place.source.lost(&[place.number]);
    assert_eq!(memory.beside(&[]), std::slice::from_ref(&there.container_id));
    keep(&mut marks, &memory.place(&removed(&there)));
    assert_eq!((memory.beside(&[]), marks.len()), (vec![], 0));
}

#[test]
fn who_was_lost_on_the_way_is_named_once() {
    let (memory, there) = (memory(&BTreeMap::new()), record('a', ContainerState::Running, 1));
    let place = memory.place(&there);
    place.source.lost(&[place.number]);
    assert_eq!(memory.take_lost(), HashSet::from([there.container_id]));
    assert_eq!(memory.take_lost(), HashSet::new());
}

#[test]
fn a_mark_that_cannot_be_read_is_forgotten() {
    let id = "c".repeat(64);
    let memory = memory(&BTreeMap::from([(format!("containers/h/{id}"), b"nonsense".to_vec())]));
    let id: ContainerId = id.parse().unwrap();
    assert_eq!(memory.last(&id), None);
    assert_eq!(memory.beside(&[]), []);
}
