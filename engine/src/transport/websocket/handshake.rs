//! The opening handshake (RFC 6455 §4.2): is this request one, and the 101 that answers it.
//!
//! Not here: whether the origin may (`net` decides that before), which subprotocol to take (the application does), and
//! the response to a bad handshake (a problem+json with [`HandshakeError`]'s status and fields).
use super::extensions::{self, Deflate};
use crate::http::fields::Fields;
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// RFC 6455's own example of a key sets bits behind its last byte, so they are let pass.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// More subprotocols than any client has; each is compared with every other.
const MAX_SUBPROTOCOLS: usize = 64;

/// What a handshake asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `sec-websocket-accept`.
    pub accept: String,
    /// The subprotocols that the client offers, in its order of preference.
    pub subprotocols: Vec<String>,
    /// The permessage-deflate that can be agreed.
    pub deflate: Option<Deflate>,
}

/// Why a request is no handshake; always the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    /// The status to answer: 400, 405 or 426.
    pub status: u16,
    /// What is wrong.
    pub detail: &'static str,
}

impl HandshakeError {
    /// The field lines that the response must have besides those of a problem.
    pub fn fields(&self) -> Fields {
        match self.status {
            405 => Fields::from_iter([("allow", "GET")]),
            426 => Fields::from_iter([("upgrade", "websocket"), ("sec-websocket-version", "13")]),
            _ => Fields::default(),
        }
    }
}

/// The answer to a `Sec-WebSocket-Key` (§4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(sha1.digest().bytes())
}

/// Check a request that wants a WebSocket (§4.2.1).
pub fn check(fields: &Fields, method: &str, minor: u8) -> Result<Handshake, HandshakeError> {
    let bad = |detail| Err(HandshakeError { status: 400, detail });
    if method != "GET" {
        return Err(HandshakeError { status: 405, detail: "a WebSocket handshake must be a GET" });
    }
    if minor < 1 {
        return bad("a WebSocket handshake must be HTTP/1.1");
    }
    if !has_member(fields, "upgrade", b"websocket") {
        return bad("the Upgrade field must name websocket");
    }
    if !has_member(fields, "connection", b"upgrade") {
        return bad("the Connection field must name upgrade");
    }
    if only(fields, "sec-websocket-version") != Some(b"13") {
        return Err(HandshakeError { status: 426, detail: "the WebSocket version must be 13" });
    }
    let Some(key) = only(fields, "sec-websocket-key").filter(|key| is_key(key)) else {
        return bad("there must be one Sec-WebSocket-Key, of 16 bytes in base64");
    };
    let Some(subprotocols) = subprotocols(fields) else {
        return bad("the Sec-WebSocket-Protocol field must list at most 64 tokens, each once");
    };
    let offers: Option<Vec<_>> = fields.all("sec-websocket-extensions").map(extensions::parse).collect();
    let Some(offers) = offers else {
        return bad("the Sec-WebSocket-Extensions field breaks its grammar");
    };
    Ok(Handshake {
        accept: accept_key(key),
        subprotocols,
        deflate: extensions::negotiate(offers.iter().flatten()),
    })
}

