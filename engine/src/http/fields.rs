//! Field lines (RFC 9110 §5) as they came, names in lower case, all in one buffer: one allocation whatever their number.
//!
//! What a value *means* is not said here: see `lists`, and the module that uses it.

/// Bytes before each line: how long its name is, and how long its value.
const LENGTHS: usize = 8;

/// An ordered list of field lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Of each line: the two lengths, the name, the value.
    lines: Vec<u8>,
}

impl Fields {
    /// No lines, and room for `lines` of them in `bytes` bytes of text.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { lines: Vec::with_capacity(lines * LENGTHS + bytes) }
    }

    /// Append a line. The name is lower-cased; neither part is checked here.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push_with(name.as_ref(), |lines| lines.extend_from_slice(value.as_ref()));
    }

    /// Append a line whose value is written as it is displayed.
    pub fn push_display(&mut self, name: &str, value: impl std::fmt::Display) {
        self.push_with(name.as_bytes(), |lines| {
            // A `Vec` takes everything.
            let _ = std::io::Write::write_fmt(lines, format_args!("{value}"));
        });
    }

    /// Append a line whose value comes in pieces.
    pub fn push_pieces(&mut self, name: &str, value: &[&str]) {
        self.push_with(name.as_bytes(), |lines| {
            value.iter().for_each(|piece| lines.extend_from_slice(piece.as_bytes()));
        });
    }

    fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.lines.len() + LENGTHS;
        self.lines.extend_from_slice(&[0; LENGTHS]);
        self.lines.extend_from_slice(name);
        self.lines[start..].make_ascii_lowercase();
        let value = self.lines.len();
        write(&mut self.lines);
        let lengths = [value - start, self.lines.len() - value].map(|length| (length as u32).to_ne_bytes());
        self.lines[start - LENGTHS..start].copy_from_slice(lengths.as_flattened());
    }

    /// Make room for `lines` more with `bytes` bytes of text.
    pub fn reserve(&mut self, lines: usize, bytes: usize) {
        self.lines.reserve(lines * LENGTHS + bytes);
    }

    /// Give back the room for more.
    pub fn shrink_to_fit(&mut self) {
        self.lines.shrink_to_fit();
    }

    /// The lines in order: name in lower case, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.lines[..];
        std::iter::from_fn(move || {
            let (name, line) = rest.split_first_chunk()?;
            let (value, line) = line.split_first_chunk()?;
            let [name, value] = [name, value].map(|length| u32::from_ne_bytes(*length) as usize);
            let (name, line) = line.split_at(name);
            let (value, after) = line.split_at(value);
            rest = after;
            Some((name, value))
        })
    }

    /// The values of every line called `name` (in lower case).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, v)| v)
    }

    /// The value of the first line called `name` (in lower case).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, v)| v)
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A copy without the lines that `drop` names.
    pub fn without(&self, drop: impl Fn(&[u8]) -> bool) -> Self {
        let mut kept = Self::with_capacity(0, self.lines.len());
        for (name, value) in self.iter().filter(|(name, _)| !drop(name)) {
            kept.push(name, value);
        }
        kept
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut fields = Self::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_repetition_and_lowers_names() {
        let fields: Fields = [("Accept", "a"), ("X-Y", ""), ("ACCEPT", "b")].into_iter().collect();
        assert_eq!(fields.all("accept").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.get("x-y"), Some(&b""[..]));
        assert_eq!(fields.get("none"), None);
        let mut kept = fields.without(|n| n == b"accept");
        kept.push_display("n", 7);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [(&b"x-y"[..], &b""[..]), (b"n", b"7")]);
    }
}
