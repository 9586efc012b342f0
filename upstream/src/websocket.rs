//! A WebSocket whose other end is the upstream's (RFC 6455): no tunnel, but messages in both directions, so that limits,
//! rates, closing and draining are the engine's as for any application.
//!
//! Bytes go to the upstream as frames only after its 101, and on a connection that no request will use again: nothing
//! that a client sends behind its handshake is ever read as a request.
use crate::body::RequestBody;
use crate::connection::Use;
use crate::ears::Spoken;
use crate::exchange::Exchange;
use crate::fields::{self, Framing};
use crate::http;
use crate::lease::{Lease, Need};
use crate::response;
use crate::thread::Thread;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use freshwire_engine::app::{Answer, Kind, Message, Request};
use freshwire_engine::http::fields::Fields;
use freshwire_engine::http::lists::has_token;
use freshwire_engine::http::refusal::Refusal;
use freshwire_engine::transport::websocket::frame::Header;
use freshwire_engine::transport::websocket::{Decoder, DecoderLimits, Event, Op, close, encoder, handshake};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long an upstream may take to answer a close frame.
const CLOSING: Duration = Duration::from_secs(2);
/// Pings of an upstream that wait to be answered; of more, the later ones are not.
const PONGS: usize = 4;
/// Read at once.
const READ_BYTES: usize = 16 * 1024;

type Io = TokioIo<Upgraded>;

/// Serve one WebSocket.
pub async fn serve(thread: &Arc<Thread>, exchange: &Arc<Exchange>, request: Request) {
    let Kind::WebSocket(offered) = &request.kind else { return };
    let outcome = match shake_hands(thread, exchange, &request, offered).await {
        // The lease lives as long as the WebSocket: it counts among the connections.
        Ok((_lease, response)) if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS => {
            match hyper::upgrade::on(response).await {
                Ok(upgraded) => {
                    talk(thread, exchange, TokioIo::new(upgraded)).await;
                    Ok(())
                }
                // It was accepted already.
                Err(_) => {
                    exchange.answer(closing(close::BAD_GATEWAY, "the upstream has gone"));
                    Ok(())
                }
            }
        }
        Ok((_lease, response)) => deny(thread, exchange, response).await,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = outcome {
        exchange.refuse(refusal);
    }
}

/// Ask the upstream for a WebSocket, and accept the client's if it agrees.
async fn shake_hands(
    thread: &Arc<Thread>,
    exchange: &Arc<Exchange>,
    request: &Request,
    offered: &[String],
) -> Result<(Lease, Response<Incoming>), Refusal> {
    let mut lease = Lease::find(thread, Need::New(Use::Upgrade)).await?;
    let (uri, mut headers) = http::head_for(thread, request, lease.upstream, Framing::None, false)?;
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Refusal::new(500, "random", error.to_string()))?;
    let key = BASE64_STANDARD.encode(key);
    let text = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Refusal::new(400, "websocket_handshake", "a bad subprotocol"))
    };
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
    headers.insert("sec-websocket-key", text(&key)?);
    if !offered.is_empty() {
        headers.insert("sec-websocket-protocol", text(&offered.join(", "))?);
    }
    let mut asked = hyper::Request::new(RequestBody::empty());
    (*asked.uri_mut(), *asked.headers_mut()) = (uri, headers);
    let sent = lease.connection.sender.send_request(asked);
    let response = http::in_time(thread, exchange, sent).await?.map_err(|error| http::no_response(&error))?;
    if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS {
        let (subprotocol, fields) = agreed(response.headers(), &key, offered).map_err(|why| {
            let detail = format!("the upstream's answer to the WebSocket handshake is not one: {why}");
            Refusal::new(502, "upstream_malformed", detail)
        })?;
        exchange.answer(Answer::Accept { subprotocol: subprotocol.map(Into::into), fields });
    }
    Ok((lease, response))
}

/// What the upstream agreed to (RFC 6455 §4.1): the subprotocol, and further fields of its 101.
fn agreed(
    headers: &HeaderMap,
    key: &str,
    offered: &[String],
) -> Result<(Option<String>, Fields), &'static str> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
        (values.next(), values.next())
    };
    if !matches!(only("upgrade"), (Some(upgrade), None) if upgrade.eq_ignore_ascii_case(b"websocket")) {
        return Err("Upgrade is not websocket");
    }
    if !headers.get_all(CONNECTION).iter().any(|line| has_token(line.as_bytes(), "upgrade")) {
        return Err("Connection does not say upgrade");
    }
    let accept = handshake::accept_key(key.as_bytes());
    if only("sec-websocket-accept") != (Some(accept.as_bytes()), None) {
        return Err("Sec-WebSocket-Accept is not that of the key");
    }
    if headers.contains_key("sec-websocket-extensions") {
        return Err("an extension that was not offered");
    }
    let subprotocol = match only("sec-websocket-protocol") {
        (None, _) => None,
        (Some(name), None) => {
            let known = offered.iter().find(|offered| offered.as_bytes() == name);
            Some(known.ok_or("a subprotocol that was not offered")?.clone())
        }
        _ => return Err("two subprotocols"),
    };
    let fields = fields::passed(headers).without(|name| name.starts_with(b"sec-websocket-"));
    Ok((subprotocol, fields))
}

