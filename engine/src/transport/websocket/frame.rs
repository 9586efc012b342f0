//! A frame's header (RFC 6455 §5.2) as bytes and as a value, with the rules that a frame breaks or keeps by itself.
//!
//! Rules about a sequence of frames are the decoder's. Called by the decoder and the encoder.
use super::close::Fault;

/// The longest header: two bytes, a 64-bit length, a mask.
pub const MAX_HEADER_BYTES: usize = 14;
/// The longest payload of a control frame (§5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// More of the message that a `Text` or `Binary` frame began.
    Continuation = 0,
    /// A message of UTF-8, or its beginning.
    Text = 1,
    /// A message of bytes, or its beginning.
    Binary = 2,
    /// The sender sends nothing more.
    Close = 8,
    /// To be answered with a pong of the same payload.
    Ping = 9,
    /// The answer, or a sign of life.
    Pong = 10,
}

impl Op {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is about the connection, and may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Everything before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last (or only) frame of its message.
    pub fin: bool,
    /// RSV1: this frame begins a compressed message (RFC 7692 §6).
    pub compressed: bool,
    /// What it is.
    pub op: Op,
    /// Bytes of payload.
    pub len: u64,
    /// What the payload is XORed with; every client's frame has one and no server's.
    pub mask: Option<[u8; 4]>,
}

impl Header {
    /// The header at the front of `bytes` and its size; `None` if more bytes are needed. Fails at the first byte that
    /// shows a fault, so the result for all the bytes is the result for any prefix that was enough.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let op = Op::from_bits(first & 0x0f).ok_or(Fault::protocol("a reserved opcode"))?;
        if first & 0x30 != 0 || compressed && !matches!(op, Op::Text | Op::Binary) {
            return Err(Fault::protocol("a reserved bit"));
        }
        if op.is_control() && !fin {
            return Err(Fault::protocol("a fragmented control frame"));
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let short = second & 0x7f;
        if op.is_control() && short as usize > MAX_CONTROL_BYTES {
            return Err(Fault::protocol("a control frame above 125 bytes"));
        }
        let Some((len, size)) = length(short, &bytes[2..])? else { return Ok(None) };
        if second & 0x80 == 0 {
            return Ok(Some((Self { fin, compressed, op, len, mask: None }, size)));
        }
        let mask = bytes[size..].first_chunk().copied();
        Ok(mask.map(|mask| (Self { fin, compressed, op, len, mask: Some(mask) }, size + 4)))
    }

    /// Append the header to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push((self.fin as u8) << 7 | (self.compressed as u8) << 6 | self.op as u8);
        let masked = (self.mask.is_some() as u8) << 7;
        match self.len {
            len @ 0..=125 => out.push(masked | len as u8),
            len @ 126..=0xffff => {
                out.push(masked | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(masked | 127);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        out.extend(self.mask.into_iter().flatten());
    }
}

/// The payload length that the seven bits `short` and the bytes after them say, and where those end.
fn length(short: u8, extended: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let (len, size, least) = match short {
        126 => (extended.first_chunk().map(|b| u16::from_be_bytes(*b) as u64), 4, 126),
        127 => (extended.first_chunk().map(|b| u64::from_be_bytes(*b)), 10, 0x1_0000),
        _ => return Ok(Some((short as u64, 2))),
    };
    match len {
        Some(len) if len < least => Err(Fault::protocol("a length that is not encoded minimally")),
        Some(len) if len >> 63 != 0 => Err(Fault::protocol("a length above 2^63")),
        _ => Ok(len.map(|len| (len, size))),
    }
}

/// XOR `payload` with `mask`, eight bytes at a time; returns the mask for the bytes that follow (§5.3).
pub fn apply_mask(mask: [u8; 4], payload: &mut [u8]) -> [u8; 4] {
    let (a, b) = (mask, mask);
    let wide = u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let word: &mut [u8; 8] = word.try_into().expect("chunks of exactly 8");
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let mut next = mask;
    next.rotate_left(payload.len() % 4);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written_and_never_from_less(
            op in 0u8..3, fin: bool, mask: Option<[u8; 4]>,
            len in prop_oneof![0u64..200, 65_000u64..66_000, 0u64..1 << 63],
        ) {
            let header = Header { fin, compressed: op != 0 && fin, op: Op::from_bits(op).unwrap(), len, mask };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            prop_assert_eq!(Header::parse(&bytes), Ok(Some((header, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn masking_in_pieces_is_masking_byte_by_byte(mask: [u8; 4], data: Vec<u8>, cut: prop::sample::Index) {
            let expected: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]).collect();
            let mut masked = data.clone();
            let (head, tail) = masked.split_at_mut(cut.index(data.len() + 1));
            apply_mask(apply_mask(mask, head), tail);
            prop_assert_eq!(masked, expected);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Header::parse(&bytes);
        }
    }
}
