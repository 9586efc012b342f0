//! Request heads: a corpus with the rule behind each verdict, and properties that hold for any head.
use freshwire_engine::http::head::{self, Framing, HeadLimits, Upgrade};
use freshwire_engine::http::refusal::Refusal;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, fields: 8, target: 64 };

/// What a test compares: all that a head says.
type Said = (String, String, u8, Option<String>, Framing, [bool; 2], Upgrade, Vec<(String, Vec<u8>)>);

fn parse(buf: &[u8]) -> Result<Option<(usize, Said)>, Refusal> {
    head::parse(buf, &LIMITS, |h| {
        (
            h.method.to_owned(),
            h.path_and_query.clone().into_owned(),
            h.minor,
            h.host.map(str::to_owned),
            h.framing,
            [h.keep_alive, h.expect_continue],
            h.upgrade,
            h.headers.iter().map(|h| (h.name.to_owned(), h.value.to_owned())).collect(),
        )
    })
}

/// The verdict on bytes that arrive one after another, and after how many it was given.
fn feed_byte_by_byte(buf: &[u8]) -> Option<(usize, Result<Said, Refusal>)> {
    (0..=buf.len()).find_map(|n| match parse(&buf[..n]) {
        Ok(None) => None,
        Ok(Some((length, said))) => {
            assert_eq!(length, n, "accepted late");
            Some((n, Ok(said)))
        }
        Err(refusal) => Some((n, Err(refusal))),
    })
}

/// 200: accepted, 0: more is needed.
fn verdict(buf: &[u8]) -> (u16, &'static str) {
    match parse(buf) {
        Ok(Some(_)) => (200, ""),
        Ok(None) => (0, ""),
        Err(refusal) => (refusal.status, refusal.reason),
    }
}

