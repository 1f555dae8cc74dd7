//! What a client of librdkafka says of its own troubles.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::words::is_of_tls;

/// The last complaint of a client, and why it failed for good, if it did. Written by its own threads.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    last: Option<(RDKafkaErrorCode, String)>,
    fatal: Option<String>,
}

impl Complaints {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an error that the client reports by itself.
    pub(super) fn hear(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        // One that TLS fails on is now and then told as one that broke off.
        let code = if is_of_tls(reason) { RDKafkaErrorCode::SSL } else { code };
        tracing::debug!(target: "librdkafka", %code, "{reason}");
        if code == RDKafkaErrorCode::Fatal {
            return self.fail_for_good(reason.to_owned());
        }
        let mut heard = self.heard();
        // That all brokers are down follows from why each one is.
        if code != RDKafkaErrorCode::AllBrokersDown || heard.last.is_none() {
            heard.last = Some((code, reason.to_owned()));
        }
    }

    pub(super) fn fail_for_good(&self, reason: String) {
        self.heard().fatal = Some(reason);
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.heard().last.clone()
    }

    pub(super) fn forget_last(&self) {
        self.heard().last = None;
    }

    /// Why the client can do no more.
    pub(super) fn fatal(&self) -> Option<String> {
        self.heard().fatal.clone()
    }

    /// A new client is at work.
    pub(super) fn renew(&self) {
        *self.heard() = Heard::default();
    }
}

/// Hands a log line of librdkafka on. A client recovers by itself: nothing it logs is data lost.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as L;
    match level {
        L::Emerg | L::Alert | L::Critical => tracing::warn!(target: "librdkafka", facility, "{message}"),
        L::Error | L::Warning => tracing::info!(target: "librdkafka", facility, "{message}"),
        L::Notice | L::Info => tracing::debug!(target: "librdkafka", facility, "{message}"),
        L::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_one_broker_is_told_before_that_all_are_down() {
        let complaints = Complaints::default();
        complaints.hear(&KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        complaints.hear(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(complaints.last(), Some((RDKafkaErrorCode::Authentication, "wrong password".into())));
    }

    #[test]
    fn a_certificate_that_is_refused_is_told_so_also_where_the_connection_broke_off() {
        let complaints = Complaints::default();
        let words = "ssl://a:1/bootstrap: error:0A000086:SSL routines::certificate verify failed (after 7ms in state SSL_HANDSHAKE)";
        complaints.hear(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), words);
        assert_eq!(complaints.last(), Some((RDKafkaErrorCode::SSL, words.into())));
    }

    #[test]
    fn a_new_client_begins_without_complaints() {
        let complaints = Complaints::default();
        complaints.hear(&KafkaError::Global(RDKafkaErrorCode::Fatal), "out of order");
        assert_eq!(complaints.fatal(), Some("out of order".into()));
        complaints.renew();
        assert_eq!((complaints.fatal(), complaints.last()), (None, None));
    }
}
