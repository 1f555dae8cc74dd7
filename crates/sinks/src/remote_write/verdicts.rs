//! The answers of a server that takes remote write, by status.

use pipeline::ports::FailureClass as F;

use crate::verdicts::Course::Always;
use crate::verdicts::Verdict;

/// Every status that a write can meet and that is not simply tried again.
pub(crate) const VERDICTS: &[Verdict<u16>] = &[
    Verdict {
        course: Always(F::Split),
        codes: &[413],
        meaning: "the body is larger than the server, or a proxy before it, takes",
        remedy: "nothing; or lower `rows` and `bytes`",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[429, 503],
        meaning: "the server is overloaded, or a limit of the tenant's is used up; `Retry-After` is honoured up to a minute",
        remedy: "wait; fewer and larger requests (`linger`), a larger server or limit",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[400, 422],
        meaning: "samples are refused: older than the newest of their series (`out of order sample`), another value at the same time (`duplicate sample for timestamp`), too old (`out of bounds`), a name or a label the server does not take. Out of order in a range of which it is not known whether the server has it already means that it has it",
        remedy: "the dead letter has the records and these words. Where several write the same series, give each labels of its own; `out_of_order_time_window` lets Prometheus take what is late",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[401, 403, 404, 405, 407, 415],
        meaning: "the server does not accept who this is, or takes no remote write there",
        remedy: "compare `url`, path and all, `token_file` or `user` and `password_file` with the server's; Prometheus takes it with `--web.enable-remote-write-receiver`",
    },
];
