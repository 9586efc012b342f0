//! Response heads, interim responses and chunks (RFC 9112 §4, §6, §7), written into a buffer.
//!
//! The connection calls this and decides the framing; which fields a resource sends is decided above. The application's
//! names and values are checked where they enter, with [`check_field_name`] and [`check_field_value`]; a CR, LF or NUL
//! that got past is written as a space (RFC 9110 §5.5), so that no response is ever split here.
use crate::http::fields::Fields;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// 100 (RFC 9110 §15.2.1): the client may send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The end of a chunked body without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How the response's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// So many bytes. For HEAD and 304: what a GET would have had.
    Length(u64),
    /// In chunks; never to an HTTP/1.0 client.
    Chunked,
    /// Until the connection closes.
    Close,
    /// There is none: 1xx, 204, 304, or HEAD where the length is not known.
    None,
}

/// The reason phrase of a status (IANA registry), or nothing.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// A byte of a token (RFC 9110 §5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether these bytes can be a field's name (RFC 9110 §5.1).
pub fn check_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| is_token_byte(*b))
}

/// Whether these bytes can be a field's value: no CR, LF, NUL or other control, except HTAB (RFC 9110 §5.5).
pub fn check_field_value(value: &[u8]) -> bool {
    value.iter().all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f)
}

/// A field that speaks of this connection or this message's framing (RFC 9110 §7.6.1), which is ours to say.
pub fn is_framing_field(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"te"
            | b"transfer-encoding"
            | b"upgrade"
            | b"content-length"
    )
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for (part, after) in [(name, b": "), (value, b"\r\n")] {
        let start = out.len();
        out.extend_from_slice(part);
        // Looks at every byte, which for parts as short as these is faster than looking for the first.
        if part.iter().fold(false, |found, b| found | matches!(b, b'\r' | b'\n' | 0)) {
            out[start..].iter_mut().filter(|b| matches!(b, b'\r' | b'\n' | 0)).for_each(|b| *b = b' ');
        }
        out.extend_from_slice(after);
    }
}

