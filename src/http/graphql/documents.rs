//! Documents on their way to the schema: found by hash or text, parsed once, checked every time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_graphql::Request;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationType};
use domain::Position;
use sha2::{Digest as _, Sha256};

use super::body::Asked;
use super::run::GRAPHQL;
use super::{guard, tokens};
use crate::api::Access;
use crate::api::Question;
use crate::api::fault::{Fault, FaultCode};
use crate::config::{Graphql, Limits};

/// The SHA-256 of a document's text.
pub type Digest = [u8; 32];

/// A request whose document has passed the guards.
pub struct Checked {
    /// For the schema.
    pub request: Request,
    /// What kind of operation it asks for.
    pub kind: OperationType,
    /// Which document it is.
    pub digest: Digest,
    /// What carrying it out costs, points.
    pub cost: u64,
    parsed: Arc<Parsed>,
}

impl Checked {
    /// What it asks, if its answer can be kept.
    pub fn question(&self, at_least: Option<Position>, access: Access) -> Option<Question> {
        let Parsed { text, document, .. } = &*self.parsed;
        let name = self.request.operation_name.as_deref();
        let mut question = Question::of(GRAPHQL, text, document, name, &self.request.variables)?;
        question.at_least = at_least;
        question.cost = self.cost;
        question.access = access;
        Some(question)
    }

    /// The document, and which operation of it.
    pub fn asks(&self) -> (&ExecutableDocument, Option<&str>) {
        let operation = self.request.operation_name.as_deref();
        (&self.parsed.document, operation)
    }
}

/// Documents that were parsed before, and those that are trusted.
pub struct Documents {
    limits: Limits,
    trusted: Option<HashMap<Digest, Arc<Parsed>>>,
    parsed: Mutex<Generations>,
    half_bytes_max: usize,
}

/// Why the file of trusted documents cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the trusted documents of {path} cannot be used: {problem}", path = .path.display())]
pub struct DocumentsError {
    path: PathBuf,
    problem: String,
}

/// A document, and what it takes in memory.
struct Parsed {
    text: Box<str>,
    document: ExecutableDocument,
    bytes: usize,
}

/// Two generations: what is needed again moves to the young one; when that is full, the old one is
/// forgotten whole.
#[derive(Default)]
struct Generations {
    young: HashMap<Digest, Arc<Parsed>>,
    young_bytes: usize,
    old: HashMap<Digest, Arc<Parsed>>,
}

/// What a parsed document takes in memory for each byte of its text, about: every field is a node of
/// some two hundred bytes.
const TREE_FACTOR: usize = 48;

impl Documents {
    /// None yet but the trusted ones, each of which must be fit to be carried out.
    pub fn open(settings: &Graphql, limits: &Limits) -> Result<Documents, DocumentsError> {
        let trusted = match &settings.trusted_documents {
            None => None,
            Some(path) => Some(
                read_trusted(path, limits).map_err(|problem| DocumentsError {
                    path: path.clone(),
                    problem,
                })?,
            ),
        };
        Ok(Documents {
            limits: limits.clone(),
            trusted,
            parsed: Mutex::default(),
            half_bytes_max: settings.documents_bytes_max.len() / 2,
        })
    }

    /// Finds or parses the document asked for and passes it through the guards. What is measured with
    /// the values of variables is measured again for every request. `introspects` tells whether the
    /// caller may see the schema.
    pub fn check(&self, asked: Asked, introspects: bool) -> Result<Checked, Fault> {
        let (digest, parsed) = self.find(&asked)?;
        let (operation, cost) = guard::check(
            &parsed.document,
            asked.operation_name.as_deref(),
            &asked.variables,
            &self.limits,
            introspects,
        )?;
        let kind = operation.ty;
        let mut request = Request::new(&*parsed.text).variables(asked.variables);
        // The library takes a name only for one of several operations.
        request.operation_name = asked
            .operation_name
            .filter(|_| parsed.document.operations.iter().len() > 1);
        request.set_parsed_query(parsed.document.clone());
        Ok(Checked {
            request,
            kind,
            digest,
            cost,
            parsed,
        })
    }