/// The upstream answers as to any request.
async fn deny(
    thread: &Arc<Thread>,
    exchange: &Arc<Exchange>,
    denial: Response<Incoming>,
) -> Result<(), Refusal> {
    let head = fields::response_head(denial.status().as_u16(), denial.headers(), false)
        .map_err(response::ambiguous)?;
    response::pass(thread, exchange, head, denial.into_body(), response::When::AtOnce).await
}

fn closing(code: u16, reason: &str) -> Answer {
    Answer::Close { code, reason: reason.into() }
}

/// Messages both ways, until either side ends it.
async fn talk(thread: &Arc<Thread>, exchange: &Arc<Exchange>, io: Io) {
    let (mut from, mut to) = tokio::io::split(io);
    let (ping, pings) = mpsc::channel(PONGS);
    {
        let mut hears = pin!(hear(thread, exchange, &mut from, ping));
        let mut says = pin!(say(exchange, &mut to, pings));
        let ended = tokio::select! {
            biased;
            end = &mut hears => Some(end),
            () = &mut says => None,
        };
        let _ = match ended {
            Some(end) => {
                exchange.answer(end);
                // What is still to be said to the upstream: the answer to its close frame, last.
                timeout(CLOSING, says).await
            }
            // The client's close frame is on its way: the upstream may answer it.
            None => timeout(CLOSING, hears).await.map(drop),
        };
    }
    let _ = timeout(CLOSING, to.shutdown()).await;
}

/// From the upstream to the client; how it ended.
async fn hear(
    thread: &Arc<Thread>,
    exchange: &Arc<Exchange>,
    from: &mut ReadHalf<Io>,
    ping: mpsc::Sender<Reply>,
) -> Answer {
    let options = &thread.common.options;
    let limits = DecoderLimits {
        message_bytes: options.max_upstream_message_bytes,
        fragments: options.max_upstream_message_bytes,
    };
    let mut decoder = Decoder::of_server(limits);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let n = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return closing(close::BAD_GATEWAY, "the upstream has gone"),
            Ok(n) => n,
        };
        let mut at = 0;
        while at < n {
            let (used, event) = match decoder.feed(&mut buffer[at..n]) {
                Ok(fed) => fed,
                Err(fault) if fault.code == close::TOO_BIG => {
                    return closing(close::TOO_BIG, "a message above max_upstream_message_bytes");
                }
                Err(_) => return closing(close::BAD_GATEWAY, "the upstream breaks the WebSocket protocol"),
            };
            at += used;
            match event {
                Some(Event::Text(text)) => exchange.answer(Answer::Message(Message::Text(text.into()))),
                Some(Event::Binary(data)) => exchange.answer(Answer::Message(Message::Binary(data.into()))),
                Some(Event::Ping(data)) => _ = ping.try_send(Reply::Pong(data)),
                Some(Event::Close { code, reason }) => {
                    let _ = timeout(CLOSING, ping.send(Reply::Close(code))).await;
                    return closing(code, &reason);
                }
                Some(Event::Pong) | None => {}
            }
            exchange.drained().await;
        }
    }
}

/// What is said to the upstream besides what the client says.
enum Reply {
    Pong(Vec<u8>),
    Close(u16),
}

/// From the client to the upstream, until the client has ended it, or the connection has.
async fn say(exchange: &Arc<Exchange>, to: &mut WriteHalf<Io>, mut replies: mpsc::Receiver<Reply>) {
    let mut out = vec![];
    loop {
        out.clear();
        let mut taken = false;
        let mut last = false;
        tokio::select! {
            biased;
            reply = replies.recv() => match reply {
                Some(Reply::Pong(data)) => frame(Op::Pong, &data, &mut out),
                Some(Reply::Close(code)) => {
                    close_frame(code, "", &mut out);
                    last = true;
                }
                // Nobody hears the upstream any more.
                None => return,
            },
            spoken = poll_fn(|cx| exchange.ears.poll_spoken(cx)) => {
                taken = true;
                match spoken {
                    Spoken::Message(Message::Text(text)) => frame(Op::Text, &text, &mut out),
                    Spoken::Message(Message::Binary(data)) => frame(Op::Binary, &data, &mut out),
                    Spoken::Closed(code, reason) => {
                        close_frame(code, &reason, &mut out);
                        last = true;
                    }
                }
            }
        }
        let written = async {
            to.write_all(&out).await?;
            to.flush().await
        };
        if written.await.is_err() {
            // The reading half sees it too, and says so.
            return std::future::pending().await;
        }
        if taken {
            exchange.answer(Answer::Want);
        }
        if last {
            return;
        }
    }
}

/// Append a frame as a client sends it (RFC 6455 §5.3).
fn frame(op: Op, data: &[u8], out: &mut Vec<u8>) {
    let mut mask = [0; 4];
    // Without randomness the mask is a poor one, and the upstream is no stranger.
    let _ = getrandom::fill(&mut mask);
    let header = Header { fin: true, compressed: false, op, len: 0, mask: Some(mask) };
    encoder::client_frame(header, data, out);
}

fn close_frame(code: u16, reason: &str, out: &mut Vec<u8>) {
    let mut unmasked = vec![];
    encoder::close(code, reason, &mut unmasked);
    frame(Op::Close, &unmasked[2..], out);
}
