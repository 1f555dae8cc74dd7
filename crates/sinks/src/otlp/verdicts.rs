//! The answers of a receiver, by the codes of gRPC and by the statuses of HTTP, as the protocol tells them apart.

use pipeline::ports::FailureClass as F;

use crate::verdicts::Course::Always;
use crate::verdicts::Verdict;

/// Every code of gRPC but success.
pub(crate) const VERDICTS: &[Verdict<(u16, &str)>] = &[
    Verdict {
        course: Always(F::Retry),
        codes: &[
            (1, "CANCELLED"),
            (4, "DEADLINE_EXCEEDED"),
            (10, "ABORTED"),
            (11, "OUT_OF_RANGE"),
            (14, "UNAVAILABLE"),
            (15, "DATA_LOSS"),
        ],
        meaning: "passing, by the protocol; `RetryInfo` is honoured up to a minute",
        remedy: "nothing; where it stays, look at what is behind the receiver: the Collector says UNAVAILABLE for it",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[(8, "RESOURCE_EXHAUSTED")],
        meaning: "the receiver is overloaded, or a quota is used up; `RetryInfo` is honoured up to a minute. Where its words say that the message is larger than it takes, it is `split`",
        remedy: "wait; fewer and larger requests (`linger`), a larger receiver. For the size: nothing, or lower `rows` and `bytes`, or raise `max_recv_msg_size_mib`",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[(2, "UNKNOWN"), (5, "NOT_FOUND"), (6, "ALREADY_EXISTS"), (9, "FAILED_PRECONDITION"), (13, "INTERNAL")],
        meaning: "something is wrong in the receiver or behind it, which says nothing of the records: the Collector says INTERNAL for whatever an exporter without a queue calls permanent",
        remedy: "the receiver's log says what: mend it, or give its exporters a `sending_queue`",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[(3, "INVALID_ARGUMENT")],
        meaning: "the receiver cannot take something in the request",
        remedy: "the dead letter has the records and these words: mend the receiver, and replay",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[(7, "PERMISSION_DENIED"), (12, "UNIMPLEMENTED"), (16, "UNAUTHENTICATED")],
        meaning: "the receiver does not accept who this is, or it does not take metrics, or logs, at all",
        remedy: "compare `token_file` and `headers` with the receiver's; `metrics = false` or `logs = false` leaves out what it does not take",
    },
];

/// Every status of HTTP that an export can meet and that is not simply tried again.
pub(crate) const HTTP: &[Verdict<u16>] = &[
    Verdict {
        course: Always(F::Split),
        codes: &[413],
        meaning: "the body is larger than the receiver, or a proxy before it, takes",
        remedy: "nothing; or lower `rows` and `bytes`, or raise `max_request_body_size`",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[429, 503],
        meaning: "the receiver is overloaded, or its quota is used up; `Retry-After` is honoured up to a minute",
        remedy: "wait; fewer and larger requests (`linger`), a larger receiver",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[500],
        meaning: "something is wrong in the receiver or behind it, which says nothing of the records: the Collector says so for whatever an exporter without a queue calls permanent",
        remedy: "the receiver's log says what: mend it, or give its exporters a `sending_queue`",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[400, 422],
        meaning: "the receiver cannot take something in the request. Where its words say that the body is too large, as the Collector's do, it is `split`",
        remedy: "the dead letter has the records and these words: mend the receiver, and replay",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[401, 403, 404, 405, 407, 415, 501],
        meaning: "the receiver does not accept who this is, or there is none for metrics, or logs, at that address",
        remedy: "compare `token_file` and `headers` with the receiver's, and `endpoint`: `/v1/metrics` and `/v1/logs` follow it; `metrics = false` or `logs = false` leaves out what it does not take",
    },
];
