//! Who the client is behind proxies: `Forwarded` (RFC 7239), `X-Forwarded-For` and `X-Forwarded-Proto`, believed from
//! listed proxies only, and then up to the right-most address that is not one of them.
//!
//! What is further left the client may have written. So may a whole field that the proxy does not know and passes on:
//! if both kinds are there and disagree, neither is believed. What is malformed is not believed either; the client is
//! then the peer. The connection asks once a request.
use crate::http::fields::Fields;
use crate::http::lists::{list, name_and_value};
use crate::http::response::is_token_byte;
use std::net::{IpAddr, SocketAddr};

/// A network; an address is one with all its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        bits.is_none_or(|bits| bits <= most).then_some(Self { address, bits: bits.unwrap_or(most) })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// What trusted proxies say about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client; `None`: the peer is.
    pub client: Option<IpAddr>,
    /// The client's port, if it was said.
    pub port: Option<u16>,
    /// `http` or `https`: what the client spoke, if it was said.
    pub scheme: Option<&'static str>,
}

/// Whether a field says where a request came from, or that it is another one than it seems: a proxy's to say. Frameworks
/// act on these without a `Vary`, so what they do to an answer would be shared with everybody (security row 24).
pub fn is_proxys_word(name: &[u8], reads: bool) -> bool {
    match name {
        [b'x', b'-', rest @ ..] => {
            rest.starts_with(b"forwarded")
                || rest.starts_with(b"original-")
                || rest.starts_with(b"rewrite-")
                || matches!(
                    rest,
                    b"client-ip" | b"cluster-client-ip" | b"host" | b"http-host-override" | b"real-ip"
                )
                || matches!(rest, b"script-name" | b"url-scheme")
                // Of a write, its client may say so: nobody else gets the answer.
                || (reads && matches!(rest, b"http-method" | b"http-method-override" | b"method-override"))
        }
        b"forwarded" | b"front-end-https" | b"client-ip" | b"true-client-ip" | b"cf-connecting-ip" => true,
        // CGI would make it HTTP_PROXY.
        b"fastly-client-ip" | b"proxy" => true,
        _ => false,
    }
}

/// The proxies whose word counts.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    any: bool,
    /// Peers on Unix sockets.
    unix: bool,
    networks: Vec<Network>,
}

/// One step of the way to us, as the proxy at its end described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    /// `None`: obfuscated, unknown, or malformed.
    from: Option<(IpAddr, Option<u16>)>,
    scheme: Option<&'static str>,
}

impl TrustedProxies {
    /// From the option `trusted_proxies`: addresses, networks (`10.0.0.0/8`), `unix`, or `*` for any peer.
    pub fn new(trusted_proxies: &[String]) -> Result<Self, String> {
        let mut trusted = Self::default();
        for entry in trusted_proxies {
            match entry.as_str() {
                "*" => trusted.any = true,
                "unix" => trusted.unix = true,
                text => trusted.networks.push(Network::parse(text).ok_or_else(|| {
                    format!(
                        "trusted_proxies: {text:?} is not an address, a network (address/bits), unix or *"
                    )
                })?),
            }
        }
        Ok(trusted)
    }

    /// Whether this peer is believed; `None` is one on a Unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        let listed = |peer: IpAddr| self.networks.iter().any(|network| network.contains(peer.to_canonical()));
        self.any || peer.map_or(self.unix, listed)
    }

    /// What is known about who sent a request with these fields through this peer (`None`: on a Unix socket).
    pub fn client(&self, peer: Option<IpAddr>, fields: &Fields) -> Forwarded {
        if !self.trusts(peer) {
            return Forwarded::default();
        }
        let (standard, common) = (standard_hops(fields), common_hops(fields));
        match (standard.map(|hops| self.pick(&hops)), common.map(|hops| self.pick(&hops))) {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(standard), Some(common)) if standard.client == common.client => Forwarded {
                client: standard.client,
                port: standard.port.or(common.port),
                scheme: match (standard.scheme, common.scheme) {
                    (Some(a), Some(b)) if a != b => None,
                    (a, b) => a.or(b),
                },
            },
            _ => Forwarded::default(),
        }
    }

    /// The hop that starts at the client.
    fn pick(&self, hops: &[Hop]) -> Forwarded {
        let mut picked = Forwarded::default();
        for hop in hops.iter().rev() {
            picked.scheme = hop.scheme.or(picked.scheme);
            let Some((address, port)) = hop.from else { break };
            (picked.client, picked.port) = (Some(address), port);
            // With `*` every address is a proxy's, and the left-most is the client.
            if !self.trusts(Some(address)) {
                break;
            }
        }
        picked
    }
}

