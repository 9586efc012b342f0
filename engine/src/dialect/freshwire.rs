//! Freshwire's own dialect: an event's data, a WebSocket message or a long-poll's body is the whole representation.
//!
//! Named events are the exceptions: `gone` (problem details, then the stream ends) and `stale` (a representation that is
//! not text cannot be an event: read it again). Called by the hub, once per message and form.
use super::monitor::{Revoked, Told, Words};
use crate::http::fields::Fields;
use crate::http::refusal::problem;
use crate::http::response::{BodyFraming, DateClock, LAST_CHUNK, write_head};
use crate::hub::{Encode, Form};
use crate::resource::annotate;
use crate::resource::monitors::News;
use crate::resource::representation::Representation;
use crate::resource::watch::Notices;
use crate::transport::sse::{self, Event};
use crate::transport::websocket::{close, deflate, encoder, frame::Op};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes the messages of watches and of waits.
pub struct Dialect {
    /// For the latter.
    pub words: Arc<Words>,
}

/// A representation on its way to watchers.
pub struct Update {
    /// What they get.
    pub representation: Arc<Representation>,
}

struct Gone {
    status: u16,
    detail: String,
}

struct Reset;

impl Notices for Dialect {
    fn representation(&self, representation: Arc<Representation>) -> Arc<dyn Encode> {
        Arc::new(Update { representation })
    }
    fn gone(&self, status: u16, detail: &str) -> Arc<dyn Encode> {
        Arc::new(Gone { status, detail: detail.into() })
    }
    fn reset(&self) -> Arc<dyn Encode> {
        Arc::new(Reset)
    }
    fn news(&self, news: News) -> Arc<dyn Encode> {
        Arc::new(Told::new(self.words.clone(), news))
    }
    fn revoked(&self) -> Arc<dyn Encode> {
        Arc::new(Revoked)
    }
}

fn event(form: Form, event: &Event<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.data.map_or(0, <[u8]>::len) + 128);
    // Its fields are ours and have no line ends: it cannot fail.
    let _ =
        if form == Form::Sse { sse::encode_chunked(event, &mut out) } else { sse::encode(event, &mut out) };
    out
}

fn end(form: Form, mut out: Vec<u8>) -> Vec<u8> {
    if form == Form::Sse {
        out.extend_from_slice(LAST_CHUNK);
    }
    out
}

fn date() -> [u8; 29] {
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    *DateClock::default().at(unix_s)
}

impl Encode for Update {
    fn encode(&self, form: Form) -> Vec<u8> {
        let body = &self.representation.body;
        match form {
            Form::Sse | Form::SseUnchunked => {
                let id = self.representation.id().to_string();
                let (name, data) = match self.representation.text {
                    true => (None, &body[..]),
                    false => (Some("stale"), self.representation.etag.as_bytes()),
                };
                event(form, &Event { event: name, id: Some(&id), retry_ms: None, data: Some(data) })
            }
            Form::WebSocket | Form::WebSocketDeflate => {
                let op = if self.representation.text { Op::Text } else { Op::Binary };
                let mut out = Vec::with_capacity(body.len() + 16);
                match if form == Form::WebSocketDeflate { deflate::compress(body) } else { None } {
                    Some(compressed) => encoder::compressed_frame(op, &compressed, &mut out),
                    None => encoder::frame(op, body, &mut out),
                }
                out
            }
            Form::Poll => {
                let mut out = Vec::with_capacity(body.len() + 512);
                let framing = BodyFraming::Length(body.len() as u64);
                write_head(
                    &mut out,
                    1,
                    self.representation.status,
                    &annotate::fields(&self.representation),
                    framing,
                    true,
                    &date(),
                );
                out.extend_from_slice(body);
                out
            }
        }
    }

    fn unchanged(&self, _: Form) -> Arc<[u8]> {
        let fields = annotate::not_modified(&self.representation);
        let mut out = vec![];
        write_head(&mut out, 1, 304, &fields, BodyFraming::None, true, &date());
        out.into()
    }
}

impl Encode for Gone {
    fn encode(&self, form: Form) -> Vec<u8> {
        let body = problem(self.status, &self.detail);
        match form {
            Form::Sse | Form::SseUnchunked => end(
                form,
                event(form, &Event { event: Some("gone"), id: None, retry_ms: None, data: Some(&body) }),
            ),
            Form::WebSocket | Form::WebSocketDeflate => {
                let mut out = vec![];
                encoder::close(close::for_status(self.status), "the resource is gone", &mut out);
                out
            }
            Form::Poll => {
                let fields: Fields = [("content-type", "application/problem+json")].into_iter().collect();
                let mut out = vec![];
                write_head(
                    &mut out,
                    1,
                    self.status,
                    &fields,
                    BodyFraming::Length(body.len() as u64),
                    true,
                    &date(),
                );
                out.extend_from_slice(&body);
                out
            }
        }
    }
}

impl Encode for Reset {
    fn encode(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Sse | Form::SseUnchunked => end(form, vec![]),
            Form::WebSocket | Form::WebSocketDeflate => {
                let mut out = vec![];
                encoder::close(close::SERVICE_RESTART, "open the watch again", &mut out);
                out
            }
            Form::Poll => {
                let fields: Fields = [("retry-after", "0")].into_iter().collect();
                let mut out = vec![];
                write_head(&mut out, 1, 503, &fields, BodyFraming::Length(0), true, &date());
                out
            }
        }
    }
}
