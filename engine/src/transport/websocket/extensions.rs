//! The `Sec-WebSocket-Extensions` field (RFC 6455 §9.1), and what this server answers to offers of permessage-deflate
//! (RFC 7692 §7.1).
//!
//! Always without context takeover either way: it would cost zlib state per connection, and a compression per
//! subscriber. Called by the handshake; how messages are compressed is said in `deflate`.

/// permessage-deflate as agreed. The window of the client is not limited: inflating has all of it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// The `server_max_window_bits` that the client asked for, 8 to 15.
    server_window_bits: Option<u8>,
}

impl Deflate {
    /// Whether a message of so many bytes may be sent compressed. A client that asked for a small window cannot look
    /// back further than that, and one compression serves all: what is longer than its window goes to it plain.
    pub fn fits(self, message_bytes: usize) -> bool {
        match self.server_window_bits {
            Some(bits @ ..15) => message_bytes <= 1 << bits,
            Some(_) | None => true,
        }
    }

    /// The value of `sec-websocket-extensions` that accepts the offer.
    pub(super) fn answer(self) -> String {
        let mut answer =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned();
        if let Some(bits) = self.server_window_bits {
            answer.push_str("; server_max_window_bits=");
            answer.push_str(itoa::Buffer::new().format(bits));
        }
        answer
    }
}

/// An extension that the client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    name: String,
    /// Names and values, in order.
    params: Vec<(String, Option<String>)>,
}

/// The first offer of permessage-deflate that can be accepted (§5.1: in the client's order of preference).
pub fn negotiate<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Option<Deflate> {
    offers.into_iter().filter(|offer| offer.name == "permessage-deflate").find_map(accept)
}

/// §7: an offer with a parameter that is unknown, doubled or has a bad value must be declined.
fn accept(offer: &Offer) -> Option<Deflate> {
    let mut deflate = Deflate { server_window_bits: None };
    for (i, (name, value)) in offer.params.iter().enumerate() {
        if offer.params[..i].iter().any(|(earlier, _)| earlier == name) {
            return None;
        }
        match (name.as_str(), value.as_deref()) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) => _ = window_bits(bits)?,
            ("server_max_window_bits", Some(bits)) => deflate.server_window_bits = Some(window_bits(bits)?),
            _ => return None,
        }
    }
    Some(deflate)
}

/// 8 to 15, without leading zeros (§7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    (8..=15).find(|bits| itoa::Buffer::new().format(*bits) == value)
}

/// The offers of one field line; `None` if it breaks the grammar.
pub fn parse(line: &[u8]) -> Option<Vec<Offer>> {
    let mut scanner = Scanner { rest: line };
    let mut offers = Vec::new();
    loop {
        // Lists may have empty elements (RFC 9110 §5.6.1).
        while scanner.separator(b',') {}
        if scanner.rest.is_empty() {
            return Some(offers);
        }
        let mut offer = Offer { name: scanner.token()?, params: Vec::new() };
        while scanner.separator(b';') {
            let name = scanner.token()?;
            let value = if scanner.separator(b'=') { Some(scanner.value()?) } else { None };
            offer.params.push((name, value));
        }
        offers.push(offer);
        if !scanner.rest.is_empty() && !scanner.separator(b',') {
            return None;
        }
    }
}

/// Reads a field value from the front.
struct Scanner<'a> {
    /// What has not been read; never begins with white space after a read.
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Read `byte` and the space around it, if it is next.
    fn separator(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
            self.skip_space();
        }
        found
    }

    fn token(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|b| !is_token_byte(*b)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.skip_space();
        as_token(token).map(str::to_owned)
    }

    /// A token, or a quoted string that says one (RFC 6455 §9.1).
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix(b"\"") else { return self.token() };
        let mut said = Vec::new();
        let mut bytes = quoted.iter();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => said.push(*bytes.next()?),
                byte => said.push(*byte),
            }
        }
        self.rest = bytes.as_slice();
        self.skip_space();
        as_token(&said).map(str::to_owned)
    }
}

/// `bytes` if they are a token (RFC 9110 §5.6.2).
pub fn as_token(bytes: &[u8]) -> Option<&str> {
    let is_token = !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b));
    std::str::from_utf8(bytes).ok().filter(|_| is_token)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answered(line: &str) -> Option<String> {
        negotiate(&parse(line.as_bytes()).expect("the grammar is kept")).map(Deflate::answer)
    }

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn the_offers_of_browsers_are_answered_without_context_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=\"12\" ; server_no_context_takeover",
            "x-webkit-deflate-frame, ,permessage-deflate; client_no_context_takeover",
        ] {
            assert_eq!(answered(offer).as_deref(), Some(PLAIN), "{offer}");
        }
    }

    #[test]
    fn a_small_server_window_is_granted_and_kept_by_sending_longer_messages_plain() {
        let offers = parse(b"permessage-deflate; server_max_window_bits=9").unwrap();
        let deflate = negotiate(&offers).unwrap();
        assert_eq!(deflate.answer(), format!("{PLAIN}; server_max_window_bits=9"));
        assert!(deflate.fits(512) && !deflate.fits(513));
        let whole = negotiate(&parse(b"permessage-deflate; server_max_window_bits=15").unwrap()).unwrap();
        assert!(whole.fits(usize::MAX));
    }

    #[test]
    fn an_offer_with_a_bad_parameter_is_passed_over_for_the_next() {
        for bad in [
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "client_max_window_bits=0",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "unknown",
        ] {
            assert_eq!(answered(&format!("permessage-deflate; {bad}")), None, "{bad}");
            let two = format!("permessage-deflate; {bad}, permessage-deflate; server_max_window_bits=10");
            assert_eq!(answered(&two), Some(format!("{PLAIN}; server_max_window_bits=10")), "{bad}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_no_offer() {
        for bad in [
            "a b",
            "a;",
            "a; =1",
            "a; b=",
            "a; b=\"c",
            "a; b=\"c d\"",
            "a; b=\"\"",
            "\u{e9}",
            ";",
            "a; b=\"c\"d",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse(b" , ,"), Some(vec![]));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "(permessage-deflate|[;,=\"\\\\ ]|server_max_window_bits|9|\\PC){0,12}") {
            if let Some(offers) = parse(line.as_bytes()) {
                let _ = negotiate(&offers);
            }
        }
    }
}
