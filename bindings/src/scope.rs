//! The scope of a request: a template is copied, which is several times as fast as inserting its keys.
use freshwire_engine::app::{Address, Kind, Request};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

/// What does not change from request to request.
pub struct Scopes {
    http: Template,
    websocket: Template,
    /// Put in front of each path: the application is mounted there, and a proxy has taken it off.
    root_path: String,
    /// The same, percent-encoded.
    raw_root_path: String,
    /// The lifespan's state; each scope gets a shallow copy.
    state: Option<Py<PyAny>>,
}

/// One kind of scope.
struct Template {
    scope: Py<PyDict>,
    /// Copied too: middleware adds its own.
    extensions: Py<PyDict>,
}

impl Template {
    fn new(
        py: Python<'_>,
        kind: &str,
        spec_version: &str,
        root_path: &str,
        extensions: &[&str],
    ) -> PyResult<Self> {
        let asgi = PyDict::new(py);
        asgi.set_item("version", "3.0")?;
        asgi.set_item("spec_version", spec_version)?;
        let scope = PyDict::new(py);
        scope.set_item("type", kind)?;
        scope.set_item("asgi", asgi)?;
        scope.set_item("http_version", "1.1")?;
        // In the order of the specification; what differs is set over the None.
        for key in ["server", "client", "scheme", "method", "path", "raw_path"] {
            if (kind, key) != ("websocket", "method") {
                scope.set_item(key, py.None())?;
            }
        }
        scope.set_item("root_path", root_path)?;
        scope.set_item("query_string", PyBytes::new(py, b""))?;
        let known = PyDict::new(py);
        for name in extensions {
            known.set_item(name, PyDict::new(py))?;
        }
        Ok(Self { scope: scope.unbind(), extensions: known.unbind() })
    }
}

impl Scopes {
    /// Templates for an application mounted at `root_path`.
    pub fn new(py: Python<'_>, root_path: &str, state: Option<Py<PyAny>>) -> PyResult<Self> {
        let root_path = root_path.trim_end_matches('/');
        Ok(Self {
            http: Template::new(
                py,
                "http",
                "2.3",
                root_path,
                &["http.response.trailers", "http.response.early_hint"],
            )?,
            websocket: Template::new(py, "websocket", "2.5", root_path, &["websocket.http.response"])?,
            root_path: root_path.to_owned(),
            raw_root_path: percent_encoded(root_path),
            state,
        })
    }

    /// The scope of one request.
    pub fn build<'py>(&self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        let template = match request.kind {
            Kind::Http => &self.http,
            Kind::WebSocket(_) => &self.websocket,
        };
        let scope = template.scope.bind(py).copy()?;
        match &request.kind {
            Kind::Http => scope.set_item(intern!(py, "method"), &*request.method)?,
            Kind::WebSocket(offered) => {
                scope.set_item(intern!(py, "subprotocols"), PyList::new(py, offered)?)?;
            }
        }
        if request.minor == 0 {
            scope.set_item(intern!(py, "http_version"), intern!(py, "1.0"))?;
        }
        scope.set_item(intern!(py, "scheme"), request.scheme)?;
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        scope.set_item(intern!(py, "path"), self.path(py, path))?;
        scope.set_item(intern!(py, "raw_path"), self.raw_path(py, path))?;
        if !query.is_empty() {
            scope.set_item(intern!(py, "query_string"), PyBytes::new(py, query.as_bytes()))?;
        }
        let headers = PyList::empty(py);
        for (name, value) in request.fields.iter() {
            headers.append((PyBytes::new(py, name), PyBytes::new(py, value)))?;
        }
        scope.set_item(intern!(py, "headers"), headers)?;
        if let Some(Address::Ip(client)) = &request.client {
            scope.set_item(intern!(py, "client"), (host(py, client.ip()), client.port()))?;
        }
        if let Some(server) = server(py, &request.server)? {
            scope.set_item(intern!(py, "server"), server)?;
        }
        scope.set_item(intern!(py, "extensions"), template.extensions.bind(py).copy()?)?;
        if let Some(state) = &self.state {
            scope.set_item(intern!(py, "state"), state.bind(py).call_method0(intern!(py, "copy"))?)?;
        }
        Ok(scope)
    }

    /// Decoded; what is not UTF-8 shows as U+FFFD, and `raw_path` has it as it was.
    fn path<'py>(&self, py: Python<'py>, path: &str) -> Bound<'py, PyString> {
        if self.root_path.is_empty() && !path.contains('%') {
            return PyString::new(py, path);
        }
        let decoded = percent_decoded(path);
        PyString::new(py, &format!("{}{}", self.root_path, String::from_utf8_lossy(&decoded)))
    }

    fn raw_path<'py>(&self, py: Python<'py>, path: &str) -> Bound<'py, PyBytes> {
        match self.raw_root_path.is_empty() {
            true => PyBytes::new(py, path.as_bytes()),
            false => PyBytes::new(py, format!("{}{path}", self.raw_root_path).as_bytes()),
        }
    }
}

fn host(py: Python<'_>, ip: std::net::IpAddr) -> Bound<'_, PyString> {
    if ip == std::net::Ipv4Addr::LOCALHOST {
        return intern!(py, "127.0.0.1").clone();
    }
    PyString::new(py, &ip.to_canonical().to_string())
}

fn server<'py>(py: Python<'py>, address: &Address) -> PyResult<Option<Bound<'py, PyTuple>>> {
    Ok(match address {
        Address::Ip(address) => Some((host(py, address.ip()), address.port()).into_pyobject(py)?),
        Address::Unix(Some(path)) => Some((&**path, py.None()).into_pyobject(py)?),
        Address::Unix(None) => None,
    })
}

/// RFC 3986 §2.1; a `%` without two digits stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}

/// RFC 3986 §3.3: what may stand in a path stays.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            true => encoded.push(byte.into()),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_encoded_and_leaves_a_bare_percent() {
        assert_eq!(percent_decoded("/a%20b%2F%c3%A9%zz%4"), "/a b/é%zz%4".as_bytes());
        assert_eq!(percent_decoded(&percent_encoded("/é ?%/a~b")), "/é ?%/a~b".as_bytes());
    }
}
