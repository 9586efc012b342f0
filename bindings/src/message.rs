//! ASGI messages: what the application sends is parsed into [`Said`], what it receives is made from [`Heard`].
//!
//! Shape and bytes are checked here, with errors that name the message and the key; whether a message may come now is
//! for `send` and `websocket`.
use bytes::Bytes;
use freshwire_engine::app::{Message, ResponseHead};
use freshwire_engine::http::fields::Fields;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

/// What the application says, checked.
#[derive(Debug)]
pub enum Said {
    /// `http.response.start` and `websocket.http.response.start`.
    Start {
        /// Status and fields.
        head: Box<ResponseHead>,
        /// It promises `http.response.trailers`.
        trailers: bool,
    },
    /// `http.response.body` and `websocket.http.response.body`.
    Body(Bytes, More),
    /// `http.response.trailers`.
    Trailers(Fields, More),
    /// `http.response.early_hint`.
    EarlyHints(Fields),
    /// `websocket.accept`.
    Accept(Option<Box<str>>, Fields),
    /// `websocket.send`.
    Message(Message),
    /// `websocket.close`.
    Close(u16, Box<str>),
}

/// Whether another message of the kind follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// It does.
    Follows,
    /// This was the last.
    Last,
}

/// Field names that frame a message or a connection: what an application says about them is not passed on. `connection`
/// goes to the engine, which sends none of an application's but keeps no field that it names (RFC 9111 §3.1).
const CONNECTION_FIELDS: &[&[u8]] = &[b"transfer-encoding", b"keep-alive"];

/// Check an application's message. The second value is its type, for errors about its order.
pub fn parse<'py>(message: &Bound<'py, PyAny>) -> PyResult<(Said, Bound<'py, PyString>)> {
    let py = message.py();
    let Ok(dict) = message.cast::<PyDict>() else {
        return Err(PyTypeError::new_err(format!("an ASGI message is a dict, not {}", type_name(message))));
    };
    let Some(kind) = dict.get_item(intern!(py, "type"))? else {
        return Err(PyValueError::new_err("an ASGI message has a 'type', this one has none"));
    };
    let Ok(kind) = kind.cast_into::<PyString>() else {
        return Err(PyTypeError::new_err("the 'type' of an ASGI message is a str"));
    };
    let name = kind.to_cow()?;
    let parts = Parts { dict, kind: &name };
    let said = match &*name {
        "http.response.body" | "websocket.http.response.body" => Said::Body(
            parts.bytes(intern!(py, "body"))?.unwrap_or_default(),
            parts.more(intern!(py, "more_body"))?,
        ),
        "http.response.start" | "websocket.http.response.start" => {
            Said::Start { head: Box::new(parts.head()?), trailers: parts.flag(intern!(py, "trailers"))? }
        }
        "http.response.trailers" => {
            Said::Trailers(parts.trailers()?, parts.more(intern!(py, "more_trailers"))?)
        }
        "http.response.early_hint" => Said::EarlyHints(parts.links()?),
        "websocket.accept" => Said::Accept(parts.text(intern!(py, "subprotocol"))?, parts.accept_fields()?),
        "websocket.send" => Said::Message(parts.message()?),
        "websocket.close" => parts.close()?,
        other => return Err(PyValueError::new_err(format!("unknown ASGI message type '{other}'"))),
    };
    drop(name);
    Ok((said, kind))
}

/// A message's keys.
struct Parts<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    /// Its type, for errors.
    kind: &'a str,
}

