//! One call of gRPC, without streams: a message in a frame each way, and a status behind it.
//!
//! By gRPC's own description, "gRPC over HTTP2". A client library would bring an HTTP client of its own for this.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use prost::Message;

/// Servers pad, or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The status of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub code: u16,
    pub message: String,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// `google.rpc.Status`, which is also what an answer over HTTP says that refuses.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Span>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A message as it goes into a request.
pub(super) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let length = u32::try_from(message.len()).expect("a range is far below four gigabytes");
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(u8::from(compressed));
    frame.put_u32(length);
    frame.put_slice(message);
    frame.freeze()
}

/// The message in an answer; `None` where there is none whole, or it is compressed, which was not allowed.
pub(super) fn unframed(body: &Bytes) -> Option<Bytes> {
    let (prefix, rest) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes"));
    let message = rest.get(..usize::try_from(length).ok()?)?;
    (prefix[0] == 0).then(|| body.slice_ref(message))
}

/// The status in the trailers of an answer, or in its headers where it has nothing else; `None` where it says none.
pub(super) fn status(headers: &HeaderMap) -> Option<Status> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let code = text("grpc-status")?.trim().parse().ok()?;
    let details = text("grpc-status-details-bin").and_then(|text| BASE64.decode(text).ok());
    let details = details.and_then(|bytes| RpcStatus::decode(&*bytes).ok());
    let message = text("grpc-message").map(percent_decoded).unwrap_or_default();
    Some(Status { code, message, retry_after: details.and_then(|status| status.retry_after()) })
}

impl RpcStatus {
    /// When the server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let info = self.details.iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
        let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
        Some(Duration::new(delay.seconds.try_into().ok()?, delay.nanos.try_into().ok()?))
    }
}

/// A message of a status, in which all but printable ASCII is written `%20`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let code = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(coded) => {
                decoded.push(coded);
                bytes.nth(1);
            }
            None => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_out_of_its_frame_whole_or_not_at_all() {
        let frame = framed(b"hello", false);
        assert_eq!(frame.as_ref(), b"\0\0\0\0\x05hello");
        assert_eq!(unframed(&frame).unwrap().as_ref(), b"hello");
        for broken in [&frame[..4], &frame[..8], b""] {
            assert_eq!(unframed(&Bytes::copy_from_slice(broken)), None);
        }
        assert_eq!(unframed(&framed(b"hello", true)), None);
    }

    #[test]
    fn a_status_tells_its_words_and_when_to_come_back() {
        let info = RetryInfo { retry_delay: Some(Span { seconds: 7, nanos: 500_000_000 }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
        let details = RpcStatus { code: 8, message: "slow down".into(), details: vec![any] }.encode_to_vec();
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), None);
        headers.insert("grpc-status", "8".parse().unwrap());
        headers.insert("grpc-message", "slow%20down, 100%, %C3%BC".parse().unwrap());
        for text in [BASE64.encode(&details), BASE64.encode(&details).trim_end_matches('=').to_owned()] {
            headers.insert("grpc-status-details-bin", text.parse().unwrap());
            let told = status(&headers).unwrap();
            assert_eq!((told.code, told.message.as_str()), (8, "slow down, 100%, ü"));
            assert_eq!(told.retry_after, Some(Duration::from_millis(7_500)));
        }
        headers.insert("grpc-status-details-bin", "?".parse().unwrap());
        assert_eq!(status(&headers).unwrap().retry_after, None);
    }
}
