//! The `daybook` binary as a process of its own, and the least HTTP client that can ask it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The binary under test, built with the profile of the bench.
pub const BINARY: &str = env!("CARGO_BIN_EXE_daybook");

/// How long it may take to say where it listens, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A serving process. Killed when dropped without [`Served::stop`].
pub struct Served {
    child: Child,
    /// Where it listens.
    pub address: String,
    /// Its process.
    pub pid: u32,
}

impl Served {
    /// Starts it on this data directory; with a database, if it is not to start its own.
    pub async fn start(
        data_dir: &Path,
        database: Option<&PgConnectOptions>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Served> {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--port", "0", "--data-dir"]);
        command.arg(data_dir).env("DAYBOOK_LOG__LEVEL", "warn");
        // A line is more than anybody may ask of a process in a minute.
        command.env("DAYBOOK_LIMITS__ENABLED", "false");
        if let Some(database) = database {
            command.arg("--database-url").arg(url(database));
        }
        command.envs(settings.iter().copied());
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context(BINARY)?;
        let pid = child.id().context("it runs")?;
        let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let told = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, rest)) = line.split_once("http://") {
                    let address = rest.split('/').next().unwrap_or(rest);
                    return Ok(address.trim().to_owned());
                }
            }
            bail!("it ended before it listened")
        };
        let address = timeout(PATIENCE, told)
            .await
            .context("it does not listen")??;
        // What it says later is of no interest, but must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Served {
            child,
            address,
            pid,
        })
    }

    /// Asks it to stop and waits.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid.cast_signed()).context("a process")?;
        kill_process(pid, Signal::TERM)?;
        timeout(PATIENCE, self.child.wait())
            .await
            .context("it does not stop")??;
        Ok(())
    }
}

/// A token for everything, of the processes on this data directory and this database.
pub async fn token(data_dir: &Path, database: Option<&PgConnectOptions>) -> anyhow::Result<String> {
    let mut command = Command::new(BINARY);
    command.args(["token", "--data-dir"]).arg(data_dir);
    if let Some(database) = database {
        command.arg("--database-url").arg(url(database));
    }
    let output = command.output().await?;
    ensure!(
        output.status.success(),
        "daybook token: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The address of a database on a Unix socket, in the form libpq knows.
pub fn url(options: &PgConnectOptions) -> String {
    options.to_url_lossy().to_string()
}

/// One keep-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::with_capacity(64 << 10, stream),
        })
    }

    /// Sends a request of [`request`] and returns the answer's body; anything but 200 is an error.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.stream.get_mut().write_all(request).await?;
        let (mut length, mut line) = (None, String::new());
        self.stream.read_line(&mut line).await?;
        let status = line.trim().to_owned();
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line).await? > 0, "it hung up");
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        let mut body = vec![0; length.context("an answer tells its length")?];
        self.stream.read_exact(&mut body).await?;
        ensure!(
            status.contains(" 200"),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// The bytes of a POST.
pub fn request(path: &str, address: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
