//! Hosts, origins, forwarding fields and paths: what a request says about where it comes from and goes to.
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::forwarded::{Forwarded, TrustedProxies};
use freshwire_engine::http::host::{HostRules, split};
use freshwire_engine::http::origin::OriginRules;
use freshwire_engine::http::path::{has_broken_escape, normalise};
use std::net::IpAddr;

/// A host has one reading; only listed hosts and origins pass; and nobody but a trusted proxy says who the client is.
pub fn hosts(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n').map(String::from_utf8_lossy);
    let mut line = || lines.next().unwrap_or_default();
    let (host, origin, forwarded, forwarded_for) = (line(), line(), line(), line());
    if let Some((name, port)) = split(&host) {
        assert!(host.is_ascii() && !name.is_empty() && !host.contains(['/', '@', '?', '#', ' ', '%', '\\']));
        assert!(host.strip_prefix(name).is_some_and(|rest| match port {
            Some(port) => rest.strip_prefix(':').is_some_and(|digits| digits.parse() == Ok(port)),
            None => rest.is_empty(),
        }));
    }
    rules(&host, &origin);
    proxies(&forwarded, &forwarded_for);
}

fn rules(host: &str, origin: &str) {
    let loopback = HostRules::new(&[], true).expect("no rules are good rules");
    if loopback.allows(host) {
        let name = host.to_ascii_lowercase();
        let name = name
            .strip_prefix("[::1]")
            .map_or(name.as_str(), |rest| if rest.is_empty() { "::1" } else { rest });
        let name = name.split(':').next().unwrap_or_default();
        assert!(matches!(name, "" | "localhost" | "localhost." | "127.0.0.1" | "127.0.0.1."), "{host}");
    }
    let listed =
        HostRules::new(&["*.example.com".into(), "a.example:8080".into()], false).expect("good rules");
    if listed.allows(host) {
        let lower = host.to_ascii_lowercase();
        let (name, port) = split(&lower).expect("only a host is allowed");
        let name = name.strip_suffix('.').unwrap_or(name);
        assert!(name.ends_with(".example.com") || name == "a.example" && port == Some(8080));
    }
    let nobody = OriginRules::new(&[]).expect("no rules are good rules");
    assert_eq!(nobody.allows(&format!("http://{host}"), "http", host), split(host).is_some(), "its own");
    assert!(!nobody.allows(&format!("https://{host}"), "http", &format!("{host}.")));
    if nobody.allows(origin, "https", "example.com") {
        assert!(matches!(
            &*origin.to_ascii_lowercase(),
            "https://example.com"
                | "https://example.com:443"
                | "https://example.com:0443"
                | "https://example.com:00443"
        ));
    }
}

fn proxies(forwarded: &str, forwarded_for: &str) {
    let trusted = TrustedProxies::new(&["10.0.0.0/8".into(), "unix".into()]).expect("good networks");
    let proxy: IpAddr = [10, 0, 0, 1].into();
    let stranger: IpAddr = [192, 0, 2, 1].into();
    let fields = Fields::from_iter([("forwarded", forwarded), ("x-forwarded-for", forwarded_for)]);
    assert_eq!(trusted.client(Some(stranger), &fields), Forwarded::default(), "a stranger is not believed");

    let common = |value: &str| trusted.client(Some(proxy), &Fields::from_iter([("x-forwarded-for", value)]));
    let who = common(forwarded_for);
    if let Some(client) = who.client
        && !trusted.trusts(Some(client))
    {
        for written in ["198.51.100.7, ", "10.9.9.9, ", "\"unclosed, ", "junk;;=, ", ", "] {
            let spoofed = common(&format!("{written}{forwarded_for}"));
            assert_eq!(
                (spoofed.client, spoofed.port),
                (who.client, who.port),
                "the client writes on the left only"
            );
        }
    }
    let appended = common(&format!("{forwarded_for}, 203.0.113.9"));
    assert_eq!(appended.client, Some([203, 0, 113, 9].into()), "what the nearest proxy says counts");

    let standard = |value: &str| trusted.client(Some(proxy), &Fields::from_iter([("forwarded", value)]));
    let who = standard(forwarded);
    for written in ["for=198.51.100.7, ", "for=\"unclosed, ", "junk, "] {
        let spoofed = standard(&format!("{written}{forwarded}"));
        let outside = who.client.is_some_and(|client| !trusted.trusts(Some(client)));
        assert!(!outside || spoofed.client == who.client || spoofed.client.is_none());
    }
    let both = trusted.client(Some(proxy), &fields);
    assert!(
        both.client.is_none() || both.client == who.client || both.client == common(forwarded_for).client
    );
}

/// A path has one normal form, which has no dot segments and no escapes that need none; nothing else is changed.
pub fn paths(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let normal = normalise(&text);
    assert_eq!(normalise(&normal), normal, "the normal form is its own");
    assert!(normal.len() <= text.len());
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    assert!(normal.ends_with(query));
    if !path.starts_with('/') || has_broken_escape(path) {
        assert_eq!(normal, text);
        return;
    }
    let plain = &normal[..normal.len() - query.len()];
    assert!(plain.starts_with('/') && !has_broken_escape(plain));
    assert!(!plain.split('/').any(|segment| matches!(segment, "." | "..")));
    let dots = |text: &str| text.to_ascii_lowercase().matches("%2f").count();
    assert!(dots(plain) <= dots(path), "no slash is made");
    for escape in plain.match_indices('%').map(|(at, _)| &plain[at + 1..at + 3]) {
        let byte = u8::from_str_radix(escape, 16).expect("two digits");
        assert!(!byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte), "%{escape} stands for itself");
        assert_eq!(escape, escape.to_ascii_uppercase());
    }
    assert_eq!(segments(path), segments(plain), "the same way for a reader who decodes first");
}

/// The segments of a path when escapes of dots are read as dots and dot segments followed (RFC 3986 §5.2.4), compared
/// with every escape in capitals and every escape that stands for itself decoded.
fn segments(path: &str) -> Vec<Vec<u8>> {
    let mut kept: Vec<Vec<u8>> = vec![];
    let all: Vec<&str> = path[1..].split('/').collect();
    for (i, segment) in all.iter().enumerate() {
        let mut plain = vec![];
        let mut bytes = segment.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                plain.push(byte);
                continue;
            }
            let escape: Vec<u8> = bytes.by_ref().take(2).map(|b| b.to_ascii_uppercase()).collect();
            let value = u8::from_str_radix(str::from_utf8(&escape).expect("digits"), 16).expect("two digits");
            match value {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => plain.push(value),
                _ => plain.extend([b'%', escape[0], escape[1]]),
            }
        }
        let last = i + 1 == all.len();
        match &plain[..] {
            b"." if last => kept.push(vec![]),
            b"." => {}
            b".." => {
                kept.pop();
                if last {
                    kept.push(vec![]);
                }
            }
            _ => kept.push(plain),
        }
    }
    kept
}
