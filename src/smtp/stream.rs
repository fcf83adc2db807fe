//! A byte stream that may be put under TLS in the middle of its life.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// What server and client run over: TCP, unix sockets, in-memory pipes.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// The stream of a connection; `Closed` while a handshake owns the stream, and for good if that
/// handshake failed.
pub(super) enum Stream {
    Plain(Box<dyn Io>),
    Tls(Box<TlsStream<Box<dyn Io>>>),
    Closed,
}

impl Stream {
    pub(super) fn new(io: impl Io + 'static) -> Self {
        Self::Plain(Box::new(io))
    }

    /// Takes the clear stream out for a handshake.
    pub(super) fn take_plain(&mut self) -> Option<Box<dyn Io>> {
        match std::mem::replace(self, Self::Closed) {
            Self::Plain(io) => Some(io),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The certificates that the peer has shown, its own first.
    pub(super) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        let Self::Tls(stream) = self else { return None };
        stream.get_ref().1.peer_certificates()
    }

    /// The parameters of the TLS session.
    pub(super) fn tls(&self) -> Option<TlsInfo> {
        let Self::Tls(stream) = self else { return None };
        let (_, common) = stream.get_ref();
        let version = common.protocol_version()?.as_str()?;
        let suite = common.negotiated_cipher_suite()?.suite().as_str()?;
        Some(TlsInfo { version, suite })
    }
}

/// The parameters of a TLS session, for logs and trace fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsInfo {
    /// Protocol version in the spelling of its registry, as `TLSv1_3`.
    pub version: &'static str,
    /// Cipher suite in the spelling of its registry, as `TLS13_AES_256_GCM_SHA384`.
    pub suite: &'static str,
}

fn closed() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
            Self::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
