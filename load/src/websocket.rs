//! What a member needs of a server's frames (RFC 6455 §5), cut anywhere, without keeping a message: that one came, its
//! stamp, pings and the close.
use crate::scan::{Scan, Seen};
use freshwire_engine::transport::websocket::close::NO_STATUS;
use freshwire_engine::transport::websocket::encoder;
use freshwire_engine::transport::websocket::frame::{Header, Op};

/// A frame whose header has been read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    op: Option<Op>,
    left: u64,
    fin: bool,
}

/// Take a piece of the stream. Fails with what is wrong with it.
pub fn feed(scan: &mut Scan, mut bytes: &[u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<(), &'static str> {
    loop {
        let Some(op) = scan.frame.op else {
            if bytes.is_empty() {
                return Ok(());
            }
            let held = scan.held.len();
            let parsed = if held == 0 {
                Header::parse(bytes)
            } else {
                // The longest header has 14 bytes; those behind it are not taken.
                scan.held.extend_from_slice(&bytes[..bytes.len().min(14)]);
                Header::parse(&scan.held)
            };
            let Some((header, size)) = parsed.map_err(|fault| fault.reason)? else {
                if held == 0 {
                    scan.held.extend_from_slice(bytes);
                }
                return Ok(());
            };
            if header.mask.is_some() {
                return Err("a masked frame");
            }
            bytes = &bytes[size - held..];
            scan.held = Vec::new();
            scan.frame = Frame { op: Some(header.op), left: header.len, fin: header.fin };
            continue;
        };
        let here = usize::try_from(scan.frame.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (piece, rest) = bytes.split_at(here);
        bytes = rest;
        scan.frame.left -= here as u64;
        if op.is_control() {
            control(scan, op, piece, seen);
        } else {
            let stamp = &mut scan.stamp;
            scan.finder.feed(piece, |found| *stamp = found);
        }
        if scan.frame.left > 0 {
            return Ok(());
        }
        if !op.is_control() && scan.frame.fin {
            scan.finder.reset();
            seen(Seen::Message(std::mem::take(&mut scan.stamp)));
        }
        scan.frame = Frame::default();
    }
}

/// Take a piece of a control frame's payload, which is at most 125 bytes.
fn control(scan: &mut Scan, op: Op, piece: &[u8], seen: &mut impl FnMut(Seen<'_>)) {
    if scan.frame.left > 0 {
        return scan.held.extend_from_slice(piece);
    }
    let held = std::mem::take(&mut scan.held);
    let payload = if held.is_empty() { piece } else { &[&held, piece].concat()[..] };
    match op {
        Op::Ping => seen(Seen::Ping(payload)),
        Op::Close => {
            seen(Seen::Close(payload.first_chunk().map_or(NO_STATUS, |code| u16::from_be_bytes(*code))))
        }
        _ => {}
    }
}

/// Append a frame as a client sends it. The mask hides nothing from a proxy here, so it is the same for all.
pub fn client_frame(op: Op, payload: &[u8], out: &mut Vec<u8>) {
    let header = Header { fin: true, compressed: false, op, len: 0, mask: Some(*b"\x5a\xc3\x96\x3c") };
    encoder::client_frame(header, payload, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, &'static str> {
        let (mut scan, mut said) = (Scan::default(), vec![]);
        for piece in pieces {
            feed(&mut scan, piece, &mut |seen| said.push(format!("{seen:?}")))?;
        }
        Ok(said)
    }

    fn stream() -> Vec<u8> {
        let mut out = vec![];
        encoder::frame(Op::Text, br#"{"at":"00000000000000000012"}"#, &mut out);
        encoder::frame(Op::Ping, b"hello", &mut out);
        let first = Header { fin: false, compressed: false, op: Op::Text, len: 0, mask: None };
        encoder::client_frame(first, br#"{"at":"000000000000"#, &mut out);
        encoder::frame(Op::Ping, b"", &mut out);
        encoder::client_frame(
            Header { op: Op::Continuation, fin: true, ..first },
            br#"00000034"}"#,
            &mut out,
        );
        encoder::frame(Op::Text, &[b'x'; 300], &mut out);
        encoder::frame(Op::Binary, b"", &mut out);
        encoder::close(4404, "gone", &mut out);
        out
    }

    proptest! {
        #[test]
        fn frames_say_the_same_however_they_are_cut(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let stream = stream();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            let said = read(&pieces).unwrap();
            prop_assert_eq!(said, [
                "Message(12)", "Ping([104, 101, 108, 108, 111])", "Ping([])", "Message(34)", "Message(0)", "Message(0)",
                "Close(4404)",
            ]);
        }
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_a_fault() {
        assert!(read(&[b"garbage"]).is_err());
        let mut masked = vec![];
        client_frame(Op::Text, b"x", &mut masked);
        assert_eq!(read(&[&masked]), Err("a masked frame"));
    }
}