    fn find(&self, asked: &Asked) -> Result<(Digest, Arc<Parsed>), Fault> {
        let Some(text) = &asked.query else {
            let digest = asked.digest.expect("a request has a text or a hash");
            let unknown = || Fault::new(FaultCode::PersistedNotFound, "PersistedQueryNotFound");
            let parsed = match &self.trusted {
                None => self.get(&digest).ok_or_else(unknown)?,
                Some(trusted) => trusted.get(&digest).cloned().ok_or_else(untrusted)?,
            };
            return Ok((digest, parsed));
        };
        // Before it is hashed: a text may be as long as a body.
        tokens::check_length(text, &self.limits)?;
        let digest: Digest = Sha256::digest(text).into();
        if asked.digest.is_some_and(|sent| sent != digest) {
            return Err(Fault::of(FaultCode::PersistedMismatch));
        }
        if let Some(trusted) = &self.trusted {
            let parsed = trusted.get(&digest).cloned().ok_or_else(untrusted)?;
            return Ok((digest, parsed));
        }
        if let Some(parsed) = self.get(&digest) {
            return Ok((digest, parsed));
        }
        let parsed = Arc::new(parse(text, &self.limits)?);
        // Kept only if some request for it may pass, so that refused ones drive nothing out.
        if guard::check_shape(&parsed.document, &self.limits).is_ok() {
            self.put(digest, parsed.clone());
        }
        Ok((digest, parsed))
    }

    fn get(&self, digest: &Digest) -> Option<Arc<Parsed>> {
        let old = {
            let generations = self.parsed.lock().unwrap_or_else(|e| e.into_inner());
            if let Some(parsed) = generations.young.get(digest) {
                return Some(parsed.clone());
            }
            generations.old.get(digest).cloned()
        }?;
        self.put(*digest, old.clone());
        Some(old)
    }

    fn put(&self, digest: Digest, parsed: Arc<Parsed>) {
        let bytes = parsed.bytes;
        if bytes > self.half_bytes_max {
            return;
        }
        let mut generations = self.parsed.lock().unwrap_or_else(|e| e.into_inner());
        if generations.young_bytes + bytes > self.half_bytes_max {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        if generations.young.insert(digest, parsed).is_none() {
            generations.young_bytes += bytes;
        }
    }
}

fn untrusted() -> Fault {
    Fault::of(FaultCode::UntrustedDocument)
}

fn parse(text: &str, limits: &Limits) -> Result<Parsed, Fault> {
    tokens::check(text, limits)?;
    let document =
        parse_query(text).map_err(|error| Fault::new(FaultCode::ParseFailed, error.to_string()))?;
    Ok(Parsed {
        text: text.into(),
        document,
        bytes: text.len().saturating_mul(TREE_FACTOR),
    })
}

fn read_trusted(path: &Path, limits: &Limits) -> Result<HashMap<Digest, Arc<Parsed>>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let listed: HashMap<String, String> =
        serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut trusted = HashMap::with_capacity(listed.len());
    for (hash, text) in listed {
        let digest = read_digest(&hash).ok_or_else(|| format!("{hash:?} is no SHA-256"))?;
        if digest != <Digest>::from(Sha256::digest(&text)) {
            return Err(format!("{hash} is not the hash of its document"));
        }
        let fit = parse(&text, limits).and_then(|parsed| {
            guard::check_shape(&parsed.document, limits)?;
            Ok(parsed)
        });
        let parsed = fit.map_err(|fault| format!("{hash}: {}: {fault}", fault.code()))?;
        trusted.insert(digest, Arc::new(parsed));
    }
    Ok(trusted)
}

/// A hash as clients write it: 64 hexadecimal digits, with or without `sha256:` before them.
pub fn read_digest(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    let mut digest = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).expect("two digits of four bits");
    }
    Some(digest)
}

