//! WebSocket frames, messages, compression and the handshake's fields.
use crate::pieces::{first, ways};
use arbitrary::{Arbitrary, Unstructured};
use freshwire_engine::http::fields::Fields;
use freshwire_engine::transport::websocket::close::{self, TOO_BIG};
use freshwire_engine::transport::websocket::deflate;
use freshwire_engine::transport::websocket::frame::{Header, Op};
use freshwire_engine::transport::websocket::{Decoder, DecoderLimits, Event, Fault, encoder, handshake};

const LIMITS: DecoderLimits = DecoderLimits { message_bytes: 2048, fragments: 8 };

/// What was heard, frames counted, and the fault that ended it.
type Heard = (Vec<Event>, u32, Option<Fault>);

/// Feed `pieces`; `renew`: an idle decoder is thrown away and made anew, as a quiet connection's is.
fn hear(deflate: bool, pieces: &[&[u8]], renew: bool) -> Heard {
    let mut decoder = Decoder::new(LIMITS, deflate);
    let (mut events, mut frames) = (vec![], 0);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            match decoder.feed(&mut piece[at..]) {
                Ok((taken, event)) => {
                    assert!(taken > 0 && at + taken <= piece.len());
                    assert!(event.is_some() || at + taken == piece.len(), "it takes what it can");
                    at += taken;
                    let closed = matches!(event, Some(Event::Close { .. }));
                    events.extend(event.inspect(check_event));
                    if closed {
                        return (events, frames + decoder.frames(), None);
                    }
                }
                Err(fault) => {
                    assert!(close::may_be_sent(fault.code) && fault.reason.len() <= close::MAX_REASON_BYTES);
                    assert_eq!(decoder.feed(&mut [0x81, 0x80, 1, 2, 3, 4]), Ok((6, None)), "it has ended");
                    return (events, frames + decoder.frames(), Some(fault));
                }
            }
            frames += decoder.frames();
            if renew && decoder.is_idle() {
                decoder = Decoder::new(LIMITS, deflate);
            }
        }
    }
    (events, frames, None)
}

fn check_event(event: &Event) {
    match event {
        Event::Text(data) => assert!(str::from_utf8(data).is_ok() && data.len() <= LIMITS.message_bytes),
        Event::Binary(data) => assert!(data.len() <= LIMITS.message_bytes),
        Event::Ping(data) => assert!(data.len() <= 125),
        Event::Pong => {}
        Event::Close { code, reason } => {
            assert!((*code == 1005 || close::may_be_sent(*code)) && reason.len() <= close::MAX_REASON_BYTES);
        }
    }
}

/// The same events and the same fault however the bytes are cut, also if an idle decoder is replaced.
pub fn frames(data: &[u8]) {
    let (choice, bytes) = first(data);
    let deflate = choice & 1 == 1;
    let ways = ways(choice, bytes);
    let whole = hear(deflate, &ways[0], false);
    for pieces in &ways {
        assert_eq!(hear(deflate, pieces, false), whole);
        assert_eq!(hear(deflate, pieces, true), whole);
    }
}

#[derive(Arbitrary, Debug)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    /// So many bytes of one value: what compresses well.
    Run(u8, u16),
    Ping(Vec<u8>),
    Pong,
}

/// What clients say arrives as they said it: fragmented, masked, compressed, with pings between the fragments.
pub fn messages(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((said, seed, mask, compress)) = <(Vec<Said>, u8, [u8; 4], bool)>::arbitrary(&mut input) else {
        return;
    };
    let (mut bytes, mut expected) = (vec![], vec![]);
    for said in said {
        let (op, mut data) = match said {
            Said::Text(text) => (Op::Text, text.into_bytes()),
            Said::Binary(data) => (Op::Binary, data),
            Said::Run(byte, length) => {
                (Op::Binary, vec![byte; usize::from(length) % (LIMITS.message_bytes + 1)])
            }
            Said::Ping(mut data) => {
                data.truncate(125);
                (Op::Ping, data)
            }
            Said::Pong => (Op::Pong, vec![]),
        };
        let mut put = |fin, compressed, op, data: &[u8]| {
            encoder::client_frame(Header { fin, compressed, op, len: 0, mask: Some(mask) }, data, &mut bytes);
        };
        match op {
            Op::Ping => {
                put(true, false, op, &data);
                expected.push(Event::Ping(data));
                continue;
            }
            Op::Pong => {
                put(true, false, op, b"");
                expected.push(Event::Pong);
                continue;
            }
            _ => data.truncate(LIMITS.message_bytes),
        }
        if op == Op::Text && str::from_utf8(&data).is_err() {
            continue;
        }
        let small = deflate::compress(&data).filter(|_| compress);
        let payload = small.as_ref().unwrap_or(&data);
        // Up to seven fragments, some of them empty.
        let cuts = [0, 1, usize::from(seed) % 7, usize::from(seed), 256, 300].map(|at| at.min(payload.len()));
        let mut cuts = cuts.to_vec();
        cuts.sort_unstable();
        let fragments = usize::from(seed >> 5).min(cuts.len());
        let mut start = 0;
        for (i, cut) in cuts[cuts.len() - fragments..].iter().enumerate() {
            let op = if i == 0 { op } else { Op::Continuation };
            put(false, i == 0 && small.is_some(), op, &payload[start..*cut]);
            put(true, false, Op::Ping, b"between");
            expected.push(Event::Ping(b"between".to_vec()));
            start = *cut;
        }
        let last = if fragments == 0 { op } else { Op::Continuation };
        put(true, fragments == 0 && small.is_some(), last, &payload[start..]);
        expected.push(if op == Op::Text { Event::Text(data) } else { Event::Binary(data) });
    }
    for pieces in ways(seed, &bytes) {
        let (events, _, fault) = hear(true, &pieces, false);
        assert_eq!((events, fault), (expected.clone(), None));
    }
}

