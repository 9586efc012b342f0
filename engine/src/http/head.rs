//! Request heads (RFC 9112 §2-3, §6), strict: whatever two parsers could read differently is refused, never repaired.
//!
//! `httparse` finds the lines; everything it lets through that must not pass is caught here: bare LF, Host, framing,
//! targets, limits. It is not the place for what fields mean to a resource (`lists`) nor for the allow-lists (`host`,
//! `origin`). The connection calls [`complete`] on what arrives and [`parse`] once that says so; a refusal's end is not
//! known, so the connection closes after it. Errors are found in the order of the bytes, so that a head gets the same
//! verdict however it is cut.
use crate::http::fields::Fields;
use crate::http::host;
use crate::http::lists::{has_token, list};
use crate::http::refusal::Refusal;
use crate::http::target::{self, Target};
use httparse::{Header, Status};
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// The most field lines that [`HeadLimits::fields`] can allow.
pub const MAX_FIELDS: usize = 256;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// All of it with the empty line, bytes: 431 above.
    pub bytes: usize,
    /// Field lines, at most [`MAX_FIELDS`]: 431 above.
    pub fields: usize,
    /// The request target, bytes: 414 above.
    pub target: usize,
}

/// How the request's body is delimited (RFC 9112 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What `Upgrade` and `Connection` together ask for (RFC 9110 §7.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    #[default]
    None,
    /// `websocket`, perhaps among others. The handshake itself is not checked here.
    WebSocket,
    /// Some other protocol.
    Other,
}

/// A request head that passed every check.
#[derive(Debug)]
pub struct Head<'b> {
    /// As sent; case matters.
    pub method: &'b str,
    /// As sent.
    pub target: &'b str,
    /// Origin form: begins with `/`, or is `*`. Not normalised.
    pub path_and_query: Cow<'b, str>,
    /// The authority of an absolute-form target; equal to `Host` if there is one.
    pub authority: Option<&'b str>,
    /// HTTP/1.`minor`.
    pub minor: u8,
    /// The field lines, without white space around the values.
    pub headers: &'b [Header<'b>],
    /// `Host`, or the authority if HTTP/1.0 had no `Host`; valid syntax.
    pub host: Option<&'b str>,
    /// How the body is delimited.
    pub framing: Framing,
    /// The client wants to use the connection again.
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends its body.
    pub expect_continue: bool,
    /// What protocol it would rather speak.
    pub upgrade: Upgrade,
    /// `Connection` names fields.
    pub names_fields: bool,
}

/// Whether a field is never the connection's own, whatever `Connection` says: it frames, routes or authorises, or is
/// looked at here.
fn is_for_all(name: &str) -> bool {
    const FOR_ALL: [&str; 10] = [
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "origin",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    FOR_ALL.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("sec-websocket-"))
}

impl<'b> Head<'b> {
    /// The value of the first line called `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// The values of every line called `name`, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'b [u8]> + use<'a, 'b> {
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// A copy of the lines that outlives the buffer, names in lower case; without those that `Connection` names, which
    /// end at this hop (RFC 9110 §7.6.1): neither a cache key nor an application further on shall depend on them.
    pub fn fields(&self) -> Fields {
        let bytes = self.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
        let mut fields = Fields::with_capacity(self.headers.len(), bytes);
        let ends_here = |name: &str| {
            self.names_fields && !is_for_all(name) && self.all("connection").any(|line| has_token(line, name))
        };
        for header in self.headers.iter().filter(|header| !ends_here(header.name)) {
            fields.push(header.name, header.value);
        }
        fields
    }
}

/// Whether [`parse`] can decide, now that bytes from `from` on have come in: there is an empty line, or a bare LF.
///
/// Looks at the new bytes and the three before them, so that a head fed byte by byte costs linear time. It knows no
/// limits: call [`parse`] on the first bytes too (not HTTP, CONNECT, a long target), and when there are as many as
/// [`HeadLimits::bytes`].
pub fn complete(buf: &[u8], from: usize) -> bool {
    let start = from.saturating_sub(3).min(buf.len());
    memchr::memchr_iter(b'\n', &buf[start..])
        .any(|i| matches!(&buf[..start + i], [.., b'\r', b'\n', b'\r']) || !buf[..start + i].ends_with(b"\r"))
}

/// Whether a head that [`parse`] refuses asks with HEAD, so that nobody expects content.
pub fn is_head(buf: &[u8]) -> bool {
    buf.strip_prefix(b"\r\n").unwrap_or(buf).starts_with(b"HEAD ")
}

/// How far the lines of a head go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// To an empty line.
    Whole,
    /// To an LF without a CR.
    BareLf,
    /// To the end of what is there.
    Open,
}