/// The rule, the head, the status and the reason.
const CORPUS: &[(&str, &str, u16, &str)] = &[
    ("9112 2.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("9112 2.1: not all there", "GET / HTTP/1.1\r\nHost: a\r\n", 0, ""),
    ("9112 2.2: one empty line before is ignored", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("9112 2.2: two are not", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 2.2: bare LF before", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bare_lf"),
    ("9112 2.2: bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "bare_lf"),
    ("9112 2.2: bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400, "bare_lf"),
    ("9112 2.2: bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bare_lf"),
    ("9112 2.2: bare LF before CRLF", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bare_lf"),
    ("9112 2.2: bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "field_value"),
    ("9112 2.2: bare CR in the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "line_end"),
    ("9112 2.2: CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, "field_value"),
    ("9112 2.2: white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "field_name"),
    ("9112 2.3: HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version"),
    ("9112 2.3: HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version"),
    ("9112 2.3: HTTP/0.9 with a version", "GET / HTTP/0.9\r\n\r\n", 505, "version"),
    ("9112 2.3: no version", "GET /\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 2.3: case matters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 2.3: two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "line_end"),
    ("9112 2.3: not HTTP", "GET / ICAP/1.0\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9113 3.4: the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version"),
    ("8446: a TLS record", "\x16\x03\x01\x02\x00\x01\x00", 400, "request_line"),
    ("9112 3: two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3: a tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3: a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "line_end"),
    ("9112 3: a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3.1: a method of one's own", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("9112 3.1: not a token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3.1: no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3.2.1: no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2.1: a query only", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2: a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2: a control", "GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3.2: DEL", "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    ("9112 3.2: not ASCII", "GET /é HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("3986 2.1: a broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("3986 2.1: half an escape", "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("3986 2.1: a query may have one", "GET /a?100% HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("3986 3.3: a backslash in the path", "GET /..\\a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("3986 3.3: browsers send these", "GET /a|^{}\"?\\[] HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("9112 3.2.2: absolute-form", "GET HTTP://A:80/b?c HTTP/1.1\r\nHost: a:80\r\n\r\n", 200, ""),
    ("9112 3.2.2: another Host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "host"),
    ("9112 3.2.2: another port", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "host"),
    ("9112 3.2.2: no authority", "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9110 4.2.4: userinfo", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2.2: another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2.2: 1.1 still needs Host", "GET http://a/ HTTP/1.1\r\n\r\n", 400, "host"),
    ("9112 3.2.3: CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, "connect"),
    ("9112 3.2.4: * for OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, ""),
    ("9112 3.2.4: * for others", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("9112 3.2: no Host", "GET / HTTP/1.1\r\n\r\n", 400, "host"),
    ("9112 3.2: 1.0 needs none", "GET / HTTP/1.0\r\n\r\n", 200, ""),
    ("9112 3.2: two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, "host"),
    ("9112 3.2: two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
    ("9112 3.2: an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "host"),
    ("9110 7.2: userinfo in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "host"),
    ("9110 7.2: a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host"),
    ("9110 7.2: a list in Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "host"),
    ("9110 7.2: a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "host"),
    ("9110 7.2: not ASCII in Host", "GET / HTTP/1.1\r\nHost: é\r\n\r\n", 400, "host"),
    ("9110 7.2: IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, ""),
    ("9112 5.1: a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "field_name"),
    ("9112 5.1: a space in the name", "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400, "field_name"),
    ("9112 5.1: no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "field_name"),
    ("9112 5.1: no name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "field_name"),
    ("9112 5.2: obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400, "field_name"),
    ("9112 5.2: obs-fold of an empty line", "GET / HTTP/1.1\r\nHost: a\r\n\t\r\n\r\n", 400, "field_name"),
    ("9110 5.5: NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n", 400, "field_value"),
    ("9110 5.5: a control in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n", 400, "field_value"),
    ("9110 5.5: obs-text and a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: é\tb\r\n\r\n", 200, ""),
    ("9112 6.3: a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", 200, ""),
    (
        "9112 6.3: twice",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
        400,
        "content_length",
    ),
    ("9112 6.3: a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "content_length"),
    ("9110 8.6: signed", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400, "content_length"),
    ("9110 8.6: negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "content_length"),
    ("9110 8.6: empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "content_length"),
    (
        "9110 8.6: hexadecimal",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        400,
        "content_length",
    ),
    (
        "9110 8.6: huge",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
        400,
        "content_length",
    ),
    ("9112 6.1: chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, ""),
    (
        "9112 6.1: another coding too",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
        "transfer_encoding",
    ),
    (
        "9112 6.3: chunked not last",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "9112 6.1: chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "9112 6.1: two lines",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "9112 6.1: identity",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "9112 6.1: almost chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (
        "9112 6.1: quoted",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    ("9112 6.1: empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400, "transfer_encoding"),
    (
        "9112 6.1: an empty element",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    ("9112 6.1: in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "transfer_encoding"),
    (
        "9112 6.3: both",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "framing",
    ),
    (
        "9112 6.3: both, the other way",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        400,
        "framing",
    ),
    (
        "9110 10.1.1: 100-continue",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
        200,
        "",
    ),
    ("9110 10.1.1: anything else", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417, "expect"),
];

#[test]
fn every_head_of_the_corpus_gets_its_verdict_and_the_same_at_any_cut() {
    for (rule, head, status, reason) in CORPUS {
        assert_eq!(verdict(head.as_bytes()), (*status, *reason), "{rule}: {head:?}");
        let whole = match parse(head.as_bytes()) {
            Ok(None) => None,
            Ok(Some((_, said))) => Some(Ok(said)),
            Err(refusal) => Some(Err(refusal)),
        };
        assert_eq!(feed_byte_by_byte(head.as_bytes()).map(|(_, result)| result), whole, "{rule}: {head:?}");
    }
}

#[test]
fn a_head_says_what_was_sent() {
    let sent = b"GET http://a/x?y HTTP/1.1\r\nX-A:  b \t\r\nHost: A\r\nconnection: Upgrade, close\r\nUpgrade: h2c, WebSocket\r\n\r\nrest";
    let ((), length) = head::parse(sent, &LIMITS, |h| {
        assert_eq!((h.method, h.target, &*h.path_and_query), ("GET", "http://a/x?y", "/x?y"));
        assert_eq!((h.authority, h.host, h.minor), (Some("a"), Some("A"), 1));
        assert_eq!((h.framing, h.keep_alive, h.expect_continue), (Framing::None, false, false));
        assert_eq!(h.upgrade, Upgrade::WebSocket);
        assert_eq!(h.get("x-a"), Some(&b"b"[..]));
        assert_eq!(h.all("HOST").count(), 1);
        assert_eq!(h.fields().iter().next(), Some((&b"x-a"[..], &b"b"[..])));
    })
    .unwrap()
    .map(|(length, unit)| (unit, length))
    .unwrap();
    assert_eq!(length, sent.len() - 4);
}

#[test]
fn absolute_form_is_given_in_origin_form() {
    for (target, path) in
        [("http://a", "/"), ("http://a?b", "/?b"), ("https://a//b", "//b"), ("http://a/?", "/?")]
    {
        let sent = format!("GET {target} HTTP/1.0\r\n\r\n");
        let (_, said) = parse(sent.as_bytes()).unwrap().unwrap();
        assert_eq!((said.1.as_str(), said.3.as_deref()), (path, Some("a")), "{target}");
    }
}

#[test]
fn a_field_that_connection_names_goes_no_further_unless_it_frames_or_authorises() {
    let kept = |connection: &str| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\nCookie: c\r\nOrigin: o\r\nConnection: {connection}\r\n\r\n"
        );
        let names = |h: &head::Head<'_>| {
            let fields = h.fields();
            let names = fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        head::parse(head.as_bytes(), &LIMITS, names).unwrap().unwrap().1
    };
    assert_eq!(kept("close"), "host x-own cookie origin connection");
    assert_eq!(kept("keep-alive, X-OWN"), "host cookie origin connection");
    assert_eq!(kept("cookie, origin, host, x-own"), "host cookie origin connection");
}

#[test]
fn the_connection_persists_as_version_and_connection_say() {
    for (line, fields, keep_alive, upgrade) in [
        ("GET / HTTP/1.1", "", true, Upgrade::None),
        ("GET / HTTP/1.1", "Connection: x, CLOSE\r\n", false, Upgrade::None),
        ("GET / HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, Upgrade::None),
        ("GET / HTTP/1.0", "", false, Upgrade::None),
        ("GET / HTTP/1.0", "Connection: Keep-Alive\r\n", true, Upgrade::None),
        ("GET / HTTP/1.1", "Upgrade: websocket\r\n", true, Upgrade::None),
        ("GET / HTTP/1.1", "Upgrade: h2c\r\nConnection: upgrade\r\n", true, Upgrade::Other),
        ("GET / HTTP/1.0", "Upgrade: websocket\r\nConnection: upgrade\r\n", false, Upgrade::None),
    ] {
        let sent = format!("{line}\r\nHost: a\r\n{fields}\r\n");
        let (_, said) = parse(sent.as_bytes()).unwrap().unwrap();
        assert_eq!((said.5[0], said.6), (keep_alive, upgrade), "{sent:?}");
    }
}

#[test]
fn a_body_is_expected_only_if_one_is_announced() {
    for (minor, fields, framing, waits) in [
        (1, "Expect: 100-continue\r\n", Framing::None, false),
        (1, "Expect: 100-continue\r\nContent-Length: 0\r\n", Framing::None, false),
        (1, "Expect: 100-continue\r\nContent-Length: 5\r\n", Framing::Length(5), true),
        (0, "Expect: 100-continue\r\nContent-Length: 5\r\n", Framing::Length(5), false),
        (1, "Transfer-Encoding: chunked\r\n", Framing::Chunked, false),
    ] {
        let sent = format!("POST / HTTP/1.{minor}\r\nHost: a\r\n{fields}\r\n");
        let (_, said) = parse(sent.as_bytes()).unwrap().unwrap();
        assert_eq!((said.4, said.5[1]), (framing, waits), "{sent:?}");
    }
}

#[test]
fn limits_hold_to_the_byte_and_however_it_is_cut() {
    let with_target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 1));
    let with_fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(n - 1));
    let with_bytes = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(n - 32));
    for (sent, expected) in [
        (with_target(LIMITS.target), (200, "")),
        (with_target(LIMITS.target + 1), (414, "target_too_long")),
        (with_target(9000), (414, "target_too_long")),
        (with_fields(LIMITS.fields), (200, "")),
        (with_fields(LIMITS.fields + 1), (431, "too_many_fields")),
        (with_bytes(LIMITS.bytes), (200, "")),
        (with_bytes(LIMITS.bytes + 1), (431, "head_too_large")),
        ("G".repeat(LIMITS.bytes), (431, "head_too_large")),
        (format!("GET /{}", "x".repeat(LIMITS.target)), (414, "target_too_long")),
    ] {
        assert_eq!(verdict(sent.as_bytes()), expected);
        let (_, result) = feed_byte_by_byte(sent.as_bytes()).unwrap();
        assert_eq!(result.map_or_else(|r| (r.status, r.reason), |_| (200, "")), expected);
    }
    let (at, _) = feed_byte_by_byte(with_target(9000).as_bytes()).unwrap();
    assert_eq!(at, "GET ".len() + LIMITS.target + 1, "refused as soon as it is too long");
}

#[test]
fn completeness_is_seen_with_the_byte_that_completes() {
    let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for n in 1..=head.len() {
        assert_eq!(head::complete(&head[..n], n - 1), n == head.len(), "{n}");
        assert!(head::complete(head, n), "all that is new since {n}");
    }
    assert!(head::complete(b"GET / HTTP/1.1\n", 14), "a bare LF decides too");
    assert!(!head::complete(b"", 0) && !head::complete(b"", 9));
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET ",
        "POST ",
        "OPTIONS ",
        "CONNECT ",
        "/",
        "/a?b",
        "*",
        "http://a",
        "#",
        "%",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/2",
        "HTTP/1.",
        "\r\n",
        "\r",
        "\n",
        "Host: a\r\n",
        "Host: b\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        " ",
        "\t",
        ":",
        "\0",
        "é",
        "x",
        "\r\n\r\n",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

fn small_limits_agree(bytes: &[u8], cut: usize) -> Result<(), TestCaseError> {
    let limits = HeadLimits { bytes: 60, fields: 2, target: 5 };
    let parse = |buf: &[u8]| head::parse(buf, &limits, |h| (h.method.to_owned(), h.framing, h.fields()));
    let first = parse(&bytes[..cut]);
    if first != Ok(None) {
        prop_assert_eq!(first, parse(bytes));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_head_fed_whole_is_a_head_fed_at_any_cut(bytes in pieces(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(bytes.len() + 1);
        let first = parse(&bytes[..cut]);
        if first != Ok(None) {
            prop_assert_eq!(first, parse(&bytes));
        }
        small_limits_agree(&bytes, cut)?;
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        head::complete(&bytes, bytes.len() / 2);
    }

    #[test]
    fn a_head_that_is_written_is_parsed_as_it_was(
        method in "[A-Z]{1,7}".prop_filter("refused", |m| m != "CONNECT" && m != "PRI"),
        path in "/[a-z0-9/._~-]{0,20}(\\?[ -~&&[^ #]]{0,20})?",
        host in "[a-z][a-z0-9-]{0,10}(:[1-9][0-9]{0,3})?",
        fields in prop::collection::vec(("x-[a-z]{1,8}", "([!-~]([ -~]{0,10}[!-~])?)?"), 0..6),
        length in prop::option::of(1u64..1_000_000),
        pipelined in "[ -~]{0,5}",
    ) {
        let mut sent = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in &fields {
            sent += &format!("{name}: {value}\r\n");
        }
        if let Some(length) = length {
            sent += &format!("Content-Length: {length}\r\n");
        }
        sent += "\r\n";
        let end = sent.len();
        sent += &pipelined;
        let (used, said) = parse(sent.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(used, end);
        prop_assert_eq!((said.0, said.1, said.3), (method, path, Some(host)));
        prop_assert_eq!(said.4, length.map_or(Framing::None, Framing::Length));
        let given: Vec<_> = fields.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        prop_assert_eq!(&said.7[1..=given.len()], &given[..]);
    }
}
