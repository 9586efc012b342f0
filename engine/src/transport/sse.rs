//! Server-sent events (HTML standard §9.2): the one encoder, and the parser that says what a browser would see.
//!
//! Nothing else in the engine may write an event stream, so that no text can forge a field: every line ending a parser
//! knows is split in `data`, and refused in `event` and `id`. Whoever pushes calls [`encode_chunked`] once per message
//! and shares the bytes. Not here: when to send, positions, reconnecting. The [`Parser`] trusts its peer with memory:
//! it is for tests and clients.
use std::fmt;

/// A comment that keeps proxies and clients from giving up on a quiet stream.
pub const HEARTBEAT: &[u8] = b":\n\n";
/// [`HEARTBEAT`] as one HTTP/1.1 chunk.
pub const HEARTBEAT_CHUNK: &[u8] = b"3\r\n:\n\n\r\n";

/// What can be said in one block of an event stream. Without `data` nothing is dispatched, but `id` and `retry` count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's type; a browser takes `message` where there is none.
    pub event: Option<&'a str>,
    /// What comes back as `Last-Event-ID`.
    pub id: Option<&'a str>,
    /// How long to wait before a reconnect, milliseconds.
    pub retry_ms: Option<u64>,
    /// UTF-8 of any number of lines; CR and CRLF arrive as LF.
    pub data: Option<&'a [u8]>,
}

/// A field that cannot be said on one line; nothing was written. The fault of whoever named the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// `event` contains CR, LF or NUL.
    Event,
    /// `id` contains CR, LF or NUL.
    Id,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = match self {
            Self::Event => "event",
            Self::Id => "id",
        };
        write!(f, "the {field} of a server-sent event must not contain CR, LF or NUL")
    }
}

impl std::error::Error for FieldError {}

/// Append `event` to `out`, with the blank line that ends it.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> Result<(), FieldError> {
    event.check()?;
    out.reserve(event.encoded_len());
    event.write(out);
    Ok(())
}

/// Append `event` to `out` as exactly one HTTP/1.1 chunk (RFC 9112 §7.1), growing `out` at most once.
pub fn encode_chunked(event: &Event, out: &mut Vec<u8>) -> Result<(), FieldError> {
    event.check()?;
    chunk_with(event.encoded_len(), out, |out| event.write(out));
    Ok(())
}

/// Append `payload` to `out` as one HTTP/1.1 chunk. Nothing is written for no bytes, because that would end the body.
pub fn chunk(payload: &[u8], out: &mut Vec<u8>) {
    if !payload.is_empty() {
        chunk_with(payload.len(), out, |out| out.extend_from_slice(payload));
    }
}

/// One chunk of `len` bytes, which `write` appends.
fn chunk_with(len: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    /// The longest size in hexadecimal, and two line ends.
    const FRAMING: usize = 2 * size_of::<usize>() + 4;
    out.reserve(len + FRAMING);
    let digits = (len.max(1).ilog2() / 4) as usize + 1;
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[len >> (4 * digit) & 15]));
    out.extend_from_slice(b"\r\n");
    let start = out.len();
    write(out);
    debug_assert_eq!(out.len() - start, len, "a chunk must be as long as it says");
    out.extend_from_slice(b"\r\n");
}

