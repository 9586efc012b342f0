//! One connection to an upstream: made, spoken to by hyper, and counted.
use crate::address::Place;
use crate::body::RequestBody;
use freshwire_engine::limits::Options;
use freshwire_engine::metrics::Metrics;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What hyper buffers of a head that has not come to its end, at least.
const MIN_BUFFER_BYTES: usize = 16 * 1024;

/// A connection that can take requests, one after the other.
pub struct Connection {
    /// hyper's handle of it.
    pub sender: SendRequest<RequestBody>,
    /// Bytes that the upstream has sent on it.
    pub received: Arc<AtomicU64>,
}

/// For what a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Requests and responses.
    Http,
    /// It leaves HTTP after the first 101.
    Upgrade,
}

impl Connection {
    /// Connect, and let a task of its own move the bytes.
    pub async fn open(
        place: &Place,
        what_for: Use,
        options: &Options,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let stream = match place {
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Place::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        let received = Arc::new(AtomicU64::new(0));
        let io = TokioIo::new(Counted { stream, received: received.clone() });
        let head_bytes = options.max_upstream_head_bytes;
        let (sender, connection) = http1::Builder::new()
            .max_header_size(head_bytes)
            .max_buf_size(head_bytes.max(MIN_BUFFER_BYTES) * 2)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        let open = Open::new(metrics.clone());
        tokio::spawn(async move {
            let _open = open;
            // How it ended, whoever asked on it hears.
            let _ = match what_for {
                Use::Http => connection.await,
                Use::Upgrade => connection.with_upgrades().await,
            };
        });
        Ok(Self { sender, received })
    }
}

/// Counts among the open connections as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.upstream_connections.fetch_add(1, Relaxed);
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.upstream_connections.fetch_sub(1, Relaxed);
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream that counts what comes in.
struct Counted {
    stream: Stream,
    received: Arc<AtomicU64>,
}

/// Ask the stream, whichever it is.
macro_rules! either {
    ($counted:expr, $stream:ident => $asked:expr) => {
        match &mut $counted.get_mut().stream {
            Stream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $asked
            }
            Stream::Unix(stream) => {
                let $stream = Pin::new(stream);
                $asked
            }
        }
    };
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (received, before) = (self.received.clone(), buf.filled().len());
        let read = either!(self, stream => stream.poll_read(cx, buf));
        received.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
