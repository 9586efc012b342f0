//! Which web pages may open WebSockets and watches here (RFC 6454): those of the request's own origin, and those listed.
//!
//! A request without `Origin` is not a page's; whether it is accepted is for the connection to say. `null` never is.
use crate::http::host;

/// Scheme, host and port of an origin as a browser serialises it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(fits) {
            return None;
        }
        let (host, port) = host::split(rest)?;
        Some(Self { scheme, host, port })
    }

    /// Of a request, whose scheme may be that of a WebSocket.
    fn of_request(scheme: &'a str, host: &'a str) -> Option<Self> {
        let (host, port) = host::split(host)?;
        let scheme = match scheme {
            "ws" => "http",
            "wss" => "https",
            scheme => scheme,
        };
        Some(Self { scheme, host, port })
    }

    fn port(&self) -> Option<u16> {
        self.port.or_else(|| match self.scheme {
            s if s.eq_ignore_ascii_case("http") => Some(80),
            s if s.eq_ignore_ascii_case("https") => Some(443),
            _ => None,
        })
    }

    fn same(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port() == other.port()
    }
}

/// The origins allowed besides a request's own.
#[derive(Clone, Debug, Default)]
pub struct OriginRules {
    /// Each of them parses.
    allowed: Vec<String>,
}

impl OriginRules {
    /// From the option `allow_origins`.
    pub fn new(allow_origins: &[String]) -> Result<Self, String> {
        match allow_origins.iter().find(|origin| Origin::parse(origin).is_none()) {
            Some(bad) => Err(format!(
                "allow_origins: {bad:?} is not scheme://host[:port] (no path, no wildcard, other scripts in punycode)"
            )),
            None => Ok(Self { allowed: allow_origins.to_vec() }),
        }
    }

    /// Whether a page of `origin` may do it, by a request with this scheme (`http`, `https`, `ws`, `wss`) and `Host`.
    pub fn allows(&self, origin: &str, scheme: &str, host: &str) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        Origin::of_request(scheme, host).is_some_and(|own| own.same(&origin))
            || self
                .allowed
                .iter()
                .filter_map(|listed| Origin::parse(listed))
                .any(|listed| listed.same(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_same_origin_may_and_no_other() {
        let rules = OriginRules::default();
        for (origin, scheme, host, allowed) in [
            ("https://app.example", "https", "app.example", true),
            ("https://app.example", "wss", "app.example:443", true),
            ("http://app.example:80", "ws", "app.example", true),
            ("HTTPS://App.Example", "https", "app.example", true),
            ("http://[::1]:8000", "http", "[::1]:8000", true),
            ("http://localhost:8000", "ws", "localhost:8000", true),
            ("null", "https", "app.example", false),
            ("", "https", "app.example", false),
            ("https://evil.example", "https", "app.example", false),
            ("https://app.example.evil", "https", "app.example", false),
            ("https://evil-app.example", "https", "app.example", false),
            ("https://sub.app.example", "https", "app.example", false),
            ("https://app.example.", "https", "app.example", false),
            ("https://app.example:8443", "https", "app.example", false),
            ("http://app.example", "https", "app.example", false),
            ("http://app.example:443", "https", "app.example", false),
            ("https://app.example/", "https", "app.example", false),
            ("https://app.example https://evil.example", "https", "app.example", false),
            ("https://user@app.example", "https", "app.example", false),
            ("https://аpp.example", "https", "аpp.example", false),
            ("app.example", "https", "app.example", false),
        ] {
            assert_eq!(rules.allows(origin, scheme, host), allowed, "{origin} on {scheme}://{host}");
        }
    }

    #[test]
    fn a_listed_origin_may() {
        let listed = ["https://front.example", "http://localhost:3000", "https://xn--bcher-kva.example"];
        let rules = OriginRules::new(&listed.map(String::from)).unwrap();
        for origin in ["https://front.example:443", "http://localhost:3000", "https://xn--bcher-kva.example"]
        {
            assert!(rules.allows(origin, "https", "app.example"), "{origin}");
        }
        for origin in ["http://front.example", "http://localhost:3001", "null"] {
            assert!(!rules.allows(origin, "https", "app.example"), "{origin}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_an_error() {
        for bad in [
            "*",
            "null",
            "app.example",
            "https://*.example",
            "https://a/",
            "https://bücher.example",
            "https://",
        ] {
            assert!(OriginRules::new(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
