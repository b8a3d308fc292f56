//! A process of its own: this binary once more, running one test that does nothing unless it is told to.

use std::ffi::OsStr;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

/// A running child; killed with the value.
pub struct Child(std::process::Child);

impl Child {
    /// Runs this one test, which is told by environment variables what to do.
    pub fn start(test: &str, told: &[(&str, &OsStr)]) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]);
        command.envs(told.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Child(command.spawn().unwrap())
    }

    /// As a crash would.
    pub fn kill9(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Not a step further, and not a word, until [`Child::go_on`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// As if nothing had been.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// In the child: returns when whoever started it is gone.
    pub async fn abandoned() {
        let (tell, closed) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read(&mut [0]);
            let _ = tell.send(());
        });
        let _ = closed.await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
