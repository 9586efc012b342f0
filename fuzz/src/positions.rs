//! Positions and the ends of tokens.
use crate::pieces::first;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freshwire_engine::http::fields::Fields;
use freshwire_engine::resource::position::{Epoch, MAX_TEXT_BYTES, Position, own_offset, parse};
use freshwire_engine::resource::token::expires_unix_s;

/// A position has one text, that text is nobody else's, and a token's end is the number that it says.
pub fn positions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some((epoch, salt, offset)) = parse(&text) {
        let bits = |hex: &str| u32::from_str_radix(hex, 16).expect("hexadecimal digits");
        let position = Position { epoch: Epoch::from_bits(bits(epoch)), offset };
        let salt = salt.map(bits);
        assert_eq!(position.salted(salt).to_string(), text, "what is read is written the same");
        assert_eq!(own_offset(&text, position.epoch, salt), Some(offset));
        let other = if salt.is_some() { None } else { Some(0) };
        assert_eq!(own_offset(&text, position.epoch, other), None, "of another variant");
        assert_eq!(own_offset(&text, Epoch::from_bits(!bits(epoch)), salt), None, "of another log");
    }
    assert!(parse(&text).is_none() || text.len() <= MAX_TEXT_BYTES);

    let (choice, rest) = first(data);
    let mut numbers = rest.chunks(4).map(|b| b.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)));
    let mut number = || numbers.next().unwrap_or(7);
    let position = Position {
        epoch: Epoch::from_bits(number()),
        offset: u64::from(number()) << 32 | u64::from(number()),
    };
    let salted = position.salted((choice & 1 == 1).then(&mut number));
    let text = salted.to_string();
    assert!(text.len() <= MAX_TEXT_BYTES);
    assert_eq!(own_offset(&text, position.epoch, salted.salt), Some(position.offset));

    let bearer = |token: String| expires_unix_s(&Fields::from_iter([("authorization", token)]));
    bearer(String::from_utf8_lossy(data).into_owned());
    bearer(format!("Bearer a.{}.b", URL_SAFE_NO_PAD.encode(data)));
    let exp = u64::from(number());
    let claims = format!(r#"{{"sub":{:?},"exp":{exp}}}"#, exp.to_string());
    assert_eq!(bearer(format!("bearer e30.{}.c", URL_SAFE_NO_PAD.encode(claims))), Some(exp));
}
