//! The WebSocket decoder against byte sequences by section of RFC 6455 and RFC 7692, numbered as in the Autobahn test
//! suite, and against every way to cut them.
use freshwire_engine::transport::websocket::frame::{Header, Op};
use freshwire_engine::transport::websocket::{Decoder, DecoderLimits, Event, Fault, deflate, encoder};
use proptest::prelude::*;

const LIMITS: DecoderLimits = DecoderLimits { message_bytes: 65_536, fragments: 16 };

fn raw(header: Header, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder::client_frame(header, data, &mut out);
    out
}

fn frame(op: Op, fin: bool, data: &[u8]) -> Vec<u8> {
    raw(Header { fin, compressed: false, op, len: 0, mask: Some([0x37, 0xfa, 0x21, 0x3d]) }, data)
}

fn text(data: &[u8]) -> Vec<u8> {
    frame(Op::Text, true, data)
}

fn binary(data: &[u8]) -> Vec<u8> {
    frame(Op::Binary, true, data)
}

fn ping(data: &[u8]) -> Vec<u8> {
    frame(Op::Ping, true, data)
}

fn close(data: &[u8]) -> Vec<u8> {
    frame(Op::Close, true, data)
}

/// The first (or only) frame of a compressed message.
fn compressed(op: Op, fin: bool, data: &[u8]) -> Vec<u8> {
    raw(Header { fin, compressed: true, op, len: 0, mask: Some([9, 8, 7, 6]) }, data)
}

/// `frame` with `bits` of its first byte flipped.
fn flipped(bits: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[0] ^= bits;
    frame
}

/// All that `decoder` says about `pieces`, fed one after the other.
fn said<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Fault>) {
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            match decoder.feed(&mut piece[at..]) {
                Ok((taken, event)) => {
                    assert!(
                        taken > 0 && (event.is_some() || at + taken == piece.len()),
                        "it takes what it can"
                    );
                    at += taken;
                    events.extend(event);
                }
                Err(fault) => return (events, Some(fault)),
            }
        }
    }
    (events, None)
}

fn decoder() -> Decoder {
    Decoder::new(LIMITS, true)
}

/// The events of a stream, and the code of the fault that ends it.
type Said = (Vec<Event>, Option<u16>);

fn codes((events, fault): (Vec<Event>, Option<Fault>)) -> Said {
    (events, fault.map(|fault| fault.code))
}

fn whole(stream: &[u8]) -> Said {
    codes(said(&mut decoder(), [stream]))
}

fn good(events: impl IntoIterator<Item = Event>) -> Said {
    (Vec::from_iter(events), None)
}

fn bad(code: u16) -> Said {
    (vec![], Some(code))
}

