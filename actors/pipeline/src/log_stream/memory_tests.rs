use bytes::Bytes;
use model::LogStream::{Stderr, Stdout};

use super::*;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn names() -> (HostName, ContainerId) {
    (HostName::try_new("edge-1").unwrap(), ContainerId::try_new(&"a".repeat(64)).unwrap())
}

fn memory() -> LogMemory {
    let (host, id) = names();
    LogMemory::new(&host, &id)
}

/// The next life, which knows what the mark says.
fn again(mark: &Mark) -> LogMemory {
    let (host, id) = names();
    LogMemory::restore(&host, &id, mark.position.as_deref().unwrap()).unwrap()
}

fn line(stream: LogStream, nanos: i64) -> LogLine {
    LogLine { timestamp: at(nanos), stream, bytes: Bytes::new(), is_partial: false, is_truncated: false }
}

/// What of these lines is handed on by another reading: places in the list, and the numbers they got.
fn read(memory: &LogMemory, lines: &[LogLine]) -> (Vec<usize>, Vec<u64>) {
    let (_, mut reading) = memory.begin();
    let (mut places, mut taken) = (Vec::new(), Vec::new());
    for (place, line) in lines.iter().enumerate() {
        if let Some(seen) = reading.see(line, memory) {
            taken.push(seen);
            if seen.fate == Fate::OnItsWay {
                places.push(place);
            }
        }
    }
    reading.ended(memory);
    (places, memory.take(&taken))
}

fn fresh(memory: &LogMemory, lines: &[LogLine]) -> Vec<usize> {
    read(memory, lines).0
}

#[test]
fn lines_of_the_same_nanosecond_are_told_apart_by_their_number() {
    let memory = memory();
    let log = [line(Stdout, 5), line(Stdout, 5), line(Stdout, 5), line(Stdout, 6)];
    assert_eq!(fresh(&memory, &log[..2]), [0, 1]);
    assert_eq!(fresh(&memory, &log), [2, 3]);
    assert_eq!(fresh(&memory, &log), Vec::<usize>::new());
}

#[test]
fn a_line_of_one_stream_that_comes_late_is_no_repetition_of_the_other() {
    let memory = memory();
    let log = [line(Stdout, 5), line(Stdout, 9), line(Stderr, 8), line(Stdout, 10)];
    assert_eq!(fresh(&memory, &log[..2]), [0, 1]);
    assert_eq!(fresh(&memory, &log), [2, 3], "although it is older than the newest known");
}

#[test]
fn behind_the_known_line_everything_is_new_although_the_clock_was_set_back() {
    let memory = memory();
    let log = [line(Stdout, 50), line(Stderr, 51), line(Stdout, 7), line(Stdout, 8)];
    assert_eq!(fresh(&memory, &log[..2]), [0, 1]);
    assert_eq!(fresh(&memory, &log[..3]), [2]);
    let (last, _) = memory.begin();
    assert_eq!(
        last.unwrap().1.timestamp,
        at(7),
        "the next reading begins where the log was left, not at its newest time"
    );
    assert_eq!(fresh(&memory, &log[2..]), [1]);
}

#[test]
fn a_known_line_that_is_gone_hides_nothing_behind_it_and_is_noticed_once() {
    let gap = |known: &LogLine, log: &[LogLine]| {
        let memory = memory();
        assert_eq!(fresh(&memory, std::slice::from_ref(known)), [0]);
        let (_, mut reading) = memory.begin();
        let seen: Vec<_> = log.iter().map(|line| reading.see(line, &memory).is_some()).collect();
        (seen, [reading.found_gap(), reading.found_gap()])
    };
    let log = [line(Stdout, 6), line(Stdout, 7)];
    assert_eq!(gap(&line(Stdout, 5), &log), (vec![true, true], [true, false]));
    assert_eq!(gap(&line(Stdout, 6), &log), (vec![false, true], [false, false]));
    assert_eq!(gap(&line(Stderr, 5), &log), (vec![true, true], [false, false]), "of that stream there is nothing yet");
    let partial = LogLine { is_partial: true, ..line(Stdout, 5) };
    assert_eq!(gap(&partial, &log), (vec![true, true], [false, false]), "a reading may begin behind it");
}

