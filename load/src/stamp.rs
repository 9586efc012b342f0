//! The stamp: how a message says when the change that it reports was made, so that whoever gets it knows its delay.
//!
//! Anywhere in the message, `"at":"` and 20 digits: nanoseconds since 1970, with leading zeros. All zeros, like no stamp
//! at all, means that it is not known.
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands before the digits.
pub const MARK: &[u8] = b"\"at\":\"";
/// How many there are.
pub const DIGITS: usize = 20;
/// What may be held of a stamp that is not there whole yet.
const KEEP: usize = MARK.len() + DIGITS - 1;

/// Nanoseconds since 1970: what a stamp says.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Where the digits of the first stamp begin, if all of them are there.
pub fn find_stamp(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&bytes[from..], MARK) {
        let at = from + found + MARK.len();
        if bytes.get(at..at + DIGITS)?.iter().all(u8::is_ascii_digit) {
            return Some(at);
        }
        from = at; // a field of the same name that is no stamp
    }
    None
}

/// The number that the digits say.
pub fn read_stamp(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0'))))
}

/// Finds stamps in bytes that come in pieces.
#[derive(Debug)]
pub struct Finder {
    held: [u8; KEEP],
    len: u8,
}

impl Default for Finder {
    fn default() -> Self {
        Self { held: [0; KEEP], len: 0 }
    }
}

impl Finder {
    /// Take a piece, handing on each stamp that it completes.
    pub fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u64)) {
        let held = usize::from(self.len);
        if held > 0 {
            let more = bytes.len().min(KEEP);
            let mut joined = [0; 2 * KEEP];
            joined[..held].copy_from_slice(&self.held[..held]);
            joined[held..held + more].copy_from_slice(&bytes[..more]);
            let joined = &joined[..held + more];
            if let Some(at) = find_stamp(joined) {
                seen(read_stamp(&joined[at..at + DIGITS]));
                bytes = &bytes[at + DIGITS - held..];
            } else if more < KEEP {
                return self.keep(joined);
            }
        }
        while let Some(at) = find_stamp(bytes) {
            seen(read_stamp(&bytes[at..at + DIGITS]));
            bytes = &bytes[at + DIGITS..];
        }
        self.keep(bytes);
    }

    /// Forget a stamp that has begun.
    pub fn reset(&mut self) {
        self.len = 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let end = &bytes[bytes.len().saturating_sub(KEEP)..];
        let end = memchr::memchr(MARK[0], end).map_or(&[][..], |at| &end[at..]);
        self.held[..end.len()].copy_from_slice(end);
        self.len = end.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamps(pieces: &[&[u8]]) -> Vec<u64> {
        let (mut finder, mut found) = (Finder::default(), vec![]);
        for piece in pieces {
            finder.feed(piece, |stamp| found.push(stamp));
        }
        found
    }

    proptest! {
        #[test]
        fn stamps_are_found_however_the_bytes_are_cut(
            numbers in prop::collection::vec(1u64..10_u64.pow(18), 1..4),
            noise in "[\"at: x{}]{0,40}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole: String = numbers.iter().map(|n| format!("{{\"at\":\"{n:020}\",{noise}")).collect();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &whole.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(stamps(&pieces), numbers);
        }
    }

    #[test]
    fn a_field_of_the_same_name_that_is_no_time_is_no_stamp() {
        assert_eq!(stamps(&[br#"{"at":"2026-11-24T19:00:00.000+01:00"}"#]), [0; 0]);
        assert_eq!(stamps(&[br#"{"at":"2026-11-24T19:00:00.000Z","x":{"at":"00000000000000000007"}}"#]), [7]);
    }
}
