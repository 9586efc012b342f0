//! Request bodies (RFC 9112 §6-7), strict: bytes in, data out, an error for whatever two parsers could read differently.
//!
//! The data is not kept and its size not limited here: the connection, which calls this, counts what the sink gets.
//! Chunk extensions and trailer fields are checked, bounded together and thrown away.
use crate::http::head::Framing;
use crate::http::refusal::Refusal;
use crate::http::response::is_token_byte;

/// Bytes of chunk extensions and trailer fields in one body.
const MAX_SIDE_BYTES: u16 = 8 * 1024;
/// Digits of a chunk size: what cannot overflow.
const MAX_SIZE_DIGITS: u8 = 15;

/// A decoder of one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// What is left of [`MAX_SIDE_BYTES`].
    side_bytes: u16,
}

/// What comes next. A chunk's size line: size, extensions, CR, LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes, then the end.
    Length(u64),
    /// Hexadecimal digits of a chunk's size; so many have been seen.
    Size { size: u64, digits: u8 },
    /// A chunk extension.
    Extension { size: u64, at: Extension },
    /// The LF that ends a size line.
    SizeLf(u64),
    /// So many bytes, then CRLF.
    Data(u64),
    /// The CR after a chunk's data.
    DataCr,
    /// The LF after that.
    DataLf,
    /// A trailer field, or the CR of the last line.
    TrailerStart,
    /// More of a trailer field's name, or its colon.
    TrailerName,
    /// A trailer field's value, or its CR.
    TrailerValue,
    /// The LF that ends a trailer field.
    TrailerLf,
    /// The LF that ends everything.
    LastLf,
    /// Nothing.
    Done,
}

/// Where in `;name=value` (RFC 9112 §7.1.1), with "bad white space" (RFC 9110 §5.6.3) before and after `;` and `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// After white space that a semicolon must follow.
    Before,
    NameStart,
    Name,
    /// After white space behind a name.
    NameEnd,
    ValueStart,
    Value,
    Quoted,
    /// After a backslash in quotes.
    Escaped,
    QuotedEnd,
}

impl Extension {
    /// The place after `byte`, which is not the CR that may end some of them.
    fn next(self, byte: u8) -> Option<Self> {
        use Extension::*;
        Some(match (self, byte) {
            (Before | NameStart | NameEnd | ValueStart, b' ' | b'\t') => self,
            (Name, b' ' | b'\t') => NameEnd,
            (Value | QuotedEnd, b' ' | b'\t') => Before,
            (NameStart | Name, b) if is_token_byte(b) => Name,
            (Name | NameEnd, b'=') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Value, b) if is_token_byte(b) => Value,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, b) if is_text_byte(b) => Quoted,
            (Before | Name | NameEnd | Value | QuotedEnd, b';') => NameStart,
            _ => return None,
        })
    }

    /// Whether a CR may follow.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuotedEnd)
    }
}

/// What a field value or a quoted string may hold.
fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

impl Body {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
        };
        Self { state, side_bytes: MAX_SIDE_BYTES }
    }

    /// Whether the body has ended.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Take bytes, handing data to `sink`: how many were used, all of them unless the body ended. After an error the
    /// end of the request is not known: close.
    pub fn feed(&mut self, buf: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, Refusal> {
        let mut used = 0;
        while let Some(rest) = buf.get(used..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Done => break,
                State::Length(left) | State::Data(left) => {
                    let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    sink(&rest[..here]);
                    used += here;
                    let left = left - here as u64;
                    self.state = match (self.state, left) {
                        (State::Length(_), 0) => State::Done,
                        (State::Length(_), left) => State::Length(left),
                        (_, 0) => State::DataCr,
                        (_, left) => State::Data(left),
                    };
                }
                state => {
                    self.state = self.step(state, rest[0])?;
                    used += 1;
                }
            }
        }
        Ok(used)
    }

    /// The state after one byte that is not data.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Refusal> {
        use State::*;
        Ok(match (state, byte) {
            (Size { size, digits }, b) if b.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = (b as char).to_digit(16).unwrap_or_default();
                Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Size { size, digits: 1.. }, b'\r') => SizeLf(size),
            (Size { size, digits: 1.. }, b';') => Extension { size, at: self::Extension::NameStart },
            (Size { size, digits: 1.. }, b' ' | b'\t') => Extension { size, at: self::Extension::Before },
            (Size { .. }, _) => return Err(Refusal::new(400, "chunk_size", "A chunk's size is malformed.")),

            (Extension { size, at }, b'\r') if at.may_end() => SizeLf(size),
            (Extension { size, at }, b) => {
                self.spend(400, "chunk_extension")?;
                match at.next(b) {
                    Some(at) => Extension { size, at },
                    None => {
                        return Err(Refusal::new(400, "chunk_extension", "A chunk extension is malformed."));
                    }
                }
            }

            (SizeLf(0), b'\n') => TrailerStart,
            (SizeLf(size), b'\n') => Data(size),
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size { size: 0, digits: 0 },
            (SizeLf(_) | DataCr | DataLf, _) => {
                return Err(Refusal::new(400, "chunk_end", "A chunk or its size does not end with CRLF."));
            }

            (TrailerStart, b'\r') => LastLf,
            (LastLf, b'\n') => Done,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerLf, b'\n') => TrailerStart,
            (TrailerStart | TrailerName, b) if is_token_byte(b) => {
                self.spend(431, "trailers_too_large")?;
                TrailerName
            }
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b) if is_text_byte(b) => {
                self.spend(431, "trailers_too_large")?;
                TrailerValue
            }
            (TrailerStart | TrailerName | TrailerValue | TrailerLf | LastLf, _) => {
                return Err(Refusal::new(400, "trailers", "A trailer field is malformed."));
            }
            // `feed` moves through these by itself.
            (Length(_) | Data(_) | Done, _) => state,
        })
    }

    /// Count a byte that is neither data nor size.
    fn spend(&mut self, status: u16, reason: &'static str) -> Result<(), Refusal> {
        self.side_bytes = self.side_bytes.checked_sub(1).ok_or_else(|| {
            let detail = format!("Chunk extensions and trailer fields exceed {MAX_SIDE_BYTES} bytes.");
            Refusal::new(status, reason, detail)
        })?;
        Ok(())
    }
}