/// Append the whole 101. `subprotocol` is one of those offered, or else is left out, as the client would fail; so are
/// lines of `extra` that only the handshake may say. `use_deflate`: agree to the handshake's offer, if there is one.
pub fn write_response(
    out: &mut Vec<u8>,
    handshake: &Handshake,
    subprotocol: Option<&str>,
    extra: &Fields,
    use_deflate: bool,
) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    let mut line = |name: &[u8], value: &[u8]| {
        let breaks = |part| memchr::memchr3(b'\r', b'\n', 0, part).is_some();
        debug_assert!(!breaks(name) && !breaks(value), "fields are checked where the application gives them");
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    line(b"upgrade", b"websocket");
    line(b"connection", b"Upgrade");
    line(b"sec-websocket-accept", handshake.accept.as_bytes());
    if let Some(subprotocol) =
        subprotocol.filter(|s| handshake.subprotocols.iter().any(|offered| offered == s))
    {
        line(b"sec-websocket-protocol", subprotocol.as_bytes());
    }
    if let Some(deflate) = handshake.deflate.filter(|_| use_deflate) {
        line(b"sec-websocket-extensions", deflate.answer().as_bytes());
    }
    for (name, value) in extra.iter().filter(|(name, _)| !is_of_handshake(name)) {
        line(name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether only the handshake itself may say a field of this name.
fn is_of_handshake(name: &[u8]) -> bool {
    name.starts_with(b"sec-websocket-")
        || matches!(name, b"connection" | b"upgrade" | b"content-length" | b"transfer-encoding")
}

/// The value of the one line called `name`.
fn only<'a>(fields: &'a Fields, name: &'a str) -> Option<&'a [u8]> {
    let mut values = fields.all(name);
    let value = values.next()?.trim_ascii();
    values.next().is_none().then_some(value)
}

fn members<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .all(name)
        .flat_map(|line| line.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|m| !m.is_empty())
}

fn has_member(fields: &Fields, name: &str, member: &[u8]) -> bool {
    members(fields, name).any(|m| m.eq_ignore_ascii_case(member))
}

/// 16 bytes in base64 are always 24 characters.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn subprotocols(fields: &Fields) -> Option<Vec<String>> {
    let mut offered: Vec<String> = Vec::new();
    for member in members(fields, "sec-websocket-protocol") {
        let token = extensions::as_token(member)?;
        if offered.len() == MAX_SUBPROTOCOLS || offered.iter().any(|earlier| earlier == token) {
            return None;
        }
        offered.push(token.to_owned());
    }
    Some(offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [(&str, &str); 6] = [
        ("host", "example.com"),
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
    ];

    /// The request above, with one line changed, or left out.
    fn with(name: &str, value: Option<&str>) -> Result<Handshake, HandshakeError> {
        let mut fields: Fields = LINES.into_iter().filter(|(n, _)| *n != name).collect();
        if let Some(value) = value {
            fields.push(name, value);
        }
        check(&fields, "GET", 1)
    }

    #[test]
    fn the_example_of_rfc_6455_1_3_is_accepted() {
        let handshake = check(&LINES.into_iter().collect(), "GET", 1).unwrap();
        let mut out = Vec::new();
        write_response(&mut out, &handshake, Some("chat"), &Fields::from_iter([("set-cookie", "a=b")]), true);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\
             set-cookie: a=b\r\n\r\n"
        );
        assert_eq!(handshake.subprotocols, ["chat", "superchat"]);
    }

    #[test]
    fn compression_is_agreed_only_if_both_want_it() {
        let response = |handshake: &Handshake, use_deflate| {
            let mut out = Vec::new();
            write_response(&mut out, handshake, None, &Fields::default(), use_deflate);
            String::from_utf8(out).unwrap().contains("sec-websocket-extensions: permessage-deflate; ")
        };
        let offered = with("sec-websocket-extensions", Some("permessage-deflate")).unwrap();
        let not_offered = with("sec-websocket-extensions", None).unwrap();
        assert!(response(&offered, true));
        assert!(!response(&offered, false) && !response(&not_offered, true));
    }

    #[test]
    fn a_subprotocol_not_offered_and_fields_of_the_handshake_are_not_said() {
        let handshake = with("sec-websocket-protocol", None).unwrap();
        let mut out = Vec::new();
        let extra =
            [("sec-websocket-protocol", "evil"), ("Connection", "close"), ("transfer-encoding", "chunked")];
        write_response(&mut out, &handshake, Some("evil"), &extra.into_iter().collect(), true);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 5);
    }

    #[test]
    fn what_is_not_a_handshake_is_refused_with_the_status_that_says_so() {
        for (name, value, status) in [
            ("upgrade", None, 400),
            ("upgrade", Some("h2c"), 400),
            ("connection", None, 400),
            ("connection", Some("keep-alive"), 400),
            ("sec-websocket-version", None, 426),
            ("sec-websocket-version", Some("8"), 426),
            ("sec-websocket-key", None, 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZQ=="), 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZSEh"), 400),
            ("sec-websocket-key", Some("!!!!IHNhbXBsZSBub25jZQ=="), 400),
            ("sec-websocket-protocol", Some("a b"), 400),
            ("sec-websocket-protocol", Some("a, a"), 400),
            ("sec-websocket-extensions", Some("a; ="), 400),
        ] {
            assert_eq!(with(name, value).map_err(|e| e.status), Err(status), "{name}: {value:?}");
        }
        let fields: Fields = LINES.into_iter().collect();
        assert_eq!(check(&fields, "POST", 1).unwrap_err().fields().get("allow"), Some(&b"GET"[..]));
        assert_eq!(check(&fields, "GET", 0).unwrap_err().status, 400);
        let error = with("sec-websocket-version", Some("8")).unwrap_err();
        assert_eq!(error.fields().get("sec-websocket-version"), Some(&b"13"[..]));
        let twice: Fields = LINES.into_iter().chain([LINES[3]]).collect();
        assert_eq!(check(&twice, "GET", 1).unwrap_err().status, 400);
    }

    #[test]
    fn the_key_of_rfc_6455_4_1_is_one_although_bits_behind_its_end_are_set() {
        assert!(with("sec-websocket-key", Some("AQIDBAUGBwgJCgsMDQ4PEC==")).is_ok());
    }
}
