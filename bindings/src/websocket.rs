//! The WebSocket cycle: connect, then accept, refuse or deny; then messages both ways until one side closes.
//!
//! Pure state, like `send`; frames, pings and the closing handshake are the engine's.
use crate::message::{Heard, Said};
use crate::send::{Phase as ResponsePhase, Refusal, Response};
use freshwire_engine::app::{Answer, Message};
use std::collections::VecDeque;

/// Where a WebSocket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client waits for an answer to its handshake.
    Handshake,
    /// An HTTP response is on its way instead.
    Denying,
    /// Accepted.
    Open,
    /// Over, whoever ended it.
    Closed,
}

/// One WebSocket.
pub struct WebSocket {
    phase: Phase,
    /// `websocket.connect` has been delivered.
    greeted: bool,
    /// Subprotocols that the client offers.
    offered: Vec<String>,
    /// Messages that the application has not received.
    waiting: VecDeque<Message>,
    /// Code and reason of the end, for `websocket.disconnect`.
    closed: Option<(u16, String)>,
    /// The response instead of a WebSocket.
    denial: Response,
}

/// RFC 6455 §7.4.1: no close frame was seen.
const ABNORMAL: u16 = 1006;

impl WebSocket {
    /// Before the application has seen it.
    pub fn new(offered: Vec<String>) -> Self {
        Self {
            phase: Phase::Handshake,
            greeted: false,
            offered,
            waiting: VecDeque::new(),
            closed: None,
            denial: Response::new(false),
        }
    }

