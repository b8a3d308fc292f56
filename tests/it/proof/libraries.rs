//! Libraries of others check our tokens by our published keys. `make tokens` installs them and names the folder;
//! without it the test holds that what would be run is all there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use chrono::TimeDelta;
use daybook::auth::{Grant, Role};
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::scene::told;
use crate::support::TestApp;

const ISSUER: &str = "daybook";
const AUDIENCE: &str = "daybook-api";

/// A process that checks tokens, as a service that trusts us would: with the keys it has fetched.
struct Library {
    name: String,
    child: Child,
    tokens: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Library {
    fn start(folder: &Path, name: &str, app: &TestApp) -> Library {
        let (program, script) = match name {
            "jose" => (PathBuf::from("node"), "check.mjs"),
            "pyjwt" => (folder.join("venv/bin/python3"), "check.py"),
            other => panic!("{other} is no library we know how to run"),
        };
        let url = format!("http://{}/.well-known/jwks.json", app.address());
        let mut command = Command::new(program);
        command
            .arg(folder.join(script))
            .args([&url, ISSUER, AUDIENCE]);
        command.current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Library {
            name: name.to_owned(),
            tokens: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Is the token good, and whose is it?
    fn check(&mut self, token: &str) -> Option<String> {
        writeln!(self.tokens, "{token}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        println!("{}: {}", self.name, answer.trim());
        match answer.trim().split_once(' ') {
            Some(("good", subject)) => Some(subject.to_owned()),
            Some(("refused", _)) => None,
            _ => panic!("{} broke off: {answer:?}", self.name),
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mint(app: &TestApp, ttl: Duration) -> String {
    let grant = Grant {
        subject: "ann".to_owned(),
        tenant: "default".to_owned(),
        roles: vec![Role::Viewer],
        ttl: Some(ttl),
        ..Grant::default()
    };
    app.app().auth.mint(&grant).unwrap()
}

async fn rotate(app: &TestApp, compromised: Option<&str>) -> String {
    let document = "mutation($input: RotateSigningKeyInput) { rotateSigningKey(input: $input) {
        signingKeys { signing } userErrors { code path } } }";
    let told = told(app, None, document, json!({ "compromised": compromised })).await;
    told["signingKeys"]["signing"].as_str().unwrap().to_owned()
}

/// The token with one character of its signature changed.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_others_follow_a_rotation() {
    // Some minutes ago, so that there is time to rotate before the libraries' own present.
    let (clock, time) = Clock::mock(Clock::system().now() - TimeDelta::minutes(10));
    let app = TestApp::at(clock, |_| ()).await;
    let hour = Duration::from_secs(3_600);
    let (of_one, over) = (mint(&app, hour), mint(&app, Duration::from_secs(60)));
    let Some(folder) = std::env::var_os("DAYBOOK_TEST_TOKENS").map(PathBuf::from) else {
        return;
    };
    let names = std::env::var("DAYBOOK_TEST_TOKENS_BY").unwrap();
    let names: Vec<&str> = names.split(' ').collect();
    let start = || names.iter().map(|name| Library::start(&folder, name, &app));
    let mut libraries: Vec<Library> = start().collect();
    let ann = Some("ann".to_owned());
    for library in &mut libraries {
        assert_eq!(library.check(&of_one), ann);
        for bad in [over.as_str(), &forged(&of_one), "nonsense"] {
            assert_eq!(library.check(bad), None);
        }
    }
    let one = rotate(&app, None).await;
    time.advance(TimeDelta::seconds(310));
    let two = rotate(&app, None).await;
    assert_ne!(one, two);
    let of_two = mint(&app, hour);
    // Those that have the former list, and those that come now.
    libraries.extend(start());
    for library in &mut libraries {
        assert_eq!(library.check(&of_two), ann);
        assert_eq!(library.check(&of_one), ann);
        assert_eq!(library.check(&forged(&of_two)), None);
    }
    rotate(&app, Some(&two)).await;
    let of_three = mint(&app, hour);
    for mut library in start() {
        assert_eq!(library.check(&of_three), ann);
        assert_eq!(library.check(&of_one), ann);
        assert_eq!(library.check(&of_two), None, "its key was taken back");
    }
}

/// Every package is pinned, and every script that is run is there.
#[test]
fn what_is_run_is_there_and_pinned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let lock: Value = serde_json::from_str(&read("package-lock.json")).unwrap();
    let package: Value = serde_json::from_str(&read("package.json")).unwrap();
    assert_eq!(
        lock["packages"][""]["dependencies"],
        package["dependencies"]
    );
    for (name, pinned) in lock["packages"].as_object().unwrap() {
        assert!(name.is_empty() || pinned["integrity"].is_string(), "{name}");
        assert!(pinned["resolved"].is_null(), "{name} names a registry");
    }
    let packages = read("requirements.txt");
    assert!(
        packages.lines().all(|line| line.contains("==")),
        "{packages}"
    );
    assert!(packages.contains("PyJWT==") && package["dependencies"]["jose"].is_string());
    assert!(read("check.mjs").contains("jwtVerify") && read("check.py").contains("PyJWKClient"));
}
