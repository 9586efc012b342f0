//! Frames as they are sent: whole and unmasked, for any number of subscribers; and as a client sends them, for tests.
//!
//! Every function appends to `out`, growing it at most once. Fragments are never sent: a message is at hand whole.
use super::close;
use super::frame::{Header, MAX_HEADER_BYTES, Op, apply_mask};

/// Append one unmasked frame, as a server sends it.
pub fn frame(op: Op, data: &[u8], out: &mut Vec<u8>) {
    write(&Header { fin: true, compressed: false, op, len: data.len() as u64, mask: None }, data, out);
}

/// Append one frame whose `data` is what [`super::deflate::compress`] made, of a `Text` or `Binary` message.
pub fn compressed_frame(op: Op, data: &[u8], out: &mut Vec<u8>) {
    debug_assert!(matches!(op, Op::Text | Op::Binary), "only messages are compressed");
    write(&Header { fin: true, compressed: true, op, len: data.len() as u64, mask: None }, data, out);
}

/// Append a close frame. A code that must not be sent (1005 above all) makes an empty one; a reason above 123 bytes is
/// cut between characters.
pub fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    if !close::may_be_sent(code) {
        return frame(Op::Close, b"", out);
    }
    let mut end = reason.len().min(close::MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(Op::Close, &payload, out);
}

/// Append the frame that a client would send: `header` may be any, also a bad one, but for `len`, which is that of
/// `data`. With a mask in it, `data` is masked.
pub fn client_frame(header: Header, data: &[u8], out: &mut Vec<u8>) {
    write(&Header { len: data.len() as u64, ..header }, data, out);
    if let Some(mask) = header.mask {
        let start = out.len() - data.len();
        apply_mask(mask, &mut out[start..]);
    }
}

fn write(header: &Header, data: &[u8], out: &mut Vec<u8>) {
    out.reserve(data.len() + MAX_HEADER_BYTES);
    header.write(out);
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn the_examples_of_rfc_6455_5_7() {
        assert_eq!(made(|out| frame(Op::Text, b"Hello", out)), b"\x81\x05Hello");
        assert_eq!(made(|out| frame(Op::Binary, &[7; 256], out))[..4], [0x82, 0x7e, 1, 0]);
        assert_eq!(
            made(|out| frame(Op::Binary, &[7; 65536], out))[..10],
            [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
        );
        let header = Header {
            fin: true,
            compressed: false,
            op: Op::Text,
            len: 0,
            mask: Some([0x37, 0xfa, 0x21, 0x3d]),
        };
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(made(|out| client_frame(header, b"Hello", out)), masked);
    }

    #[test]
    fn a_compressed_frame_has_the_first_reserved_bit() {
        assert_eq!(made(|out| compressed_frame(Op::Text, b"x", out)), [0xc1, 1, b'x']);
    }

    #[test]
    fn a_close_reason_is_cut_between_characters_and_a_code_that_must_not_be_sent_is_left_out() {
        assert_eq!(made(|out| close(4404, "gone", out)), b"\x88\x06\x11\x34gone");
        assert_eq!(made(|out| close(close::NO_STATUS, "x", out)), b"\x88\x00");
        let long = made(|out| close(1000, &"é".repeat(100), out));
        assert_eq!((long[1], long.len()), (124, 126));
        assert!(close::parse(&long[2..]).is_ok());
    }
}
