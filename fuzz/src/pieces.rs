//! Ways to cut the same bytes: what a codec says must not depend on how they arrived.

/// The bytes whole, one by one, and in pieces whose lengths `seed` chooses.
pub fn ways(seed: u8, bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    [vec![bytes], bytes.chunks(1).collect(), uneven(seed, bytes)]
}

/// Pieces of 1 to 64 bytes, short ones more often.
fn uneven(seed: u8, mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut state = u32::from(seed) << 8 | 1;
    let mut pieces = vec![];
    while !bytes.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let longest = 1 << (state >> 8 & 7).min(6);
        let (piece, rest) = bytes.split_at((1 + (state as usize >> 12) % longest).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The first byte, for whatever the target chooses by it, and the rest.
pub fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
