//! The result codes of SQLite, by what they mean for a transaction.

use pipeline::ports::FailureClass as F;
use rusqlite::ErrorCode::{self as C, *};

use crate::verdicts::Course::Always;
use crate::verdicts::Verdict;

/// Every result code but success.
pub(crate) const VERDICTS: &[Verdict<C>] = &[
    Verdict {
        course: Always(F::Retry),
        codes: &[DatabaseBusy, DatabaseLocked, FileLockingProtocolFailed, OperationInterrupted, OperationAborted],
        meaning: "another process has the lock, for longer than 5 s",
        remedy: "look for a program that holds a transaction open",
    },
    Verdict {
        course: Always(F::Retry),
        codes: &[InternalMalfunction, NotFound, ApiMisuse],
        meaning: "SQLite found a mistake of its caller's, or of its own",
        remedy: "report it with the message",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[DiskFull, SystemIoFailure, OutOfMemory],
        meaning: "the disk is full or fails, or this machine is out of memory",
        remedy: "make room, shorten `retention_raw`, see to the disk",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[SchemaChanged, Unknown, ParameterOutOfRange],
        meaning: "a table or a column is not as expected: the file is opened and looked at anew",
        remedy: "nothing where it passes; else another program has changed the tables",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[ConstraintViolation, TypeMismatch, TooBig],
        meaning: "a value that the table does not take: a constraint or trigger of somebody's, or over 1 GB",
        remedy: "the dead letter has the record: mend the constraint, and replay",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[CannotOpen, ReadOnly, PermissionDenied, AuthorizationForStatementDenied, NoLargeFileSupport],
        meaning: "the file cannot be opened or written: rights, a read-only file system, too few descriptors",
        remedy: "see to the rights of the file and its folder, which must be writable too",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[DatabaseCorrupt, NotADatabase],
        meaning: "the file is damaged, or something else: it is moved aside, and a new one is begun",
        remedy: "`sqlite3 FILE .recover` reads out of `FILE.damaged-…` what can be read; look at the disk",
    },
];