/// Where the head that begins at `start` ends, exclusive, and how.
fn find_end(buf: &[u8], start: usize) -> (usize, End) {
    let mut line = start;
    for lf in memchr::memchr_iter(b'\n', &buf[start..]).map(|i| start + i) {
        match &buf[line..lf] {
            [b'\r'] => return (lf + 1, End::Whole),
            [.., b'\r'] => line = lf + 1,
            _ => return (lf, End::BareLf),
        }
    }
    (buf.len(), End::Open)
}

/// Parse the head at the front of `buf` and show it to `f`: its length and what `f` returned, or `None` if more is needed.
pub fn parse<R>(
    buf: &[u8],
    limits: &HeadLimits,
    f: impl FnOnce(&Head<'_>) -> R,
) -> Result<Option<(usize, R)>, Refusal> {
    let window = &buf[..buf.len().min(limits.bytes)];
    // RFC 9112 §2.2: one empty line before the request line is ignored; more is not a request.
    let start = if window.starts_with(b"\r\n") { 2 } else { 0 };
    let (end, how) = find_end(window, start);
    let text = &window[start..end];

    let mut slots = [const { MaybeUninit::<Header>::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(
        &mut request,
        text,
        &mut slots[..limits.fields.min(MAX_FIELDS)],
    );
    let target = request_line(&request, text, limits)?;
    let parsed = match parsed {
        Err(httparse::Error::Version) => version(&request, text)?,
        Err(error) => return Err(malformed(error, limits)),
        Ok(status) => status,
    };
    match (parsed, how, target, request.method, request.path, request.version) {
        (Status::Complete(_), End::Whole, Some(checked), Some(method), Some(target), Some(minor)) => {
            let head = interpret(method, target, minor, request.headers, checked)?;
            Ok(Some((end, f(&head))))
        }
        (_, End::BareLf, ..) => {
            Err(Refusal::new(400, "bare_lf", "A line ends with LF alone instead of CRLF."))
        }
        (_, End::Open, ..) if window.len() < limits.bytes => Ok(None),
        (_, End::Open, ..) => {
            let detail = format!("The request head is larger than {} bytes (max_head_bytes).", limits.bytes);
            Err(Refusal::new(431, "head_too_large", detail))
        }
        _ => Err(Refusal::new(400, "request_line", "There is no request line.")),
    }
}

/// What can be said of the request line, or of the part of it that is there.
fn request_line<'b>(
    request: &httparse::Request<'_, 'b>,
    text: &[u8],
    limits: &HeadLimits,
) -> Result<Option<Target<'b>>, Refusal> {
    let Some(method) = request.method else { return Ok(None) };
    match method {
        "CONNECT" => {
            return Err(Refusal::new(501, "connect", "This is not a proxy: CONNECT is not implemented."));
        }
        // RFC 9113 §3.4: the method of the HTTP/2 preface, reserved for it.
        "PRI" => return Err(Refusal::new(505, "version", "HTTP/2 is not spoken here.")),
        _ => {}
    }
    let rest = text.get(method.len() + 1..).unwrap_or_default();
    let length =
        request.path.map_or_else(|| rest.iter().take_while(|b| **b > b' ' && **b != 0x7f).count(), str::len);
    if length > limits.target {
        let detail = format!("The request target is longer than {} bytes (max_target_bytes).", limits.target);
        return Err(Refusal::new(414, "target_too_long", detail));
    }
    request.path.map(|target| target::check(method, target)).transpose()
}

/// What to say of a version that is neither 1.0 nor 1.1: perhaps that too little of it is there.
fn version(request: &httparse::Request<'_, '_>, text: &[u8]) -> Result<Status<usize>, Refusal> {
    let before = request.method.map_or(0, str::len) + request.path.map_or(0, str::len) + 2;
    let sent = text.get(before..).unwrap_or_default();
    let fits = sent.iter().zip(b"HTTP/#.#").all(|(b, p)| b == p || *p == b'#' && b.is_ascii_digit());
    match sent.len() {
        _ if !fits => {
            Err(Refusal::new(400, "request_line", "The request line does not end with an HTTP version."))
        }
        ..8 => Ok(Status::Partial),
        _ => Err(Refusal::new(505, "version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")),
    }
}

fn malformed(error: httparse::Error, limits: &HeadLimits) -> Refusal {
    use httparse::Error::*;
    match error {
        TooManyHeaders => {
            let detail = format!("The request has more than {} field lines (max_fields).", limits.fields);
            Refusal::new(431, "too_many_fields", detail)
        }
        HeaderName => Refusal::new(
            400,
            "field_name",
            "A field line does not begin with a name and a colon; folded lines and white space before the colon are refused.",
        ),
        HeaderValue => Refusal::new(400, "field_value", "A field value has a control character."),
        NewLine => Refusal::new(400, "line_end", "A line does not end with CRLF."),
        Token | Status | Version => Refusal::new(400, "request_line", "The request line is malformed."),
    }
}

/// What the fields say about the message itself.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// `Connection: upgrade`, without which `Upgrade` means nothing.
    connection_upgrade: bool,
    upgrade: Upgrade,
    expect_continue: bool,
    names_fields: bool,
}

