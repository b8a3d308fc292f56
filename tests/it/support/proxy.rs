//! Stands between a store and its server, and breaks the line at the worst moment of an append or of a
//! transaction's commit.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Scratch;

/// What to do with the next append, or with the commit that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server never hears of it.
    CutBefore,
    /// The server has it, and the line is cut while it works.
    CutDuring,
    /// The server has done it, and its answer is lost.
    SwallowReply,
    /// The server has done it, and the line stays open and silent.
    Silence,
}

#[derive(Debug, Default)]
struct Armed {
    /// For appends, the next one last.
    appends: Vec<Fault>,
    /// For the commit of the transaction in which these words were sent.
    commit: Option<(&'static str, Fault)>,
}

/// A listening proxy; ends with the value.
pub struct Proxy {
    options: PgConnectOptions,
    armed: Arc<Mutex<Armed>>,
    _dir: Scratch,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Before the server that these options name.
    pub fn start(options: &PgConnectOptions) -> Proxy {
        let dir = Scratch::new();
        let name = format!(".s.PGSQL.{}", options.get_port());
        let server = options.get_socket().unwrap().join(&name);
        let listener = UnixListener::bind(dir.join(&name)).unwrap();
        let anyone = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(dir.join(&name), anyone).unwrap();
        let armed: Arc<Mutex<Armed>> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, armed.clone()));
        Proxy {
            options: options.clone().socket(dir.path()),
            armed,
            _dir: dir,
            _tasks: tasks,
        }
    }

    /// How to connect through it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// These befall the next appends, the first one first.
    pub fn arm(&self, faults: &[Fault]) {
        self.armed
            .lock()
            .unwrap()
            .appends
            .extend(faults.iter().rev());
    }

    /// This befalls the next commit on a line on which a statement with these words was sent.
    pub fn arm_commit(&self, after: &'static str, fault: Fault) {
        self.armed.lock().unwrap().commit = Some((after, fault));
    }

    /// Have all befallen?
    pub fn is_spent(&self) -> bool {
        let armed = self.armed.lock().unwrap();
        armed.appends.is_empty() && armed.commit.is_none()
    }
}

async fn accept(listener: UnixListener, server: PathBuf, armed: Arc<Mutex<Armed>>) {
    let mut lines = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = UnixStream::connect(&server).await else {
            continue;
        };
        let armed = armed.clone();
        lines.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (tell, told) = watch::channel(None);
            // When either direction ends, both are cut.
            tokio::select! {
                () = requests(from_client, to_server, &armed, tell) => {}
                () = replies(from_server, to_client, told) => {}
            }
        });
    }
}

impl Armed {
    /// What befalls this message, if it is the commit that is waited for. `awaited` says whether the
    /// words were heard on this line.
    fn at_commit(&mut self, message: &[u8], awaited: &mut bool) -> Option<Fault> {
        let (words, fault) = self.commit?;
        let (kind, body) = (message[0], &message[5..]);
        let said = |words: &[u8]| body.windows(words.len()).any(|w| w == words);
        if *awaited && kind == b'Q' && body.starts_with(b"COMMIT") {
            self.commit = None;
            return Some(fault);
        }
        *awaited |= matches!(kind, b'P' | b'Q') && said(words.as_bytes());
        None
    }
}

/// Watches for the execution of the append statement, which was prepared on this line before, and for
/// commits.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    armed: &Mutex<Armed>,
    tell: watch::Sender<Option<Fault>>,
) {
    // The first message has no type: the parameters of the session.
    let Some(startup) = message(&mut from, false).await else {
        return;
    };
    if to.write_all(&startup).await.is_err() {
        return;
    }
    let (mut append, mut cut): (Option<Vec<u8>>, bool) = (None, false);
    let mut awaited = false;
    while let Some(message) = message(&mut from, true).await {
        let (kind, body) = (message[0], &message[5..]);
        let mut words = body.split(|byte| *byte == 0);
        let (first, second) = (words.next().unwrap_or(&[]), words.next().unwrap_or(&[]));
        if kind == b'P' && second.starts_with(b"-- One group of commands") {
            append = Some(first.to_vec());
        }
        let is_append = kind == b'B' && append.as_deref() == Some(second);
        let fault = {
            let mut armed = armed.lock().unwrap();
            let fault = is_append.then(|| armed.appends.pop()).flatten();
            fault.or_else(|| armed.at_commit(&message, &mut awaited))
        };
        if fault == Some(Fault::CutBefore) {
            return;
        }
        if fault.is_some() {
            tell.send_replace(fault);
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
        cut |= fault == Some(Fault::CutDuring);
        if cut && matches!(kind, b'S' | b'Q') {
            // Long enough for the server to take it up, too short to finish for sure.
            tokio::time::sleep(Duration::from_micros(500)).await;
            return;
        }
    }
}

async fn replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    told: watch::Receiver<Option<Fault>>,
) {
    while let Some(message) = message(&mut from, true).await {
        let fault = *told.borrow();
        // "Ready for the next": the transaction is committed.
        let ready = message[0] == b'Z';
        match fault {
            None if to.write_all(&message).await.is_ok() => {}
            Some(Fault::Silence) if ready => std::future::pending().await,
            Some(_) if !ready => {}
            _ => return,
        }
    }
}

/// One whole message: type, length, body.
async fn message(from: &mut OwnedReadHalf, typed: bool) -> Option<Vec<u8>> {
    let head_len = if typed { 5 } else { 4 };
    let mut message = vec![0; head_len];
    from.read_exact(&mut message).await.ok()?;
    let length = u32::from_be_bytes(message[head_len - 4..].try_into().unwrap()) as usize;
    message.resize(head_len + length - 4, 0);
    from.read_exact(&mut message[head_len..]).await.ok()?;
    Some(message)
}