impl Event<'_> {
    fn check(&self) -> Result<(), FieldError> {
        let breaks = |field: Option<&str>| {
            field.is_some_and(|f| memchr::memchr3(b'\r', b'\n', 0, f.as_bytes()).is_some())
        };
        match (breaks(self.event), breaks(self.id)) {
            (true, _) => Err(FieldError::Event),
            (_, true) => Err(FieldError::Id),
            _ => Ok(()),
        }
    }

    /// Exactly how many bytes [`Event::write`] appends.
    fn encoded_len(&self) -> usize {
        let line = |name: &str, value: usize| name.len() + ": \n".len() + value;
        let retry = self.retry_ms.map_or(0, |ms| line("retry", itoa::Buffer::new().format(ms).len()));
        let data = self.data.map_or(0, |data| lines(data).map(|l| line("data", l.len())).sum());
        self.event.map_or(0, |event| line("event", event.len()))
            + self.id.map_or(0, |id| line("id", id.len()))
            + retry
            + data
            + 1
    }

    fn write(&self, out: &mut Vec<u8>) {
        // The space after the colon is the one a parser drops, so that a value may begin with a space of its own.
        let mut line = |name: &[u8], value: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
            out.push(b'\n');
        };
        if let Some(event) = self.event {
            line(b"event: ", event.as_bytes());
        }
        if let Some(id) = self.id {
            line(b"id: ", id.as_bytes());
        }
        if let Some(ms) = self.retry_ms {
            line(b"retry: ", itoa::Buffer::new().format(ms).as_bytes());
        }
        for text in self.data.into_iter().flat_map(lines) {
            line(b"data: ", text);
        }
        out.push(b'\n');
    }
}

/// The lines of `text`, ended by CR, LF or CRLF; one more than there are line ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\r', b'\n', text) else {
            rest = None;
            return Some(text);
        };
        let next = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[next..]);
        Some(&text[..end])
    })
}

/// An event as a browser dispatches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// Its type, `message` where none was given.
    pub event: String,
    /// The last `id` seen up to and with this event; empty if none.
    pub id: String,
    /// Its lines, joined by LF.
    pub data: String,
}

/// Parses an event stream, cut anywhere (HTML standard §9.2.6). An event that the stream's end cuts is not dispatched.
#[derive(Debug, Default)]
pub struct Parser {
    /// A line as far as it has arrived.
    line: Vec<u8>,
    /// The first line has been seen, so a BOM is no longer one.
    begun: bool,
    /// The last line ended with CR: a LF that follows belongs to it.
    after_cr: bool,
    /// Lines of data, each ended by LF.
    data: String,
    /// The type of the event that is being read.
    event: String,
    /// The last `id` field; it outlives its event.
    id: String,
    /// What `id` was when a block last ended: a cut event does not count.
    last_event_id: String,
    /// The last `retry` field.
    retry_ms: Option<u64>,
}