/// What is sent, and what is understood.
type Row = (&'static str, Vec<Vec<u8>>, Said);

fn rows() -> Vec<Row> {
    let t = |data: &str| Event::Text(data.into());
    let b = |data: &[u8]| Event::Binary(data.to_vec());
    let p = |data: &[u8]| Event::Ping(data.to_vec());
    let closed = |code, reason: &str| good([Event::Close { code, reason: reason.into() }]);
    let first = |data: &[u8]| frame(Op::Text, false, data);
    let next = |data: &[u8]| frame(Op::Continuation, false, data);
    let last = |data: &[u8]| frame(Op::Continuation, true, data);
    let pong = |data: &[u8]| frame(Op::Pong, true, data);
    let coded = |code: u16, reason: &[u8]| close(&[&code.to_be_bytes(), reason].concat());
    let big = vec![b'*'; LIMITS.message_bytes];
    let stars = "*".repeat(126);
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    vec![
        ("1 an empty text", vec![text(b"")], good([t("")])),
        ("1 a 16-bit length", vec![text(stars.as_bytes())], good([t(&stars)])),
        ("1 a 64-bit length, at the limit", vec![binary(&big)], good([b(&big)])),
        ("2 the longest ping", vec![ping(&[0xfe; 125])], good([p(&[0xfe; 125])])),
        ("2 a ping too long", vec![ping(&[0xfe; 126])], bad(1002)),
        ("2 an unsolicited pong, then a ping", vec![pong(b"x"), ping(b"y")], good([Event::Pong, p(b"y")])),
        ("3 RSV1 on a continuation", vec![first(b"a"), flipped(0x40, last(b"b"))], bad(1002)),
        ("3 RSV1 on a ping", vec![flipped(0x40, ping(b""))], bad(1002)),
        (
            "3 RSV2 after a good message",
            vec![text(b"a"), flipped(0x20, text(b"b")), ping(b"")],
            (vec![t("a")], Some(1002)),
        ),
        ("3 RSV3", vec![flipped(0x10, binary(b"b"))], bad(1002)),
        ("4 a reserved data opcode", vec![flipped(3 ^ 1, text(b""))], bad(1002)),
        ("4 a reserved control opcode", vec![flipped(11 ^ 9, ping(b""))], bad(1002)),
        ("5 a fragmented ping", vec![frame(Op::Ping, false, b"a")], bad(1002)),
        ("5 a fragmented pong", vec![frame(Op::Pong, false, b"a")], bad(1002)),
        ("5 three fragments", vec![first(b"a"), next(b"b"), last(b"c")], good([t("abc")])),
        ("5 a ping between fragments", vec![first(b"a"), ping(b"p"), last(b"b")], good([p(b"p"), t("ab")])),
        ("5 a continuation of nothing", vec![last(b"a"), text(b"b")], bad(1002)),
        (
            "5 a continuation of what has ended",
            vec![first(b"a"), last(b"b"), next(b"c")],
            (vec![t("ab")], Some(1002)),
        ),
        ("5 a text within a message", vec![first(b"a"), text(b"b")], bad(1002)),
        ("6 empty fragments", vec![first(b""), next(b""), last(b"")], good([t("")])),
        ("6 a character cut by frames", vec![first(b"\xce"), last(b"\xba")], good([t("κ")])),
        ("6 text that ends in a character", vec![first(b"\xce"), last(b"")], bad(1007)),
        ("6 a surrogate", vec![text(b"\xed\xa0\x80")], bad(1007)),
        ("6 an overlong slash", vec![text(b"\xc0\xaf")], bad(1007)),
        ("6 beyond the last code point", vec![text(b"\xf4\x90\x80\x80")], bad(1007)),
        ("6 the last code point", vec![text(b"\xf4\x8f\xbf\xbf")], good([t("\u{10ffff}")])),
        ("6 binary that is not UTF-8", vec![binary(b"\xff")], good([b(b"\xff")])),
        ("7 close, then more", vec![coded(1000, b"bye"), text(b"a"), ping(b"")], closed(1000, "bye")),
        ("7 close without a code", vec![close(b"")], closed(1005, "")),
        ("7 close with half a code", vec![close(b"\x03")], bad(1002)),
        ("7 close within a message", vec![first(b"a"), coded(4000, b"")], closed(4000, "")),
        ("7 the longest reason", vec![coded(1000, &stars.as_bytes()[..123])], closed(1000, &stars[..123])),
        ("7 a reason too long", vec![coded(1000, &stars.as_bytes()[..124])], bad(1002)),
        ("7 a reason that is not UTF-8", vec![coded(1000, b"\xce\xba\xed\xa0\x80")], bad(1007)),
        ("7 a code that must not be sent", vec![coded(1005, b"")], bad(1002)),
        ("9 above the limit", vec![binary(&[&big[..], b"*"].concat())], bad(1009)),
        ("9 above the limit in sum", vec![first(&big), last(b"*")], bad(1009)),
        ("9 a length of 2^62", vec![vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]], bad(1009)),
        ("9 a length of 2^63", vec![vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]], bad(1002)),
        ("9 a length not encoded minimally", vec![vec![0x82, 0xfe, 0, 125]], bad(1002)),
        ("9 an unmasked frame", vec![vec![0x81, 1, b'a']], bad(1002)),
        ("12 hello", vec![compressed(Op::Text, true, hello)], good([t("Hello")])),
        (
            "12 hello in fragments around a ping",
            vec![compressed(Op::Text, false, &hello[..3]), ping(b""), last(&hello[3..])],
            good([p(b""), t("Hello")]),
        ),
        (
            "12 plain among compressed",
            vec![compressed(Op::Binary, true, b"\0"), text(b"a"), compressed(Op::Text, true, hello)],
            good([b(b""), t("a"), t("Hello")]),
        ),
        ("12 what is not DEFLATE", vec![compressed(Op::Binary, true, b"\xff\xff")], bad(1007)),
        ("12 what is not UTF-8", vec![compressed(Op::Text, true, b"\0\x01\0\xfe\xff\xff\0")], bad(1007)),
    ]
}