fn write_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Append a response head. `minor` is the client's version; ours is 1.1 in any case (RFC 9112 §2.3).
///
/// What `fields` say about connection and framing is left out, with two exceptions: `content-length` if `framing` is
/// [`BodyFraming::None`] (a 304, or an answer to HEAD), and `upgrade` of a 101 or a 426.
pub fn write_head(
    out: &mut Vec<u8>,
    minor: u8,
    status: u16,
    fields: &Fields,
    framing: BodyFraming,
    keep_alive: bool,
    date: &[u8; 29],
) {
    // RFC 9110 §8.6, RFC 9112 §6.1: 1xx and 204 carry neither a length nor a transfer coding.
    let bare = status < 200 || status == 204;
    // RFC 9110 §7.8: who sends `upgrade` names it in `connection`.
    let upgrades = matches!(status, 101 | 426);
    write_status_line(out, status);
    let mut dated = false;
    for (name, value) in fields.iter() {
        let kept = match name {
            b"content-length" => framing == BodyFraming::None && !bare,
            b"upgrade" => upgrades,
            b"trailer" => framing == BodyFraming::Chunked,
            name => !is_framing_field(name),
        };
        dated |= name == b"date";
        if kept {
            write_field(out, name, value);
        }
    }
    if !dated {
        write_field(out, b"date", date);
    }
    match framing {
        BodyFraming::Length(length) if !bare => {
            write_field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
        }
        BodyFraming::Chunked if !bare => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(match (status, keep_alive && framing != BodyFraming::Close) {
        (101, _) | (426, true) => b"connection: upgrade\r\n\r\n".as_slice(),
        (426, false) => b"connection: upgrade, close\r\n\r\n",
        (_, false) => b"connection: close\r\n\r\n",
        (_, true) if minor == 0 => b"connection: keep-alive\r\n\r\n",
        (_, true) => b"\r\n",
    });
}

/// The part of a head that is the same each time a representation of this length is sent: to be followed by
/// [`write_head_end`].
pub fn write_head_start(out: &mut Vec<u8>, status: u16, fields: &Fields, length: u64) {
    write_status_line(out, status);
    for (name, value) in fields.iter().filter(|(name, _)| !is_framing_field(name)) {
        write_field(out, name, value);
    }
    write_field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
}

/// The part that differs: date (unless the application gave one), age in seconds, and what becomes of the connection.
pub fn write_head_end(out: &mut Vec<u8>, minor: u8, date: Option<&[u8; 29]>, age_s: u64, keep_alive: bool) {
    if let Some(date) = date {
        write_field(out, b"date", date);
    }
    write_field(out, b"age", itoa::Buffer::new().format(age_s).as_bytes());
    out.extend_from_slice(match keep_alive {
        false => b"connection: close\r\n\r\n",
        true if minor == 0 => b"connection: keep-alive\r\n\r\n",
        true => b"\r\n",
    });
}

/// Append an interim response such as 103 Early Hints (RFC 8297). HTTP/1.0 clients get none.
pub fn write_interim(out: &mut Vec<u8>, status: u16, fields: &Fields) {
    write_status_line(out, status);
    write_lines(out, fields);
}

/// Append a chunk; nothing if there is no data, since an empty chunk is the last.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    // A `Vec` takes everything.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Append the last chunk with trailer fields after it.
pub fn write_trailers(out: &mut Vec<u8>, fields: &Fields) {
    out.extend_from_slice(b"0\r\n");
    write_lines(out, fields);
}

fn write_lines(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields.iter().filter(|(name, _)| !is_framing_field(name)) {
        write_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// The `date` field's text (RFC 9110 §5.6.7), made once a second.
#[derive(Clone, Debug)]
pub struct DateClock {
    /// The second that `text` is of.
    unix_s: u64,
    text: [u8; 29],
}

impl Default for DateClock {
    fn default() -> Self {
        Self { unix_s: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" }
    }
}

impl DateClock {
    /// The text for this time, which ends with the year 9999.
    pub fn at(&mut self, unix_s: u64) -> &[u8; 29] {
        const LAST: u64 = 253_402_300_799;
        let unix_s = unix_s.min(LAST);
        if unix_s != self.unix_s {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_s));
            if let Ok(text) = text.as_bytes().try_into() {
                (self.unix_s, self.text) = (unix_s, text);
            }
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(
        minor: u8,
        status: u16,
        lines: &[(&str, &str)],
        framing: BodyFraming,
        keep_alive: bool,
    ) -> String {
        let mut out = vec![];
        let fields = lines.iter().copied().collect();
        write_head(&mut out, minor, status, &fields, framing, keep_alive, DateClock::default().at(0));
        String::from_utf8(out).unwrap().replace("date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "")
    }

    #[test]
    fn the_framing_decides_what_is_said_about_framing() {
        use BodyFraming::*;
        let lines =
            [("Content-Length", "7"), ("connection", "x"), ("transfer-encoding", "gzip"), ("trailer", "t")];
        let says = |minor, status, framing, keep_alive| head(minor, status, &lines, framing, keep_alive);
        assert_eq!(says(1, 200, Length(5), true), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(says(0, 200, Close, true), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        assert_eq!(
            says(0, 200, Length(0), true),
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n"
        );
        assert_eq!(
            says(1, 200, Chunked, false),
            "HTTP/1.1 200 OK\r\ntrailer: t\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(says(1, 304, None, true), "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
        assert_eq!(says(1, 204, None, true), "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(says(1, 204, Length(0), true), "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn switching_protocols_names_the_protocol() {
        let said = head(1, 101, &[("upgrade", "websocket")], BodyFraming::None, true);
        assert_eq!(
            said,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn there_is_one_date_and_the_applications_own_goes_first() {
        for (lines, dates) in
            [(&[][..], "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), (&[("date", "then")], "date: then\r\n")]
        {
            let mut out = vec![];
            let fields = lines.iter().copied().collect();
            let date = *DateClock::default().at(0);
            write_head(&mut out, 1, 299, &fields, BodyFraming::Length(0), true, &date);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("HTTP/1.1 299 \r\n{dates}content-length: 0\r\n\r\n")
            );
        }
    }

    #[test]
    fn a_line_end_in_a_value_cannot_split_a_response() {
        assert!(!check_field_value(b"a\r\nb") && !check_field_value(b"\0") && !check_field_value(b"\x7f"));
        assert!(check_field_value(b"a\tb \xff") && check_field_value(b""));
        assert!(
            !check_field_name(b"")
                && !check_field_name(b"a b")
                && !check_field_name(b"a:")
                && check_field_name(b"x-Y")
        );
        let said = head(1, 200, &[("x", "a\r\nset-cookie: b\r\n\r\n")], BodyFraming::Length(0), true);
        assert_eq!(said, "HTTP/1.1 200 OK\r\nx: a  set-cookie: b    \r\ncontent-length: 0\r\n\r\n");
    }

    #[test]
    fn chunks_trailers_and_hints_are_written_as_they_are_read() {
        let mut out = vec![];
        write_chunk(&mut out, b"");
        write_chunk(&mut out, &[b'x'; 26]);
        write_trailers(&mut out, &[("server-timing", "a"), ("content-length", "1")].into_iter().collect());
        assert_eq!(out, b"1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\nserver-timing: a\r\n\r\n");
        out.clear();
        write_interim(&mut out, 103, &[("link", "</a>; rel=preload")].into_iter().collect());
        assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n");
    }

    #[test]
    fn the_date_is_an_imf_fixdate_until_the_end_of_time() {
        let mut clock = DateClock::default();
        assert_eq!(clock.at(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(clock.at(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(clock.at(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
