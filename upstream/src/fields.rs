//! Field lines between the engine's form and hyper's: what is passed on in each direction, and what is said anew.
//!
//! Pure functions. RFC 9110 §7.6.1: what speaks of one connection ends at that connection.
use freshwire_engine::app::{Address, Request, ResponseHead};
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::lists::{has_token, list};
use hyper::Uri;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, VIA,
};
use std::net::IpAddr;

/// What this node calls itself to those it passes messages on to.
const PSEUDONYM: &str = "freshwire";
/// Nodes in a row that a request may come through: more is a loop.
const MAX_HOPS: usize = 8;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How the body of a request is framed for the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Whether a field of a message ends at this node.
fn is_hop_by_hop(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"te"
            | b"transfer-encoding"
            | b"upgrade"
            | b"http2-settings"
            | b"proxy-authenticate"
            | b"proxy-authentication-info"
            | b"proxy-authorization"
    )
}

/// Whether the node says a field of a request itself, whatever was said before.
fn is_said_anew(name: &[u8]) -> bool {
    matches!(
        name,
        b"host"
            | b"content-length"
            | b"expect"
            | b"trailer"
            | b"via"
            | b"forwarded"
            | b"x-forwarded-for"
            | b"x-forwarded-proto"
            | b"x-forwarded-host"
    ) || name.starts_with(b"sec-websocket-")
}

/// The fields of a request for an upstream whose own authority is `authority`. `None`: it goes in circles.
///
/// host: what upstreams are asked for; empty: what the client asked for.
/// expects_continue: the body is kept back until the upstream says 100.
pub fn request_fields(
    request: &Request,
    host: &str,
    authority: &str,
    framing: Framing,
    expects_continue: bool,
) -> Option<HeaderMap> {
    let fields = &request.fields;
    let mut map = HeaderMap::with_capacity(fields.len() + 8);
    let own = fields.get("host");
    let asked = if host.is_empty() { own.unwrap_or(authority.as_bytes()) } else { host.as_bytes() };
    map.insert(HOST, value(asked)?);
    for (name, text) in fields.iter() {
        if !is_hop_by_hop(name) && !is_said_anew(name) {
            map.append(HeaderName::from_bytes(name).ok()?, value(text)?);
        }
    }
    match framing {
        Framing::None => {
            // The client said how long it is, and that was 0.
            if fields.get("content-length").is_some() {
                map.insert(CONTENT_LENGTH, 0.into());
            }
        }
        Framing::Length(length) => {
            map.insert(CONTENT_LENGTH, length.into());
        }
        Framing::Chunked => {
            map.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if expects_continue {
        map.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if fields.all("te").any(|te| list(te).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))) {
        // RFC 9110 §10.1.4: it is about the connection, and the trailers of the response will be passed on.
        map.insert(TE, HeaderValue::from_static("trailers"));
        map.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    map.insert(VIA, via(request)?);
    forwarded(request, own, &mut map)?;
    Some(map)
}

/// The target of a request as hyper sends it. What it does not take as it is, it takes percent-encoded.
pub fn target(text: &str) -> Option<Uri> {
    text.parse().ok().or_else(|| {
        let encoded = text.bytes().fold(String::with_capacity(text.len() + 16), |mut encoded, byte| {
            if b"\"<>[\\]^`{|}".contains(&byte) {
                encoded.push_str(&format!("%{byte:02X}"));
            } else {
                encoded.push(byte as char);
            }
            encoded
        });
        encoded.parse().ok()
    })
}

fn value(text: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text).ok()
}

/// RFC 9110 §7.6.3. `None`: the request has been through too many nodes.
fn via(request: &Request) -> Option<HeaderValue> {
    let mut text = Vec::with_capacity(32);
    let mut hops = 0;
    for line in request.fields.all("via") {
        let own = |hop: &&[u8]| hop.split(|b| *b == b' ').nth(1) == Some(PSEUDONYM.as_bytes());
        hops += list(line).filter(own).count();
        text.extend_from_slice(line);
        text.extend_from_slice(b", ");
    }
    if hops >= MAX_HOPS {
        return None;
    }
    text.extend_from_slice(if request.minor == 0 { b"1.0 " } else { b"1.1 " });
    text.extend_from_slice(PSEUDONYM.as_bytes());
    value(&text)
}

/// Who the client is, in both forms: RFC 7239, and the older one. What a trusted proxy said is in the request's own
/// account of its client; what others said has ended here.
fn forwarded(request: &Request, host: Option<&[u8]>, map: &mut HeaderMap) -> Option<()> {
    let scheme = match request.scheme {
        "https" | "wss" => "https",
        _ => "http",
    };
    let mut said = Vec::with_capacity(64);
    match &request.client {
        Some(Address::Ip(client)) => {
            let ip = client.ip().to_canonical();
            map.insert(X_FORWARDED_FOR, value(ip.to_string().as_bytes())?);
            match ip {
                IpAddr::V4(ip) => said.extend_from_slice(format!("for={ip};").as_bytes()),
                IpAddr::V6(ip) => said.extend_from_slice(format!("for=\"[{ip}]\";").as_bytes()),
            }
        }
        Some(Address::Unix(_)) => said.extend_from_slice(b"for=unknown;"),
        // The node reads this for its watchers: there is no client.
        None => {}
    }
    if let Some(host) = host {
        map.insert(X_FORWARDED_HOST, value(host)?);
        // A host is a token, but for the colon and the brackets.
        said.extend_from_slice(b"host=\"");
        said.extend_from_slice(host);
        said.extend_from_slice(b"\";");
    }
    said.extend_from_slice(b"proto=");
    said.extend_from_slice(scheme.as_bytes());
    map.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    map.insert(FORWARDED, value(&said)?);
    Some(())
}

/// The head of a response for the engine; an error says what about it is ambiguous.
pub fn response_head(status: u16, headers: &HeaderMap, to_head: bool) -> Result<ResponseHead, &'static str> {
    if status < 200 {
        return Err("it ends with an interim status");
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        if !matches!(digits.len(), 1..=18) || !digits.iter().all(u8::is_ascii_digit) {
            return Err("its Content-Length is not a number of bytes");
        }
        let number = digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        if length.replace(number).is_some_and(|before| before != number) {
            return Err("it has two different Content-Lengths");
        }
    }
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        if length.is_some() {
            return Err("it has both Content-Length and Transfer-Encoding");
        }
        let once = headers.get_all(TRANSFER_ENCODING).iter().count() == 1;
        if !once || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("its transfer coding is not chunked alone");
        }
    }
    let bodiless = to_head || matches!(status, 204 | 304);
    let mut fields = passed(headers);
    if let Some(length) = length {
        fields.push_display("content-length", length);
    }
    Ok(ResponseHead { status, fields, tags: vec![], content_length: length.filter(|_| !bodiless) })
}

