//! Close codes (RFC 6455 §7.4 and the IANA registry): what they are called, which may be on the wire, and [`Fault`], the
//! close that a peer has brought upon itself.
//!
//! The decoder reads close frames with [`parse`]; the encoder and whoever ends a connection take codes from here.

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes down, or the page is left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the framing protocol.
pub const PROTOCOL: u16 = 1002;
/// The peer sent a kind of message that is not taken here.
pub const UNSUPPORTED: u16 = 1003;
/// There was no code in the close frame. Never sent.
pub const NO_STATUS: u16 = 1005;
/// There was no close frame. Never sent.
pub const ABNORMAL: u16 = 1006;
/// The peer sent a message that is not what it says: text that is not UTF-8, or a broken compression.
pub const INVALID_DATA: u16 = 1007;
/// The peer broke a rule that has no code of its own, such as a rate limit.
pub const POLICY: u16 = 1008;
/// A message is larger than the limit.
pub const TOO_BIG: u16 = 1009;
/// The server failed.
pub const INTERNAL: u16 = 1011;
/// The server restarts: come back, spread over time.
pub const SERVICE_RESTART: u16 = 1012;
/// The server is overloaded.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The server is a gateway, and what it speaks for failed.
pub const BAD_GATEWAY: u16 = 1014;

/// The longest reason, bytes: a control frame has 125, the code takes 2.
pub const MAX_REASON_BYTES: usize = 123;

/// What a peer did that ends the connection, as the close frame to send. Counted by `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of the codes above.
    pub code: u16,
    /// Which rule or limit, in a few words.
    pub reason: &'static str,
}

impl Fault {
    /// The peer broke the framing protocol.
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self { code: PROTOCOL, reason }
    }

    /// The peer's message is not what it says.
    pub(super) const fn invalid_data(reason: &'static str) -> Self {
        Self { code: INVALID_DATA, reason }
    }
}

/// Whether a close frame may carry `code`: assigned by IANA and not reserved, or for libraries and applications.
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The code that ends a watch for which the application answered with this HTTP status: 4000 + status.
pub fn for_status(status: u16) -> u16 {
    4000 + status.min(999)
}

/// Code and reason of a close frame's payload; [`NO_STATUS`] if it has none.
pub fn parse(payload: &[u8]) -> Result<(u16, String), Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok((NO_STATUS, String::new())),
            _ => Err(Fault::protocol("a close frame with half a code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Fault::protocol("a close code that must not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok((code, reason.into())),
        Err(_) => Err(Fault::invalid_data("a close reason that is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assigned_library_and_application_codes_may_be_sent() {
        for code in [1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(may_be_sent(code), "{code}");
        }
        for code in [0, 999, 1004, NO_STATUS, ABNORMAL, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!may_be_sent(code), "{code}");
        }
    }

    #[test]
    fn a_status_becomes_an_application_code() {
        assert_eq!([401, 404, 410].map(for_status), [4401, 4404, 4410]);
        assert!(may_be_sent(for_status(u16::MAX)));
    }

    #[test]
    fn a_close_payload_is_empty_or_a_valid_code_and_utf_8() {
        assert_eq!(parse(b""), Ok((NO_STATUS, "".into())));
        assert_eq!(parse(b"\x03\xe8"), Ok((NORMAL, "".into())));
        assert_eq!(parse("\u{10}\u{0}ü".as_bytes()), Ok((4096, "ü".into())));
        assert_eq!(parse(b"\x03").unwrap_err().code, PROTOCOL);
        assert_eq!(parse(b"\x03\xed").unwrap_err().code, PROTOCOL);
        assert_eq!(parse(b"\x03\xe8\xff").unwrap_err().code, INVALID_DATA);
    }
}
