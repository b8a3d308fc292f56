//! Children that end with this process, whichever way it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts waiting for the one thread; each takes about a millisecond.
const JOBS_MAX: usize = 64;

/// A child that does not outlive us.
#[derive(Debug)]
pub struct Bound {
    /// The child.
    pub child: Child,
    /// Where the system itself does not signal children of the dead, this one does.
    _watchdog: Option<Child>,
}

/// Starts `command` so that it gets `signal` when this process ends, by `kill -9` too.
///
/// The child leads a process group of its own: Ctrl-C at the terminal reaches us, not the child.
/// `kept` stays open in the child and in its children; with a lock on it, the lock tells whether
/// any of them lives.
pub async fn spawn_bound(
    command: Command,
    signal: Signal,
    kept: Option<OwnedFd>,
) -> io::Result<Bound> {
    let (reply, answer) = oneshot::channel();
    let job = Job {
        command,
        signal,
        kept,
        runtime: Handle::current(),
        reply,
    };
    KEEPER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?
        .send(job)
        .map_err(|_| ended())?;
    answer.await.map_err(|_| ended())?
}

/// Linux ties a child to the thread that forked it, so one thread forks them all and never ends
/// before the process does.
static KEEPER: LazyLock<Mutex<io::Result<SyncSender<Job>>>> = LazyLock::new(|| {
    let (jobs, queue) = mpsc::sync_channel::<Job>(JOBS_MAX);
    let thread = std::thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || {
            for job in queue {
                let _runtime = job.runtime.enter();
                // Nobody waits any more if the caller was cancelled; its child then ends with us.
                let _ = job.reply.send(start(job.command, job.signal, job.kept));
            }
        });
    Mutex::new(thread.map(|_| jobs))
});

struct Job {
    command: Command,
    signal: Signal,
    kept: Option<OwnedFd>,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Bound>>,
}

fn ended() -> io::Error {
    io::Error::other("the thread that starts children has ended")
}

#[expect(
    unsafe_code,
    reason = "nothing safe acts between setuid and exec, where signals have to be arranged"
)]
fn start(mut command: Command, signal: Signal, kept: Option<OwnedFd>) -> io::Result<Bound> {
    command.process_group(0);
    let parent = rustix::process::getpid();
    let before_exec = move || {
        // A signal that was ignored when we were started (`nohup`, `&` in a script) would be
        // ignored by the child too, until it says otherwise, and so be lost.
        for ignored in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: the default action is no handler that could be unsafe to run.
            unsafe { libc::signal(ignored, libc::SIG_DFL) };
        }
        // After setuid, which would clear it; before exec, which keeps it.
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::Interrupted.into()); // the parent ended meanwhile
        }
        if let Some(kept) = &kept {
            rustix::io::fcntl_setfd(kept, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls may be made. The closure makes
    // some system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(before_exec);
    }
    let child = command.spawn()?;
    let watchdog = match child.id() {
        Some(pid) if cfg!(not(target_os = "linux")) => Some(watch(pid, signal)?),
        _ => None,
    };
    Ok(Bound {
        child,
        _watchdog: watchdog,
    })
}

/// Signals `pid` when this process ends: nobody else holds the other end of its input open.
fn watch(pid: u32, signal: Signal) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "read -r _; kill -$2 $1", "watchdog"])
        .args([pid.to_string(), signal.as_raw().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_watchdog_signals_when_its_input_closes() {
        let mut sleeper = Command::new("sleep")
            .arg("60")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut watchdog = watch(sleeper.id().unwrap(), Signal::TERM).unwrap();

        drop(watchdog.stdin.take()); // as the end of this process would

        assert!(watchdog.wait().await.unwrap().success());
        assert!(!sleeper.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_bound_child_keeps_what_it_was_given_open() {
        let name = format!("daybook-keeper-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let open = || std::fs::File::create(&path).unwrap();
        let lock = open();
        lock.lock().unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("60");

        let mut bound = spawn_bound(sleep, Signal::KILL, Some(lock.into()))
            .await
            .unwrap();

        assert!(open().try_lock().is_err(), "the child holds the lock");
        bound.child.kill().await.unwrap();
        assert!(open().try_lock().is_ok(), "nobody holds the lock");
        std::fs::remove_file(&path).unwrap();
    }
}
