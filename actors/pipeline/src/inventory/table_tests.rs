//! Promises of the table.

use model::HostName;

use super::*;

fn id(letter: char) -> ContainerId {
    ContainerId::try_new(&letter.to_string().repeat(64)).unwrap()
}

pub(in crate::inventory) fn record(letter: char, state: ContainerState, started: i64) -> ContainerRecord {
    ContainerRecord {
        host: HostName::try_new("h").unwrap(),
        container_id: id(letter),
        container_name: format!("c-{letter}"),
        image: "busybox".into(),
        image_id: None,
        image_digest: None,
        compose_project: None,
        compose_service: None,
        state,
        status: None,
        pid: None,
        exit_code: None,
        exit_cause: None,
        oom_killed: None,
        error: None,
        created_at: None,
        started_at: Some(Timestamp::from_nanos(started)),
        finished_at: None,
        health: None,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        networks: Vec::new(),
        mounts: Vec::new(),
        network_scope: None,
        restart_policy: None,
        restart_count: None,
        cpu_limit_cores: None,
        memory_limit_bytes: None,
        pids_limit: None,
        cpu_shares: None,
        cpuset_cpus: None,
        memory_reservation_bytes: None,
        memory_swap_limit_bytes: None,
        revp: None,
        observed_at: Timestamp::default(),
    }
}

/// Puts `found` in as the answer to a look that nothing overtook.
fn put(table: &mut Table, letter: char, found: Option<ContainerRecord>) -> Change {
    assert!(table.touch(&id(letter), Instant::now()), "nobody is looking");
    let version = table.begin(&id(letter)).unwrap();
    table.put(&id(letter), version, found)
}

fn missed(change: Change) -> Option<&'static str> {
    match change {
        Change::Changed { missed, .. } => missed.map(|missed| missed.action),
        _ => None,
    }
}

#[test]
fn a_look_that_an_event_overtook_is_taken_again() {
    let (mut table, now) = (Table::default(), Instant::now());
    assert!(table.touch(&id('a'), now));
    let version = table.begin(&id('a')).unwrap();
    assert!(!table.touch(&id('a'), now), "one look at a time");
    assert_eq!(table.put(&id('a'), version, Some(record('a', ContainerState::Running, 1))), Change::LookAgain);
    let version = table.begin(&id('a')).unwrap();
    let fresh = table.put(&id('a'), version, Some(record('a', ContainerState::Exited, 1)));
    assert!(matches!(fresh, Change::Changed { .. }));
    assert_eq!(table.begin(&id('a')), None, "nothing is wanted any more");
}

#[test]
fn a_container_that_was_there_at_the_start_is_not_new_however_late_it_is_looked_at() {
    let mut table = Table::default();
    table.touch(&id('a'), Instant::now());
    let version = table.begin(&id('a')).unwrap();
    table.look_failed(&id('a'));
    table.looked(Instant::now());
    assert!(table.touch(&id('a'), Instant::now()));
    assert_eq!(table.begin(&id('a')), Some(version + 1));
    assert_eq!(missed(table.put(&id('a'), version + 1, Some(record('a', ContainerState::Running, 1)))), None);
}

#[test]
fn a_change_is_dated_by_the_first_look_that_was_wanted() {
    let (mut table, first) = (Table::default(), Instant::now());
    put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
    table.touch(&id('a'), first);
    table.begin(&id('a')).unwrap();
    table.look_failed(&id('a'));
    table.touch(&id('a'), first + 5 * CROSSING);
    let version = table.begin(&id('a')).unwrap();
    let change = table.put(&id('a'), version, Some(record('a', ContainerState::Exited, 1)));
    assert!(matches!(change, Change::Changed { missed: Some(missed), .. } if missed.wanted == first));
}

#[test]
fn what_could_not_be_handed_on_is_shown_again() {
    let mut table = Table::default();
    put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
    table.not_sent(&id('a'));
    let again = put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
    assert!(matches!(again, Change::Changed { missed: None, .. }));
    assert_eq!(put(&mut table, 'a', Some(record('a', ContainerState::Running, 1))), Change::Same);
}

#[test]
fn what_the_first_look_finds_was_not_missed() {
    let mut table = Table::default();
    assert_eq!(missed(put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)))), None);
    table.looked(Instant::now());
    assert_eq!(missed(put(&mut table, 'b', Some(record('b', ContainerState::Running, 1)))), Some("start"));
}

