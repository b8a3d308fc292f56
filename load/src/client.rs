//! One connection that asks one thing after the other, and is made anew where it broke.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::judge;
use crate::call::{ANSWER_TIMEOUT, Call, Method};
use crate::target::Target;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What came back, whatever it says.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Asks one thing at a time.
pub struct Client {
    target: Arc<Target>,
    authorization: Option<String>,
    connection: Option<SendRequest<String>>,
}

impl Client {
    /// Who asks there with this token, if there is one. Connects when it is asked to.
    pub fn new(target: Arc<Target>, token: Option<&str>) -> Client {
        Client {
            target,
            authorization: token.map(|token| format!("Bearer {token}")),
            connection: None,
        }
    }

    /// Asks once, and tells whether the answer is what it must be, or the code of why not.
    pub async fn ask(&mut self, call: &Call) -> Result<(), String> {
        let reply = self.reply(call).await?;
        judge(call.expect, reply.status, &reply.body)
    }

    /// Asks once, and tells what came back; a code where nothing did.
    pub async fn reply(&mut self, call: &Call) -> Result<Reply, &'static str> {
        let mut sender = match self.connection.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await.map_err(|_| "NOT_CONNECTED")?,
        };
        let request = self.request(call).map_err(|_| "UNSENDABLE")?;
        let answering = async {
            sender.ready().await.map_err(|_| "BROKEN_OFF")?;
            let answer = sender.send_request(request).await;
            read(answer.map_err(|_| "BROKEN_OFF")?).await
        };
        let reply = timeout(ANSWER_TIMEOUT, answering)
            .await
            .map_err(|_| "NO_ANSWER")??;
        // What did not end well is not used again.
        self.connection = Some(sender);
        Ok(reply)
    }

    /// Makes sure that somebody listens there.
    pub async fn connect(&mut self) -> anyhow::Result<SendRequest<String>> {
        let address = &self.target.address;
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let stream = match connecting.await {
            Ok(stream) => stream.with_context(|| format!("nobody listens at {address}"))?,
            Err(_) => bail!(
                "{address} does not take connections within {} s",
                CONNECT_TIMEOUT.as_secs()
            ),
        };
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, or when the server ends it: the request under way tells.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, call: &Call) -> Result<Request<String>, hyper::http::Error> {
        let mut request = match call.method {
            Method::Get => Request::get(&call.path),
            Method::Post => Request::post(&call.path).header(CONTENT_TYPE, "application/json"),
        };
        request = request.header(HOST, &self.target.address);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(source) = &call.source {
            request = request.header("daybook-log-source", source);
        }
        request.body(call.body.clone())
    }
}

async fn read(answer: Response<Incoming>) -> Result<Reply, &'static str> {
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut read = BytesMut::with_capacity(body.size_hint().lower().min(1 << 20) as usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| "BROKEN_OFF")?.into_data() else {
            continue;
        };
        if read.len() + data.len() > ANSWER_BYTES_MAX {
            return Err("ANSWER_TOO_LARGE");
        }
        read.extend_from_slice(&data);
    }
    Ok(Reply {
        status,
        body: read.freeze(),
    })
}
