//! Generated files are those the program generates today.

use std::path::Path;

use daybook::api;

fn compare(file: &str, generated: &str, command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{file} is not what the program generates: run `{command}` and look at the difference"
    );
}

#[test]
fn the_committed_schema_is_the_programs() {
    compare(
        "schema.graphql",
        &api::sdl(),
        "daybook schema > schema.graphql",
    );
}

#[test]
fn the_committed_error_catalogue_is_the_programs() {
    let generated = api::fault::catalogue();
    compare(
        "docs/errors.md",
        &generated,
        "daybook schema --errors > docs/errors.md",
    );
}

#[test]
fn every_type_field_and_argument_is_described() {
    let sdl = api::sdl();
    let mut silent = Vec::new();
    let (mut described, mut inside) = (false, "");
    let mut quoted = false;
    for line in sdl.lines() {
        let text = line.trim();
        let opens = text.starts_with("\"\"\"");
        if opens || quoted {
            let marks = text.matches("\"\"\"").count();
            quoted = if marks == 1 { !quoted } else { quoted };
            described = true;
            continue;
        }
        let words = [
            "type ",
            "interface ",
            "enum ",
            "input ",
            "scalar ",
            "union ",
        ];
        if words.iter().any(|word| text.starts_with(word)) {
            inside = text;
            if !described {
                silent.push(text.to_owned());
            }
        } else if text.starts_with("schema ") {
            inside = "";
        } else if line.starts_with("  ") && !inside.is_empty() && !described {
            silent.push(format!("{inside} {text}"));
        }
        described = false;
    }
    // The library makes connections; a closing line of arguments has been described above them.
    silent.retain(|place| !place.ends_with("Connection {") && !place.contains(" ): "));
    assert!(silent.is_empty(), "not described:\n{}", silent.join("\n"));
}
