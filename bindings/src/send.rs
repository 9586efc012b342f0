//! The response on its way out: which message may come when, and the declared length that nothing below checks.
//!
//! Pure state. The head is held until the first piece of the body, or until the application suspends, so that a
//! response that is there at once leaves in one piece and a failure before that can still be a 500.
use crate::message::{More, Said};
use bytes::Bytes;
use freshwire_engine::app::{Answer, ResponseHead};
use freshwire_engine::http::fields::Fields;

/// Where a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing said.
    Idle,
    /// The head is said, the body is due.
    Body,
    /// The body is said, trailers were promised.
    Trailers,
    /// All is said.
    Complete,
    /// It broke a rule that a client would have to pay for; it was cut short.
    Failed,
}

/// Why a message is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot come now: what was expected instead.
    Order(&'static str),
    /// Something else about it: the whole sentence.
    Content(String),
    /// There is nobody to send it to: the whole sentence.
    Gone(&'static str),
}

/// One response.
pub struct Response {
    phase: Phase,
    /// The request was HEAD: no body follows whatever the head says.
    to_head: bool,
    /// Said and not sent.
    held: Option<Box<ResponseHead>>,
    /// What the body must come to, where that was said and can be checked.
    declared: Option<u64>,
    /// Body bytes so far.
    sent: u64,
    /// The status has no body (RFC 9110 §6.4.1): what is sent of one is dropped.
    bodiless: bool,
    /// Trailers were promised, and those said so far.
    trailers: Option<Fields>,
}

impl Response {
    /// Before anything is said.
    pub fn new(to_head: bool) -> Self {
        Self {
            phase: Phase::Idle,
            to_head,
            held: None,
            declared: None,
            sent: 0,
            bodiless: false,
            trailers: None,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the head has gone out, so that nothing can be added to it.
    pub fn head_sent(&self) -> bool {
        self.phase != Phase::Idle && self.held.is_none()
    }

    /// The head while it can be added to: None before it is said, and once it is sent.
    pub fn held(&mut self) -> Option<&mut ResponseHead> {
        self.held.as_deref_mut()
    }

    /// The next phase, if `said` may come now.
    fn next(&self, said: &Said) -> Result<Phase, Refusal> {
        let after_body = if self.trailers.is_some() { Phase::Trailers } else { Phase::Complete };
        match (self.phase, said) {
            (Phase::Idle, Said::EarlyHints(_)) => Ok(Phase::Idle),
            (Phase::Idle, Said::Start { .. }) => Ok(Phase::Body),
            (Phase::Body, Said::Body(_, More::Follows)) => Ok(Phase::Body),
            (Phase::Body, Said::Body(_, More::Last)) => Ok(after_body),
            (Phase::Trailers, Said::Trailers(_, More::Follows)) => Ok(Phase::Trailers),
            (Phase::Trailers, Said::Trailers(_, More::Last)) => Ok(Phase::Complete),
            (Phase::Idle, _) => Err(Refusal::Order("http.response.start")),
            (Phase::Body, _) => Err(Refusal::Order("http.response.body")),
            (Phase::Trailers, _) => Err(Refusal::Order("http.response.trailers")),
            (Phase::Complete, _) => Err(Refusal::Order("nothing, the response is complete")),
            (Phase::Failed, _) => Err(Refusal::Order("nothing, the response was cut short")),
        }
    }

    /// Take the application's next message; what follows from it goes to `out`.
    pub fn take(&mut self, said: Said, out: &mut impl FnMut(Answer)) -> Result<(), Refusal> {
        let next = self.next(&said)?;
        match said {
            Said::EarlyHints(fields) => out(Answer::EarlyHints(fields)),
            Said::Start { head, trailers } => {
                self.bodiless = matches!(head.status, 204 | 304);
                self.declared = head.content_length.filter(|_| !self.to_head && !self.bodiless);
                self.trailers = trailers.then(Fields::default);
                self.held = Some(head);
            }
            Said::Body(data, more) => self.body(data, more, out)?,
            Said::Trailers(fields, _) => {
                let trailers = self.trailers.get_or_insert_default();
                fields.iter().for_each(|(name, value)| trailers.push(name, value));
                if next == Phase::Complete {
                    out(Answer::Trailers(self.trailers.take().unwrap_or_default()));
                }
            }
            // `next` refuses what belongs to a WebSocket.
            Said::Accept(..) | Said::Message(_) | Said::Close(..) => {}
        }
        self.phase = next;
        Ok(())
    }

    fn body(&mut self, mut data: Bytes, more: More, out: &mut impl FnMut(Answer)) -> Result<(), Refusal> {
        if self.bodiless {
            data = Bytes::new();
        }
        let sent = self.sent + data.len() as u64;
        if let Some(declared) = self.declared
            && (sent > declared || (more == More::Last && sent < declared))
        {
            self.fail(out);
            return Err(Refusal::Content(format!(
                "the response body has {sent} bytes{}, its content-length says {declared}",
                if more == More::Last { "" } else { " and more" },
            )));
        }
        self.sent = sent;
        let more = more == More::Follows || self.trailers.is_some();
        match self.held.take() {
            Some(head) => out(Answer::Start { head, body: data, more }),
            None if data.is_empty() && more => {}
            None => out(Answer::Data { data, more }),
        }
        Ok(())
    }

    /// Hold the head no longer: the application is about to do something else.
    pub fn release(&mut self, out: &mut impl FnMut(Answer)) {
        if let Some(head) = self.held.take() {
            out(Answer::Start { head, body: Bytes::new(), more: true });
        }
    }

    /// The application has failed: a 500 if no head has gone out, else a body that visibly ends early.
    pub fn fail(&mut self, out: &mut impl FnMut(Answer)) {
        if !matches!(self.phase, Phase::Complete | Phase::Failed) {
            self.held = None;
            self.phase = Phase::Failed;
            out(Answer::Failed);
        }
    }

    /// The application has returned; what it returned without, if it should not have.
    pub fn finish(&mut self, out: &mut impl FnMut(Answer)) -> Option<&'static str> {
        let without = match self.phase {
            Phase::Complete | Phase::Failed => None,
            Phase::Idle => Some("starting a response"),
            Phase::Body => Some("completing the response body"),
            Phase::Trailers => Some("sending the trailers it promised"),
        };
        self.fail(out);
        without
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(length: Option<u64>, trailers: bool) -> Said {
        let head = ResponseHead { status: 200, content_length: length, ..Default::default() };
        Said::Start { head: Box::new(head), trailers }
    }

    fn body(data: &'static str, more: More) -> Said {
        Said::Body(Bytes::from_static(data.as_bytes()), more)
    }

    /// What the engine hears, one letter an answer, and the first refusal.
    fn run(response: &mut Response, says: impl IntoIterator<Item = Said>) -> (String, Option<Refusal>) {
        let mut heard = String::new();
        let mut out = |answer| {
            heard += &match answer {
                Answer::Start { body, more, .. } => {
                    format!("S{}{}", body.len(), if more { "+" } else { "." })
                }
                Answer::Data { data, more } => format!("D{}{}", data.len(), if more { "+" } else { "." }),
                Answer::Trailers(fields) => format!("T{}", fields.len()),
                Answer::EarlyHints(_) => "E".into(),
                Answer::Failed => "F".into(),
                other => panic!("{other:?}"),
            }
        };
        let refusal = says.into_iter().find_map(|said| response.take(said, &mut out).err());
        (heard, refusal)
    }

    #[test]
    fn a_response_that_is_there_at_once_leaves_in_one_piece() {
        let mut response = Response::new(false);
        let heard = run(&mut response, [start(Some(2), false), body("ok", More::Last)]);
        assert_eq!(heard, ("S2.".into(), None));
        assert_eq!(response.finish(&mut |_| panic!()), None);
    }

    #[test]
    fn the_last_piece_waits_for_promised_trailers() {
        let says = [
            Said::EarlyHints(Fields::default()),
            start(None, true),
            body("a", More::Follows),
            body("", More::Follows),
            body("b", More::Last),
            Said::Trailers([("x", "1")].into_iter().collect(), More::Follows),
            Said::Trailers([("y", "2")].into_iter().collect(), More::Last),
        ];
        assert_eq!(run(&mut Response::new(false), says), ("ES1+D1+T2".into(), None));
    }

    #[test]
    fn a_body_that_differs_from_its_content_length_is_refused_and_cut_short() {
        for (says, heard) in [
            (vec![start(Some(2), false), body("abc", More::Last)], "F"),
            (vec![start(Some(2), false), body("a", More::Last)], "F"),
            (vec![start(Some(2), false), body("a", More::Follows), body("bc", More::Follows)], "S1+F"),
        ] {
            let mut response = Response::new(false);
            let (seen, refusal) = run(&mut response, says);
            assert_eq!(seen, heard);
            assert!(
                matches!(refusal, Some(Refusal::Content(text)) if text.contains("content-length says 2"))
            );
            assert_eq!(response.phase(), Phase::Failed);
        }
        let to_head = run(&mut Response::new(true), [start(Some(2), false), body("", More::Last)]);
        assert_eq!(to_head, ("S0.".into(), None));
    }

    #[test]
    fn what_comes_out_of_order_is_refused_and_changes_nothing() {
        let mut response = Response::new(false);
        assert!(run(&mut response, [body("a", More::Last)]).1.is_some());
        assert!(run(&mut response, [start(None, false), start(None, false)]).1.is_some());
        assert_eq!(run(&mut response, [body("a", More::Last)]), ("S1.".into(), None));
        assert!(run(&mut response, [body("a", More::Last)]).1.is_some());
    }

    #[test]
    fn returning_early_is_a_failure_that_says_what_is_missing() {
        let mut response = Response::new(false);
        run(&mut response, [start(None, false)]);
        let mut failed = false;
        let without = response.finish(&mut |answer| failed = matches!(answer, Answer::Failed));
        assert_eq!((without, failed), (Some("completing the response body"), true));
    }
}
