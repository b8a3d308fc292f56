//! The Rust files of the workspace, which of them are reached from a target, and what in them is test code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::lexer::{self, Token};

/// Folders that hold Rust code of ours, seen from the root of the workspace.
const CODE_FOLDERS: &[&str] = &[
    "domain",
    "load",
    "projections",
    "src",
    "tests",
    "benches",
    "examples",
];

/// One Rust file.
pub(super) struct Source {
    /// From the root of the workspace, with `/`.
    pub(super) path: String,
    /// As it stands.
    pub(super) text: String,
}

/// The files that targets reach through `mod` lines.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reached {
    /// Compiled into a product target.
    pub(super) product: BTreeSet<String>,
    /// Compiled for tests alone.
    pub(super) test: BTreeSet<String>,
}

impl Source {
    /// A snippet planted by a checker's own test.
    pub(super) fn planted(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Its tokens, each with whether it is test code.
    pub(super) fn tokens(&self) -> (Vec<Token<'_>>, Vec<bool>) {
        let tokens = lexer::tokens(&self.text);
        let tests = test_code(&tokens);
        (tokens, tests)
    }

    /// Is the whole file test code because of where it lies?
    pub(super) fn in_test_folder(&self) -> bool {
        ["tests/", "benches/", "examples/"]
            .iter()
            .any(|folder| self.path.starts_with(folder))
    }
}

/// The root of the workspace: where the tests run, or else where they were built.
pub(super) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    &ROOT
}

/// Every Rust file of ours, in path order.
pub(super) fn all() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in CODE_FOLDERS {
        collect(&root().join(folder), "rs", &mut paths);
    }
    paths.sort();
    paths
        .iter()
        .map(|path| Source {
            path: relative(path),
            text: read(path),
        })
        .collect()
}

/// Files with an extension below a folder; a folder that is not there holds none.
pub(super) fn collect(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry
            .expect("a folder of the workspace can be listed")
            .path();
        if path.is_dir() {
            collect(&path, extension, paths);
        } else if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
}

/// Reads a file of the workspace.
pub(super) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A path as it is reported.
pub(super) fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}

/// Follows `mod` lines from the root files of all targets.
pub(super) fn reached(sources: &[Source], target_roots: &[String]) -> Reached {
    let by_path: BTreeMap<&str, &Source> = sources.iter().map(|s| (s.path.as_str(), s)).collect();
    let mut found = Reached::default();
    let mut open: Vec<(String, bool, bool)> = target_roots
        .iter()
        .map(|path| (path.clone(), false, true))
        .collect();
    while let Some((path, test, is_root)) = open.pop() {
        let Some(source) = by_path.get(path.as_str()) else {
            continue;
        };
        let set = if test {
            &mut found.test
        } else {
            &mut found.product
        };
        if !set.insert(path) {
            continue;
        }
        for (candidates, child_is_test) in children(source, is_root) {
            for child in candidates {
                open.push((child, test || child_is_test, false));
            }
        }
    }
    let product = found.product.clone();
    found.test.retain(|path| !product.contains(path));
    found
}

/// The files that the `mod name;` lines of a file may mean, and whether the line is test code.
fn children(source: &Source, is_root: bool) -> Vec<([String; 2], bool)> {
    let (tokens, tests) = source.tokens();
    let path = Path::new(&source.path);
    let parent = path.parent().unwrap_or(Path::new(""));
    let inner = is_root || path.ends_with("mod.rs");
    let base = if inner {
        parent.to_owned()
    } else {
        parent.join(path.file_stem().unwrap_or_default())
    };
    let mut found = Vec::new();
    let mut inline = InlineModules::default();
    for i in 0..tokens.len() {
        inline.step(&tokens, i);
        let declares = tokens[i].text == "mod" && tokens.get(i + 2).is_some_and(|t| t.text == ";");
        if declares {
            let folder: PathBuf = inline
                .names()
                .fold(base.clone(), |path, name| path.join(name));
            let name = tokens[i + 1].text;
            let candidates = [
                relative(&folder.join(format!("{name}.rs"))),
                relative(&folder.join(name).join("mod.rs")),
            ];
            found.push((candidates, tests[i]));
        }
    }
    found
}

