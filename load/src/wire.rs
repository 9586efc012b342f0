//! A member's side of its protocol: bytes in, what they say out. It knows no sockets and no clock.
use crate::follow::offset;
use crate::options::Transport;
use crate::response::{self, Head};
use crate::scan::{Scan, Seen};
use crate::{sse, websocket};
use freshwire_engine::http::body::Body;
use freshwire_engine::http::head::Framing;
use std::borrow::Cow;

/// Why a connection ended.
pub type Reason = Cow<'static, str>;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing has been asked, or all of it answered.
    #[default]
    Idle,
    /// The head of a response comes next, or more of it.
    Head,
    /// In an event stream.
    Events,
    /// In a body that ends.
    Answer,
    /// WebSocket frames.
    Frames,
    /// Whatever comes.
    Raw,
}

/// See the module.
#[derive(Debug)]
pub struct Wire {
    /// Where it stands.
    pub stage: Stage,
    /// The connection can take another request.
    pub keep_alive: bool,
    /// What is cut, and what it would come back with.
    pub scan: Scan,
    body: Body,
    until_close: bool,
    status: u16,
    /// Where in its log the answer was made.
    position: u64,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            stage: Stage::Idle,
            keep_alive: true,
            scan: Scan::default(),
            body: Body::new(Framing::None),
            until_close: false,
            status: 0,
            position: 0,
        }
    }
}

impl Wire {
    /// At the beginning of another connection, with the position of the last.
    pub fn restart(&mut self) {
        let (last, follow) = (std::mem::take(&mut self.scan.last), self.scan.follow.take());
        *self = Self { scan: Scan { last, follow, ..Scan::default() }, ..Self::default() };
    }

    /// A request has been sent.
    pub fn asked(&mut self, transport: Transport) {
        self.stage = if transport == Transport::Raw { Stage::Raw } else { Stage::Head };
    }

