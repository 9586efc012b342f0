//! Event streams: what the encoder says, read by a parser that was written from the standard for this purpose only.
use crate::pieces::{first, ways};
use arbitrary::{Arbitrary, Unstructured};
use freshwire_engine::http::body::Body;
use freshwire_engine::http::head::Framing;
use freshwire_engine::transport::sse::{Event, FieldError, Parser, encode, encode_chunked};

/// What a browser would know after a stream: events (type, id, data), last id, reconnection time.
#[derive(Debug, Default, PartialEq)]
struct Known {
    events: Vec<(String, String, String)>,
    last_event_id: String,
    retry_ms: Option<u64>,
}

/// HTML standard §9.2.6, line by line over the whole stream at once; nothing is shared with the engine's parser.
fn by_the_standard(stream: &[u8]) -> Known {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What has no line end yet is no line.
    lines.pop();
    let mut known = Known::default();
    let (mut data, mut kind, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            known.last_event_id.clone_from(&id);
            if !data.is_empty() {
                data.truncate(data.len() - 1);
                let kind = if kind.is_empty() { "message" } else { &kind };
                known.events.push((kind.to_owned(), id.clone(), data.clone()));
            }
            (data, kind) = (String::new(), String::new());
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data = data + value + "\n",
            "event" => kind = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                known.retry_ms = value.parse().ok().or(known.retry_ms);
            }
            _ => {}
        }
    }
    known
}

fn by_the_engine(pieces: &[&[u8]]) -> Known {
    let mut parser = Parser::default();
    let events = pieces.iter().flat_map(|piece| parser.feed(piece)).collect::<Vec<_>>();
    Known {
        events: events.into_iter().map(|e| (e.event, e.id, e.data)).collect(),
        last_event_id: parser.last_event_id().to_owned(),
        retry_ms: parser.retry_ms(),
    }
}

/// Any bytes are read as the standard says, however they are cut.
pub fn streams(data: &[u8]) {
    let (seed, stream) = first(data);
    let known = by_the_standard(stream);
    for pieces in ways(seed, stream) {
        assert_eq!(by_the_engine(&pieces), known);
    }
}

#[derive(Arbitrary, Debug)]
struct Pushed {
    event: Option<String>,
    id: Option<String>,
    retry_ms: Option<u64>,
    data: Option<String>,
}

/// What is pushed arrives: one event each with its own fields and no other, by itself and as one chunk of a response;
/// or it is refused and nothing is written.
pub fn events(data: &[u8]) {
    let Ok(pushed) = Vec::<Pushed>::arbitrary(&mut Unstructured::new(data)) else { return };
    let (mut stream, mut chunked) = (vec![], vec![]);
    let mut expected = Known::default();
    for Pushed { event, id, retry_ms, data } in &pushed {
        let value = Event {
            event: event.as_deref(),
            id: id.as_deref(),
            retry_ms: *retry_ms,
            data: data.as_deref().map(str::as_bytes),
        };
        let breaks =
            |field: &Option<String>| field.as_deref().is_some_and(|f| f.contains(['\r', '\n', '\0']));
        let before = (stream.len(), chunked.len());
        let said = encode(&value, &mut stream);
        assert_eq!(encode_chunked(&value, &mut chunked), said);
        if breaks(event) || breaks(id) {
            assert_eq!(said, Err(if breaks(event) { FieldError::Event } else { FieldError::Id }));
            assert_eq!((stream.len(), chunked.len()), before, "nothing is written");
            continue;
        }
        assert_eq!(said, Ok(()));
        if let Some(id) = id {
            expected.last_event_id.clone_from(id);
        }
        expected.retry_ms = retry_ms.or(expected.retry_ms);
        if let Some(data) = data {
            let kind = event.as_deref().filter(|e| !e.is_empty()).unwrap_or("message");
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            expected.events.push((kind.to_owned(), expected.last_event_id.clone(), data));
        }
    }
    assert_eq!(by_the_standard(&stream), expected);
    chunked.extend_from_slice(b"0\r\n\r\n");
    let (mut body, mut unchunked) = (Body::new(Framing::Chunked), vec![]);
    let taken = body.feed(&chunked, |bytes| unchunked.extend_from_slice(bytes));
    assert_eq!((taken, body.done()), (Ok(chunked.len()), true));
    assert_eq!(unchunked, stream);
}
