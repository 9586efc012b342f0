//! The request target (RFC 9112 §3.2): which form it has, whether it is well-formed, where its authority and path are.
//!
//! It does not change the path (see `path`) and does not compare the authority with `Host`: `head` does, its only
//! caller.
use crate::http::host;
use crate::http::path::has_broken_escape;
use crate::http::refusal::Refusal;
use std::borrow::Cow;

/// A target that has been checked.
#[derive(Clone, Debug)]
pub(super) struct Target<'b> {
    /// Path and query as sent; `/` before them where absolute-form left the path out; or `*`.
    pub path_and_query: Cow<'b, str>,
    /// From absolute-form.
    pub authority: Option<&'b str>,
}

fn refuse<T>(detail: &str) -> Result<T, Refusal> {
    Err(Refusal::new(400, "target", detail))
}

/// Check the target of a request with this method, which is not CONNECT.
pub(super) fn check<'b>(method: &str, target: &'b str) -> Result<Target<'b>, Refusal> {
    // RFC 3986 §3.3 allows fewer characters, but browsers send `|`, `^`, `{` and `"`, and nobody reads them differently.
    let (mut visible, mut special) = (true, false);
    for byte in target.bytes() {
        visible &= byte.is_ascii_graphic();
        special |= matches!(byte, b'#' | b'%' | b'\\');
    }
    if !visible {
        return refuse("The target has a byte that is not visible ASCII; it must be percent-encoded.");
    }
    if special && target.contains('#') {
        return refuse("The target has a fragment.");
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok(Target { path_and_query: Cow::Borrowed("*"), authority: None }),
            _ => refuse("The target * is for OPTIONS only."),
        };
    }
    let (authority, rest) = match absolute(target) {
        Some((authority, rest)) => (Some(authority), rest),
        None => (None, target),
    };
    if authority.is_some_and(|authority| host::split(authority).is_none()) {
        return refuse("The target's authority is not a host with an optional port.");
    }
    let path_and_query = match rest.as_bytes().first() {
        Some(b'/') => Cow::Borrowed(rest),
        Some(b'?') if authority.is_some() => Cow::Owned(format!("/{rest}")),
        None if authority.is_some() => Cow::Borrowed("/"),
        _ => return refuse("The target is neither a path nor an http or https URI."),
    };
    if !special {
        return Ok(Target { path_and_query, authority });
    }
    let path = path_and_query.split('?').next().unwrap_or_default();
    if has_broken_escape(path) {
        return refuse("The path has a % that two hexadecimal digits do not follow.");
    }
    // Some take it for a slash (WHATWG URL §4.4), some for a character.
    if path.contains('\\') {
        return refuse("The path has a backslash.");
    }
    Ok(Target { path_and_query, authority })
}

/// Authority and the rest of a target in absolute-form (RFC 9112 §3.2.2).
fn absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}