/// Inflating is bounded, does not depend on what was inflated before, agrees with another implementation, and undoes
/// compressing.
pub fn inflate(data: &[u8]) {
    let (choice, payload) = first(data);
    let max_bytes = 1 << (choice % 17);
    let inflated = deflate::inflate(payload, max_bytes);
    if let Ok(data) = &inflated {
        assert!(data.len() <= max_bytes && data.capacity() <= (2 * max_bytes).max(128));
    }
    assert_eq!(deflate::inflate(payload, max_bytes), inflated, "no state is left over");
    agrees_with_miniz(payload, max_bytes, &inflated);

    if let Some(small) = deflate::compress(payload) {
        assert!(small.len() < payload.len() && small.len() <= deflate::max_payload_bytes(payload.len()));
        assert_eq!(deflate::inflate(&small, payload.len()).as_deref(), Ok(payload));
        let tight = deflate::inflate(&small, payload.len() - 1);
        assert_eq!(tight.map_err(|fault| fault.code), Err(TOO_BIG));
    }
}

/// What RFC 7692 §7.2.2 does, with a decompressor that others wrote: only for payloads without a final block of their
/// own, after which each does as it likes.
fn agrees_with_miniz(payload: &[u8], max_bytes: usize, ours: &Result<Vec<u8>, Fault>) {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    if payload.is_empty() {
        return;
    }
    let whole = [payload, &[0, 0, 0xff, 0xff, 3, 0]].concat();
    let mut out = vec![0; max_bytes + 1];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, taken, made) = decompress(&mut DecompressorOxide::new(), &whole, &mut out, 0, flags);
    match status {
        TINFLStatus::Done if taken == whole.len() && made <= max_bytes => {
            assert_eq!(ours.as_deref(), Ok(&out[..made]));
        }
        TINFLStatus::Done if taken < payload.len() => {}
        // Too large, or broken further on: which of the two is found first is not said.
        TINFLStatus::HasMoreOutput => assert!(ours.is_err()),
        _ => {}
    }
}

/// A handshake is refused or answered, and its answer promises only what was asked for.
pub fn handshakes(data: &[u8]) {
    let mut parts = data.split(|b| *b == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (protocols, extensions, key) = (part(), part(), part());
    let lines: [(&str, &[u8]); 6] = [
        ("upgrade", b"websocket"),
        ("connection", b"Upgrade"),
        ("sec-websocket-version", b"13"),
        ("sec-websocket-key", if key.is_empty() { b"dGhlIHNhbXBsZSBub25jZQ==" } else { key }),
        ("sec-websocket-protocol", protocols),
        ("sec-websocket-extensions", extensions),
    ];
    let fields: Fields = lines.into_iter().collect();
    let Ok(asked) = handshake::check(&fields, "GET", 1) else { return };
    let mut out = vec![];
    let chosen = asked.subprotocols.last().map(String::as_str);
    handshake::write_response(&mut out, &asked, chosen, &Fields::default(), true);
    let text = String::from_utf8(out).expect("an answer in ASCII");
    assert!(text.ends_with("\r\n\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    assert_eq!(
        text.matches("\r\n").count(),
        5 + usize::from(chosen.is_some()) + usize::from(asked.deflate.is_some())
    );
    let heard = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
    assert_eq!(heard("sec-websocket-protocol: ").as_deref(), chosen);
    let offered = String::from_utf8_lossy(extensions).into_owned();
    match heard("sec-websocket-extensions: ") {
        Some(answer) => {
            assert!(offered.contains("permessage-deflate"));
            assert!(
                answer.contains("server_no_context_takeover")
                    && answer.contains("client_no_context_takeover")
            );
            assert!(!answer.contains("server_max_window_bits") || offered.contains("server_max_window_bits"));
            assert!(!answer.contains("client_max_window_bits"), "not limited, whatever is offered");
        }
        None => assert!(asked.deflate.is_none()),
    }
}