/// The fields of a response that go on: all that is not about this connection or the message's framing.
pub fn passed(headers: &HeaderMap) -> Fields {
    let named = |name: &str| headers.get_all(CONNECTION).iter().any(|line| has_token(line.as_bytes(), name));
    let connection = headers.contains_key(CONNECTION);
    let mut fields = Fields::with_capacity(headers.len(), headers.len() * 40);
    for (name, value) in headers {
        let name = name.as_str();
        if !is_hop_by_hop(name.as_bytes()) && name != "content-length" && !(connection && named(name)) {
            fields.push(name, value.as_bytes());
        }
    }
    fields
}

/// The fields of a trailer section that may follow a body (RFC 9110 §6.5.1).
pub fn trailers(headers: &HeaderMap) -> Fields {
    passed(headers).without(|name| {
        matches!(name, b"host" | b"trailer" | b"content-encoding" | b"content-type" | b"content-range")
    })
}

/// The hints of a 103 (RFC 8297): links, as nothing else is of use before the response.
pub fn hints(headers: &HeaderMap) -> Fields {
    headers.get_all(hyper::header::LINK).iter().map(|value| ("link", value.as_bytes())).collect()
}

/// How long the upstream keeps an idle connection, if it says so, seconds.
pub fn keeps_s(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = text.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        lines.iter().map(line).for_each(|(name, value)| _ = map.append(name, value));
        map
    }

    #[test]
    fn every_target_that_the_engine_lets_pass_can_be_sent() {
        for byte in (0x21..0x7f).filter(|byte| !b"#\\%?".contains(byte)) {
            let text = format!("/a{0}?b{0}\\", byte as char);
            let sent = target(&text).unwrap_or_else(|| panic!("{text}"));
            assert!(
                sent.path().starts_with("/a") && sent.query().is_some_and(|query| query.starts_with('b'))
            );
        }
        assert_eq!(target("*").unwrap().to_string(), "*");
        assert_eq!(target("/%2F%00?%zz").unwrap().to_string(), "/%2F%00?%zz");
    }

    #[test]
    fn a_response_whose_end_two_could_see_differently_is_none() {
        let said = |status, lines: &[(&'static str, &'static str)], to_head| {
            response_head(status, &headers(lines), to_head).map(|head| head.content_length)
        };
        let length = |value| ("content-length", value);
        assert_eq!(said(200, &[length("7"), length("7")], false), Ok(Some(7)));
        assert_eq!(said(200, &[length("7")], true), Ok(None));
        assert_eq!(said(304, &[length("7")], false), Ok(None));
        assert_eq!(said(200, &[("transfer-encoding", "Chunked")], false), Ok(None));
        for (status, lines) in [
            (101, &[][..]),
            (200, &[length("7"), length("8")]),
            (200, &[length("+7")]),
            (200, &[length("7, 7")]),
            (200, &[length("")]),
            (200, &[length("7"), ("transfer-encoding", "chunked")]),
            (200, &[("transfer-encoding", "gzip, chunked")]),
            (200, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
        ] {
            for to_head in [false, true] {
                assert!(said(status, lines, to_head).is_err(), "{status} {lines:?}");
            }
        }
    }

    #[test]
    fn what_is_passed_on_has_one_length_and_nothing_of_the_connection() {
        let lines = [
            ("connection", "X-Own, keep-alive"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5, max=100"),
            ("set-cookie", "a"),
            ("content-length", "7"),
            ("set-cookie", "b"),
            ("content-length", "7"),
        ];
        let map = headers(&lines);
        let head = response_head(200, &map, false).unwrap();
        let mut names: Vec<&[u8]> = head.fields.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, [&b"content-length"[..], b"set-cookie", b"set-cookie"]);
        assert_eq!(keeps_s(&map), Some(5));
        assert_eq!(keeps_s(&headers(&[("keep-alive", "x")])), None);
    }
}