impl<'py> Parts<'_, 'py> {
    /// The value of a key that is there and not None.
    fn get(&self, key: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.dict.get_item(key)?.filter(|value| !value.is_none()))
    }

    fn wrong_type(&self, what: &str, wanted: &str, got: &Bound<'_, PyAny>) -> PyErr {
        PyTypeError::new_err(format!("{what} of '{}' must be {wanted}, not {}", self.kind, type_name(got)))
    }

    fn wrong_value(&self, what: std::fmt::Arguments<'_>) -> PyErr {
        PyValueError::new_err(format!("'{}': {what}", self.kind))
    }

    fn flag(&self, key: &Bound<'py, PyString>) -> PyResult<bool> {
        self.get(key)?.map_or(Ok(false), |value| value.is_truthy())
    }

    fn more(&self, key: &Bound<'py, PyString>) -> PyResult<More> {
        Ok(if self.flag(key)? { More::Follows } else { More::Last })
    }

    fn text(&self, key: &Bound<'py, PyString>) -> PyResult<Option<Box<str>>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let text =
            value.cast::<PyString>().map_err(|_| self.wrong_type(&format!("'{key}'"), "a str", &value))?;
        Ok(Some(text.to_cow()?.into()))
    }

    fn bytes(&self, key: &Bound<'py, PyString>) -> PyResult<Option<Bytes>> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Some(Bytes::copy_from_slice(bytes.as_bytes())));
        }
        // bytearray and memoryview; a copy in any case, because the engine's threads own no Python object.
        let buffer =
            PyBuffer::<u8>::get(&value).map_err(|_| self.wrong_type(&format!("'{key}'"), "bytes", &value))?;
        Ok(Some(buffer.to_vec(value.py())?.into()))
    }

    fn head(&self) -> PyResult<ResponseHead> {
        let py = self.dict.py();
        let status = self
            .get(intern!(py, "status"))?
            .ok_or_else(|| self.wrong_value(format_args!("'status' is missing")))?;
        let code: i64 = status.extract().map_err(|_| self.wrong_type("'status'", "an int", &status))?;
        let code = u16::try_from(code)
            .ok()
            .filter(|code| (200..=999).contains(code))
            .ok_or_else(|| self.wrong_value(format_args!("'status' must be 200 to 999, not {code}")))?;
        let mut declared = None;
        let fields = self.fields(|name, value| {
            if name.eq_ignore_ascii_case(b"content-length") {
                let length = decimal(value).ok_or_else(|| {
                    self.wrong_value(format_args!("content-length must be a number, not {}", shown(value)))
                })?;
                if declared.is_some_and(|earlier| earlier != length) {
                    return Err(self.wrong_value(format_args!("two different content-lengths")));
                }
                // RFC 9110 §8.6: one line, whatever the application repeats.
                return Ok(declared.replace(length).is_none());
            }
            Ok(!CONNECTION_FIELDS.iter().any(|dropped| name.eq_ignore_ascii_case(dropped)))
        })?;
        Ok(ResponseHead { status: code, fields, tags: Vec::new(), content_length: declared })
    }

    /// RFC 9110 §6.5.1: nothing in a trailer may frame or route the message.
    fn trailers(&self) -> PyResult<Fields> {
        const FORBIDDEN: &[&[u8]] = &[
            b"content-length",
            b"transfer-encoding",
            b"connection",
            b"host",
            b"trailer",
            b"content-encoding",
        ];
        self.fields(|name, _| match FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
            true => Err(self.wrong_value(format_args!("{} cannot be a trailer", shown(name)))),
            false => Ok(true),
        })
    }

    /// The node speaks the handshake itself.
    fn accept_fields(&self) -> PyResult<Fields> {
        self.fields(|name, _| {
            let name = name.to_ascii_lowercase();
            if name.starts_with(b"sec-websocket-") {
                return Err(self.wrong_value(format_args!(
                    "{} is the server's to send (use 'subprotocol' for the subprotocol)",
                    shown(&name)
                )));
            }
            Ok(!CONNECTION_FIELDS.contains(&&*name)
                && !matches!(&*name, b"connection" | b"upgrade" | b"content-length"))
        })
    }

    /// 'headers', each line checked; `keep` says which are passed on.
    fn fields(&self, mut keep: impl FnMut(&[u8], &[u8]) -> PyResult<bool>) -> PyResult<Fields> {
        let Some(headers) = self.get(intern!(self.dict.py(), "headers"))? else {
            return Ok(Fields::default());
        };
        let mut fields = Fields::with_capacity(8, 256);
        let lines =
            headers.try_iter().map_err(|_| self.wrong_type("'headers'", "a list of pairs", &headers))?;
        for line in lines {
            let line = line?;
            let Ok((name, value)) = pair(&line) else {
                return Err(self.wrong_type("each of the 'headers'", "a pair of name and value", &line));
            };
            let (name, value) = (self.field_bytes(&name)?, trim(self.field_bytes(&value)?));
            if !is_token(name) {
                return Err(self.wrong_value(format_args!("{} is not a header name", shown(name))));
            }
            self.check_value(name, value)?;
            if keep(name, value)? {
                fields.push(name, value);
            }
        }
        Ok(fields)
    }

    fn field_bytes<'a>(&self, part: &'a Bound<'py, PyAny>) -> PyResult<&'a [u8]> {
        match part.cast::<PyBytes>() {
            Ok(bytes) => Ok(bytes.as_bytes()),
            Err(_) => Err(self.wrong_type("a header's name and value", "bytes", part)),
        }
    }

    /// RFC 9110 §5.5: with one of these a value would end early and another field, or another response, begin.
    fn check_value(&self, name: &[u8], value: &[u8]) -> PyResult<()> {
        match value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            true => Err(self.wrong_value(format_args!(
                "the value of {} has a CR, LF or NUL: {}",
                shown(name),
                shown(value)
            ))),
            false => Ok(()),
        }
    }

    /// RFC 8297: the values of `Link` fields.
    fn links(&self) -> PyResult<Fields> {
        let mut fields = Fields::default();
        let Some(links) = self.get(intern!(self.dict.py(), "links"))? else { return Ok(fields) };
        for link in links.try_iter().map_err(|_| self.wrong_type("'links'", "a list of bytes", &links))? {
            let link = link?;
            let value = trim(self.field_bytes(&link)?);
            self.check_value(b"link", value)?;
            fields.push("link", value);
        }
        Ok(fields)
    }

    fn message(&self) -> PyResult<Message> {
        let py = self.dict.py();
        match (self.text(intern!(py, "text"))?, self.bytes(intern!(py, "bytes"))?) {
            (Some(text), None) => Ok(Message::Text(Bytes::from(text.into_string()))),
            (None, Some(bytes)) => Ok(Message::Binary(bytes)),
            (None, None) => Err(self.wrong_value(format_args!("neither 'text' nor 'bytes' is given"))),
            (Some(_), Some(_)) => Err(self.wrong_value(format_args!("both 'text' and 'bytes' are given"))),
        }
    }

    /// RFC 6455 §7.4 says which codes may be sent, §5.5 how long the reason may be.
    fn close(&self) -> PyResult<Said> {
        let py = self.dict.py();
        let code: i64 = match self.get(intern!(py, "code"))? {
            Some(code) => code.extract().map_err(|_| self.wrong_type("'code'", "an int", &code))?,
            None => 1000,
        };
        let code = match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => code as u16,
            _ => return Err(self.wrong_value(format_args!("{code} is not a close code that can be sent"))),
        };
        let reason = self.text(intern!(py, "reason"))?.unwrap_or_default();
        if reason.len() > 123 {
            return Err(self.wrong_value(format_args!("the reason is {} bytes, 123 fit", reason.len())));
        }
        Ok(Said::Close(code, reason))
    }
}