#[test]
fn each_section_is_kept_and_enforced_whole_and_byte_by_byte() {
    for (name, frames, expected) in rows() {
        let stream = frames.concat();
        assert_eq!(whole(&stream), expected, "{name}");
        assert_eq!(codes(said(&mut decoder(), stream.chunks(1))), expected, "{name}, byte by byte");
    }
}

#[test]
fn compression_that_was_not_agreed_is_a_fault() {
    let mut decoder = Decoder::new(LIMITS, false);
    assert_eq!(codes(said(&mut decoder, [&compressed(Op::Text, true, b"\0")[..]])), bad(1002));
}

#[test]
fn text_fails_at_the_first_byte_that_cannot_be_utf_8_though_its_frame_goes_on() {
    for (valid, invalid) in [(&b"\xce\xba\xf4"[..], 0x90), (b"a", 0xff), (b"\xe0", 0x80), (b"\xed", 0xa0)] {
        let message = [valid, &[invalid], b"and so on"].concat();
        let fragments = [frame(Op::Text, false, b"x"), frame(Op::Continuation, true, &message)].concat();
        for stream in [text(&message), fragments] {
            let at = stream.len() - b"?and so on".len();
            let mut decoder = decoder();
            assert_eq!(codes(said(&mut decoder, [&stream[..at]])), good([]));
            assert_eq!(codes(said(&mut decoder, [&stream[at..=at]])), bad(1007));
        }
    }
}

#[test]
fn a_bad_header_fails_at_its_first_bad_byte() {
    for header in [&[0x83][..], &[0x91], &[0x09], &[0x89, 0xfe], &[0x81, 0]] {
        assert_eq!(whole(header), bad(1002), "{header:x?}");
    }
}

#[test]
fn a_message_may_have_so_many_fragments_and_no_more() {
    let fragments = |count: usize| {
        let more = frame(Op::Continuation, false, b"").repeat(count - 2);
        [frame(Op::Binary, false, b""), more, frame(Op::Continuation, true, b"")].concat()
    };
    assert_eq!(whole(&fragments(LIMITS.fragments)), good([Event::Binary(vec![])]));
    assert_eq!(whole(&fragments(LIMITS.fragments + 1)), bad(1008));
}

#[test]
fn an_inflate_bomb_ends_at_the_limit_in_one_frame_or_in_two() {
    let bomb = deflate::compress(&vec![0; 8 << 20]).unwrap();
    assert!(bomb.len() < LIMITS.message_bytes);
    assert_eq!(whole(&compressed(Op::Binary, true, &bomb)), bad(1009));
    let (head, tail) = bomb.split_at(bomb.len() / 2);
    let stream = [compressed(Op::Binary, false, head), frame(Op::Continuation, true, tail)].concat();
    assert_eq!(whole(&stream), bad(1009));
}

#[test]
fn after_a_fault_or_a_close_everything_is_ignored() {
    for end in [vec![0x83], close(b"")] {
        let mut decoder = decoder();
        said(&mut decoder, [&end[..]]);
        assert_eq!(codes(said(&mut decoder, [&text(b"a")[..]])), good([]));
        assert!(!decoder.is_idle(), "a new decoder would not ignore what follows");
    }
}

