//! Who the client is behind proxies: a matrix of peers and fields.
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::forwarded::{Forwarded, TrustedProxies};
use std::net::IpAddr;

fn trusted(entries: &[&str]) -> TrustedProxies {
    TrustedProxies::new(&entries.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
}

fn said(client: &str, port: Option<u16>, scheme: Option<&'static str>) -> Forwarded {
    Forwarded { client: client.parse().ok(), port, scheme }
}

const NOBODY: Forwarded = Forwarded { client: None, port: None, scheme: None };
const PROXY: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

fn ask(fields: &[(&str, &str)]) -> Forwarded {
    let fields: Fields = fields.iter().copied().collect();
    trusted(&["10.0.0.0/8", "fd00::/8"]).client(PROXY, &fields)
}

#[test]
fn nobody_is_believed_unless_listed() {
    let fields: Fields =
        [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")].into_iter().collect();
    let peer = |text: &str| Some(text.parse().unwrap());
    assert_eq!(trusted(&[]).client(PROXY, &fields), NOBODY);
    assert_eq!(trusted(&[]).client(None, &fields), NOBODY);
    assert_eq!(trusted(&["10.0.0.0/8"]).client(peer("11.0.0.1"), &fields), NOBODY);
    let believed = said("1.2.3.4", None, Some("https"));
    assert_eq!(trusted(&["unix"]).client(None, &fields), believed);
    assert_eq!(trusted(&["unix"]).client(PROXY, &fields), NOBODY);
    assert_eq!(trusted(&["*"]).client(None, &fields), believed);
    assert_eq!(trusted(&["10.0.0.1"]).client(peer("::ffff:10.0.0.1"), &fields), believed);
    assert_eq!(trusted(&["0.0.0.0/0"]).client(PROXY, &fields), said("1.2.3.4", None, Some("https")));
    assert_eq!(trusted(&["::/0"]).client(PROXY, &fields), NOBODY);
}

#[test]
fn the_client_is_the_right_most_address_that_is_not_a_proxy() {
    for (fields, expected) in [
        (&[][..], NOBODY),
        (&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")], said("1.2.3.4", None, None)),
        (
            &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4:77")],
            said("1.2.3.4", Some(77), None),
        ),
        (&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], said("10.0.0.3", None, None)),
        (&[("x-forwarded-for", "[2001:db8::1]:80, fd00::1")], said("2001:db8::1", Some(80), None)),
        (&[("x-forwarded-for", "::ffff:1.2.3.4")], said("1.2.3.4", None, None)),
        (&[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.2")], said("10.0.0.2", None, None)),
        (&[("x-forwarded-for", "6.6.6.6, ")], NOBODY),
        (&[("x-forwarded-for", "1.2.3.4 6.6.6.6")], NOBODY),
        (
            &[("forwarded", "for=6.6.6.6, For=1.2.3.4;proto=HTTPS;by=10.0.0.9")],
            said("1.2.3.4", None, Some("https")),
        ),
        (
            &[("forwarded", "for=\"[2001:db8::1]:4711\"; proto=http")],
            said("2001:db8::1", Some(4711), Some("http")),
        ),
        (&[("forwarded", "for=\"1.2.3.4:_x\", for=10.0.0.2")], said("1.2.3.4", None, None)),
        (&[("forwarded", "for=6.6.6.6, for=_hidden;proto=https")], said("", None, Some("https"))),
    ] {
        assert_eq!(ask(fields), expected, "{fields:?}");
    }
}

#[test]
fn what_is_malformed_is_not_believed() {
    for value in [
        "for=\"6.6.6.6, for=1.2.3.4",
        "for=6.6.6.6;x=\", for=\"[2001:db8::1]\"",
        "for=1.2.3.4;for=6.6.6.6",
        "for=1.2.3.4;",
        "for = 1.2.3.4",
        "1.2.3.4",
        "for=1.2.3.4, garbage",
    ] {
        assert_eq!(ask(&[("forwarded", value)]), NOBODY, "{value}");
    }
}

#[test]
fn two_kinds_of_fields_are_believed_only_if_they_agree() {
    let both = |standard, common| ask(&[("forwarded", standard), ("x-forwarded-for", common)]);
    assert_eq!(both("for=1.2.3.4;proto=https", "1.2.3.4"), said("1.2.3.4", None, Some("https")));
    assert_eq!(both("for=6.6.6.6", "1.2.3.4"), NOBODY);
    assert_eq!(both("garbage", "1.2.3.4"), NOBODY);
}

#[test]
fn the_scheme_is_that_of_the_hop_at_the_client() {
    let schemes =
        |addresses, schemes| ask(&[("x-forwarded-for", addresses), ("x-forwarded-proto", schemes)]).scheme;
    assert_eq!(schemes("1.2.3.4, 10.0.0.2", "https, http"), Some("https"));
    assert_eq!(schemes("6.6.6.6, 1.2.3.4", "https, http"), Some("http"));
    assert_eq!(schemes("1.2.3.4, 10.0.0.2", "wss"), Some("https"));
    assert_eq!(schemes("1.2.3.4", "gopher"), None);
    assert_eq!(ask(&[("x-forwarded-proto", "https")]), said("", None, Some("https")));
}

#[test]
fn a_list_that_cannot_be_meant_is_an_error() {
    for bad in ["10.0.0.0/33", "10.0.0", "example.com", "::1/129", "", "10.0.0.0/"] {
        assert!(TrustedProxies::new(&[bad.into()]).is_err(), "{bad}");
    }
}