/// What the application hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// `http.request`.
    Request(Bytes, bool),
    /// `http.disconnect`.
    Disconnect,
    /// `websocket.connect`.
    Connect,
    /// `websocket.receive`.
    Message(Message),
    /// `websocket.disconnect`.
    Closed(u16, String),
}

impl Heard {
    /// As a dict.
    pub fn into_dict(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        let kind = match &self {
            Heard::Request(..) => intern!(py, "http.request"),
            Heard::Disconnect => intern!(py, "http.disconnect"),
            Heard::Connect => intern!(py, "websocket.connect"),
            Heard::Message(_) => intern!(py, "websocket.receive"),
            Heard::Closed(..) => intern!(py, "websocket.disconnect"),
        };
        dict.set_item(intern!(py, "type"), kind)?;
        match self {
            Heard::Request(body, more) => {
                dict.set_item(intern!(py, "body"), PyBytes::new(py, &body))?;
                dict.set_item(intern!(py, "more_body"), more)?;
            }
            Heard::Message(Message::Text(text)) => {
                // Checked by the engine; were it not, the application would rather see a mark than nothing.
                dict.set_item(intern!(py, "text"), String::from_utf8_lossy(&text))?;
            }
            Heard::Message(Message::Binary(bytes)) => {
                dict.set_item(intern!(py, "bytes"), PyBytes::new(py, &bytes))?;
            }
            Heard::Closed(code, reason) => {
                dict.set_item(intern!(py, "code"), code)?;
                dict.set_item(intern!(py, "reason"), reason)?;
            }
            Heard::Disconnect | Heard::Connect => {}
        }
        Ok(dict)
    }
}

/// Two of anything.
fn pair<'py>(line: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    match line.len()? {
        2 => Ok((line.get_item(0)?, line.get_item(1)?)),
        _ => Err(PyValueError::new_err("not a pair")),
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string())
}

/// Bytes for an error message, as Python would show them.
fn shown(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes[..bytes.len().min(80)].escape_ascii())
}

/// RFC 9110 §5.6.2.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

fn trim(value: &[u8]) -> &[u8] {
    let ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|b| ows(b)).count();
    let end = value.len() - value[start..].iter().rev().take_while(|b| ows(b)).count();
    &value[start..end]
}

/// Digits only: `parse` would take a sign.
fn decimal(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit))?;
    text.parse().ok()
}
