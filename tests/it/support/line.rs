//! A line to a server on a Unix socket that can be disturbed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Scratch;

/// What befalls what the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The line is cut as soon as the server speaks.
    Reset,
    /// It gets lost, and the line stays open.
    Silence,
    /// It comes a byte at a time.
    Drip,
    /// Half of it comes, then the line is cut.
    Half,
    /// Something else comes.
    Garbage,
    /// It comes twice.
    Twice,
}

/// A listening proxy; ends with the value.
pub struct Line {
    dir: Scratch,
    trouble: watch::Sender<Trouble>,
    _tasks: JoinSet<()>,
}

impl Line {
    /// Before the server at this socket.
    pub fn to(server: PathBuf) -> Line {
        let dir = Scratch::new();
        let listener = UnixListener::bind(dir.join("line.sock")).unwrap();
        let trouble = watch::Sender::new(Trouble::None);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.into(), trouble.subscribe()));
        Line {
            dir,
            trouble,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("line.sock")
    }

    /// From now on, on every connection.
    pub fn disturb(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }
}

async fn accept(listener: UnixListener, server: Arc<Path>, trouble: watch::Receiver<Trouble>) {
    let mut lines = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = UnixStream::connect(&server).await else {
            continue;
        };
        let trouble = trouble.clone();
        lines.spawn(async move {
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            // When either direction ends, both are cut.
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = disturbed(from_server, to_client, trouble) => {}
            }
        });
    }
}

async fn disturbed(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    trouble: watch::Receiver<Trouble>,
) -> std::io::Result<()> {
    let mut said = vec![0; 64 << 10];
    loop {
        let said = match from.read(&mut said).await? {
            0 => return Ok(()),
            n => &said[..n],
        };
        let trouble = *trouble.borrow();
        match trouble {
            Trouble::None => to.write_all(said).await?,
            Trouble::Reset => return Ok(()),
            Trouble::Silence => {}
            Trouble::Drip => {
                for byte in said {
                    to.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Trouble::Half => {
                to.write_all(&said[..said.len() / 2]).await?;
                return Ok(());
            }
            Trouble::Garbage => {
                to.write_all(&said.iter().map(|b| !b).collect::<Vec<_>>())
                    .await?
            }
            Trouble::Twice => to.write_all(&[said, said].concat()).await?,
        }
    }
}