impl Parser {
    /// The events that `bytes` completes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<ParsedEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second_of_crlf = byte == b'\n' && std::mem::take(&mut self.after_cr);
            match byte {
                _ if second_of_crlf => {}
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_of_line());
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(byte);
                }
            }
        }
        events
    }

    /// The reconnection time that the stream asked for last, milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// What to send as `Last-Event-ID` after a reconnect.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    fn end_of_line(&mut self) -> Option<ParsedEvent> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(&line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event = value.into(),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => self.id = value.into(),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<ParsedEvent> {
        self.last_event_id.clone_from(&self.id);
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let event = if event.is_empty() { "message".into() } else { event };
        Some(ParsedEvent { event, id: self.id.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(event: &Event) -> String {
        let mut out = Vec::new();
        encode(event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn parsed(stream: &[u8]) -> Vec<(String, String, String)> {
        Parser::default().feed(stream).into_iter().map(|e| (e.event, e.id, e.data)).collect()
    }

    fn message(id: &str, data: &str) -> (String, String, String) {
        ("message".into(), id.into(), data.into())
    }

    #[test]
    fn an_event_says_its_fields_one_a_line_and_ends_with_a_blank_one() {
        let event = Event { event: Some("gone"), id: Some("e-7"), retry_ms: Some(1500), data: Some(b"a\nb") };
        assert_eq!(encoded(&event), "event: gone\nid: e-7\nretry: 1500\ndata: a\ndata: b\n\n");
    }

    #[test]
    fn every_line_ending_in_data_begins_a_new_data_line() {
        let event = Event { data: Some(b"a\r\nb\rc\n\rd\r\n"), ..Event::default() };
        assert_eq!(encoded(&event), "data: a\ndata: b\ndata: c\ndata: \ndata: d\ndata: \n\n");
    }

    #[test]
    fn a_line_break_or_nul_in_event_or_id_is_refused_and_nothing_is_written() {
        for bad in ["a\nb", "\r", "a\0"] {
            let mut out = Vec::new();
            let event = Event { event: Some(bad), ..Event::default() };
            assert_eq!(encode(&event, &mut out), Err(FieldError::Event));
            let event = Event { id: Some(bad), ..Event::default() };
            assert_eq!(encode_chunked(&event, &mut out), Err(FieldError::Id));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_chunk_says_its_length_in_hexadecimal_and_no_bytes_make_no_chunk() {
        for len in [1, 9, 15, 16, 255, 256, 4096, 70_000] {
            let mut out = Vec::new();
            chunk(&vec![b'x'; len], &mut out);
            assert_eq!(out, [format!("{len:x}\r\n").as_bytes(), &vec![b'x'; len], b"\r\n"].concat());
        }
        let mut out = Vec::new();
        chunk(b"", &mut out);
        assert!(out.is_empty());
        chunk(HEARTBEAT, &mut out);
        assert_eq!(out, HEARTBEAT_CHUNK);
    }

    #[test]
    fn an_id_lasts_until_the_next_and_an_event_without_data_is_not_dispatched() {
        let stream = b"id: 1\n\ndata: a\n\nid: x\0y\ndata: b\n\nid\ndata:  c\n\ndata: cut";
        assert_eq!(parsed(stream), [message("1", "a"), message("1", "b"), message("", " c")]);
    }

    #[test]
    fn the_id_of_a_cut_event_does_not_count() {
        let mut parser = Parser::default();
        parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n");
        assert_eq!(parser.last_event_id(), "1");
        parser.feed(b"\n");
        assert_eq!(parser.last_event_id(), "2");
    }

    #[test]
    fn an_empty_data_line_is_an_empty_message() {
        assert_eq!(parsed(b"data\n\n"), [message("", "")]);
        assert_eq!(
            parsed(encoded(&Event { data: Some(b""), ..Event::default() }).as_bytes()),
            [message("", "")]
        );
    }

    #[test]
    fn only_the_first_bom_is_one_and_comments_and_unknown_fields_are_skipped() {
        let stream = b"\xef\xbb\xbfdata: a\r\r:\n\nfoo: b\r\n\r\n\xef\xbb\xbfdata: b\n\ndata: c\n\n";
        assert_eq!(parsed(stream), [message("", "a"), message("", "c")]);
    }

    #[test]
    fn retry_takes_digits_only() {
        let mut parser = Parser::default();
        parser.feed(b"retry: 1500\nretry: 1s\nretry: -1\nretry:\nretry: 99999999999999999999\n");
        assert_eq!(parser.retry_ms(), Some(1500));
    }

    fn hostile_text() -> impl Strategy<Value = String> {
        prop_oneof!["(data|id|event|retry|:| |\r|\n|\r\n|x|\u{feff}|\0|é){0,12}", any::<String>()]
    }

    proptest! {
        #[test]
        fn a_parser_sees_what_was_encoded_wherever_the_stream_is_cut(
            event in "[^\r\n\0]{1,9}", id in "[^\r\n\0]{0,9}", data in hostile_text(), cut in any::<prop::sample::Index>(),
        ) {
            let (event, id) = (event.as_str(), id.as_str());
            let value = Event { event: Some(event), id: Some(id), retry_ms: Some(7), data: Some(data.as_bytes()) };
            let stream = encoded(&value);
            let (head, tail) = stream.as_bytes().split_at(cut.index(stream.len()));
            let mut parser = Parser::default();
            let mut events = parser.feed(head);
            events.extend(parser.feed(tail));
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(events, [ParsedEvent { event: event.into(), id: id.into(), data }]);

            let mut chunked = Vec::new();
            encode_chunked(&value, &mut chunked).unwrap();
            prop_assert_eq!(chunked, [format!("{:x}\r\n", stream.len()).as_bytes(), stream.as_bytes(), b"\r\n"].concat());
        }
    }
}