fn scheme(text: &[u8]) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_slice() {
        b"http" | b"ws" => Some("http"),
        b"https" | b"wss" => Some("https"),
        _ => None,
    }
}

/// An address with an optional port; IPv6 with a port is in brackets.
fn node(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip().to_canonical(), Some(socket.port())));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    // RFC 7239 §6: the port may be obfuscated ("_" and more); the address is good without it.
    let bare = match bare.rsplit_once(":_") {
        Some((address, _)) => address.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(address),
        None => bare,
    };
    bare.parse::<IpAddr>().ok().map(|ip| (ip.to_canonical(), None))
}

/// The hops of `Forwarded`, or `None` if there is no such field. One syntax error spoils all of it: an open quote
/// could hide what a proxy appended.
fn standard_hops(fields: &Fields) -> Option<Vec<Hop>> {
    let mut hops = None;
    for value in fields.all("forwarded") {
        for element in list(value) {
            match standard_hop(element) {
                Some(hop) => hops.get_or_insert_with(Vec::new).push(hop),
                None => return Some(Vec::new()),
            }
        }
    }
    hops
}

/// RFC 7239 §4: `name=value` pairs, the value a token or a quoted string, no name twice.
fn standard_hop(element: &[u8]) -> Option<Hop> {
    let mut hop = Hop { from: None, scheme: None };
    let (mut seen_for, mut seen_proto) = (false, false);
    let mut rest = element;
    while !rest.is_empty() {
        let equals = rest.iter().position(|b| *b == b'=')?;
        let name = &rest[..equals];
        if name.is_empty() || !name.iter().all(|b| is_token_byte(*b)) {
            return None;
        }
        let after = &rest[equals + 1..];
        let end = match after.strip_prefix(b"\"") {
            // No address and no scheme has a quote or a backslash in it.
            Some(quoted) => {
                quoted.iter().position(|b| matches!(b, b'"' | b'\\')).filter(|i| quoted[*i] == b'"')? + 2
            }
            None => after.iter().position(|b| *b == b';').unwrap_or(after.len()),
        };
        let (pair, after) = rest.split_at(equals + 1 + end);
        let (_, value) = name_and_value(pair);
        let quoted = pair.ends_with(b"\"");
        // Unquoted ports and IPv6 addresses are not in the grammar, but common and clear.
        if value.is_empty() || !quoted && !value.iter().all(|b| is_token_byte(*b) || b":[]".contains(b)) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") {
            if std::mem::replace(&mut seen_for, true) {
                return None;
            }
            hop.from = node(value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            if std::mem::replace(&mut seen_proto, true) {
                return None;
            }
            hop.scheme = scheme(value);
        }
        rest = match after {
            [] => after,
            [b';', more @ ..] if !more.is_empty() => more.trim_ascii_start(),
            _ => return None,
        };
    }
    Some(hop)
}

/// The hops of `X-Forwarded-For` and `X-Forwarded-Proto`, or `None` if neither is there. Schemes go with addresses if
/// there are as many; else the last one, of the nearest proxy, goes with all.
fn common_hops(fields: &Fields) -> Option<Vec<Hop>> {
    let elements =
        |name| fields.all(name).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let schemes: Vec<_> = elements("x-forwarded-proto").map(scheme).collect();
    let mut hops: Vec<_> =
        elements("x-forwarded-for").map(|address| Hop { from: node(address), scheme: None }).collect();
    let last = *schemes.last().unwrap_or(&None);
    if hops.is_empty() {
        return (!schemes.is_empty()).then(|| vec![Hop { from: None, scheme: last }]);
    }
    let aligned = schemes.len() == hops.len();
    for (i, hop) in hops.iter_mut().enumerate() {
        hop.scheme = if aligned { schemes[i] } else { last };
    }
    Some(hops)
}
