//! The head of an answer.

use super::body::Body;

/// What the head says that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Body,
    /// The media type, as it was sent.
    pub(super) content_type: Option<String>,
}

/// The head is no HTTP/1 head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("{0}")]
    Http(#[from] httparse::Error),
    #[error("its content-length is not a number")]
    Length,
}

impl Head {
    /// Parses a head and tells its length; `None` while it has not ended.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, BadHead> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
        let status = response.code.unwrap_or(0);
        let mut body = Body::until_close();
        let content_type = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        let content_type = content_type.and_then(|header| str::from_utf8(header.value).ok()).map(str::to_owned);
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("transfer-encoding")
                && header.value.to_ascii_lowercase().ends_with(b"chunked")
            {
                body = Body::chunked();
                break;
            }
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = str::from_utf8(header.value)
                    .ok()
                    .and_then(|text| text.trim().parse().ok())
                    .ok_or(BadHead::Length)?;
                body = Body::length(length);
            }
        }
        if matches!(status, 204 | 304) {
            body = Body::length(0);
        }
        Ok(Some((Self { status, body, content_type }, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(u16, Body)> {
        Head::parse(text.as_bytes()).unwrap().map(|(head, length)| {
            assert_eq!(length, text.len());
            (head.status, head.body)
        })
    }

    #[test]
    fn the_body_is_delimited_as_the_head_says() {
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
            Some((200, Body::chunked()))
        );
        assert_eq!(parse("HTTP/1.1 404 Not Found\r\ncontent-length: 17\r\n\r\n"), Some((404, Body::length(17))));
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\n"), Some((200, Body::until_close())));
        assert_eq!(parse("HTTP/1.1 204 No Content\r\n\r\n"), Some((204, Body::length(0))));
    }

    #[test]
    fn a_head_is_waited_for_until_it_ends() {
        let head = "HTTP/1.1 200 OK\r\nServer: Docker\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(Head::parse(&head.as_bytes()[..length]), Ok(None));
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(Head::parse(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), Err(BadHead::Length));
    }
}
