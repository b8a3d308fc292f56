//! Who must agree before a deployment starts, and when votes are enough.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::refusal::{Code, Refusal};
use crate::values::{between, id, too_large};

/// How many rules a policy may have.
pub const RULES_MAX: usize = 10;
/// How many members the group of a rule may have.
pub const MEMBERS_MAX: usize = 200;
/// How many votes one rule may ask for.
pub const REQUIRED_MAX: u16 = 20;
/// How many minutes a wait timer may run: 30 days.
pub const WAIT_MINUTES_MAX: u32 = 43_200;
/// How many days an approval may be good for.
pub const EXPIRY_DAYS_MAX: u16 = 30;

/// What it takes to deploy to an environment. A deployment keeps the policy that was in force when
/// its approval was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// All must be met; none: approved at once.
    pub rules: Vec<ApprovalRule>,
    /// Who asks for a deployment does not approve it.
    pub prevent_self_review: bool,
    /// Minutes between asking for approval and the earliest start.
    pub wait_minutes: u32,
    /// Days between asking for approval and the latest start.
    pub expiry_days: u16,
}

/// So many votes of this group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRule {
    /// The group's name, once in a policy.
    pub group: String,
    /// Its members, by user id.
    pub members: BTreeSet<String>,
    /// How many of them must agree; at least one.
    pub required: u16,
}

/// A vote, and the one rule it counts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountedVote {
    /// The rule, by its group.
    pub group: String,
    /// Whose vote.
    pub by: String,
}

/// No rule, no timer, the longest time.
impl Default for ApprovalPolicy {
    fn default() -> ApprovalPolicy {
        ApprovalPolicy {
            rules: Vec::new(),
            prevent_self_review: false,
            wait_minutes: 0,
            expiry_days: EXPIRY_DAYS_MAX,
        }
    }
}

impl ApprovalPolicy {
    /// The policy with every text and number checked; `QUORUM_IMPOSSIBLE` if nobody could meet it.
    pub fn checked(self) -> Result<ApprovalPolicy, Refusal> {
        if self.rules.len() > RULES_MAX {
            return Err(too_large(self.rules.len(), RULES_MAX, "rules", "rules"));
        }
        let rules = self.rules.into_iter().enumerate();
        let rules = rules.map(|(n, rule)| {
            let place = ["rules".to_owned(), n.to_string()];
            rule.checked().map_err(|refusal| refusal.under(place))
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let groups: BTreeSet<&str> = rules.iter().map(|rule| rule.group.as_str()).collect();
        if groups.len() < rules.len() {
            let message = "two rules are of the same group";
            return Err(Refusal::new(Code::Validation, message).at(["rules"]));
        }
        between(self.wait_minutes, 0..=WAIT_MINUTES_MAX, "waitMinutes")?;
        between(
            self.expiry_days.into(),
            1..=EXPIRY_DAYS_MAX.into(),
            "expiryDays",
        )?;
        let policy = ApprovalPolicy { rules, ..self };
        policy.must_be_possible()?;
        Ok(policy)
    }

    /// Which votes count for which rule: as many as can, each for one rule at most, and none more than
    /// a rule asks for. In the order of rules, then of voters.
    pub fn count(&self, voters: &BTreeSet<String>) -> Vec<CountedVote> {
        let counted = assigned(&self.rules, voters);
        let mut counted: Vec<(usize, &str)> = counted.into_iter().map(|(v, r)| (r, v)).collect();
        counted.sort_unstable();
        let named = counted.into_iter().map(|(rule, by)| CountedVote {
            group: self.rules[rule].group.clone(),
            by: by.to_owned(),
        });
        named.collect()
    }

    /// How many votes are missing until every rule is met.
    pub fn missing(&self, voters: &BTreeSet<String>) -> usize {
        let required: usize = self
            .rules
            .iter()
            .map(|rule| usize::from(rule.required))
            .sum();
        required - assigned(&self.rules, voters).len()
    }

    /// Is the user of the group of any rule?
    pub fn names(&self, user_id: &str) -> bool {
        self.rules.iter().any(|rule| rule.members.contains(user_id))
    }

    fn must_be_possible(&self) -> Result<(), Refusal> {
        let everybody = self
            .rules
            .iter()
            .flat_map(|rule| rule.members.iter().cloned());
        let missing = self.missing(&everybody.collect());
        if missing > 0 {
            let message = "the groups have too few members to meet all rules at once";
            return Err(Refusal::new(Code::QuorumImpossible, message)
                .at(["rules"])
                .with("missing", missing));
        }
        Ok(())
    }
}

impl ApprovalRule {
    fn checked(self) -> Result<ApprovalRule, Refusal> {
        if self.members.len() > MEMBERS_MAX {
            return Err(too_large(
                self.members.len(),
                MEMBERS_MAX,
                "members",
                "members",
            ));
        }
        between(self.required.into(), 1..=REQUIRED_MAX.into(), "required")?;
        let members = self.members.iter().map(|member| id(member, "members"));
        Ok(ApprovalRule {
            group: id(&self.group, "group")?,
            members: members.collect::<Result<_, _>>()?,
            required: self.required,
        })
    }
}

/// The voters that count, each with the index of its rule: a largest matching, built vote by vote.
fn assigned<'a>(
    rules: &'a [ApprovalRule],
    voters: &'a BTreeSet<String>,
) -> BTreeMap<&'a str, usize> {
    let mut counts_for = BTreeMap::new();
    for (rule, ApprovalRule { required, .. }) in rules.iter().enumerate() {
        for _ in 0..*required {
            let mut asked = BTreeSet::new();
            if !one_more(rules, voters, rule, &mut counts_for, &mut asked) {
                break;
            }
        }
    }
    counts_for
}

/// Finds a rule one more vote, moving votes of other rules where those can find another one for it.
/// Nobody is asked twice, so it ends after as many steps as there are members.
fn one_more<'a>(
    rules: &'a [ApprovalRule],
    voters: &'a BTreeSet<String>,
    rule: usize,
    counts_for: &mut BTreeMap<&'a str, usize>,
    asked: &mut BTreeSet<&'a str>,
) -> bool {
    for voter in rules[rule].members.intersection(voters) {
        if !asked.insert(voter) {
            continue;
        }
        let free = match counts_for.get(voter.as_str()).copied() {
            None => true,
            Some(other) if other == rule => false,
            Some(other) => one_more(rules, voters, other, counts_for, asked),
        };
        if free {
            counts_for.insert(voter, rule);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
