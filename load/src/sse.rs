//! What a member needs of an event stream (HTML standard §9.2.6), cut anywhere, without keeping its data: that an event
//! came, its stamp, its `id`, and whether it says that the resource is gone.
use crate::scan::{Scan, Seen};

/// The longest field that is not data and yet kept.
const MAX_FIELD_BYTES: usize = 4096;

/// Where in a line the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// At its beginning, or in a field of which [`Scan::held`] has what came.
    #[default]
    Start,
    /// In a `data` field.
    Data,
    /// In one that nobody needs.
    Ignored,
}

/// What an event has so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    has_data: bool,
    gone: bool,
    after_cr: bool,
}

/// Take a piece of the stream.
pub fn feed(scan: &mut Scan, mut bytes: &[u8], seen: &mut impl FnMut(Seen<'_>)) {
    if std::mem::take(&mut scan.event.after_cr) && bytes.first() == Some(&b'\n') {
        bytes = &bytes[1..];
    }
    while !bytes.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        match (scan.line, end) {
            (Line::Start, Some(_)) if scan.held.is_empty() => field(scan, piece, seen),
            (Line::Start, end) => {
                scan.held.extend_from_slice(piece);
                let held = std::mem::take(&mut scan.held);
                if end.is_some() {
                    field(scan, &held, seen);
                } else if let Some(value) = held.strip_prefix(b"data:") {
                    scan.line = Line::Data;
                    scan.finder.reset();
                    data(scan, value);
                } else if held.len() > MAX_FIELD_BYTES {
                    scan.line = Line::Ignored;
                } else {
                    scan.held = held;
                }
            }
            (Line::Data, _) => data(scan, piece),
            (Line::Ignored, _) => {}
        }
        let Some(end) = end else { return };
        scan.line = Line::Start;
        let crlf = bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n');
        scan.event.after_cr = bytes[end] == b'\r' && end + 1 == bytes.len();
        bytes = &bytes[end + 1 + usize::from(crlf)..];
    }
}

fn data(scan: &mut Scan, piece: &[u8]) {
    scan.event.has_data = true;
    let stamp = &mut scan.stamp;
    scan.finder.feed(piece, |found| *stamp = found);
}

/// A whole line.
fn field(scan: &mut Scan, line: &[u8], seen: &mut impl FnMut(Seen<'_>)) {
    if line.is_empty() {
        let event = std::mem::take(&mut scan.event);
        if !scan.pending.is_empty() {
            std::mem::swap(&mut scan.last, &mut scan.pending);
            scan.pending.clear();
        }
        let stamp = std::mem::take(&mut scan.stamp);
        match event {
            Event { gone: true, .. } => seen(Seen::Gone),
            Event { has_data: true, .. } => seen(Seen::Message(stamp)),
            _ => {}
        }
        return;
    }
    let colon = memchr::memchr(b':', line);
    let (name, value) = colon.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
    let value = value.strip_prefix(b" ").unwrap_or(value);
    match name {
        b"data" => {
            scan.finder.reset();
            data(scan, value);
        }
        b"id" if !value.contains(&0) => {
            scan.pending.clear();
            scan.pending.extend_from_slice(value);
        }
        b"event" => scan.event.gone = value == b"gone",
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a stream says, and the id it ends with.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let (mut scan, mut said) = (Scan::default(), vec![]);
        for piece in pieces {
            feed(&mut scan, piece, &mut |seen| said.push(format!("{seen:?}")));
        }
        (said, String::from_utf8_lossy(&scan.last).into())
    }

    const STREAM: &str = "\
        retry: 1000\n\n: a comment\n\nid: a-1\ndata: {\"at\":\"00000000000000000012\",\"x\":1}\n\n\
        data: one\ndata: two\nid: a-2\n\nevent: other\r\ndata\r\n\r\nid:a-3\rdata:x\r\r\
        event: gone\ndata: {\"status\":404}\n\ndata: cut";

    #[test]
    fn an_event_is_a_message_if_it_has_data_and_the_id_counts_once_it_has_ended() {
        let (said, id) = read(&[STREAM.as_bytes()]);
        assert_eq!(said, ["Message(12)", "Message(0)", "Message(0)", "Message(0)", "Gone"]);
        assert_eq!(id, "a-3");
        assert_eq!(read(&[b"id: 1\ndata: x\n\nid: 2\ndata: x\n"]).1, "1");
        assert_eq!(read(&[b"id: 1\n\ndata: x\n\n"]), (vec!["Message(0)".into()], "1".into()));
    }

    proptest! {
        #[test]
        fn a_stream_says_the_same_however_it_is_cut(cuts in prop::collection::vec(0..STREAM.len(), 0..12)) {
            let mut at = [cuts, vec![0, STREAM.len()]].concat();
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &STREAM.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[STREAM.as_bytes()]));
        }
    }

    #[test]
    fn data_is_not_kept() {
        let mut scan = Scan::default();
        feed(&mut scan, b"data: ", &mut |_| {});
        for _ in 0..100 {
            feed(&mut scan, &[b'x'; 1000], &mut |_| {});
        }
        assert_eq!(scan.held.capacity() + scan.pending.capacity(), 0);
    }
}
