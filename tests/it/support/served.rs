//! The program as a process of its own, in an environment of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::daybook;

/// The program in an environment of its own, with its data in `dir`.
pub fn command(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = daybook();
    command.args(args).env_clear().current_dir(dir);
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(environment.iter().copied());
    command
}

/// A serving process, killed when dropped.
pub struct Served {
    /// The process.
    pub child: Child,
    /// Where it listens, `address:port`.
    pub address: String,
    /// What it said on starting.
    pub lines: Vec<String>,
}

impl Served {
    /// Serves on a free port, with its data in `dir`.
    pub fn start(dir: &Path, environment: &[(&str, &str)]) -> Served {
        Served::of(command(dir, &["serve", "--port", "0"], environment))
    }

    /// Runs a command that serves, and waits for its start lines.
    pub fn of(mut command: Command) -> Served {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line.starts_with("  stop")) {
                break;
            }
        }
        let listens = lines.iter().find_map(|line| line.split_once("http://"));
        let Some((_, address)) = listens else {
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            panic!("it did not start: {lines:?} {said}");
        };
        let address = address.split('/').next().unwrap().to_owned();
        Served {
            child,
            address,
            lines,
        }
    }

    /// Status line and body of a GET.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
