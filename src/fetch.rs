//! What other services answer: one GET or POST by HTTP, bounded in time and bytes, that is led nowhere else.
//!
//! A connection is made for each question and closed after it: few are asked, and none twice in a minute.

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::{HttpClient, WebUrl};
use crate::ops::VERSION;

/// Bytes of an answer's head, and of what is read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Headers of an answer.
const HEADERS_MAX: usize = 100;

/// Asks other services. Cheap to clone.
#[derive(Clone)]
pub struct Fetch(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    connect_timeout: Duration,
    timeout: Duration,
}

/// Why nobody can be asked: the certificates of `http_client.ca_file`.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of http_client.ca_file, {path}, cannot be used: {problem}", path = .path.display())]
pub struct CertificatesError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody answers there, or nobody who can prove to be the one.
    #[error("it cannot be reached: {0}")]
    Connect(#[from] io::Error),
    /// Not by TLS, and not on this machine.
    #[error("it is not on this machine, so it must be asked by TLS")]
    Plain,
    /// What is answered is not HTTP, or breaks off.
    #[error("its answer cannot be read: {0}")]
    Http(#[from] hyper::Error),
    /// Something other than 200, or 2xx where something was sent; where it leads elsewhere, nobody goes.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// The answer is longer than was agreed.
    #[error("its answer is above {0} bytes")]
    TooLarge(usize),
    /// It took too long (`http_client.connect_timeout`, `http_client.timeout`).
    #[error("it does not answer in time")]
    Late,
}

impl Fetch {
    /// Trusts the authorities of the web, and those of the configured file.
    pub fn new(settings: &HttpClient) -> Result<Fetch, CertificatesError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = &settings.ca_file {
            trust(&mut roots, path)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Fetch(Arc::new(Inner {
            tls: TlsConnector::from(Arc::new(config)),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
        })))
    }

    /// The body of a 200 answer of at most so many bytes.
    pub async fn get(&self, url: &WebUrl, bytes_max: usize) -> Result<Bytes, FetchError> {
        self.in_all(self.exchange(url, None, bytes_max)).await
    }

    /// Sends a JSON text; the body of a 2xx answer of at most so many bytes.
    pub async fn post(
        &self,
        url: &WebUrl,
        json: String,
        bytes_max: usize,
    ) -> Result<Bytes, FetchError> {
        self.in_all(self.exchange(url, Some(json), bytes_max)).await
    }

    async fn in_all(
        &self,
        answering: impl Future<Output = Result<Bytes, FetchError>>,
    ) -> Result<Bytes, FetchError> {
        let answering = timeout(self.0.timeout, answering);
        answering.await.map_err(|_| FetchError::Late)?
    }

    async fn exchange(
        &self,
        url: &WebUrl,
        json: Option<String>,
        bytes_max: usize,
    ) -> Result<Bytes, FetchError> {
        let connecting = TcpStream::connect((url.host(), url.port()));
        let stream = self.in_time(connecting).await?;
        if url.is_secure() {
            let name = ServerName::try_from(url.host().to_owned()).map_err(io::Error::other)?;
            let stream = self.in_time(self.0.tls.connect(name, stream)).await?;
            return ask(stream, url, json, bytes_max).await;
        }
        match stream.peer_addr()?.ip().is_loopback() {
            true => ask(stream, url, json, bytes_max).await,
            false => Err(FetchError::Plain),
        }
    }

    async fn in_time<S>(
        &self,
        connecting: impl Future<Output = io::Result<S>>,
    ) -> Result<S, FetchError> {
        match timeout(self.0.connect_timeout, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(FetchError::Late),
        }
    }
}

fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), CertificatesError> {
    let unusable = |problem: String| CertificatesError {
        path: path.to_owned(),
        problem,
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))?;
    let before = roots.len();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err(unusable("it holds no certificate in PEM".to_owned())),
    }
}

async fn ask<S>(
    stream: S,
    url: &WebUrl,
    json: Option<String>,
    bytes_max: usize,
) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    let request = match json {
        None => Request::get(url.path()),
        Some(_) => Request::post(url.path()).header(CONTENT_TYPE, "application/json"),
    };
    let is_taken = match json {
        None => |status| status == StatusCode::OK,
        Some(_) => |status: StatusCode| status.is_success(),
    };
    let request = request
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json, */*;q=0.5")
        .header(USER_AGENT, format!("daybook/{VERSION}"))
        .body(json.unwrap_or_default())
        .expect("a checked URL has a path and a host");
    let answering = async {
        let answer = sender.send_request(request).await?;
        match is_taken(answer.status()) {
            true => body(answer, bytes_max).await,
            false => Err(FetchError::Status(answer.status())),
        }
    };
    tokio::pin!(answering);
    tokio::select! {
        biased;
        answered = &mut answering => answered,
        // Nobody writes or reads any more; what was read before is still to be had.
        _ = connection => answering.await,
    }
}

async fn body(answer: Response<Incoming>, bytes_max: usize) -> Result<Bytes, FetchError> {
    let mut body = answer.into_body();
    let mut read = BytesMut::new();
    let too_large = FetchError::TooLarge(bytes_max);
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large);
    }
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if read.len() + data.len() > bytes_max {
            return Err(too_large);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