/// The inline modules around a token while walking over all of them.
#[derive(Default)]
pub(super) struct InlineModules<'a> {
    braces: Vec<Option<&'a str>>,
}

impl<'a> InlineModules<'a> {
    /// Takes the next token into account.
    pub(super) fn step(&mut self, tokens: &[Token<'a>], i: usize) {
        match tokens[i].text {
            "{" => {
                let named = i >= 2 && tokens[i - 2].text == "mod";
                self.braces.push(named.then(|| tokens[i - 1].text));
            }
            "}" => drop(self.braces.pop()),
            _ => {}
        }
    }

    /// From the outermost inwards.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.braces.iter().filter_map(|name| *name)
    }
}

/// For each token: does it belong to an item under `#[cfg(test)]` or `#[test]`, or to a whole file so marked?
pub(super) fn test_code(tokens: &[Token<'_>]) -> Vec<bool> {
    let mut tests = vec![false; tokens.len()];
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i].text != "#" {
            i += 1;
            continue;
        }
        let whole_file = tokens.get(i + 1).is_some_and(|t| t.text == "!");
        let end = closing(tokens, i + 1 + usize::from(whole_file));
        if !is_test_attribute(&tokens[i..=end]) {
            i = end + 1;
        } else if whole_file {
            tests.fill(true);
            return tests;
        } else {
            let last = item_end(tokens, end + 1);
            tests[i..=last].fill(true);
            i = last + 1;
        }
    }
    tests
}

fn is_test_attribute(attribute: &[Token<'_>]) -> bool {
    let name = attribute
        .iter()
        .take_while(|t| t.text != "(")
        .map(|t| t.text);
    let names = |word: &str| attribute.iter().any(|t| t.text == word);
    match name.filter(|t| lexer::is_word(t)).last() {
        Some("cfg") => names("test") && !names("not"),
        last => last == Some("test"),
    }
}

/// The last token of the item that begins at `start`, further attributes included.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let mut i = start;
    while i < tokens.len() {
        match tokens[i].text {
            "(" | "[" => i = closing(tokens, i) + 1,
            "{" => return closing(tokens, i),
            ";" => return i,
            _ => i += 1,
        }
    }
    tokens.len() - 1
}

/// The token that closes the bracket at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth <= 0 {
            return i;
        }
    }
    tokens.len() - 1
}

#[test]
fn test_items_are_told_from_product_items() {
    let source = "
        fn a() {}
        #[cfg(test)] fn b(x: [u8; 3]) { c }
        #[cfg(not(test))] fn d() {}
        #[tokio::test] async fn e() {}
        #[cfg_attr(test, derive(Debug))] struct F;
        #[cfg(any(test, feature = \"x\"))] mod g;
        fn h() {}";
    let tokens = lexer::tokens(source);
    let tests = test_code(&tokens);
    let names: Vec<&str> = tokens
        .iter()
        .zip(&tests)
        .filter(|(t, test)| **test && ["a", "b", "d", "e", "F", "g", "h"].contains(&t.text))
        .map(|(t, _)| t.text)
        .collect();
    assert_eq!(names, ["b", "e", "g"]);
}

#[test]
fn mod_lines_are_followed_from_the_roots() {
    let sources = [
        Source::planted("src/lib.rs", "mod a; #[cfg(test)] mod b; mod c { mod d; }"),
        Source::planted("src/a.rs", "mod e;"),
        Source::planted("src/a/e.rs", ""),
        Source::planted("src/b.rs", ""),
        Source::planted("src/c/d.rs", ""),
        Source::planted("src/dead.rs", ""),
    ];
    let found = reached(&sources, &["src/lib.rs".to_owned()]);
    let product: Vec<&str> = found.product.iter().map(String::as_str).collect();
    assert_eq!(
        product,
        ["src/a.rs", "src/a/e.rs", "src/c/d.rs", "src/lib.rs"]
    );
    assert_eq!(found.test, BTreeSet::from(["src/b.rs".to_owned()]));
}
