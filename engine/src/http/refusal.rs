//! Why a request is refused, and the problem document (RFC 9457) that says so.
//!
//! It is not an application's error response: that is the application's. The codec makes refusals, the connection
//! counts them by their `reason`, writes them and, where the framing is in doubt, closes.
use crate::http::fields::Fields;
use crate::http::response::{self, BodyFraming, reason_phrase};

/// A request that will not be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// Label of the counter, in snake_case.
    pub reason: &'static str,
    /// What was seen and which rule or limit it broke, for the client's author.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its three parts.
    pub fn new(status: u16, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into() }
    }

    /// Append the complete HTTP/1.1 response. Keep the connection only if the request's end is known.
    pub fn write(&self, out: &mut Vec<u8>, date: &[u8; 29], keep_alive: bool, extra: &[(&str, &str)]) {
        let body = problem(self.status, &self.detail);
        let mut fields: Fields = [("content-type", "application/problem+json")].into_iter().collect();
        for (name, value) in extra {
            fields.push(name, value);
        }
        let framing = BodyFraming::Length(body.len() as u64);
        response::write_head(out, 1, self.status, &fields, framing, keep_alive, date);
        out.extend_from_slice(&body);
    }

    /// How many bytes of that are its body, which nobody who asked with HEAD expects.
    pub fn body_bytes(&self) -> usize {
        problem(self.status, &self.detail).len()
    }
}

/// The problem document (RFC 9457 §3) of a status that needs no type of its own.
pub fn problem(status: u16, detail: &str) -> Vec<u8> {
    let title = reason_phrase(status);
    let detail = serde_json::Value::from(detail);
    format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":{detail}}}"#).into_bytes()
}

/// The same with a member more (RFC 9457 §3.2).
pub fn problem_with(status: u16, detail: &str, name: &str, value: &str) -> Vec<u8> {
    let mut problem = problem(status, detail);
    problem.pop();
    problem.extend_from_slice(format!(r#","{name}":{}}}"#, serde_json::Value::from(value)).as_bytes());
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::response::DateClock;

    #[test]
    fn a_problem_is_json_whatever_the_detail_says() {
        let seen = "a \"quote\", a \\ and a \n";
        let json: serde_json::Value = serde_json::from_slice(&problem(414, seen)).unwrap();
        assert_eq!(json["title"], "URI Too Long");
        assert_eq!((json["status"].as_u64(), json["detail"].as_str()), (Some(414), Some(seen)));
    }

    #[test]
    fn a_refusal_is_a_whole_response_with_its_length() {
        let mut out = vec![];
        let extra = [("retry-after", "1")];
        Refusal::new(503, "busy", "too busy").write(&mut out, DateClock::default().at(0), false, &extra);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
            )
        );
        assert!(head.contains("\r\nretry-after: 1\r\n") && head.ends_with("\r\nconnection: close"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
    }
}