impl<'b> Seen<'b> {
    fn take(&mut self, name: &str, value: &'b [u8], minor: u8) -> Result<(), Refusal> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("host") => self.host(value)?,
            14 if is("content-length") => self.content_length(value)?,
            17 if is("transfer-encoding") => self.transfer_encoding(value, minor)?,
            10 if is("connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
                self.connection_upgrade |= has_token(value, "upgrade");
                let option = |name: &[u8]| {
                    [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|o| name.eq_ignore_ascii_case(o))
                };
                self.names_fields |= !list(value).all(option);
            }
            7 if is("upgrade") => {
                if has_token(value, "websocket") {
                    self.upgrade = Upgrade::WebSocket;
                } else if self.upgrade == Upgrade::None {
                    self.upgrade = Upgrade::Other;
                }
            }
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(
                        417,
                        "expect",
                        "The only expectation known here is 100-continue.",
                    ));
                }
                self.expect_continue = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 §3.2.
    fn host(&mut self, value: &'b [u8]) -> Result<(), Refusal> {
        let host = std::str::from_utf8(value).ok().filter(|host| host::split(host).is_some());
        match (self.host, host) {
            (Some(_), _) => Err(Refusal::new(400, "host", "There is more than one Host.")),
            (_, None) => Err(Refusal::new(400, "host", "Host is not a host with an optional port.")),
            _ => {
                self.host = host;
                Ok(())
            }
        }
    }

    /// RFC 9112 §6.3, without its leave to take a list of equal numbers for one.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::new(400, "content_length", "There is more than one Content-Length."));
        }
        // 18 digits fit a u64 with room to add to it.
        if !matches!(value.len(), 1..=18) || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::new(400, "content_length", "Content-Length is not a number of bytes."));
        }
        self.length = Some(value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    /// RFC 9112 §6.1.
    fn transfer_encoding(&mut self, value: &[u8], minor: u8) -> Result<(), Refusal> {
        let refuse = |status, detail: &str| Err(Refusal::new(status, "transfer_encoding", detail));
        if minor == 0 {
            return refuse(400, "HTTP/1.0 has no Transfer-Encoding.");
        }
        if self.chunked {
            return refuse(400, "There is more than one Transfer-Encoding.");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let chunked: Vec<bool> =
                list(value).map(|coding| coding.eq_ignore_ascii_case(b"chunked")).collect();
            return match chunked.iter().position(|is| *is) {
                Some(at) if at > 0 && at + 1 == chunked.len() => {
                    refuse(501, "The only transfer coding known here is chunked.")
                }
                _ => refuse(400, "Transfer-Encoding does not end with chunked, once."),
            };
        }
        self.chunked = true;
        Ok(())
    }
}

fn interpret<'b>(
    method: &'b str,
    target: &'b str,
    minor: u8,
    headers: &'b [Header<'b>],
    checked: Target<'b>,
) -> Result<Head<'b>, Refusal> {
    let mut seen = Seen::default();
    for header in headers {
        seen.take(header.name, header.value, minor)?;
    }
    if seen.host.is_none() && minor > 0 {
        return Err(Refusal::new(400, "host", "There is no Host."));
    }
    let Target { path_and_query, authority } = checked;
    if let (Some(authority), Some(host)) = (authority, seen.host)
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(Refusal::new(400, "host", "Host is not the authority of the target."));
    }
    let framing = match (seen.chunked, seen.length) {
        (true, Some(_)) => {
            return Err(Refusal::new(400, "framing", "There are both Content-Length and Transfer-Encoding."));
        }
        (true, None) => Framing::Chunked,
        (false, None | Some(0)) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    Ok(Head {
        method,
        target,
        path_and_query,
        authority,
        minor,
        headers,
        host: seen.host.or(authority),
        framing,
        keep_alive: !seen.close && (minor > 0 || seen.keep_alive),
        // RFC 9110 §10.1.1: not from HTTP/1.0, and not without content.
        expect_continue: seen.expect_continue && minor > 0 && framing != Framing::None,
        names_fields: seen.names_fields,
        upgrade: if seen.connection_upgrade && minor > 0 { seen.upgrade } else { Upgrade::None },
    })
}
