//! The two kinds of exchange behind one set of questions. Pure state: `exchange` adds the task and Python.
use crate::message::{Heard, Said};
use crate::receive::Body;
use crate::send::{Phase, Refusal, Response};
use crate::websocket::WebSocket;
use freshwire_engine::app::{Answer, Event, Kind, Request};

/// What is exchanged.
pub enum Cycle {
    /// One request, one response.
    Http {
        /// What the application has yet to read.
        body: Body,
        /// What it says.
        response: Response,
    },
    /// Messages both ways.
    WebSocket(WebSocket),
}

/// Whether what is sent can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// As far as anybody knows.
    There,
    /// It has ended its side of the connection, and may yet read its answer: whoever listens hears of a disconnect.
    Leaving,
    /// Nothing arrives there any more.
    Gone,
}

impl Cycle {
    /// Takes the request's body and offered subprotocols.
    pub fn new(request: &mut Request) -> Self {
        match &mut request.kind {
            Kind::WebSocket(offered) => Self::WebSocket(WebSocket::new(offered.clone())),
            Kind::Http => Self::Http {
                body: Body::new(std::mem::take(&mut request.body), request.more_body),
                response: Response::new(&*request.method == "HEAD"),
            },
        }
    }

    /// Something happened on the engine's side.
    pub fn event(&mut self, event: Event) {
        match (self, event) {
            (Self::Http { body, .. }, Event::Body { data, more }) => body.arrived(data, more),
            (Self::WebSocket(socket), Event::Disconnect) => socket.lost(),
            (Self::WebSocket(socket), Event::Closed(code, reason)) => socket.peer_ends(code, reason),
            (Self::WebSocket(socket), Event::Message(message)) => socket.arrived(message),
            // A disconnect is the exchange's to know, a drain its flow's; the engine does not mix the two kinds.
            (
                Self::Http { .. },
                Event::Disconnect | Event::Drained | Event::Message(_) | Event::Closed(..),
            )
            | (Self::WebSocket(_), Event::Drained | Event::Body { .. }) => {}
        }
    }

    /// What the application receives next, if it is there.
    pub fn heard(&mut self, peer: Peer, out: &mut impl FnMut(Answer)) -> Option<Heard> {
        match self {
            Self::Http { response, .. }
                if peer == Peer::Gone || matches!(response.phase(), Phase::Complete | Phase::Failed) =>
            {
                Some(Heard::Disconnect)
            }
            Self::Http { body, .. } => match body.next() {
                None if peer == Peer::Leaving => Some(Heard::Disconnect),
                piece => {
                    (0..body.want()).for_each(|_| out(Answer::Want));
                    piece.map(|(piece, more)| Heard::Request(piece, more))
                }
            },
            Self::WebSocket(socket) => {
                let heard = socket.next();
                if matches!(heard, Some(Heard::Message(_) | Heard::Closed(..))) {
                    // The engine holds back the peer of an application that does not take its messages, and a close
                    // frame until the application knows.
                    out(Answer::Want);
                }
                heard
            }
        }
    }

    /// Take the application's next message; what follows from it goes to `out`.
    pub fn take(&mut self, said: Said, peer: Peer, out: &mut impl FnMut(Answer)) -> Result<(), Refusal> {
        match self {
            Self::Http { response, .. } if peer == Peer::Gone && response.phase() != Phase::Complete => {
                Err(Refusal::Gone("the client has gone, nothing that is sent arrives"))
            }
            Self::Http { response, .. } => response.take(said, out),
            Self::WebSocket(socket)
                if (peer == Peer::Gone || socket.is_closed()) && !matches!(said, Said::Close(..)) =>
            {
                Err(Refusal::Gone("the WebSocket is closed, nothing that is sent arrives"))
            }
            Self::WebSocket(socket) => socket.take(said, out),
        }
    }

    /// Whether the application has said all there is to say.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Http { response, .. } => response.phase() == Phase::Complete,
            Self::WebSocket(socket) => socket.is_closed(),
        }
    }

    /// Hold a head no longer.
    pub fn release(&mut self, out: &mut impl FnMut(Answer)) {
        match self {
            Self::Http { response, .. } => response.release(out),
            Self::WebSocket(socket) => socket.release(out),
        }
    }

    /// What is not complete never will be.
    pub fn fail(&mut self, out: &mut impl FnMut(Answer)) {
        match self {
            Self::Http { response, .. } => response.fail(out),
            Self::WebSocket(socket) => socket.fail(out),
        }
    }

    /// The application has returned; what it returned without, if it should not have.
    pub fn finish(&mut self, out: &mut impl FnMut(Answer)) -> Option<&'static str> {
        match self {
            Self::Http { response, .. } => response.finish(out),
            Self::WebSocket(socket) => socket.finish(out),
        }
    }
}
