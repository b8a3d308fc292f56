//! What an object is called in the system it comes from.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::values::id;

/// A name another system gave: means something within that system only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExternalRef {
    /// Which system, such as `github`.
    pub source: String,
    /// What it is called there.
    pub id: String,
}

impl ExternalRef {
    /// With both texts checked; the path names the field under `external`.
    pub fn checked(self) -> Result<ExternalRef, Refusal> {
        let under = |refusal: Refusal| refusal.under(["external"]);
        Ok(ExternalRef {
            source: id(&self.source, "source").map_err(under)?,
            id: id(&self.id, "id").map_err(under)?,
        })
    }
}

/// Several texts as one from which no other texts could come.
pub(crate) fn joined(parts: &[&str]) -> String {
    serde_json::to_string(parts).expect("texts are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn both_names_are_checked() {
        let checked = |source: &str, id: &str| {
            let external = ExternalRef {
                source: source.to_owned(),
                id: id.to_owned(),
            };
            external.checked().map_err(|r| (r.code, r.path.join(".")))
        };
        assert!(checked("github", "145988746").is_ok());
        let refused = |code, path: &str| Err((code, path.to_owned()));
        assert_eq!(
            checked("", "1"),
            refused(Code::Validation, "external.source")
        );
        assert_eq!(
            checked("github", "1\n"),
            refused(Code::BadText, "external.id")
        );
    }

    #[test]
    fn what_is_joined_comes_from_one_list_only() {
        let lists: [&[&str]; 5] = [
            &["a", "b"],
            &["a,b"],
            &["a\",\"b"],
            &["a", "b", ""],
            &["ab"],
        ];
        let joined: std::collections::BTreeSet<_> = lists.iter().map(|l| joined(l)).collect();
        assert_eq!(joined.len(), lists.len());
    }
}
