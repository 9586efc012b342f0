//! The head of a response, as far as a member must understand it.
use crate::follow::monitor_of;
use freshwire_engine::http::body::Body;
use freshwire_engine::http::head::Framing;

/// A head that is longer than this is not one.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 100;

/// What a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its bytes.
    pub size: usize,
    /// The status.
    pub status: u16,
    /// What follows it.
    pub body: Body,
    /// The body has no end but the connection's.
    pub until_close: bool,
    /// The connection can be used again.
    pub keep_alive: bool,
    /// The target of a `Link` with `rel="monitor"`.
    pub monitor: Vec<u8>,
    /// `ETag`.
    pub etag: Vec<u8>,
    /// `Fresh-Position`.
    pub position: Vec<u8>,
    /// `Sec-WebSocket-Accept`.
    pub accept: Vec<u8>,
    /// It is an event stream.
    pub event_stream: bool,
}

/// The head at the front of `bytes`; `None` if more are needed.
pub fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let size = match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err("an endless head");
        }
        Err(_) => return Err("no HTTP"),
    };
    let get = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map_or(&b""[..], |field| field.value)
    };
    let says = |name: &str, word: &[u8]| {
        get(name).split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
    };
    let status = response.code.unwrap_or(0);
    let length = std::str::from_utf8(get("content-length")).ok().and_then(|text| text.parse().ok());
    let chunked = says("transfer-encoding", b"chunked");
    let bodyless = matches!(status, 100..200 | 204 | 304);
    let framing = match length {
        _ if bodyless => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::Length(u64::MAX),
    };
    let until_close = framing == Framing::Length(u64::MAX);
    let http_1_0 = response.version == Some(0);
    let keep_alive =
        !until_close && !says("connection", b"close") && (!http_1_0 || says("connection", b"keep-alive"));
    let mut links = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("link"));
    let monitor = links.find_map(|field| monitor_of(field.value));
    let kind = get("content-type").split(|byte| *byte == b';').next().unwrap_or_default();
    Ok(Some(Head {
        size,
        status,
        body: Body::new(framing),
        until_close,
        keep_alive,
        monitor: monitor.unwrap_or_default().to_vec(),
        etag: get("etag").to_vec(),
        position: get("fresh-position").to_vec(),
        accept: get("sec-websocket-accept").to_vec(),
        event_stream: kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(text.replace('\n', "\r\n").as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn the_end_of_the_body_and_of_the_connection_are_known() {
        let chunked =
            head("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Type: text/event-stream; x\n\n");
        assert_eq!(chunked.body, Body::new(Framing::Chunked));
        assert!(chunked.keep_alive && chunked.event_stream && !chunked.until_close);
        let sized = head("HTTP/1.1 404 No\nContent-Length: 7\nConnection: Close\n\n");
        assert_eq!((sized.status, sized.keep_alive, sized.body), (404, false, Body::new(Framing::Length(7))));
        let endless = head("HTTP/1.1 200 OK\n\n");
        assert!(endless.until_close && !endless.keep_alive && !endless.event_stream);
        let unchanged = head("HTTP/1.1 304 Not Modified\nETag: \"x\"\nContent-Length: 9\n\n");
        assert!(unchanged.body.done() && unchanged.keep_alive && unchanged.etag == b"\"x\"");
        assert!(!head("HTTP/1.0 200 OK\nContent-Length: 1\n\n").keep_alive);
    }

    #[test]
    fn a_head_is_waited_for_and_garbage_is_not() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        assert_eq!(parse(b"SSH-2.0-OpenSSH_9.6\r\n"), Err("no HTTP"));
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; MAX_HEAD_BYTES]].concat();
        assert_eq!(parse(&endless), Err("an endless head"));
    }
}