#[test]
fn a_decoder_is_idle_only_between_messages_and_counts_every_frame() {
    let stream = [frame(Op::Text, false, b"a"), ping(b""), frame(Op::Continuation, true, b"")].concat();
    let mut decoder = decoder();
    assert!(decoder.is_idle());
    for byte in stream[..stream.len() - 1].chunks(1) {
        said(&mut decoder, [byte]);
        assert!(!decoder.is_idle());
    }
    said(&mut decoder, [&stream[stream.len() - 1..]]);
    assert!(decoder.is_idle());
    assert_eq!((decoder.frames(), decoder.frames()), (3, 0));
}

/// A message or ping, as a client might send it.
#[derive(Clone, Debug)]
struct Sent {
    event: Event,
    pieces: usize,
    compressed: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let event = prop_oneof![
        "(abc|\\PC){0,200}".prop_map(|text| Event::Text(text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Event::Binary),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(Event::Ping),
    ];
    (event, 1..5usize, any::<bool>()).prop_map(|(event, pieces, compressed)| Sent {
        event,
        pieces,
        compressed,
    })
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let (op, data) = match &self.event {
            Event::Text(data) => (Op::Text, data),
            Event::Binary(data) => (Op::Binary, data),
            Event::Ping(data) => return ping(data),
            other => unreachable!("{other:?} is not generated"),
        };
        let packed = deflate::compress(data).filter(|_| self.compressed);
        let data = packed.as_ref().unwrap_or(data);
        let size = data.len() / self.pieces + 1;
        let mut out = Vec::new();
        for i in 0..self.pieces {
            let piece = &data[data.len().min(i * size)..data.len().min((i + 1) * size)];
            let header = Header {
                fin: i + 1 == self.pieces,
                compressed: i == 0 && packed.is_some(),
                op: if i == 0 { op } else { Op::Continuation },
                len: 0,
                mask: Some([i as u8, 0x80, 0xff, 7]),
            };
            out.extend(raw(header, piece));
        }
        out
    }
}

/// `stream` in pieces of the given sizes, over and over.
fn cut<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    while let (false, Some(size)) = (stream.is_empty(), sizes.next()) {
        let (piece, rest) = stream.split_at(stream.len().min(*size));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

proptest! {
    #[test]
    fn what_a_client_sends_is_what_is_understood_at_any_cut(
        messages in prop::collection::vec(sent(), 0..6),
        sizes in prop::collection::vec(1usize..90, 1..9),
    ) {
        let stream = messages.iter().flat_map(Sent::bytes).collect::<Vec<u8>>();
        let expected: Vec<Event> = messages.into_iter().map(|sent| sent.event).collect();
        let mut decoder = decoder();
        prop_assert_eq!(said(&mut decoder, cut(&stream, &sizes)), (expected, None));
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn a_damaged_stream_says_the_same_whole_and_at_any_cut(
        messages in prop::collection::vec(sent(), 1..6),
        sizes in prop::collection::vec(1usize..90, 1..9),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut stream = messages.iter().flat_map(Sent::bytes).collect::<Vec<u8>>();
        for (at, bits) in damage {
            let at = at.index(stream.len());
            stream[at] ^= bits;
        }
        let (mut one, mut other) = (decoder(), decoder());
        prop_assert_eq!(said(&mut one, [&stream[..]]), said(&mut other, cut(&stream, &sizes)));
        prop_assert_eq!((one.frames(), one.is_idle()), (other.frames(), other.is_idle()));
    }

    #[test]
    fn no_bytes_make_it_panic(stream: Vec<u8>) {
        whole(&stream);
    }

    #[test]
    fn what_a_server_sends_is_one_whole_unmasked_frame(data: Vec<u8>) {
        let mut out = Vec::new();
        encoder::frame(Op::Binary, &data, &mut out);
        let (header, size) = Header::parse(&out).unwrap().unwrap();
        prop_assert_eq!((header.fin, header.op, header.mask, &out[size..]), (true, Op::Binary, None, &data[..]));
    }
}