    /// Take what came. Fails with the reason for which this connection is over.
    pub fn take(
        &mut self,
        transport: Transport,
        accept: &[u8],
        mut bytes: &[u8],
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), Reason> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Idle => return Err("bytes that nobody asked for".into()),
                Stage::Head => {
                    let held = self.scan.held.len();
                    self.scan.held.extend_from_slice(if held > 0 { bytes } else { &[] });
                    let all = if held > 0 { &self.scan.held[..] } else { bytes };
                    let Some(head) = response::parse(all)? else {
                        if held == 0 {
                            self.scan.held.extend_from_slice(bytes);
                        }
                        return Ok(());
                    };
                    self.scan.held = Vec::new();
                    bytes = &bytes[head.size - held..];
                    self.head(transport, accept, head, seen)?;
                }
                Stage::Events => {
                    let scan = &mut self.scan;
                    let fed = self.body.feed(bytes, |data| sse::feed(scan, data, seen));
                    fed.map_err(|_| "a broken chunk")?;
                    return if self.body.done() { Err("closed".into()) } else { Ok(()) };
                }
                Stage::Answer => {
                    let Scan { finder, stamp, follow, .. } = &mut self.scan;
                    let used = self.body.feed(bytes, |data| match follow {
                        Some(follow) if follow.waits() => follow.feed(data),
                        _ => finder.feed(data, |found| *stamp = found),
                    });
                    bytes = &bytes[used.map_err(|_| "a broken chunk")?..];
                    if self.body.done() {
                        self.answered(transport, seen);
                    }
                }
                Stage::Frames => return Ok(websocket::feed(&mut self.scan, bytes, seen)?),
                Stage::Raw => {
                    self.scan.finder.feed(bytes, |stamp| seen(Seen::Message(stamp)));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The peer has ended the stream. Fails if more should have come.
    pub fn end(&mut self, transport: Transport, seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Reason> {
        self.keep_alive = false;
        match (self.stage, transport) {
            (Stage::Idle, Transport::LongPoll | Transport::Get | Transport::Wait) => Ok(()),
            (Stage::Answer, _) if self.until_close => {
                self.answered(transport, seen);
                Ok(())
            }
            _ => Err("closed".into()),
        }
    }

    fn head(
        &mut self,
        transport: Transport,
        accept: &[u8],
        head: Head,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), Reason> {
        let refused = || Err(format!("status {}", head.status).into());
        self.stage = match (transport, head.status) {
            (Transport::Websocket, 101) if head.accept == accept => Stage::Frames,
            (Transport::Websocket, 101) => return Err("a handshake that answers another".into()),
            (_, 100 | 102..200) => return Ok(()),
            (Transport::Sse, 200) if head.event_stream => Stage::Events,
            (Transport::Sse, 200) => return Err("no event stream".into()),
            (Transport::LongPoll, 200) if head.etag.is_empty() => return Err("no ETag".into()),
            (Transport::LongPoll, 200 | 304) => Stage::Answer,
            (Transport::Get | Transport::Wait, _) => Stage::Answer,
            _ => return refused(),
        };
        self.position = offset(&head.position);
        if let Some(follow) = &mut self.scan.follow {
            follow.head(&head);
        }
        match transport {
            Transport::Websocket if !head.position.is_empty() => self.scan.last = head.position,
            Transport::LongPoll if !head.etag.is_empty() => self.scan.last = head.etag,
            _ => {}
        }
        self.body = head.body;
        self.until_close = head.until_close;
        self.keep_alive = head.keep_alive;
        self.status = head.status;
        seen(Seen::Answered);
        if self.stage == Stage::Answer && self.body.done() {
            self.answered(transport, seen);
        }
        Ok(())
    }

    fn answered(&mut self, transport: Transport, seen: &mut impl FnMut(Seen<'_>)) {
        self.stage = Stage::Idle;
        self.scan.finder.reset();
        let stamp = std::mem::take(&mut self.scan.stamp);
        if transport == Transport::LongPoll && self.status == 200 {
            seen(Seen::Message(stamp));
        }
        if transport == Transport::Get && stamp > 0 {
            seen(Seen::Made(self.position, stamp));
        }
        if let Some(follow) = &mut self.scan.follow {
            follow.answered(self.status, self.position, stamp, seen);
        }
        seen(Seen::Response(self.status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Follow;

    /// What a member makes of a stream that comes whole, and of one that comes byte by byte: the same.
    fn read(transport: Transport, stream: &str) -> Vec<String> {
        let stream = stream.replace('\n', "\r\n");
        let run = |pieces: Vec<&[u8]>| {
            let (mut wire, mut said) = (Wire::default(), vec![]);
            wire.scan.follow = (transport == Transport::Wait).then(|| Box::new(Follow::new(true)));
            wire.asked(transport);
            let mut ended = Ok(());
            for piece in pieces {
                let mut seen = |seen: Seen<'_>| said.push(format!("{seen:?}"));
                ended = ended.and_then(|()| wire.take(transport, b"key", piece, &mut seen));
            }
            let mut seen = |seen: Seen<'_>| said.push(format!("{seen:?}"));
            let ended = ended.and_then(|()| wire.end(transport, &mut seen));
            said.extend(ended.err().map(|reason| format!("end: {reason}")));
            said
        };
        let whole = run(vec![stream.as_bytes()]);
        assert_eq!(run(stream.as_bytes().chunks(1).collect()), whole);
        whole
    }

    #[test]
    fn an_event_stream_in_chunks() {
        let stream = "HTTP/1.1 200 OK\ncontent-type: text/event-stream\ntransfer-encoding: chunked\n\nb\ndata: x\n\n\n0\n\n";
        assert_eq!(read(Transport::Sse, stream), ["Answered", "Message(0)", "end: closed"]);
    }

    #[test]
    fn an_event_stream_that_ends_with_its_connection() {
        let stream = "HTTP/1.0 200 OK\nContent-Type: text/event-stream; charset=utf-8\n\ndata: x\n\n";
        assert_eq!(read(Transport::Sse, stream), ["Answered", "Message(0)", "end: closed"]);
    }

    #[test]
    fn what_is_no_event_stream() {
        for (stream, reason) in [
            ("HTTP/1.1 404 Not Found\ncontent-length: 0\n\n", "end: status 404"),
            ("HTTP/1.1 200 OK\ncontent-length: 2\n\n{}", "end: no event stream"),
            ("220 smtp ready\n", "end: no HTTP"),
            ("HTTP/1.1 200 OK\n", "end: closed"),
        ] {
            assert_eq!(read(Transport::Sse, stream), [reason]);
        }
    }

    #[test]
    fn a_handshake_and_frames() {
        let head = |key: &str| format!("HTTP/1.1 101 S\nsec-websocket-accept: {key}\n\n");
        let stream = head("key") + "\u{1}\u{3}abc";
        assert_eq!(
            read(Transport::Websocket, &stream),
            ["Answered", "end: closed"],
            "a fragment alone is no message"
        );
        assert_eq!(read(Transport::Websocket, &head("?")), ["end: a handshake that answers another"]);
        assert_eq!(read(Transport::Websocket, "HTTP/1.1 403 No\ncontent-length: 0\n\n"), ["end: status 403"]);
    }

    #[test]
    fn a_resource_that_is_followed_by_waits() {
        let first = "HTTP/1.1 200 OK\nlink: </w>; rel=monitor\ncontent-length: 29\n\n{\"at\":\"00000000000000000012\"}";
        assert_eq!(read(Transport::Wait, first), ["Answered", "Message(12)", "Response(200)"]);
        let failed = "HTTP/1.1 503 No\nfresh-position: e-3\ncontent-length: 0\n\n";
        assert_eq!(read(Transport::Wait, failed), ["Answered", "Told(Failed)", "Response(503)"]);
        let changed =
            "HTTP/1.1 200 OK\nfresh-position: e-3\ncontent-length: 29\n\n{\"at\":\"00000000000000000012\"}";
        assert_eq!(read(Transport::Get, changed), ["Answered", "Made(3, 12)", "Response(200)"]);
    }

    #[test]
    fn answers_one_after_the_other() {
        let first = "HTTP/1.1 200 OK\netag: \"x\"\ncontent-length: 29\n\n{\"at\":\"00000000000000000012\"}\n";
        assert_eq!(read(Transport::LongPoll, first)[..2], ["Answered", "Message(12)"]);
        let unchanged = "HTTP/1.1 304 Not Modified\netag: \"x\"\n\n";
        assert_eq!(read(Transport::LongPoll, unchanged), ["Answered", "Response(304)"]);
        assert_eq!(read(Transport::LongPoll, "HTTP/1.1 200 OK\n\n"), ["end: no ETag"]);
        let until_close = "HTTP/1.1 103 Early Hints\nlink: x\n\nHTTP/1.1 500 No\n\nbody";
        assert_eq!(read(Transport::Get, until_close), ["Answered", "Response(500)"]);
        let more = "HTTP/1.1 204 No Content\n\nmore";
        assert_eq!(read(Transport::Get, more).pop().unwrap(), "end: bytes that nobody asked for");
    }
}
