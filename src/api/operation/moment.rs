//! What an answer may be kept for: the one moment of the read models that it shows.

use projections::Live;

/// One moment of the read models: the state of each, and which of them were asked.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    states: Vec<(String, Live)>,
    asked: Vec<&'static str>,
}

impl Moment {
    /// One in which the read models have these states, and none was asked yet.
    pub(super) fn of<'s>(states: impl Iterator<Item = (&'s str, Live)>) -> Moment {
        Moment {
            states: states.map(|(name, live)| (name.to_owned(), live)).collect(),
            asked: Vec::new(),
        }
    }

    /// Notes that these are asked.
    pub(super) fn ask(&mut self, models: &[&'static str]) {
        self.asked.extend_from_slice(models);
    }

    /// The states of these read models; `None` if one of them was not there or has none, or another was asked.
    pub fn states_of(&self, models: &[&'static str]) -> Option<Vec<(&'static str, Live)>> {
        if self.asked.iter().any(|name| !models.contains(name)) {
            tracing::error!(asked = ?self.asked, ?models, "more read models were asked than foreseen");
            return None;
        }
        let of = |name: &&'static str| {
            let found = self.states.iter().find(|(n, _)| n == name);
            found.map(|(_, live)| (*name, *live))
        };
        models.iter().map(of).collect()
    }
}
