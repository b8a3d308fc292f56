//! Looking for a text everywhere it may have left a trace, however it was written down.

use std::collections::{BTreeMap, HashMap};

use redis::{Cmd, cmd};

use crate::support::{TestDb, TestRedis, base64url};

/// Texts in which something must not be found, by where they are from.
#[derive(Default)]
pub struct Haystack(Vec<(String, String, String)>);

impl Haystack {
    /// One more text.
    pub fn add(&mut self, place: &str, text: impl Into<String>) {
        let text = text.into();
        self.0.push((place.to_owned(), text.to_lowercase(), text));
    }

    /// Where it is found, and in which writing: as it is, whatever its case; in hexadecimal; in base 64, at
    /// each of the three places of a group where it may begin.
    pub fn find(&self, bytes: &[u8]) -> Vec<String> {
        let mut folded = vec![("hexadecimal", hex(bytes))];
        if let Ok(text) = std::str::from_utf8(bytes) {
            folded.push(("plain", text.to_lowercase()));
            folded.push((
                "hexadecimal, in lower case",
                hex(text.to_lowercase().as_bytes()),
            ));
            // As JSON writes it where it writes ASCII only.
            let escaped = text.chars().map(|c| match c.is_ascii() {
                true => c.to_string(),
                false => format!("\\u{:04x}", u32::from(c)),
            });
            folded.push(("escaped", escaped.collect::<String>().to_lowercase()));
        }
        let lower = String::from_utf8_lossy(bytes).to_lowercase();
        let mut exact = Vec::new();
        for bytes in [bytes, lower.as_bytes()] {
            for skipped in 0..3 {
                let url = base64_inside(bytes, skipped);
                exact.push(url.replace('-', "+").replace('_', "/"));
                exact.push(url);
            }
        }
        let mut found = Vec::new();
        for (place, low, text) in &self.0 {
            let written = folded
                .iter()
                .filter(|(_, needle)| low.contains(needle.as_str()));
            found.extend(written.map(|(how, _)| format!("{how} in {place}")));
            if exact.iter().any(|needle| text.contains(needle.as_str())) {
                found.push(format!("base 64 in {place}"));
            }
        }
        found
    }

    /// Nothing of it is found.
    pub fn assert_without(&self, text: &str) {
        let found = self.find(text.as_bytes());
        assert!(found.is_empty(), "{text}: {found:?}");
    }

    /// Nothing of these bytes is found.
    pub fn assert_without_bytes(&self, bytes: &[u8]) {
        let found = self.find(bytes);
        assert!(found.is_empty(), "{}: {found:?}", hex(bytes));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digits that follow from these bytes alone, where `skipped` bytes of a group stand before them.
fn base64_inside(bytes: &[u8], skipped: usize) -> String {
    let padded = [&[0; 3][..skipped], bytes].concat();
    let (from, to) = ((skipped * 8).div_ceil(6), padded.len() * 8 / 6);
    base64url(&padded)[from..to].to_owned()
}

/// Every row of every table, and how many each has.
pub async fn tables(db: &TestDb, hay: &mut Haystack) -> HashMap<String, usize> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables
         where schemaname in ('public', 'read')",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    let mut counts = HashMap::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t"))
            .fetch_all(db.pool())
            .await
            .unwrap();
        hay.add(&table, rows.join("\n"));
        counts.insert(table, rows.len());
    }
    counts
}

/// Every key and value of a Redis; how many keys of which type.
pub async fn redis(redis: &TestRedis, hay: &mut Haystack) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    let keys: Vec<Vec<u8>> = redis.tell(cmd("KEYS").arg("*")).await;
    for key in keys {
        let kind: String = redis.tell(cmd("TYPE").arg(&key)).await;
        let ask = |name: &str| -> Cmd {
            let mut ask = cmd(name);
            ask.arg(&key);
            ask
        };
        let values: Vec<Vec<u8>> = match kind.as_str() {
            "string" => vec![redis.tell(&ask("GET")).await],
            "hash" => redis.tell(&ask("HGETALL")).await,
            other => panic!("how is a {other} searched?"),
        };
        for bytes in values.iter().chain([&key]) {
            hay.add("Redis", String::from_utf8_lossy(bytes));
            hay.add("Redis, in hexadecimal", hex(bytes));
        }
        *types.entry(kind).or_insert(0) += 1;
    }
    types
}

/// What is looked for must be found where it is.
#[test]
fn a_text_is_found_however_it_is_written() {
    let value = "Zoë.Q@Bücher.example";
    let said = |text: String| {
        let mut hay = Haystack::default();
        hay.add("there", text);
        hay.find(value.as_bytes())
    };
    assert!(said("something else altogether".to_owned()).is_empty());
    for around in ["", "x", "xy", "xyz"] {
        let text = format!("{around}{value}{around}");
        for written in [
            text.clone(),
            text.to_uppercase(),
            hex(text.as_bytes()),
            hex(text.to_lowercase().as_bytes()),
            base64url(text.as_bytes()),
            base64url(text.as_bytes())
                .replace('-', "+")
                .replace('_', "/"),
            base64url(text.to_lowercase().as_bytes()),
            text.replace('ë', "\\u00eb").replace('ü', "\\u00fc"),
        ] {
            assert!(!said(written.clone()).is_empty(), "{written}");
        }
    }
}
