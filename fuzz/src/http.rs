//! Heads, bodies, and requests one behind the other, whole and cut.
use crate::pieces::{first, ways};
use freshwire_engine::http::body::Body;
use freshwire_engine::http::head::{self, Framing, Head, HeadLimits};
use freshwire_engine::http::host;
use freshwire_engine::http::refusal::Refusal;
use freshwire_engine::http::response::{
    LAST_CHUNK, check_field_name, check_field_value, write_chunk, write_trailers,
};

const SMALL: HeadLimits = HeadLimits { bytes: 256, fields: 8, target: 64 };
const USUAL: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100, target: 8 * 1024 };

fn limits(choice: u8) -> &'static HeadLimits {
    if choice & 1 == 0 { &USUAL } else { &SMALL }
}

/// What of a head decides what is done with the request.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    line: String,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    framing: Framing,
    rest: String,
}

fn told(head: &Head<'_>) -> Told {
    let flags = (head.keep_alive, head.expect_continue, head.upgrade, head.host, head.authority);
    Told {
        line: format!("{} {} {} 1.{}", head.method, head.target, head.path_and_query, head.minor),
        fields: head.headers.iter().map(|h| (h.name.into(), h.value.into())).collect(),
        framing: head.framing,
        rest: format!("{flags:?}"),
    }
}

/// A head is refused or keeps every rule, and gets the same verdict as soon as it is there.
pub fn heads(data: &[u8]) {
    let (choice, bytes) = first(data);
    let bytes = &bytes[..bytes.len().min(2048)];
    let limits = limits(choice);
    let parse = |bytes: &[u8]| head::parse(bytes, limits, |head| check_head(head, limits));
    let whole = parse(bytes);
    match &whole {
        Ok(Some((length, told))) => {
            assert!(*length <= bytes.len().min(limits.bytes));
            check_lines(&bytes[..*length], told);
            for cut in 0..*length {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "a part of a head is no head");
                assert!(head::complete(&bytes[..*length], cut), "whatever was seen of it before");
            }
            // What comes behind does not matter.
            assert_eq!(parse(&bytes[..*length]), whole);
        }
        Err(refusal) => {
            assert!(matches!(refusal.status, 400 | 414 | 417 | 431 | 501 | 505));
            let early = (0..bytes.len()).map(|cut| parse(&bytes[..cut])).find(|early| *early != Ok(None));
            assert_eq!(early.as_ref().unwrap_or(&whole), &whole, "the same verdict for a part");
        }
        Ok(None) => assert!(bytes.len() < limits.bytes && !head::complete(bytes, 0)),
    }
}

fn check_head(head: &Head<'_>, limits: &HeadLimits) -> Told {
    let values = |name: &str| head.all(name).collect::<Vec<_>>();
    assert!(check_field_name(head.method.as_bytes()) && head.method != "CONNECT");
    assert!(head.minor <= 1 && head.headers.len() <= limits.fields && head.target.len() <= limits.target);
    assert!(head.target.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
    assert!(head.path_and_query.starts_with('/') || head.path_and_query == "*" && head.method == "OPTIONS");
    for header in head.headers {
        assert!(check_field_name(header.name.as_bytes()) && check_field_value(header.value));
        assert_eq!(header.value.trim_ascii(), header.value);
    }
    assert!(values("host").len() <= 1 && (head.minor == 0 || values("host").len() == 1));
    assert!(head.host.is_none_or(|name| host::split(name).is_some()));
    if let (Some(authority), [name]) = (head.authority, &values("host")[..]) {
        assert!(authority.as_bytes().eq_ignore_ascii_case(name));
    }
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    match (&codings[..], &lengths[..]) {
        ([], []) => assert_eq!(head.framing, Framing::None),
        ([], [length]) => {
            let length: u64 = str::from_utf8(length).unwrap().parse().unwrap();
            let framing = if length == 0 { Framing::None } else { Framing::Length(length) };
            assert_eq!(head.framing, framing);
        }
        ([coding], []) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && head.minor == 1);
            assert_eq!(head.framing, Framing::Chunked);
        }
        _ => panic!("a request with more than one framing was accepted: {head:?}"),
    }
    told(head)
}

/// Read the lines of an accepted head in the plainest way: another parser sees the same.
fn check_lines(bytes: &[u8], told: &Told) {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let text: Vec<u8> = bytes.strip_suffix(b"\r\n\r\n").expect("an empty line at the end").to_vec();
    assert!(!text.windows(4).any(|w| w == b"\r\n\r\n"));
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let last = lines.len() - 1;
    for (i, line) in lines.iter_mut().enumerate() {
        if i < last {
            *line = line.strip_suffix(b"\r").expect("CRLF at every line's end");
        }
        assert!(!line.contains(&b'\r') && !line.contains(&0));
    }
    let fields = lines[1..].iter().map(|line| {
        let colon = line.iter().position(|b| *b == b':').expect("a colon in every field line");
        (line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec())
    });
    assert_eq!(fields.collect::<Vec<_>>(), told.fields);
    assert_eq!(lines[0].split(|b| *b == b' ').count(), 3);
}