#[test]
fn a_mark_is_true_of_what_is_kept_and_what_is_about_to_be() {
    let memory = memory();
    let log: Vec<_> = (0..6).map(|nanos| line(if nanos % 2 == 0 { Stdout } else { Stderr }, nanos)).collect();
    let (_, numbers) = read(&memory, &log);
    memory.kept(&numbers[..2]);
    let next = again(&memory.mark(&numbers[2..4]));
    assert_eq!(fresh(&next, &log), [4, 5]);
    assert_eq!(fresh(&memory, &log), Vec::<usize>::new(), "what is on its way is not read again");
}

#[test]
fn what_was_lost_is_read_again_by_this_life_and_the_next_and_nothing_else_is() {
    let memory = memory();
    let log: Vec<_> = (0..9).map(|nanos| line(if nanos % 3 == 0 { Stderr } else { Stdout }, nanos)).collect();
    let (_, numbers) = read(&memory, &log[..8]);
    memory.kept(&numbers[..2]);
    memory.lost(&numbers[2..5]);
    memory.kept(&numbers[6..7]);
    let next = again(&memory.mark(&numbers[5..6]));
    assert_eq!(fresh(&next, &log), [2, 3, 4, 7, 8], "what was on its way is lost, too");
    let (places, repaired) = read(&memory, &log);
    assert_eq!((places, &repaired[..3]), (vec![2, 3, 4, 8], &numbers[2..5]), "they keep their numbers");
    memory.kept(&repaired);
    memory.kept(&numbers[5..]);
    let mark = memory.mark(&[]);
    assert_eq!(fresh(&again(&mark), &log), Vec::<usize>::new());
    assert_eq!(mark.position.unwrap(), b"stdout 8 0\nstderr 6 0\n", "the gap is closed");
}

#[test]
fn what_was_lost_and_is_not_in_the_log_any_more_is_given_up() {
    let memory = memory();
    let log: Vec<_> = (0..5).map(|nanos| line(Stdout, nanos)).collect();
    let (_, numbers) = read(&memory, &log);
    memory.lost(&numbers[..3]);
    memory.kept(&numbers[3..]);
    assert_eq!(fresh(&memory, &log[2..]), [0], "the first two were rotated away");
    memory.kept(&numbers[2..3]);
    assert_eq!(memory.mark(&[]).position.unwrap(), b"stdout 4 0\n");
    let (_, numbers) = read(&memory, &[line(Stdout, 9)]);
    memory.lost(&numbers);
    assert_eq!(fresh(&memory, &[]), Vec::<usize>::new());
    assert_eq!(memory.mark(&[]).position.unwrap(), b"stdout 9 0\n", "all of it is gone");
}

#[test]
fn a_line_that_was_lost_twice_is_given_up() {
    let memory = memory();
    let log = [line(Stdout, 1), line(Stdout, 2)];
    let (_, numbers) = read(&memory, &log);
    memory.lost(&numbers[..1]);
    assert_eq!(read(&memory, &log), (vec![0], vec![numbers[0]]));
    memory.lost(&numbers[..1]);
    assert_eq!(fresh(&memory, &log), Vec::<usize>::new());
}

#[test]
fn lines_over_the_rate_move_the_position_with_the_others() {
    let memory = memory();
    let (_, mut reading) = memory.begin();
    let mut taken: Vec<_> = (0..4).map(|nanos| reading.see(&line(Stdout, nanos), &memory).unwrap()).collect();
    taken[1].fate = Fate::Settled;
    taken[3].fate = Fate::Settled;
    let numbers = memory.take(&taken);
    assert_eq!(memory.mark(&numbers).position.unwrap(), b"stdout 3 0\n");
}

#[tokio::test]
async fn who_waits_hears_of_losses_and_of_the_end() {
    let memory = memory();
    assert!(memory.settled().await);
    let log = [line(Stdout, 1), line(Stdout, 2)];
    let (_, numbers) = read(&memory, &log);
    let (_, reading) = memory.begin();
    let waits = async { tokio::join!(memory.loss_behind(&reading)) };
    let ends = async { memory.lost(&numbers[..1]) };
    tokio::join!(waits, ends);
    let settles = async { memory.kept(&numbers[1..]) };
    let (has_all, ()) = tokio::join!(memory.settled(), settles);
    assert!(!has_all, "one is missing");
}
