//! What brokers and librdkafka say about TLS and SASL, in words that name the setting.

use rdkafka::error::RDKafkaErrorCode as C;

use super::KafkaConfig;

/// `reason`, which a client was given with `code`, for whoever has to mend it; never with a secret in it.
pub(super) fn in_words(config: &KafkaConfig, code: C, reason: String) -> String {
    let property = |name: &str| config.properties.get(name).map(String::as_str);
    let mechanism = property("sasl.mechanism").or_else(|| property("sasl.mechanisms")).unwrap_or("GSSAPI");
    match code {
        C::Authentication | C::SaslAuthenticationFailed if mechanism == "PLAIN" || mechanism.starts_with("SCRAM-") => {
            let user = property("sasl.username").unwrap_or("(none)");
            format!(
                "they do not know user {user} with this password ({mechanism}): look at `sasl.username` and the password, and \
                 whether the cluster has that user for {mechanism}"
            )
        }
        C::SSL if reason.contains(UNVERIFIED) => {
            "their certificate is not trusted: issued by no authority in `ssl.ca.location` (without it, by none this system \
             trusts), made out to another name, or out of date"
                .into()
        }
        C::SSL if is_of_tls(&reason) => {
            let own = ["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"];
            if own.into_iter().any(|name| property(name).is_some()) {
                "they do not take the certificate of this client: compare `ssl.certificate.location` with the authority they trust"
            } else {
                "they want a certificate of this client: set `ssl.certificate.location` and `ssl.key.location`"
            }
            .into()
        }
        // Told alone where no broker had anything else to say.
        C::AllBrokersDown => {
            "they hang up without a word: is `security.protocol` what their listener speaks, and is it Kafka that listens?".into()
        }
        _ => reason,
    }
}

/// How OpenSSL says that it does not trust a certificate.
const UNVERIFIED: &str = "certificate verify failed";
/// How it says that the other side does not take ours, or misses it.
const REFUSED: [&str; 4] =
    ["alert bad certificate", "alert certificate required", "alert handshake failure", "alert unknown ca"];

/// Whether `reason` is that one side does not take the other's certificate.
pub(super) fn is_of_tls(reason: &str) -> bool {
    reason.contains(UNVERIFIED) || REFUSED.into_iter().any(|alert| reason.contains(alert))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_about_who_is_who_is_told_as_it_was_said() {
        let config = KafkaConfig::new(vec!["kafka:9092".into()]);
        let words = in_words(&config, C::BrokerTransportFailure, "Connection refused".into());
        assert_eq!(words, "Connection refused");
        // A ticket of Kerberos has no user and password to look at.
        assert_eq!(in_words(&config, C::Authentication, "no ticket".into()), "no ticket");
    }
}