/// A hash in hexadecimal digits.
pub fn write_digest(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bytes, Settings};

    fn documents(bytes: u64) -> Documents {
        let mut settings = Settings::default();
        settings.graphql.documents_bytes_max = Bytes(bytes);
        Documents::open(&settings.graphql, &settings.limits).expect("nothing is read")
    }

    fn text(text: &str) -> Asked {
        Asked {
            query: Some(text.to_owned()),
            ..Asked::default()
        }
    }

    fn hash(text: &str) -> Asked {
        Asked {
            digest: Some(Sha256::digest(text).into()),
            ..Asked::default()
        }
    }

    fn code(documents: &Documents, asked: Asked) -> &'static str {
        documents
            .check(asked, true)
            .map_or_else(|fault| fault.code(), |_| "ok")
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_needed_stays() {
        let documents = documents(64 * 1024);
        for n in 0..2_000 {
            assert_eq!(code(&documents, text(&format!("{{ a{n:04} }}"))), "ok");
            assert_eq!(code(&documents, hash("{ a0000 }")), "ok", "after {n}");
            let generations = documents.parsed.lock().unwrap();
            let bytes = |map: &HashMap<Digest, Arc<Parsed>>| {
                map.values().map(|parsed| parsed.bytes).sum::<usize>()
            };
            assert!(bytes(&generations.young) + bytes(&generations.old) <= 64 * 1024);
        }
        assert_eq!(code(&documents, hash("{ a0001 }")), "PERSISTED_NOT_FOUND");
    }

    #[test]
    fn what_the_guards_refuse_is_not_kept() {
        let documents = documents(1 << 20);
        let wide = format!("{{ {} }}", "a ".repeat(30));
        assert_eq!(code(&documents, text(&wide)), "SELECTION_LIMIT");
        assert_eq!(code(&documents, hash(&wide)), "PERSISTED_NOT_FOUND");
        assert_eq!(code(&documents, text("{")), "GRAPHQL_PARSE_FAILED");
        assert_eq!(code(&documents, hash("{")), "PERSISTED_NOT_FOUND");
    }

    #[test]
    fn limits_that_depend_on_variables_hold_for_kept_documents() {
        let documents = documents(1 << 20);
        let query = "query($n: Int) { a(first: $n) { b } }";
        let with = |n: i32| Asked {
            variables: async_graphql::Variables::from_json(serde_json::json!({ "n": n })),
            ..hash(query)
        };
        assert_eq!(code(&documents, text(query)), "ok");
        for (n, expect) in [
            (200, "ok"),
            (201, "PAGE_LIMIT"),
            (-1, "PAGE_LIMIT"),
            (1, "ok"),
        ] {
            assert_eq!(code(&documents, with(n)), expect, "{n}");
        }
    }

    #[test]
    fn a_hash_is_that_of_the_text_sent_with_it() {
        let documents = documents(1 << 20);
        let lie = Asked {
            query: Some("{ a }".to_owned()),
            ..hash("{ b }")
        };
        assert_eq!(code(&documents, lie), "PERSISTED_MISMATCH");
        assert_eq!(code(&documents, hash("{ b }")), "PERSISTED_NOT_FOUND");
        assert_eq!(code(&documents, hash("{ a }")), "PERSISTED_NOT_FOUND");
    }

    #[test]
    fn hashes_are_read_strictly() {
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        let read = read_digest(digits).expect("64 digits");
        assert_eq!(read[..4], [0x01, 0x23, 0x45, 0x67]);
        assert_eq!(read_digest(&format!("sha256:{digits}")), Some(read));
        assert_eq!(write_digest(&read), digits.to_ascii_lowercase());
        for bad in [
            "",
            "sha256:",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('0', "g"),
        ] {
            assert_eq!(read_digest(bad), None, "{bad}");
        }
        assert_eq!(read_digest(&"é".repeat(32)), None);
    }
}
