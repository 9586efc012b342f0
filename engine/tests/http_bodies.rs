//! Request bodies: a corpus with the rule behind each verdict, and the same verdict at any cut.
use freshwire_engine::http::body::Body;
use freshwire_engine::http::head::Framing;
use freshwire_engine::http::response::{LAST_CHUNK, write_chunk, write_trailers};
use proptest::prelude::*;

/// Data, bytes used and whether it has ended; or status and reason.
type Outcome = Result<(Vec<u8>, usize, bool), (u16, &'static str)>;

fn feed(framing: Framing, pieces: &[&[u8]]) -> Outcome {
    let (mut body, mut data, mut used) = (Body::new(framing), vec![], 0);
    for piece in pieces {
        used += body.feed(piece, |bytes| data.extend_from_slice(bytes)).map_err(|r| (r.status, r.reason))?;
    }
    Ok((data, used, body.done()))
}

/// The rule, what follows the head of a chunked request, and its data or the reason it is refused for with 400.
const CHUNKED: &[(&str, &str, Result<&str, &str>)] = &[
    ("9112 7.1", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", Ok("hello!")),
    ("9112 7.1: nothing", "0\r\n\r\n", Ok("")),
    (
        "9112 7.1: any case, zeros before and last",
        "00A\r\n0123456789\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n000\r\n\r\n",
        Ok("0123456789abcdefghijklmnopqrstuvwxyz"),
    ),
    ("9112 7.1: no size", "\r\nhello", Err("chunk_size")),
    ("9112 7.1: not hexadecimal", "g\r\n", Err("chunk_size")),
    ("9112 7.1: a prefix", "0x5\r\nhello\r\n", Err("chunk_size")),
    ("9112 7.1: a sign", "+5\r\nhello\r\n", Err("chunk_size")),
    ("9112 7.1: another sign", "-5\r\nhello\r\n", Err("chunk_size")),
    ("9112 7.1: white space before", " 5\r\nhello\r\n", Err("chunk_size")),
    ("9112 7.1: white space after", "5 \r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1: an underscore", "1_0\r\n", Err("chunk_size")),
    ("9112 7.1: too large", "ffffffffffffffff\r\n", Err("chunk_size")),
    ("9112 7.1: zeros without end", "0000000000000000\r\n\r\n", Err("chunk_size")),
    ("9112 2.2: bare LF after the size", "5\nhello\r\n0\r\n\r\n", Err("chunk_size")),
    ("9112 2.2: bare CR after the size", "5\rhello\r\n0\r\n\r\n", Err("chunk_end")),
    ("9112 7.1: bare LF after the data", "5\r\nhello\n0\r\n\r\n", Err("chunk_end")),
    ("9112 7.1: more data than said", "5\r\nhello!\r\n0\r\n\r\n", Err("chunk_end")),
    ("9112 7.1.1: bare CR in quotes", "5;a;b=c;d=\"e;\\\"\\\\\r\"\r\n", Err("chunk_extension")),
    ("9112 7.1.1: extensions are ignored", "1;a;b=c;d=\"e; \\\"\\\\\"\r\nx\r\n0;z\r\n\r\n", Ok("x")),
    ("9112 7.1.1: bare LF", "5;a\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: bare LF in quotes", "5;a=\"\n\"\r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: bare CR", "5;a\rb\r\n", Err("chunk_end")),
    ("9112 7.1.1: no name", "5;\r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: no value", "5;a=\r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: an open quote", "5;a=\"b\r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: bad white space is removed", "1 ; a\t= b ;c ; d= \"e\"\t; f\r\nx\r\n0\r\n\r\n", Ok("x")),
    ("9112 7.1.1: white space at the end", "5;a \r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: white space in a name", "5;a b\r\nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.1: bare LF after white space", "5 \nhello\r\n", Err("chunk_extension")),
    ("9112 7.1.2: trailers are thrown away", "1\r\nx\r\n0\r\nContent-Length: 9\r\nX:\r\n\r\n", Ok("x")),
    ("9112 7.1.2: no colon", "0\r\nX\r\n\r\n", Err("trailers")),
    ("9112 7.1.2: no name", "0\r\n: x\r\n\r\n", Err("trailers")),
    ("9112 7.1.2: a space before the colon", "0\r\nX : y\r\n\r\n", Err("trailers")),
    ("9112 5.2: obs-fold", "0\r\nX: y\r\n z\r\n\r\n", Err("trailers")),
    ("9112 2.2: bare LF in a trailer", "0\r\nX: y\nZ: a\r\n\r\n", Err("trailers")),
    ("9112 2.2: bare CR in a trailer", "0\r\nX: y\rZ: a\r\n\r\n", Err("trailers")),
    ("9112 2.2: bare LF at the end", "0\r\n\n", Err("trailers")),
    ("9110 5.5: NUL in a trailer", "0\r\nX: \0\r\n\r\n", Err("trailers")),
    ("smuggling: a request where a trailer should be", "0\r\nGET / HTTP/1.1\r\n\r\n", Err("trailers")),
];

#[test]
fn every_chunked_body_of_the_corpus_gets_its_verdict_at_any_cut() {
    for (rule, sent, expected) in CHUNKED {
        let mut bytes = sent.as_bytes().to_vec();
        let expected = match expected {
            Ok(data) => {
                bytes.extend_from_slice(b"GET");
                Ok((data.as_bytes().to_vec(), sent.len(), true))
            }
            Err(reason) => Err((400, *reason)),
        };
        for cut in 0..=bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(feed(Framing::Chunked, &[a, b]), expected, "{rule}: {sent:?} at {cut}");
        }
    }
}

#[test]
fn a_length_is_kept_to_the_byte() {
    assert_eq!(feed(Framing::None, &[b"GET"]), Ok((vec![], 0, true)));
    assert_eq!(feed(Framing::Length(0), &[b"GET"]), Ok((vec![], 0, true)));
    assert_eq!(feed(Framing::Length(3), &[b"ab"]), Ok((b"ab".to_vec(), 2, false)));
    assert_eq!(feed(Framing::Length(3), &[b"ab", b"", b"cGET"]), Ok((b"abc".to_vec(), 3, true)));
    assert_eq!(feed(Framing::Length(u64::MAX), &[b"ab"]), Ok((b"ab".to_vec(), 2, false)));
}

#[test]
fn extensions_and_trailers_are_bounded_over_the_whole_body() {
    let mut endless = vec![];
    for _ in 0..9 {
        endless.extend_from_slice(format!("1;{}\r\nx\r\n", "a".repeat(1000)).as_bytes());
    }
    assert_eq!(feed(Framing::Chunked, &[&endless]), Err((400, "chunk_extension")));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(9000));
    assert_eq!(feed(Framing::Chunked, &[trailers.as_bytes()]), Err((431, "trailers_too_large")));
    let name = format!("0\r\n{}", "a".repeat(9000));
    assert_eq!(feed(Framing::Chunked, &[name.as_bytes()]), Err((431, "trailers_too_large")));
}

proptest! {
    #[test]
    fn a_body_that_is_written_is_read_as_it_was_at_any_cuts(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
        with_trailers in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut sent = vec![];
        for chunk in &chunks {
            write_chunk(&mut sent, chunk);
        }
        if with_trailers {
            write_trailers(&mut sent, &[("x", "y")].into_iter().collect());
        } else {
            sent.extend_from_slice(LAST_CHUNK);
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
        cuts.extend([0, sent.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|w| &sent[w[0]..w[1]]).collect();
        prop_assert_eq!(feed(Framing::Chunked, &pieces), Ok((chunks.concat(), sent.len(), true)));
    }

    #[test]
    fn anything_fed_whole_is_fed_at_any_cut(
        bytes in "[0-2a;=\"\\\\:x \\r\\n]{0,40}|(1\\r\\nx\\r\\n|0\\r\\n|a: b\\r\\n|;a=b|\\r\\n|1){0,8}",
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = bytes.as_bytes();
        let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(feed(Framing::Chunked, &[a, b]), feed(Framing::Chunked, &[bytes]));
    }
}
