//! Sources of webhooks: tables of the file, JSON of a variable, and secrets that production refuses.

use std::os::unix::fs::PermissionsExt as _;

use daybook::config::{self, HookKind};

use super::{environment, file, refusal};
use crate::support::Scratch;

const FILE: &str = r#"
[intake]
tolerance = "1m"

[[intake.sources]]
kind = "github"
projects = ["acme/*"]
secrets = [{ file = "/a" }, { file = "/b", until = "2026-12-01T01:00:00+01:00" }]

[[intake.sources]]
kind = "generic"
name = "ci"
tenant = "south"
projects = ["shop"]
secrets = [{ file = "/c" }]
"#;

const VARIABLE: &str = "DAYBOOK_INTAKE__SOURCES";

#[test]
fn sources_are_tables_of_the_file() {
    let (sources, path) = file(FILE);
    let settings = config::load(&sources).unwrap();
    std::fs::remove_file(path).unwrap();
    let sources: Vec<_> = settings.intake.sources.iter().collect();
    let [github, ci] = sources.as_slice() else {
        panic!("{sources:?}");
    };
    let named = [github, ci].map(|source| (source.kind, &*source.name, &*source.tenant));
    let want = [
        (HookKind::Github, "default", "default"),
        (HookKind::Generic, "ci", "south"),
    ];
    assert_eq!(named, want);
    let until = github.secrets[1].until.unwrap().to_rfc3339();
    assert_eq!(until, "2026-12-01T00:00:00+00:00");
    let json = r#"[{"kind":"generic","projects":["shop"],"secrets":[{"file":"/c"}]}]"#;
    let settings = config::load(&environment(&[(VARIABLE, json)])).unwrap();
    assert_eq!(settings.intake.sources.iter().count(), 1);
}

#[test]
fn a_source_that_is_none_is_refused_by_name() {
    for (from, to, said) in [
        ("kind = \"github\"", "kind = \"gitlab\"", "gitlab"),
        ("[\"shop\"]", "[\"*\"]", "owner/*"),
        ("name = \"ci\"", "nam = \"ci\"", "nam"),
        (
            "[[intake.sources]]\nkind = \"generic\"",
            "[[intake.source]]\nkind = \"generic\"",
            "intake.sources",
        ),
    ] {
        let (sources, path) = file(&FILE.replace(from, to));
        let refused = refusal(&sources);
        std::fs::remove_file(path).unwrap();
        assert!(
            refused.contains("intake.source") && refused.contains(said),
            "{refused}"
        );
    }
}

#[test]
fn production_refuses_a_secret_that_would_not_do() {
    let dir = Scratch::new();
    let keep = |name: &str, content: &str, mode: u32| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let master = keep("master", key, 0o600);
    let load = |secret: &str| {
        let json = format!(
            r#"[{{"kind":"github","projects":["acme/*"],"secrets":[{{"file":"{secret}"}}]}}]"#
        );
        let variables = [
            ("DAYBOOK_ENV", "production"),
            ("DAYBOOK_VAULT__MASTER_KEY_FILE", &master),
            (VARIABLE, &json),
        ];
        config::load(&environment(&variables))
    };
    assert!(load(&keep("good", &format!("{key}\n"), 0o600)).is_ok());
    for (name, content, mode, said) in [
        ("short", "mysecret", 0o600, "fewer than 32"),
        ("dull", &*"ab".repeat(32), 0o600, "placeholder"),
        ("open", key, 0o604, "chmod 600"),
        ("gone", "", 0o600, "fewer than 32"),
    ] {
        let path = keep(name, content, mode);
        let refused = load(&path).unwrap_err().to_string();
        let parts = ["intake.sources", &path, said];
        assert!(parts.iter().all(|part| refused.contains(part)), "{refused}");
        assert!(content.is_empty() || !refused.contains(content), "{name}");
    }
    let refused = load("/nowhere/github").unwrap_err().to_string();
    assert!(
        refused.contains("/nowhere/github") && refused.contains("openssl"),
        "{refused}"
    );
}
