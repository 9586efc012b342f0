//! The request body on its way to the application: pieces that have arrived, and how many more to ask for.
//!
//! Pure state; `exchange` decides when the application sees a disconnect instead.
use bytes::Bytes;
use std::collections::VecDeque;

/// Pieces held or asked for ahead of the application, once it has begun to read: one hop a piece would be slow.
const READ_AHEAD_PIECES: usize = 4;

/// What the application has not read yet.
pub struct Body {
    /// In order; the last piece of the body is among them even if it is empty, so that its end is told once.
    pieces: VecDeque<Bytes>,
    /// The engine has more to give.
    more: bool,
    /// Pieces asked for and not yet here.
    asked: usize,
}

impl Body {
    /// As far as it came with the request.
    pub fn new(first: Bytes, more: bool) -> Self {
        let mut body = Self { pieces: VecDeque::new(), more, asked: 0 };
        body.keep(first);
        body
    }

    /// A piece that was asked for.
    pub fn arrived(&mut self, data: Bytes, more: bool) {
        self.asked = self.asked.saturating_sub(1);
        self.more = more;
        self.keep(data);
    }

    /// The next piece, and whether more of the body follows it. `None`: it has not arrived, or all has been read.
    pub fn next(&mut self) -> Option<(Bytes, bool)> {
        let piece = self.pieces.pop_front()?;
        Some((piece, self.more || !self.pieces.is_empty()))
    }

    /// How many pieces to ask the engine for now.
    pub fn want(&mut self) -> usize {
        if !self.more {
            return 0;
        }
        let wanted = READ_AHEAD_PIECES.saturating_sub(self.asked + self.pieces.len());
        self.asked += wanted;
        wanted
    }

    fn keep(&mut self, data: Bytes) {
        if !data.is_empty() || !self.more {
            self.pieces.push_back(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_body_is_one_empty_piece_and_then_nothing() {
        let mut body = Body::new(Bytes::new(), false);
        assert_eq!(body.next(), Some((Bytes::new(), false)));
        assert_eq!((body.next(), body.want()), (None, 0));
    }

    #[test]
    fn reads_ahead_a_bounded_number_of_pieces_and_skips_empty_ones_that_are_not_the_last() {
        let mut body = Body::new(Bytes::new(), true);
        assert_eq!((body.next(), body.want(), body.want()), (None, READ_AHEAD_PIECES, 0));
        body.arrived(Bytes::new(), true);
        assert_eq!((body.next(), body.want()), (None, 1));
        body.arrived(Bytes::from_static(b"a"), true);
        body.arrived(Bytes::from_static(b"b"), true);
        assert_eq!(body.want(), 0);
        assert_eq!(body.next(), Some((Bytes::from_static(b"a"), true)));
        assert_eq!(body.want(), 1);
        body.arrived(Bytes::new(), false);
        assert_eq!(body.next(), Some((Bytes::from_static(b"b"), true)));
        assert_eq!(body.next(), Some((Bytes::new(), false)));
        assert_eq!((body.next(), body.want()), (None, 0));
    }
}