type Read = (Vec<u8>, usize, bool);

fn read(framing: Framing, pieces: &[&[u8]]) -> Result<Read, Refusal> {
    let (mut body, mut data, mut used) = (Body::new(framing), vec![], 0);
    for piece in pieces {
        let taken = body.feed(piece, |bytes| data.extend_from_slice(bytes))?;
        assert!(taken == piece.len() || body.done(), "all is taken unless the body ended");
        used += taken;
    }
    Ok((data, used, body.done()))
}

/// A body is the same however it is cut, never larger than what came, and what is written is read again.
pub fn bodies(data: &[u8]) {
    let (choice, bytes) = first(data);
    let framing = match choice & 3 {
        0 => Framing::Length(u64::from(choice >> 2)),
        _ => Framing::Chunked,
    };
    let [whole, singly, uneven] = ways(choice, bytes).map(|pieces| read(framing, &pieces));
    assert_eq!(whole, singly);
    assert_eq!(whole, uneven);
    if let Ok((data, used, done)) = &whole {
        assert!(data.len() <= *used && *used <= bytes.len() && (*done || *used == bytes.len()));
        if *done {
            assert_eq!(read(framing, &[&bytes[..*used]]), whole, "what comes behind does not matter");
        }
    }

    let mut sent = vec![];
    bytes.chunks(usize::from(choice) + 1).for_each(|chunk| write_chunk(&mut sent, chunk));
    match choice & 4 {
        0 => sent.extend_from_slice(LAST_CHUNK),
        _ => write_trailers(&mut sent, &[("server-timing", "a"), ("x", "")].into_iter().collect()),
    }
    let length = sent.len();
    sent.extend_from_slice(b"GET / HTTP/1.1\r\n");
    for pieces in ways(choice, &sent) {
        assert_eq!(read(Framing::Chunked, &pieces), Ok((bytes.to_vec(), length, true)));
    }
}

/// A request as it was served, with its body as far as that came.
#[derive(Clone, Debug, PartialEq)]
enum Served {
    Request { head: Told, body: Vec<u8>, whole: bool },
    Refused(u16, &'static str),
}

/// Read requests as a connection does: bytes are kept until a head is complete, bodies are taken as they come.
fn serve(limits: &HeadLimits, pieces: &[&[u8]]) -> (Vec<Served>, Vec<u8>) {
    let (mut served, mut held): (Vec<Served>, Vec<u8>) = (vec![], vec![]);
    let mut body: Option<Body> = None;
    let mut partial = false;
    // An empty piece at the end: then it is asked once more, whatever `complete` thought.
    for (piece, last) in pieces.iter().map(|p| (*p, false)).chain([(&b""[..], true)]) {
        let known = held.len();
        held.extend_from_slice(piece);
        partial &= !last && known > 0 && held.len() < limits.bytes && !head::complete(&held, known);
        let mut at = 0;
        while at < held.len() && !partial {
            if let Some(current) = &mut body {
                let Some(Served::Request { body: data, whole, .. }) = served.last_mut() else {
                    unreachable!()
                };
                match current.feed(&held[at..], |bytes| data.extend_from_slice(bytes)) {
                    Ok(used) => at += used,
                    Err(refusal) => {
                        served.push(Served::Refused(refusal.status, refusal.reason));
                        return (served, vec![]);
                    }
                }
                if !current.done() {
                    break;
                }
                *whole = true;
                body = None;
                continue;
            }
            match head::parse(&held[at..], limits, told) {
                Ok(None) => partial = true,
                Ok(Some((length, head))) => {
                    at += length;
                    let reader = Body::new(head.framing);
                    let whole = reader.done();
                    body = Some(reader).filter(|_| !whole);
                    served.push(Served::Request { head, body: vec![], whole });
                }
                Err(refusal) => {
                    served.push(Served::Refused(refusal.status, refusal.reason));
                    return (served, vec![]);
                }
            }
        }
        held.drain(..at);
    }
    (served, held)
}

/// The same requests are served, and the same refused, however the stream is cut.
pub fn pipelines(data: &[u8]) {
    let (choice, bytes) = first(data);
    let bytes = &bytes[..bytes.len().min(4096)];
    let [whole, singly, uneven] = ways(choice, bytes).map(|pieces| serve(limits(choice), &pieces));
    assert_eq!(whole, singly);
    assert_eq!(whole, uneven);
}
