//! Where an upstream is: `http://host:port`, with a base path or without, or `unix:/path`.
//!
//! Read once, from the option `upstreams`; the errors are the operator's.
use freshwire_engine::http::host;
use std::path::PathBuf;

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or an address, and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it was written.
    pub text: String,
    /// What to connect to.
    pub place: Place,
    /// The `Host` for requests that have none (HTTP/1.0).
    pub authority: String,
    /// What goes before each request's path; without a slash at its end.
    pub base: String,
}

impl Address {
    /// Read one. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("upstreams: {text:?} {why}");
        let expected = "is neither http://host:port nor unix:/path";
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(wrong("has no absolute path: unix:/run/app.sock"));
            }
            let place = Place::Unix(path.into());
            return Ok(Self { text: text.into(), place, authority: "localhost".into(), base: String::new() });
        }
        if text.starts_with("https://") {
            return Err(wrong(
                "speaks TLS, which is not supported yet: use http:// where the network between is yours",
            ));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(wrong(&match text.split_once(':') {
                Some((_, port)) if port.parse::<u16>().is_ok() => format!("{expected}: http://{text}?"),
                _ => expected.to_owned(),
            }));
        };
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let Some((name, port)) = host::split(authority) else { return Err(wrong(expected)) };
        if !base.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\')) {
            return Err(wrong("has a base path that is not a path"));
        }
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        Ok(Self {
            text: text.into(),
            place: Place::Tcp(bare.into(), port.unwrap_or(80)),
            authority: authority.into(),
            base: base.trim_end_matches('/').into(),
        })
    }

    /// The target to ask for: the base path and what the client asked for.
    pub fn target(&self, target: &str) -> String {
        if target == "*" { target.into() } else { format!("{}{target}", self.base) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_url_or_a_socket() {
        for (text, place, authority, base) in [
            ("http://127.0.0.1:3000", Place::Tcp("127.0.0.1".into(), 3000), "127.0.0.1:3000", ""),
            ("http://app.example/", Place::Tcp("app.example".into(), 80), "app.example", ""),
            ("http://[::1]:1/a/b/", Place::Tcp("::1".into(), 1), "[::1]:1", "/a/b"),
            ("unix:/run/app.sock", Place::Unix("/run/app.sock".into()), "localhost", ""),
            ("unix:///run/app.sock", Place::Unix("/run/app.sock".into()), "localhost", ""),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.place, &*address.authority, &*address.base), (place, authority, base));
        }
        let address = Address::parse("http://h:1/base/").unwrap();
        assert_eq!(address.target("/x?y"), "/base/x?y");
        assert_eq!(address.target("*"), "*");
    }

    #[test]
    fn what_is_neither_is_refused_with_a_reason() {
        for (text, why) in [
            ("https://a", "TLS"),
            ("127.0.0.1:3000", "http://127.0.0.1:3000?"),
            ("unix:app.sock", "absolute"),
            ("http://", "neither"),
            ("http://a:b", "neither"),
            ("http://u@a", "neither"),
            ("http://a/b?c", "base path"),
            ("ftp://a", "neither"),
            ("", "neither"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
