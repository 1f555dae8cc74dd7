//! The states of SQL that PostgreSQL answers with, by what they mean for a transaction.

use pipeline::ports::FailureClass as F;

use crate::verdicts::Course::{Always, First};
use crate::verdicts::Verdict;

/// A code, or the two characters with which those of a class begin; and its name.
pub(crate) type Code = (&'static str, &'static str);

/// What is not simply tried again, and why that is. A code comes before its class.
pub(crate) const VERDICTS: &[Verdict<Code>] = &[
    Verdict {
        course: Always(F::Retry),
        codes: &[
            ("08", "connection_exception"),
            ("40001", "serialization_failure"),
            ("40P01", "deadlock_detected"),
            ("55P03", "lock_not_available"),
            ("55006", "object_in_use"),
            ("57014", "query_canceled"),
            ("57P01", "admin_shutdown"),
            ("57P02", "crash_shutdown"),
            ("57P03", "cannot_connect_now"),
            ("57P05", "idle_session_timeout"),
            ("25P03", "idle_in_transaction_session_timeout"),
            ("25006", "read_only_sql_transaction"),
        ],
        meaning: "the server restarts, fails over or was too slow, or somebody holds a lock for longer than 20 s",
        remedy: "nothing where it passes; else look for long transactions in `pg_stat_activity`, and for a standby behind the address",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[("53", "insufficient_resources"), ("58", "system_error")],
        meaning: "the disk is full or fails, too many connections, no memory",
        remedy: "make room, shorten `retention_*`, raise `max_connections`",
    },
    Verdict {
        course: Always(F::Split),
        codes: &[("54", "program_limit_exceeded")],
        meaning: "more at once than PostgreSQL takes, or a value that no index holds",
        remedy: "nothing; a single record that is too large goes to the dead letter",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[
            ("42P01", "undefined_table"),
            ("42703", "undefined_column"),
            ("42704", "undefined_object"),
            ("42804", "datatype_mismatch"),
            ("42883", "undefined_function"),
            ("42P10", "invalid_column_reference"),
            ("3F000", "invalid_schema_name"),
            ("0A000", "feature_not_supported"),
            ("26000", "invalid_sql_statement_name"),
        ],
        meaning: "a table or a column is not as expected, or was changed under a prepared statement: the tables are looked at anew",
        remedy: "nothing where it passes; else the message of the next attempt names what is wrong. A pooler in between has to pool by session",
    },
    Verdict {
        course: First(1, F::Schema, F::Poison),
        codes: &[
            ("22", "data_exception"),
            ("23502", "not_null_violation"),
            ("23503", "foreign_key_violation"),
            ("23505", "unique_violation"),
            ("23514", "check_violation"),
            ("23P01", "exclusion_violation"),
            ("44000", "with_check_option_violation"),
            ("P0001", "raise_exception"),
        ],
        meaning: "a value that the table does not take: a constraint or trigger of somebody's, a column that was changed, a number beyond 2^63 - 1 that must be known",
        remedy: "the dead letter has the record: mend the constraint, and replay. Where a unique index of somebody's says that a row is there already, that row is taken for delivered",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            ("28", "invalid_authorization_specification"),
            ("3D000", "invalid_catalog_name"),
            ("42", "syntax_error_or_access_rule_violation"),
            ("57P04", "database_dropped"),
        ],
        meaning: "the server does not accept who this is, the database is not there, or rights are missing",
        remedy: "compare `user` and `password_file` with `pg_hba.conf`; `createdb`; grant CREATE on the schema, or with `create_tables = false` INSERT, SELECT and UPDATE on the tables",
    },
];
