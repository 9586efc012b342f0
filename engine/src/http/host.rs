//! Hosts: their syntax (RFC 9110 §7.2), and which of them this node answers to (against DNS rebinding, a page of another
//! site that reaches a server on 127.0.0.1 by a name of its own).
//!
//! The head refuses what is not a host (400); the connection refuses what [`HostRules`] do not allow (421).
use std::net::Ipv6Addr;

/// Name and port of a `Host` field or an authority, or `None` if it is not one.
///
/// A name has letters, digits, `-`, `.`, `_` and `~` only, in labels that are not empty, with perhaps a last dot: what
/// else RFC 3986 allows (escapes, `!$&'()*+,;=`, an empty port, a future IP version) no client sends and parsers differ.
pub fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let end = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest[..end].parse::<Ipv6Addr>().ok()?;
            end + 2
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            let name = &host.as_bytes()[..end];
            // Where a label may not begin: an empty one comes before a dot.
            let mut at_label = true;
            let fits = |b: &u8| {
                let fits =
                    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~') || *b == b'.' && !at_label;
                at_label = *b == b'.';
                fits
            };
            if !matches!(end, 1..=255) || !name.iter().all(fits) {
                return None;
            }
            end
        }
    };
    let (name, port) = host.split_at(end);
    match port.strip_prefix(':') {
        Some(port) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some((name, Some(port.parse().ok()?)))
        }
        None if port.is_empty() => Some((name, None)),
        _ => None,
    }
}

/// A name without the last dot that makes it absolute.
fn relative(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// What one entry of the list allows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    /// Any name that ends with this, which begins with a dot.
    Below(String),
    Name(String),
}

/// Which hosts a node answers to.
#[derive(Clone, Debug)]
pub struct HostRules {
    /// Each with the port it is limited to.
    rules: Vec<(Rule, Option<u16>)>,
}

impl HostRules {
    /// From the option `allow_hosts` (names, with a port or for any; `*.example.com` for what is below it; `*`). The
    /// loopback names are allowed too if the list is empty or the node listens on loopback only.
    pub fn new(allow_hosts: &[String], loopback_only: bool) -> Result<Self, String> {
        let mut rules = Vec::new();
        for entry in allow_hosts {
            rules.push(match entry.strip_prefix('*') {
                Some("") => (Rule::Any, None),
                wild => {
                    let host = wild.map_or(Some(entry.as_str()), |rest| rest.strip_prefix('.'));
                    let (name, port) = host.and_then(split).ok_or_else(|| {
                        format!(
                            "allow_hosts: {entry:?} is not a host name, *.name or *, with an optional port"
                        )
                    })?;
                    let name = relative(name);
                    let rule = if wild.is_some() {
                        Rule::Below(format!(".{name}"))
                    } else {
                        Rule::Name(name.into())
                    };
                    (rule, port)
                }
            });
        }
        if loopback_only || allow_hosts.is_empty() {
            rules.extend(["localhost", "127.0.0.1", "[::1]"].map(|name| (Rule::Name(name.into()), None)));
        }
        Ok(Self { rules })
    }

    /// Whether a request for this `Host` is answered.
    pub fn allows(&self, host: &str) -> bool {
        let Some((name, port)) = split(host) else { return false };
        let name = relative(name);
        self.rules.iter().any(|(rule, only)| {
            (only.is_none() || *only == port)
                && match rule {
                    Rule::Any => true,
                    Rule::Name(allowed) => name.eq_ignore_ascii_case(allowed),
                    Rule::Below(suffix) => name
                        .len()
                        .checked_sub(suffix.len())
                        .and_then(|at| name.get(at..))
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], loopback_only: bool) -> HostRules {
        HostRules::new(&allow.iter().map(|s| s.to_string()).collect::<Vec<_>>(), loopback_only).unwrap()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for (host, parts) in [
            ("a", Some(("a", None))),
            ("a.example.:80", Some(("a.example.", Some(80)))),
            ("127.0.0.1:0", Some(("127.0.0.1", Some(0)))),
            ("[::1]", Some(("[::1]", None))),
            ("[2001:db8::7]:443", Some(("[2001:db8::7]", Some(443)))),
        ] {
            assert_eq!(split(host), parts, "{host}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:80:80",
            "a:+80",
            "a:65536",
            "a@b",
            "a/b",
            "a,b",
            "a b",
            "a?b",
            "a#b",
            "a\\b",
            ".a",
            "a..b",
            "é",
            "a%2f",
            "::1",
            "[::1",
            "[::1]x",
            "[v1.x]",
            "[fe80::1%25eth0]",
            "[]",
            "*.a",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn on_loopback_only_loopback_names_are_answered() {
        let rules = rules(&[], true);
        for good in ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:1", "[::1]:1"] {
            assert!(rules.allows(good), "{good}");
        }
        for bad in [
            "evil.example",
            "a.localhost",
            "localhost.evil.example",
            "127.0.0.2",
            "127.0.0.1.nip.io",
            "[::2]",
            "",
        ] {
            assert!(!rules.allows(bad), "{bad}");
        }
    }

    #[test]
    fn a_list_allows_what_it_names() {
        let listed = rules(&["app.example", "*.Wild.example", "port.example:8443"], false);
        for good in
            ["App.Example:99", "app.example.", "a.wild.example", "a.b.wild.EXAMPLE.:1", "port.example:8443"]
        {
            assert!(listed.allows(good), "{good}");
        }
        for bad in [
            "localhost",
            "wild.example",
            "evilwild.example",
            "app.example.evil",
            "port.example",
            "port.example:1",
        ] {
            assert!(!listed.allows(bad), "{bad}");
        }
        assert!(rules(&["*"], false).allows("anything.example") && !rules(&["*"], false).allows("a@b"));
        assert!(HostRules::new(&["*evil".into()], false).is_err());
        assert!(HostRules::new(&["http://a".into()], false).is_err());
    }
}
