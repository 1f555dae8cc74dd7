//! How a run of a container ended, in words: from its exit code, as far as that tells.
//!
//! An engine knows the code alone, and 128 + n stands for signal n. A program that exits with such a code by itself
//! cannot be told from one that was ended by the signal.

use std::borrow::Cow;

/// The words for an exit code; `oom_killed` where it is known whether the kernel ended a process of it for memory.
///
/// `finished`, `failed (exit code 3)`, `killed (SIGKILL), out of memory` …
pub fn exit_cause(exit_code: i64, oom_killed: Option<bool>) -> String {
    let cause: Cow<'static, str> = match exit_code {
        0 => return "finished".to_owned(),
        125 => "not started (125): the engine failed".into(),
        126 => "not started (126): the command cannot be run".into(),
        127 => "not started (127): the command was not found".into(),
        code => match code.checked_sub(128).and_then(|number| Some((number, signal_name(number)?))) {
            Some((number, name)) => match ending(number) {
                Some(ending) => format!("{ending} ({name})").into(),
                None => format!("ended by a signal ({name})").into(),
            },
            None => format!("failed (exit code {code})").into(),
        },
    };
    // The kernel kills: any other signal came from elsewhere, whatever had been short of memory before.
    let is_for_memory = oom_killed == Some(true) && (exit_code == 128 + KILL || cause.starts_with("failed"));
    if is_for_memory { format!("{cause}, out of memory") } else { cause.into_owned() }
}

const KILL: i64 = 9;

/// What a signal that ends a process does to it, where there is a word for it.
fn ending(signal: i64) -> Option<&'static str> {
    Some(match signal {
        1 => "hung up",
        2 => "interrupted",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trapped",
        6 => "aborted",
        7 => "bus error",
        8 => "arithmetic error",
        KILL => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "timed out",
        15 => "terminated",
        24 => "cpu time exceeded",
        25 => "file size exceeded",
        31 => "forbidden system call",
        _ => return None,
    })
}

/// The names of Linux' signals, from 1 on.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal a program may use with glibc.
const REAL_TIME: i64 = 34;

/// The last signal there is.
const LAST: i64 = 64;

/// The name of a signal of Linux: `SIGTERM`, `SIGRTMIN+3`. `None` where there is no such signal.
pub fn signal_name(number: i64) -> Option<Cow<'static, str>> {
    match number {
        REAL_TIME => Some("SIGRTMIN".into()),
        number if number > REAL_TIME && number <= LAST => Some(format!("SIGRTMIN+{}", number - REAL_TIME).into()),
        number => {
            let index = usize::try_from(number.checked_sub(1)?).ok()?;
            NAMES.get(index).map(|name| Cow::Borrowed(*name))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_ends_have_their_words() {
        for (code, words) in [
            (0, "finished"),
            (1, "failed (exit code 1)"),
            (-1, "failed (exit code -1)"),
            (125, "not started (125): the engine failed"),
            (126, "not started (126): the command cannot be run"),
            (127, "not started (127): the command was not found"),
            (128, "failed (exit code 128)"),
            (130, "interrupted (SIGINT)"),
            (137, "killed (SIGKILL)"),
            (138, "ended by a signal (SIGUSR1)"),
            (139, "segmentation fault (SIGSEGV)"),
            (143, "terminated (SIGTERM)"),
            (160, "failed (exit code 160)"),
            (165, "ended by a signal (SIGRTMIN+3)"),
            (255, "failed (exit code 255)"),
        ] {
            assert_eq!((exit_cause(code, None), exit_cause(code, Some(false))), (words.into(), words.into()), "{code}");
        }
    }

    #[test]
    fn memory_is_the_cause_of_a_kill_or_a_failure_and_of_nothing_else() {
        let cause = |code| exit_cause(code, Some(true));
        assert_eq!(cause(137), "killed (SIGKILL), out of memory");
        assert_eq!(cause(1), "failed (exit code 1), out of memory");
        // A child was killed for memory hours ago, and then somebody stopped the container.
        assert_eq!((cause(143).as_str(), cause(0).as_str()), ("terminated (SIGTERM)", "finished"));
    }

    proptest! {
        #[test]
        fn every_code_has_words_of_its_own(one in any::<i64>(), other in 0..300i64, oom in any::<Option<bool>>()) {
            prop_assert!(!exit_cause(one, oom).is_empty());
            prop_assert_eq!(exit_cause(one, None) == exit_cause(other, None), one == other);
        }

        #[test]
        fn a_signal_has_a_name_exactly_where_there_is_such_a_signal(number in -10..200i64) {
            let exists = (1..=31).contains(&number) || (34..=64).contains(&number);
            prop_assert_eq!(signal_name(number).is_some(), exists);
        }
    }
}
