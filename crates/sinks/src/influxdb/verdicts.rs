//! The answers of InfluxDB, and of what speaks as it does, by status.

use pipeline::ports::FailureClass as F;

use crate::verdicts::Course::Always;
use crate::verdicts::Verdict;

/// Every status that a write can meet and that is not simply tried again.
pub(crate) const VERDICTS: &[Verdict<u16>] = &[
    Verdict {
        course: Always(F::Split),
        codes: &[413],
        meaning: "the body is larger than the server, or a proxy before it, takes",
        remedy: "nothing; or lower `rows` and `bytes`, or raise `max-body-size`",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[429, 503],
        meaning: "the server is overloaded, or its quota is used up; `Retry-After` is honoured up to a minute",
        remedy: "wait; fewer and larger requests (`linger`), a larger server or plan",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[400, 422],
        meaning: "some points are refused, and the others of the request may be stored: another type of a field (`field type conflict`), older than the retention policy, more values of a tag than allowed (`max-values-per-tag`), too long a name. Where the answer counts as dropped as many as were sent, they are all refused at once",
        remedy: "the dead letter has the records and these words: drop the measurement of another program, raise the limit, and replay. Points beyond the retention policy would be gone by now",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[404],
        meaning: "the database or the bucket is not there: version 1 makes it anew where `create_database = true`. Without words: the server does not have this interface",
        remedy: "make it; or set `api` to what the server speaks (InfluxDB before 1.8 has only `v1`)",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[401, 403, 405, 407],
        meaning: "the server does not accept who this is, or it may not write there",
        remedy: "compare `token_file`, or `user` and `password_file`, with the server's; grant WRITE on the database or bucket",
    },
];
