//! A small service on the web that answers as a test wants it to, by TLS or not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How a path is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this status and body.
    Text(u16, String),
    /// With a redirection there.
    Elsewhere(String),
    /// With nothing at all, and the connection stays open.
    Silence,
    /// With a body that never ends.
    Endless,
    /// With half of what the head announces.
    Half,
    /// With something that is no HTTP.
    Noise,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: impl ToString) -> Answer {
        Answer::Text(200, body.to_string())
    }
}

/// A service; it ends with its value.
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    served: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    heads: Vec<String>,
}

impl Web {
    /// One that answers everything with 404.
    pub async fn start() -> Web {
        Web::with(None).await
    }

    /// The same by TLS.
    pub async fn secure(tls: TlsAcceptor) -> Web {
        Web::with(Some(tls)).await
    }

    async fn with(tls: Option<TlsAcceptor>) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, state).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Web {
            address,
            state,
            served,
        }
    }

    /// Answers this path so from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        let mut state = self.state.lock().unwrap();
        state.answers.insert(path.to_owned(), answer);
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let line = format!("GET {path} HTTP/1.1\r\n");
        let heads = self.heads();
        heads.iter().filter(|head| head.starts_with(&line)).count()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn serve<S>(mut stream: S, state: Arc<Mutex<State>>) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut state = state.lock().unwrap();
        state.heads.push(head);
        state.answers.get(&path).cloned()
    };
    let text = match answer.unwrap_or(Answer::Text(404, String::new())) {
        Answer::Text(status, body) => {
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}")
        }
        Answer::Elsewhere(place) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n")
        }
        Answer::Half => "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"keys\":[".to_owned(),
        Answer::Noise => "220 mail.example ESMTP\r\n\r\n".to_owned(),
        Answer::Silence => {
            // Ends when the other side gives up.
            stream.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 4_096]).await?;
            }
        }
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
