//! The errors of brokers and of librdkafka, by what they mean for a producer.

use pipeline::ports::FailureClass as F;
use rdkafka::error::RDKafkaErrorCode::{self as C, *};

use crate::verdicts::Course::Always;
use crate::verdicts::Verdict;

/// Every code that a producer can meet and that is not simply tried again.
pub(crate) const VERDICTS: &[Verdict<C>] = &[
    Verdict {
        course: Always(F::Split),
        codes: &[MessageSizeTooLarge, MessageBatchTooLarge],
        meaning: "a request, or one record in it, is larger than the topic takes (`max.message.bytes`)",
        remedy: "a single record that is too large goes to the dead letter: raise `max.message.bytes` and replay it. \
                 Where whole requests are, set `properties.\"batch.size\"` below it",
    },
    Verdict {
        course: Always(F::Poison),
        codes: &[InvalidRecord, InvalidTimestamp],
        meaning: "the broker checked the records and refuses them: a timestamp further from its clock than the topic allows, a rule of the broker",
        remedy: "compare the clocks, look at `message.timestamp.*` of the topic and at the broker's log; then replay the dead letter",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[UnknownTopicOrPartition, UnknownTopic, UnknownPartition, UnknownTopicId],
        meaning: "the topic is not there, or not known yet",
        remedy: "nothing where `create_topics = true`; else make it",
    },
    Verdict {
        course: Always(F::Schema),
        codes: &[Fatal],
        meaning: "the producer cannot vouch for order and uniqueness any more; a new one is made",
        remedy: "nothing; where it repeats, the broker's log says why",
    },
    Verdict {
        course: Always(F::RetrySlow),
        codes: &[ThrottlingQuotaExceeded, KafkaStorageError, LogDirNotFound, CriticalSystemResource, TelemetryTooLarge],
        meaning: "a quota is used up, a broker's disk fails, this machine is out of memory or descriptors",
        remedy: "see to the quota, the disk, the limits",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            Authentication,
            SaslAuthenticationFailed,
            UnsupportedSASLMechanism,
            IllegalSASLState,
            SSL,
            DelegationTokenExpired,
            DelegationTokenNotFound,
            DelegationTokenAuthDisabled,
            DelegationTokenAuthorizationFailed,
            DelegationTokenRequestNotAllowed,
            DelegationTokenOwnerMismatch,
            InvalidPrincipalType,
            PrincipalDeserializationFailure,
            UnacceptableCredential,
        ],
        meaning: "the brokers do not accept who this is, or TLS is not agreed on",
        remedy: "compare `security.protocol`, `sasl.*` and `ssl.*` in `properties` with the listener's settings",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            TopicAuthorizationFailed,
            ClusterAuthorizationFailed,
            TransactionalIdAuthorizationFailed,
            GroupAuthorizationFailed,
            SecurityDisabled,
        ],
        meaning: "the brokers know who this is and do not allow it",
        remedy: "grant Write and Describe on the topics with the prefix, Create where topics are to be made; for `exactly_once` \
                 Write and Describe on the transactional id, Read on the topic `cursors`",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[Fenced, ProducerFenced, InvalidProducerEpoch],
        meaning: "with `exactly_once`: another process delivers under this node's name and has taken over",
        remedy: "give each process a `node` of its own, end the one that is not wanted",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            InvalidTopic,
            InvalidPartitions,
            InvalidReplicationFactor,
            InvalidReplicaAssignment,
            InvalidConfig,
            PolicyViolation,
            InvalidTransactionTimeout,
            InvalidRequiredAcks,
            InvalidArgument,
            UnknownProtocol,
            NotConfigured,
        ],
        meaning: "a setting that the cluster, or librdkafka, does not take",
        remedy: "the message names it: `topic_prefix`, `partitions`, `replication`, `properties`",
    },
    Verdict {
        course: Always(F::Config),
        codes: &[
            UnsupportedVersion,
            UnsupportedFeature,
            UnsupportedForMessageFormat,
            UnsupportedCompressionType,
            NotImplemented,
        ],
        meaning: "the cluster is too old for what is asked of it, or runs with an old message format",
        remedy: "choose another `compression`, leave `exactly_once` off, or upgrade the brokers (0.11 at least)",
    },
];
