//! Field lines (RFC 9110 §5) as they came, names in lower case, all in one buffer: two allocations whatever their number.
//!
//! What a value *means* is not said here: see `lists`, and the module that uses it.

/// Where a line's name ends and its value ends in [`Fields::text`]; it begins where the line before ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    name: u32,
    value: u32,
}

/// An ordered list of field lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Name, value, name, value, without separators.
    text: Vec<u8>,
    /// One entry a line.
    ends: Vec<Ends>,
}

impl Fields {
    /// No lines, and room for `lines` of them in `bytes` bytes of text.
    pub fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ends: Vec::with_capacity(lines) }
    }

    /// Append a line. The name is lower-cased; neither part is checked here.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let start = self.text.len();
        self.text.extend_from_slice(name.as_ref());
        self.text[start..].make_ascii_lowercase();
        let name = self.text.len() as u32;
        self.text.extend_from_slice(value.as_ref());
        self.ends.push(Ends { name, value: self.text.len() as u32 });
    }

    /// Append a line whose value is written as it is displayed.
    pub fn push_display(&mut self, name: &str, value: impl std::fmt::Display) {
        self.push(name, "");
        // A `Vec` takes everything.
        let _ = std::io::Write::write_fmt(&mut self.text, format_args!("{value}"));
        if let Some(ends) = self.ends.last_mut() {
            ends.value = self.text.len() as u32;
        }
    }

    /// Append a line whose value comes in pieces.
    pub fn push_pieces(&mut self, name: &str, value: &[&str]) {
        self.push(name, "");
        value.iter().for_each(|piece| self.text.extend_from_slice(piece.as_bytes()));
        if let Some(ends) = self.ends.last_mut() {
            ends.value = self.text.len() as u32;
        }
    }

    /// Make room for `lines` more with `bytes` bytes of text.
    pub fn reserve(&mut self, lines: usize, bytes: usize) {
        self.text.reserve(bytes);
        self.ends.reserve(lines);
    }

    /// The lines in order: name in lower case, value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |e| {
            let line = (&self.text[start..e.name as usize], &self.text[e.name as usize..e.value as usize]);
            start = e.value as usize;
            line
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
        self.ends.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A copy without the lines that `drop` names.
    pub fn without(&self, drop: impl Fn(&[u8]) -> bool) -> Self {
        let mut kept = Self::with_capacity(self.len(), self.text.len());
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
