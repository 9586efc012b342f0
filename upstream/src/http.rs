//! A request on its way to an upstream, until there is a response (`response` passes that on).
//!
//! A request is sent once. It is sent again only if the upstream cannot have acted on it twice: hyper never wrote it, or
//! it is idempotent, has no body, and the connection it went out on, an old one, ended before a byte of the response
//! (RFC 9110 §9.2.2).
use crate::balance::seconds;
use crate::body::{Gate, RequestBody};
use crate::connection::Use;
use crate::exchange::Exchange;
use crate::fields::{self, Framing};
use crate::lease::{Lease, Need};
use crate::response;
use crate::thread::Thread;
use freshwire_engine::app::{Answer, Request};
use freshwire_engine::http::refusal::Refusal;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Response, Uri};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout;

/// Serve one request.
pub async fn serve(thread: &Arc<Thread>, exchange: &Arc<Exchange>, mut request: Request) {
    let outcome = match ask(thread, exchange, &mut request).await {
        Ok((lease, response)) => response::respond(thread, exchange, &request, lease, response).await,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = outcome {
        exchange.refuse(refusal);
    }
}

/// What is sent of a request besides its head.
fn body_of(exchange: &Arc<Exchange>, request: &mut Request) -> (Framing, RequestBody) {
    let first = std::mem::take(&mut request.body);
    if first.is_empty() && !request.more_body {
        return (Framing::None, RequestBody::empty());
    }
    if !request.more_body {
        let length = first.len() as u64;
        return (Framing::Length(length), RequestBody::new(first, None, Some(length)));
    }
    let declared = request.fields.get("content-length");
    let length = declared.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let framing = length.map_or(Framing::Chunked, Framing::Length);
    (framing, RequestBody::new(first, Some(exchange.clone()), length))
}

/// Whether a request can be sent twice and mean the same.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// Send the request, and wait for the head of the response.
async fn ask(
    thread: &Arc<Thread>,
    exchange: &Arc<Exchange>,
    request: &mut Request,
) -> Result<(Lease, Response<Incoming>), Refusal> {
    let expects_continue = request.more_body && request.fields.get("expect").is_some();
    let gate = expects_continue.then(Arc::<Gate>::default);
    let (framing, body) = body_of(exchange, request);
    let mut body = Some(match &gate {
        Some(gate) => body.behind(gate.clone()),
        None => body,
    });
    let mut need = Need::Any;
    loop {
        let mut lease = Lease::find(thread, need).await?;
        let (uri, headers) = head_for(thread, request, lease.upstream, framing, expects_continue)?;
        let mut asked = hyper::Request::new(body.take().unwrap_or_else(RequestBody::empty));
        *asked.method_mut() = method_of(request)?;
        *asked.uri_mut() = uri;
        *asked.headers_mut() = headers;
        hear_interim(exchange, request, gate.as_ref(), &mut asked);
        let sent = lease.connection.sender.try_send_request(asked);
        let mut error = match in_time(thread, exchange, sent).await? {
            Ok(response) => return Ok((lease, response)),
            Err(error) => error,
        };
        let again = lease.reused
            && match error.take_message() {
                Some(unsent) => {
                    body = Some(unsent.into_body());
                    true
                }
                None => lease.heard_nothing() && framing == Framing::None && is_idempotent(&request.method),
            };
        if !again {
            return Err(no_response(&error.into_error()));
        }
        thread.common.metrics.upstream_retries.fetch_add(1, Relaxed);
        need = Need::New(Use::Http);
    }
}

/// Method as hyper has it; it takes every token.
fn method_of(request: &Request) -> Result<Method, Refusal> {
    Method::from_bytes(request.method.as_bytes())
        .map_err(|_| Refusal::new(501, "method", "the method cannot be passed on"))
}

/// Target and fields for one upstream.
pub fn head_for(
    thread: &Thread,
    request: &Request,
    upstream: usize,
    framing: Framing,
    expects_continue: bool,
) -> Result<(Uri, HeaderMap), Refusal> {
    let address = &thread.common.balance.upstreams[upstream].address;
    let uri = fields::target(&address.target(&request.target))
        .ok_or_else(|| Refusal::new(400, "target", "the target cannot be passed on"))?;
    let host = &thread.common.options.upstream_host;
    let headers = fields::request_fields(request, host, &address.authority, framing, expects_continue)
        .ok_or_else(|| Refusal::new(508, "loop", "the request comes through this node again and again"))?;
    Ok((uri, headers))
}

/// Pass on what the upstream says before its response: hints for a client, and leave to send the body.
fn hear_interim(
    exchange: &Arc<Exchange>,
    request: &Request,
    gate: Option<&Arc<Gate>>,
    asked: &mut hyper::Request<RequestBody>,
) {
    let hinted = request.client.is_some() && request.minor > 0;
    if !hinted && gate.is_none() {
        return;
    }
    let (exchange, gate) = (Arc::downgrade(exchange), gate.cloned());
    hyper::ext::on_informational(asked, move |interim| match interim.status().as_u16() {
        100 => gate.iter().for_each(|gate| gate.open()),
        103 if hinted => {
            if let Some(exchange) = exchange.upgrade() {
                exchange.answer(Answer::EarlyHints(fields::hints(interim.headers())));
            }
        }
        _ => {}
    });
}

/// Wait for the head of a response, for as long as the application may take; what the client itself takes to send its
/// body does not count.
pub async fn in_time<T>(
    thread: &Thread,
    exchange: &Exchange,
    response: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let limit_s = thread.common.options.app_timeout_s;
    let mut response = pin!(response);
    loop {
        let before = exchange.progress();
        match timeout(seconds(limit_s), response.as_mut()).await {
            Ok(response) => return Ok(response),
            Err(_) if exchange.progress() != before || exchange.awaits_client.load(Relaxed) => {}
            Err(_) => {
                let detail = format!("the upstream did not answer within {limit_s} s (app_timeout_s)");
                return Err(Refusal::new(504, "upstream_timeout", detail));
            }
        }
    }
}

/// Why there is no response that could be passed on.
pub fn no_response(error: &hyper::Error) -> Refusal {
    // hyper has no other way to ask a client's error for it.
    if error.is_parse() && error.to_string().contains("too large") {
        let detail = "the head of the upstream's response is too large (max_upstream_head_bytes), or has more than 100 fields";
        return Refusal::new(502, "upstream_head_too_large", detail);
    }
    if error.is_parse() {
        return Refusal::new(502, "upstream_malformed", "what the upstream answers is not HTTP/1.1");
    }
    Refusal::new(502, "upstream_closed", "the upstream closed the connection before it answered")
}
