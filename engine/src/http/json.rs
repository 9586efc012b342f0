//! How deep a JSON text goes (RFC 8259 §9 lets a reader set a limit). Whoever parses what a peer wrote asks first.

/// Nesting that is followed.
pub const MAX_DEPTH: usize = 64;

/// Whether arrays and objects nest deeper than [`MAX_DEPTH`]. What is no JSON may be said to go too deep.
pub fn too_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_outside_of_strings_count() {
        let nested = |n: usize| "[{\"a\":".repeat(n / 2) + "0" + &"}]".repeat(n / 2);
        assert!(!too_deep(nested(64).as_bytes()) && too_deep(nested(66).as_bytes()));
        assert!(!too_deep(format!("[{}]", vec!["[]"; 1000].join(",")).as_bytes()));
        assert!(!too_deep(format!("\"\\\"{}\"", "[".repeat(100)).as_bytes()));
        assert!(too_deep(format!("\"\\\\\"{}", "[".repeat(100)).as_bytes()));
    }
}
