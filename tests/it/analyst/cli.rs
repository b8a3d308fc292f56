//! The command line of analysts: `daybook projection add`, `show`, `remove`, `daybook query`, `daybook rebuild`.

use std::path::Path;
use std::process::Output;

use super::scene::{Scene, TALLY, append_many};
use crate::support::{Scratch, command, url_of};

fn run(scene: &Scene, dir: &Path, args: &[&str]) -> Output {
    let url = url_of(&scene.db.options());
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    command(dir, args, &environment).output().unwrap()
}

fn out(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_checked_installed_rebuilt_asked_and_removed() {
    let scene = Scene::new().await;
    append_many(scene.db.pool(), 1_000, 2).await;
    let dir = Scratch::new();
    std::fs::write(dir.path().join("tally.sql"), TALLY).unwrap();
    std::fs::write(
        dir.path().join("bad.sql"),
        TALLY.replace("sum\nselect", "avg\nselect"),
    )
    .unwrap();
    let run = |args: &[&str]| run(&scene, dir.path(), args);

    let checked = out(&run(&["projection", "add", "--check", "tally.sql"]));
    assert!(
        checked.contains("can be installed as fleet_tally"),
        "{checked}"
    );
    let bad = run(&["projection", "add", "bad.sql"]);
    let said = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(bad.status.code(), Some(1));
    assert!(said.contains("bad.sql: line 7: a value is"), "{said}");
    let added = out(&run(&["projection", "add", "tally.sql"]));
    assert!(added.contains("fleet_tally is installed"), "{added}");
    let rebuilt = out(&run(&["rebuild", "fleet_tally"]));
    assert!(
        rebuilt.contains("fleet_tally: generation 2 answers from position 1000"),
        "{rebuilt}"
    );
    let listed = out(&run(&["projection", "list"]));
    let line = listed
        .lines()
        .find(|l| l.starts_with("fleet_tally"))
        .unwrap();
    assert!(line.contains("running") && line.contains("1000"), "{line}");
    let asked = out(&run(&[
        "query",
        "select sum(events) as n from fleet_tally where fleet <> $1",
        "--param",
        "nobody",
    ]));
    assert_eq!(asked.trim(), r#"{"n":800}"#);
    let built = [
        "rebuild",
        "fleet_tally",
        "--mode",
        "scratch",
        "--up-to",
        "10",
    ];
    out(&run(&built));
    let sum = "select sum(events) as n, max(positions) <= 55 as early from fleet_tally";
    let then = out(&run(&["query", sum, "--as-of", "10"]));
    assert_eq!(then.trim(), r#"{"n":8,"early":true}"#);
    let unbuilt = run(&["query", sum, "--as-of", "11"]);
    let said = String::from_utf8_lossy(&unbuilt.stderr);
    assert_eq!(unbuilt.status.code(), Some(1));
    assert!(
        said.contains("`daybook rebuild fleet_tally --mode scratch --up-to 11` builds one"),
        "{said}"
    );
    let shown = out(&run(&["projection", "show", "fleet_tally"]));
    assert_eq!(shown.trim_end(), TALLY.trim_end());
    out(&run(&["projection", "remove", "fleet_tally"]));
    let gone = run(&["query", "select * from fleet_tally"]);
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no relation fleet_tally"));
}
