//! What a write changes: the resources and tags that an unsafe request's answer invalidates (RFC 9111 §4.4, RFC 9875 §3).
//!
//! It says names only; the log orders them and `tags` remembers them. Nothing of another origin is touched.
//! Called when the application has answered an unsafe request, before that answer goes out.
use super::key::ResourceKey;
use crate::http::fields::Fields;

/// What counts as changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// The target itself, and those of its origin that `location` and `content-location` name.
    pub resources: Vec<ResourceKey>,
    /// The tags in `cache-group-invalidation`.
    pub tags: Vec<String>,
}

impl Invalidated {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.tags.is_empty()
    }
}

/// Whether a method promises to change nothing (RFC 9110 §9.2.1). One that is not known does not.
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// What the answer to a request invalidates. `groups` is its `cache-group-invalidation`, read; `normalise` is the
/// router's own way to normalise path and query, `None` for what it would refuse.
pub fn invalidated(
    method: &str,
    target: &ResourceKey,
    status: u16,
    fields: &Fields,
    groups: Vec<String>,
    normalise: impl Fn(&str) -> Option<String>,
) -> Invalidated {
    if is_safe(method) || !(200..400).contains(&status) {
        return Invalidated::default();
    }
    let mut resources = vec![target.clone()];
    for name in ["location", "content-location"] {
        let named = fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let resolved = named.and_then(|reference| resolve(target, reference.trim(), &normalise));
        resources.extend(resolved.filter(|resource| !resources.contains(resource)));
    }
    Invalidated { resources, tags: groups }
}

/// Resolve a reference against a resource (RFC 3986 §5.2); `None` if it leads to another origin or nowhere.
fn resolve(
    base: &ResourceKey,
    reference: &str,
    normalise: impl Fn(&str) -> Option<String>,
) -> Option<ResourceKey> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (scheme, base_authority) = base.origin().split_once("://")?;
    let (base_path, _) = split_query(base.path_and_query());
    let rest = match scheme_of(reference) {
        Some(its) if its.eq_ignore_ascii_case(scheme) => &reference[its.len() + 1..],
        Some(_) => return None,
        None => reference,
    };
    if rest.len() < reference.len() && !rest.starts_with("//") {
        return None;
    }
    if let Some(rest) = rest.strip_prefix("//") {
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let root = if path.starts_with('/') { "" } else { "/" };
        let resource =
            ResourceKey::new(scheme, authority, &normalise(&without_dots(&format!("{root}{path}")))?);
        return (resource.origin() == format!("{scheme}://{base_authority}")).then_some(resource);
    }
    let path_and_query = match rest.as_bytes() {
        [] => base.path_and_query().to_owned(),
        [b'?', ..] => format!("{base_path}{rest}"),
        [b'/', ..] => without_dots(rest),
        _ => without_dots(&format!("{}{rest}", &base_path[..base_path.rfind('/').map_or(0, |at| at + 1)])),
    };
    Some(base.sibling(&normalise(&path_and_query)?))
}

/// The scheme that a reference begins with, if it does (RFC 3986 §3.1).
fn scheme_of(reference: &str) -> Option<&str> {
    let (scheme, _) = reference.split_once(':')?;
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(letters)).then_some(scheme)
}

/// The path, and the query with its `?`.
fn split_query(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}

/// Remove the dot segments of an absolute path (RFC 3986 §5.2.4); the query stays.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = split_query(path_and_query);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(method: &str, status: u16, lines: &[(&str, &str)]) -> Vec<String> {
        let target = ResourceKey::new("http", "example.com", "/b/c/d?q");
        let fields = lines.iter().copied().collect();
        let found = invalidated(method, &target, status, &fields, vec!["g".into()], |p| Some(p.to_owned()));
        assert_eq!(found.tags.is_empty(), found.resources.is_empty());
        found.resources.iter().map(|r| r.path_and_query().to_owned()).collect()
    }

    #[test]
    fn only_a_successful_unsafe_request_invalidates() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "UNHEARD-OF"] {
            assert_eq!(names(method, 204, &[]), ["/b/c/d?q"]);
            assert_eq!(names(method, 303, &[]), ["/b/c/d?q"]);
            assert!(names(method, 404, &[]).is_empty());
            assert!(names(method, 500, &[]).is_empty());
        }
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(names(method, 200, &[("location", "/x")]).is_empty());
        }
    }

    #[test]
    fn a_reference_is_resolved_as_rfc_3986_says() {
        for (reference, path) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("//example.com", "/"),
            ("//EXAMPLE.com:80/g", "/g"),
            ("http://example.com?y", "/?y"),
            ("HTTP://example.com/a/../g?x=/../y#s", "/g?x=/../y"),
            ("?y", "/b/c/d?y"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            (".", "/b/c/"),
            ("..", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            ("./g/.", "/b/c/g/"),
            ("g/../h", "/b/c/h"),
            ("a//b", "/b/c/a//b"),
        ] {
            assert_eq!(names("POST", 201, &[("location", reference)]), ["/b/c/d?q", path], "{reference}");
        }
        assert_eq!(names("PUT", 200, &[("content-location", "#s")]), ["/b/c/d?q"]);
        assert_eq!(names("POST", 201, &[("location", "e"), ("content-location", "f")]).len(), 3);
    }

    #[test]
    fn nothing_of_another_origin_is_touched() {
        for reference in [
            "https://example.com/g",
            "http://example.com:8080/g",
            "//evil.example/g",
            "//example.com@evil.example/g",
            "//user@example.com/g",
            "http:g",
            "mailto:a@b",
            "javascript:1",
        ] {
            assert_eq!(names("POST", 201, &[("location", reference)]), ["/b/c/d?q"], "{reference}");
        }
    }
}