#[test]
fn every_missed_change_is_named_in_the_engines_words() {
    use ContainerState::{Created, Exited, Paused, Running};
    let cases = [
        (Some((Running, 1)), Some((Exited, 1)), Some("die")),
        (Some((Exited, 1)), Some((Running, 2)), Some("start")),
        (Some((Running, 1)), Some((Running, 2)), Some("start")),
        (Some((Running, 1)), Some((Paused, 1)), Some("pause")),
        (Some((Paused, 1)), Some((Running, 1)), Some("unpause")),
        (Some((Created, 0)), Some((Exited, 0)), None),
        (Some((Exited, 1)), None, Some("destroy")),
        (Some((Running, 1)), Some((Running, 1)), None),
    ];
    for (before, after, expected) in cases {
        let mut table = Table::default();
        table.looked(Instant::now());
        if let Some((state, started)) = before {
            put(&mut table, 'a', Some(record('a', state, started)));
        }
        let found = after.map(|(state, started)| record('a', state, started));
        assert_eq!(missed(put(&mut table, 'a', found)), expected, "{before:?} → {after:?}");
    }
}

#[test]
fn the_engines_words_for_how_long_it_is_up_are_no_change() {
    let mut table = Table::default();
    put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
    let mut later = record('a', ContainerState::Running, 1);
    (later.status, later.observed_at) = (Some("Up 3 hours".into()), Timestamp::from_nanos(99));
    assert_eq!(put(&mut table, 'a', Some(later)), Change::Same);
}

#[test]
fn after_a_list_those_that_differ_are_looked_at_first_and_the_others_too() {
    let mut table = Table::default();
    for letter in ['a', 'b', 'c'] {
        put(&mut table, letter, Some(record(letter, ContainerState::Running, 1)));
    }
    let list = [
        (id('a'), ContainerState::Running),
        (id('b'), ContainerState::Exited),
        (id('d'), ContainerState::Created),
        (id('e'), ContainerState::Running),
    ];
    assert_eq!(table.worth_a_look(&list), [id('e'), id('b'), id('d'), id('c'), id('a')]);
}

#[test]
fn a_container_in_doubt_is_neither_certain_to_have_stats_nor_certain_to_have_none() {
    let mut table = Table::default();
    for letter in ['a', 'b'] {
        put(&mut table, letter, Some(record(letter, ContainerState::Running, 1)));
    }
    table.touch(&id('b'), Instant::now());
    table.touch(&id('c'), Instant::now());
    table.look_failed(&id('c'));
    let certain: Vec<_> = table.certain().map(|record| record.container_id.clone()).collect();
    assert_eq!((certain, table.unsure()), (vec![id('a')], HashSet::from([id('b'), id('c')])));
}

#[test]
fn an_event_explains_only_its_own_action() {
    let (mut table, now) = (Table::default(), Instant::now());
    table.hear(&id('a'), "start", now);
    table.hear(&id('b'), "remove", now);
    let was_heard = |letter, action, wanted| table.was_heard(&id(letter), &Missed { action, wanted });
    assert!(was_heard('a', "start", now) && !was_heard('a', "die", now));
    assert!(was_heard('b', "destroy", now));
    assert!(!was_heard('a', "start", now + 2 * CROSSING), "that was another start");
}

#[test]
fn events_are_remembered_as_long_as_they_may_explain_something_however_many_containers_come_and_go() {
    let (mut table, dawn) = (Table::default(), Instant::now());
    let id = |number: u32| ContainerId::try_new(&format!("{number:064x}")).unwrap();
    // Of this one nothing is found out: its host is down.
    table.touch(&id(0), dawn);
    table.hear(&id(0), "die", dawn);
    let (mut now, mut most) = (dawn, 0);
    for number in 1..20_000 {
        now += Duration::from_millis(100);
        table.hear(&id(number), "start", now);
        most = most.max(table.heard.len());
        // As late as a verdict may come.
        if let Some(before) = number.checked_sub(PUT_OFF * 20).filter(|before| *before > 0) {
            let wanted = now - PUT_OFF * CROSSING;
            assert!(table.was_heard(&id(before), &Missed { action: "start", wanted }), "{number}");
        }
    }
    assert!(most <= 1_000, "{most} at once: 400 in the time that counts");
    assert!(table.was_heard(&id(0), &Missed { action: "die", wanted: dawn }));
    table.looked(now + MEMORY);
    assert_eq!(table.heard.len(), 1);
    let version = table.begin(&id(0)).unwrap();
    table.put(&id(0), version, None);
    table.looked(now + MEMORY);
    assert_eq!((table.heard.len(), table.heard.capacity() < 16), (0, true));
}

#[test]
fn a_failed_look_keeps_what_was_known_and_nothing_of_what_is_not_there() {
    let mut table = Table::default();
    put(&mut table, 'a', Some(record('a', ContainerState::Running, 1)));
    for letter in ['a', 'b'] {
        table.touch(&id(letter), Instant::now());
        table.look_failed(&id(letter));
    }
    assert_eq!(table.records().count(), 1);
    table.worth_a_look(&[(id('a'), ContainerState::Running)]);
    assert!(table.unsure().is_empty(), "a container that was never seen leaves nothing behind");
}
