//! When the token of a request ends: a watch may not outlive what opened it (security row 30).
//!
//! Nothing is verified here, that is the application's business; a bearer token that is no JWT (RFC 7519), or one
//! without `exp`, says nothing.
use crate::http::fields::Fields;
use crate::http::json::too_deep;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

/// `exp` of the bearer token (RFC 6750) in these fields, seconds since 1970.
pub fn expires_unix_s(fields: &Fields) -> Option<u64> {
    let value = std::str::from_utf8(fields.get("authorization")?).ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let claims = scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().split('.').nth(1))??;
    let json = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims = (!too_deep(&json)).then(|| serde_json::from_slice::<Claims>(&json).ok())?;
    let exp = claims?.exp?;
    (exp >= 0.0).then_some(exp as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_jwt_with_an_exp_says_when_it_ends() {
        let bearer = |claims: &str| {
            let token = format!("Bearer e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
            expires_unix_s(&[("authorization", token)].into_iter().collect())
        };
        assert_eq!(bearer(r#"{"sub":"a","exp":1700000000}"#), Some(1_700_000_000));
        assert_eq!(bearer(r#"{"exp":1700000000.5}"#), Some(1_700_000_000));
        assert_eq!(bearer(r#"{"sub":"a"}"#), None);
        assert_eq!(bearer(r#"{"exp":"soon"}"#), None);
        let deep = |n: usize| format!(r#"{{"exp":7,"x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert_eq!((bearer(&deep(60)), bearer(&deep(100)), bearer(&deep(6000))), (Some(7), None, None));
        for other in ["Bearer opaque", "Basic e30.eyJleHAiOjF9.c", "Bearer e30.!.c", "Bearer"] {
            assert_eq!(expires_unix_s(&[("authorization", other)].into_iter().collect()), None, "{other}");
        }
    }
}
