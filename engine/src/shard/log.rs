//! The access log: one line a request when it has ended (a watch and a WebSocket when they open), with position and
//! cache status; `-` for what there is none of: the status of one that ended without an answer, the position of one that
//! was refused.
//!
//! `client "GET /x HTTP/1.1" status bytes milliseconds position cache`. Control bytes are escaped; what looks like a
//! secret in a query is redacted (security rows 26 and 31).
use super::Shard;
use super::work::Work;
use crate::app::Address;
use crate::http::refusal::Refusal;
use crate::net::slab::Key;
use crate::resource::pinned::{self, ELSEWHERE};

/// Query parameters whose values are nobody's business.
const SECRET: [&str; 3] = ["access_token", "ticket", "token"];

impl Shard {
    pub(super) fn log(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key).filter(|_| self.shared.options.access_log) else { return };
        let Some(work) = conn.work.as_deref() else { return };
        let line = self.line(work);
        self.lines.extend_from_slice(line.as_bytes());
    }

    /// Log a request that was refused as soon as its head was read, if it could be: method, target, minor version.
    pub(super) fn log_refusal(&mut self, key: Key, line: Option<(&str, &str, u8)>, refusal: &Refusal) {
        let Some(conn) = self.conns.get(key).filter(|_| self.shared.options.access_log) else { return };
        let client = named(&conn.peer.address());
        let line = line.map_or("-".into(), |(method, target, minor)| request_line(method, target, minor));
        let (status, bytes) = (refusal.status, refusal.body_bytes());
        self.lines.extend_from_slice(format!("{client} \"{line}\" {status} {bytes} 0ms - -\n").as_bytes());
    }

    fn line(&self, work: &Work) -> String {
        let client = named(&work.client);
        let took_ms = self.now_ms.saturating_sub(work.started_ms);
        let position = self.shared.resources.position(work.position);
        let status = if work.status == 0 { "-".into() } else { work.status.to_string() };
        let Work { method, minor, sent_bytes, cache, .. } = work;
        let line = match work.pinned {
            None => request_line(method, &work.target, *minor),
            Some(ELSEWHERE) => request_line(method, &format!("{}?fresh=-", work.target), *minor),
            Some(offset) => request_line(
                method,
                &pinned::url(&work.target, self.shared.resources.position(offset)),
                *minor,
            ),
        };
        format!("{client} \"{line}\" {status} {sent_bytes} {took_ms}ms {position} {cache}\n")
    }

    pub(super) fn flush_log(&mut self) {
        if !self.lines.is_empty() {
            if let Some(output) = self.shared.output.get() {
                output.write(&self.lines);
            }
            self.lines.clear();
        }
    }
}

fn named(client: &Address) -> String {
    match client {
        Address::Ip(address) => address.to_string(),
        Address::Unix(_) => "unix".into(),
    }
}

fn request_line(method: &str, target: &str, minor: u8) -> String {
    format!("{} {} HTTP/1.{minor}", method.escape_default(), redacted(target))
}

fn redacted(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return escaped(target) };
    let parts: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if SECRET.contains(&name) => format!("{}=***", escaped(name)),
            _ => escaped(pair),
        })
        .collect();
    format!("{}?{}", escaped(path), parts.join("&"))
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || c == '"' { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_query_and_control_bytes_do_not_reach_the_log() {
        assert_eq!(redacted("/a?x=1&access_token=s3cret&ticket=t"), "/a?x=1&access_token=***&ticket=***");
        assert_eq!(redacted("/a\n\""), "/a\\n\\\"");
    }
}
