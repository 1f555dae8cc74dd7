//! The errors of ClickHouse, and of proxies before it, by what they mean for an insert.
//!
//! Numbers and names are those of the server's `errorCodeToName`; a test compares them.

use pipeline::ports::FailureClass as F;

use crate::verdicts::Course::{Always, First};
use crate::verdicts::Verdict;

/// A number and the server's name for it.
pub(crate) type Code = (u32, &'static str);

/// Every code that an insert can meet and that is not simply tried again.
pub(crate) const VERDICTS: &[Verdict<Code>] = &[
    Verdict {
        course: First(3, F::RetrySlow, F::Split),
        codes: &[(241, "MEMORY_LIMIT_EXCEEDED"), (159, "TIMEOUT_EXCEEDED"), (160, "TOO_SLOW")],
        meaning: "the insert takes more memory or time than the server, the user or a view allows; down to 1 000 rows it is halved, then it waits",
        remedy: "raise the limit, or lower `rows` and `bytes`",
    },
    Verdict {
        course: Always(F::Split),
        codes: &[
            (158, "TOO_MANY_ROWS"),
            (307, "TOO_MANY_BYTES"),
            (396, "TOO_MANY_ROWS_OR_BYTES"),
            (565, "TOO_MANY_PARTITIONS"),
        ],
        meaning: "more at once than a limit of the user or of the table allows",
        remedy: "nothing; or lower `rows` and `bytes` to what it takes",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[
            (173, "CANNOT_ALLOCATE_MEMORY"),
            (201, "QUOTA_EXCEEDED"),
            (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            (252, "TOO_MANY_PARTS"),
            (290, "LIMIT_EXCEEDED"),
            (364, "RECEIVED_ERROR_TOO_MANY_REQUESTS"),
            (439, "CANNOT_SCHEDULE_TASK"),
            (574, "DISTRIBUTED_TOO_MANY_PENDING_BYTES"),
            (692, "TOO_MANY_MUTATIONS"),
            (700, "USER_SESSION_LIMIT_EXCEEDED"),
            (745, "SERVER_OVERLOADED"),
            (749, "TCP_CONNECTION_LIMIT_REACHED"),
            (762, "HTTP_CONNECTION_LIMIT_REACHED"),
            (776, "RESOURCE_LIMIT_EXCEEDED"),
            (777, "MEMORY_RESERVATION_KILLED"),
            (778, "MEMORY_RESERVATION_FAILED"),
            (1019, "QUERY_SLOT_ACQUISITION_TIMEOUT"),
            (1020, "MEMORY_RESERVATION_ACQUISITION_TIMEOUT"),
        ],
        meaning: "the server has too much to do",
        remedy: "fewer and larger inserts (`linger`), fewer writers, a larger server; TOO_MANY_PARTS: merges do not keep up",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[
            (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"),
            (204, "CANNOT_FSYNC"),
            (243, "NOT_ENOUGH_SPACE"),
            (499, "S3_ERROR"),
            (500, "AZURE_BLOB_STORAGE_ERROR"),
            (1016, "TABLE_SIZE_LIMIT_EXCEEDED"),
        ],
        meaning: "its disk, or its object store, is full or fails",
        remedy: "make room, see to the store",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[(242, "TABLE_IS_READ_ONLY"), (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE")],
        meaning: "a replica without its keeper, or replicas that lag behind",
        remedy: "see to Keeper and to the other replicas",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[
            (7, "INCORRECT_NUMBER_OF_COLUMNS"),
            (8, "THERE_IS_NO_COLUMN"),
            (10, "NOT_FOUND_COLUMN_IN_BLOCK"),
            (16, "NO_SUCH_COLUMN_IN_TABLE"),
            (20, "NUMBER_OF_COLUMNS_DOESNT_MATCH"),
            (47, "UNKNOWN_IDENTIFIER"),
            (60, "UNKNOWN_TABLE"),
            (81, "UNKNOWN_DATABASE"),
            (122, "INCOMPATIBLE_COLUMNS"),
            (218, "TABLE_IS_DROPPED"),
            (741, "TABLE_UUID_MISMATCH"),
        ],
        meaning: "a table, or a column of it, is not there",
        remedy: "nothing where `create_tables = true` and the table is simply missing; else the message that follows names the column",
    },
    Verdict {
        course: First(1, F::Schema, F::Poison),
        codes: &[(53, "TYPE_MISMATCH"), (70, "CANNOT_CONVERT_TYPE"), (117, "INCORRECT_DATA")],
        meaning: "a column has another type than expected, which is looked at first; or a value that does not fit",
        remedy: "bring the column back to the type in `docs/tables.md`, or mend the view; then replay the dead letter, if there is one",
    },
    Verdict {
        course: First(1, F::Retry, F::Poison),
        codes: &[(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"), (33, "CANNOT_READ_ALL_DATA")],
        meaning: "the body cannot be read: cut on its way, or bad",
        remedy: "look for a proxy that cuts bodies; the dead letter has the records",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[
            (6, "CANNOT_PARSE_TEXT"),
            (25, "CANNOT_PARSE_ESCAPE_SEQUENCE"),
            (26, "CANNOT_PARSE_QUOTED_STRING"),
            (38, "CANNOT_PARSE_DATE"),
            (41, "CANNOT_PARSE_DATETIME"),
            (69, "ARGUMENT_OUT_OF_BOUND"),
            (72, "CANNOT_PARSE_NUMBER"),
            (128, "TOO_LARGE_ARRAY_SIZE"),
            (130, "CANNOT_READ_ARRAY_FROM_TEXT"),
            (131, "TOO_LARGE_STRING_SIZE"),
            (153, "ILLEGAL_DIVISION"),
            (190, "SIZES_OF_ARRAYS_DONT_MATCH"),
            (248, "INVALID_PARTITION_VALUE"),
            (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"),
            (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"),
            (376, "CANNOT_PARSE_UUID"),
            (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
            (407, "DECIMAL_OVERFLOW"),
            (467, "CANNOT_PARSE_BOOL"),
            (469, "VIOLATED_CONSTRAINT"),
            (675, "CANNOT_PARSE_IPV4"),
            (676, "CANNOT_PARSE_IPV6"),
            (691, "UNKNOWN_ELEMENT_OF_ENUM"),
        ],
        meaning: "a value that the table, a constraint of it, or a view behind it does not take",
        remedy: "the dead letter has the record and these words: mend the constraint or the view, and replay",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            (192, "UNKNOWN_USER"),
            (193, "WRONG_PASSWORD"),
            (194, "REQUIRED_PASSWORD"),
            (195, "IP_ADDRESS_NOT_ALLOWED"),
            (511, "UNKNOWN_ROLE"),
            (512, "SET_NON_GRANTED_ROLE"),
            (516, "AUTHENTICATION_FAILED"),
            (702, "CLIENT_INFO_DOES_NOT_MATCH"),
            (720, "USER_EXPIRED"),
            (763, "SESSION_REFUSED"),
            (767, "REQUIRED_SECOND_FACTOR"),
        ],
        meaning: "the server does not accept who this is",
        remedy: "compare `user`, `password_file` and the addresses allowed with the server's",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            (164, "READONLY"),
            (291, "DATABASE_ACCESS_DENIED"),
            (392, "QUERY_IS_PROHIBITED"),
            (446, "FUNCTION_NOT_ALLOWED"),
            (452, "SETTING_CONSTRAINT_VIOLATION"),
            (472, "READONLY_SETTING"),
            (497, "ACCESS_DENIED"),
            (620, "QUERY_NOT_ALLOWED"),
            (774, "TABLE_IS_PERMANENTLY_READ_ONLY"),
        ],
        meaning: "the user may not write here, or not with the settings of an insert",
        remedy: "grant INSERT on the tables (and CREATE where they are to be made); let the profile change `async_insert` and `insert_deduplication_token`",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            (36, "BAD_ARGUMENTS"),
            (43, "ILLEGAL_TYPE_OF_ARGUMENT"),
            (44, "ILLEGAL_COLUMN"),
            (46, "UNKNOWN_FUNCTION"),
            (48, "NOT_IMPLEMENTED"),
            (50, "UNKNOWN_TYPE"),
            (62, "SYNTAX_ERROR"),
            (73, "UNKNOWN_FORMAT"),
            (115, "UNKNOWN_SETTING"),
            (344, "SUPPORT_IS_DISABLED"),
            (471, "INVALID_SETTING_VALUE"),
            (764, "DEDUPLICATION_IS_NOT_POSSIBLE"),
        ],
        meaning: "the server does not understand the insert, or a view behind the table is broken",
        remedy: "look at the views of the table; else the server is too old",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[(139, "NO_ELEMENTS_IN_CONFIG"), (225, "NO_ZOOKEEPER"), (701, "CLUSTER_DOESNT_EXIST")],
        meaning: "the server knows no cluster of that name, or lacks a keeper or a macro that replicas need",
        remedy: "compare `cluster` with `system.clusters`; the servers need a keeper and the macros `shard` and `replica`",
    },
];

/// Answers without a code of ClickHouse's: a proxy's, by status.
pub(crate) const PROXY: &[Verdict<u16>] = &[
    Verdict {
        course: Always(F::Split),
        codes: &[413],
        meaning: "the body is larger than the proxy takes",
        remedy: "nothing; or raise its limit (nginx: `client_max_body_size`)",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[429, 503],
        meaning: "the proxy, or the server behind it, is overloaded or away",
        remedy: "wait; raise its limits",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[401, 403, 404, 405, 407],
        meaning: "the proxy does not let it through, or knows no ClickHouse at that address",
        remedy: "compare `url` and credentials with the proxy's settings",
    },
];