    /// What the application receives next, if it is there.
    pub fn next(&mut self) -> Option<Heard> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Heard::Connect);
        }
        if let Some(message) = self.waiting.pop_front() {
            return Some(Heard::Message(message));
        }
        let (code, reason) = self.closed.clone()?;
        self.phase = Phase::Closed;
        Some(Heard::Closed(code, reason))
    }

    /// The peer sent a message. The engine sends only as many ahead as it has credit for.
    pub fn arrived(&mut self, message: Message) {
        if self.phase == Phase::Open {
            self.waiting.push_back(message);
        }
    }

    /// The peer's side is over: for the application once it has received what came before. Until then it may send.
    pub fn peer_ends(&mut self, code: u16, reason: String) {
        self.closed.get_or_insert((code, reason));
    }

    /// It is over; the first to say why is believed.
    pub fn end(&mut self, code: u16, reason: String) {
        self.phase = Phase::Closed;
        self.closed.get_or_insert((code, reason));
    }

    /// The connection has gone without a word.
    pub fn lost(&mut self) {
        self.end(ABNORMAL, String::new());
    }

    /// Whether nothing more can be sent.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Take the application's next message; what follows from it goes to `out`.
    pub fn take(&mut self, said: Said, out: &mut impl FnMut(Answer)) -> Result<(), Refusal> {
        match (self.phase, said) {
            (Phase::Handshake, Said::Accept(subprotocol, fields)) => {
                if let Some(name) = &subprotocol
                    && !self.offered.iter().any(|offered| **offered == **name)
                {
                    return Err(Refusal::Content(format!(
                        "'websocket.accept' chooses the subprotocol {name:?}, the client offers {:?}",
                        self.offered
                    )));
                }
                self.phase = Phase::Open;
                out(Answer::Accept { subprotocol, fields });
            }
            (Phase::Handshake, Said::Close(code, reason)) => {
                out(Answer::Close { code, reason });
                self.lost();
            }
            (Phase::Handshake | Phase::Denying, said @ (Said::Start { .. } | Said::Body(..))) => {
                self.denial.take(said, out)?;
                self.phase = Phase::Denying;
                if self.denial.phase() == ResponsePhase::Complete {
                    self.lost();
                }
            }
            (Phase::Open, Said::Message(message)) => out(Answer::Message(message)),
            (Phase::Open, Said::Close(code, reason)) => {
                self.waiting.clear();
                self.end(code, reason.clone().into_string());
                out(Answer::Close { code, reason });
            }
            // Closing what is closed changes nothing.
            (Phase::Closed, Said::Close(..)) => {}
            (Phase::Handshake, _) => {
                return Err(Refusal::Order(
                    "websocket.accept, websocket.close or websocket.http.response.start",
                ));
            }
            (Phase::Denying, _) => return Err(Refusal::Order("websocket.http.response.body")),
            (Phase::Open, _) => return Err(Refusal::Order("websocket.send or websocket.close")),
            (Phase::Closed, _) => return Err(Refusal::Order("nothing, the WebSocket is closed")),
        }
        Ok(())
    }

    /// Hold the head of a denial no longer.
    pub fn release(&mut self, out: &mut impl FnMut(Answer)) {
        self.denial.release(out);
    }

    /// The application has failed.
    pub fn fail(&mut self, out: &mut impl FnMut(Answer)) {
        match self.phase {
            Phase::Handshake => out(Answer::Failed),
            Phase::Denying => self.denial.fail(out),
            Phase::Open => out(Answer::Close { code: 1011, reason: "Internal error".into() }),
            Phase::Closed => return,
        }
        self.end(1011, String::new());
    }

    /// The application has returned; the error if it should not have.
    pub fn finish(&mut self, out: &mut impl FnMut(Answer)) -> Option<&'static str> {
        match self.phase {
            Phase::Handshake => {
                self.fail(out);
                Some("answering the WebSocket's handshake")
            }
            Phase::Denying => {
                self.fail(out);
                Some("completing the denial of the WebSocket")
            }
            // Returning is how a handler ends: a normal closure.
            Phase::Open => {
                out(Answer::Close { code: 1000, reason: "".into() });
                self.end(1000, String::new());
                None
            }
            Phase::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::More;
    use bytes::Bytes;
    use freshwire_engine::app::ResponseHead;
    use freshwire_engine::http::fields::Fields;

    fn text(text: &'static str) -> Message {
        Message::Text(Bytes::from_static(text.as_bytes()))
    }

    fn accept(subprotocol: Option<&str>) -> Said {
        Said::Accept(subprotocol.map(Into::into), Fields::default())
    }

    #[test]
    fn what_the_peer_said_before_it_closed_is_received_before_the_disconnect() {
        let mut socket = WebSocket::new(vec![]);
        let mut out = vec![];
        assert_eq!(socket.next(), Some(Heard::Connect));
        assert_eq!(socket.next(), None);
        socket.take(accept(None), &mut |answer| out.push(answer)).unwrap();
        socket.arrived(text("a"));
        socket.end(4000, "bye".into());
        socket.lost();
        assert_eq!(socket.next(), Some(Heard::Message(text("a"))));
        for _ in 0..2 {
            assert_eq!(socket.next(), Some(Heard::Closed(4000, "bye".into())));
        }
        assert!(matches!(&out[..], [Answer::Accept { .. }]));
    }

    #[test]
    fn until_it_hears_that_the_peer_is_over_the_application_may_answer() {
        let mut socket = WebSocket::new(vec![]);
        socket.next();
        socket.take(accept(None), &mut |_| {}).unwrap();
        socket.arrived(text("a"));
        socket.peer_ends(1002, "no".into());
        assert_eq!(socket.next(), Some(Heard::Message(text("a"))));
        let mut out = vec![];
        socket.take(Said::Message(text("b")), &mut |answer| out.push(answer)).unwrap();
        assert!(matches!(&out[..], [Answer::Message(_)]));
        assert_eq!(socket.next(), Some(Heard::Closed(1002, "no".into())));
        assert!(socket.is_closed());
    }

    #[test]
    fn only_an_offered_subprotocol_can_be_chosen() {
        let mut socket = WebSocket::new(vec!["chat".into()]);
        assert!(matches!(socket.take(accept(Some("soap")), &mut |_| panic!()), Err(Refusal::Content(_))));
        socket.take(accept(Some("chat")), &mut |_| {}).unwrap();
    }

    #[test]
    fn a_denial_is_a_response_and_then_the_end() {
        let mut socket = WebSocket::new(vec![]);
        let mut out = vec![];
        let head = Box::new(ResponseHead { status: 401, ..Default::default() });
        for said in [Said::Start { head, trailers: false }, Said::Body(Bytes::from_static(b"no"), More::Last)]
        {
            socket.take(said, &mut |answer| out.push(answer)).unwrap();
        }
        assert!(matches!(&out[..], [Answer::Start { more: false, .. }]));
        socket.next();
        assert_eq!(socket.next(), Some(Heard::Closed(1006, String::new())));
        assert!(socket.take(Said::Message(text("x")), &mut |_| panic!()).is_err());
    }

    #[test]
    fn returning_closes_normally_and_failing_with_1011() {
        for (fails, code) in [(false, 1000), (true, 1011)] {
            let mut socket = WebSocket::new(vec![]);
            socket.take(accept(None), &mut |_| {}).unwrap();
            let mut seen = 0;
            let mut out = |answer| match answer {
                Answer::Close { code, .. } => seen = code,
                other => panic!("{other:?}"),
            };
            if fails {
                socket.fail(&mut out)
            } else {
                assert_eq!(socket.finish(&mut out), None)
            }
            assert_eq!(seen, code);
        }
    }
}
