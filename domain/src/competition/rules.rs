//! The rules of a competition: what counts, how, when, for whom.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decimal;
use crate::period::{Calendar, Frame};
use crate::refusal::{Code, Refusal};
use crate::score::{Operator, Score, Sort, Tally};
use crate::standing::{Contender, Standing, TiePolicy, rank};
use crate::values::{TextRule, between, id, known, lasting, optional_text, text, too_large};
use crate::words::words;
use crate::zone::Zone;

/// How long late scores of a period can be waited for, in seconds: 30 days.
pub const CLOSE_DELAY_SECONDS_MAX: u32 = 30 * 86_400;
/// How many scores somebody may hand in in one period, unless the rules allow fewer.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// How many users a competition with numbered places may have.
pub const SIZE_MAX: u32 = 1_000_000;
/// How many sources of activities may be put in order.
pub const SOURCES_MAX: usize = 50;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Steps of activities.
    Steps,
    /// Distance of activities, in millimetres: scores have three decimal places and are metres.
    Distance,
    /// Energy of activities, in kilocalories.
    Calories,
    /// Minutes of activity.
    ActiveMinutes,
    /// A measure of activities of this name.
    Custom(String),
    /// Scores that are handed in.
    Submitted,
}

impl Metric {
    /// How many decimal places its scores have, where that is not for the competition to say.
    pub fn decimals(&self) -> Option<u8> {
        match self {
            Metric::Steps | Metric::Calories | Metric::ActiveMinutes => Some(0),
            Metric::Distance => Some(3),
            Metric::Custom(_) | Metric::Submitted => None,
        }
    }
}

words! {
    /// Who may join.
    JoinRule {
        Open "open" "Anybody of the tenant.";
        Invited "invited" "Whoever is invited, in person or with a group.";
    }
}

words! {
    /// From when on what somebody does counts.
    CountsFrom {
        Start "start" "From the competition's start: whoever joins late brings what they did before.";
        Joining "joining" "From when they joined.";
    }
}

/// What a score must be to count at once. A competition has none of it unless it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guards {
    /// A score above this waits for a moderator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_max: Option<Score>,
    /// A score that is more than this for each minute since the last one of the period, or since
    /// the period began or what its user does counts, waits for a moderator. At least one minute is counted.
    /// Where scores are added up, those of one minute and the next later one are taken together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute_max: Option<Score>,
    /// Entered by hand: a score waits for a moderator, an activity does not count.
    #[serde(default)]
    pub manual_refused: bool,
    /// Activities that no body can do do not count.
    #[serde(default)]
    pub flagged_refused: bool,
}

words! {
    /// Why a score waits for a moderator.
    GuardRule {
        ScoreMax "score_max" "It is higher than a score is expected to be.";
        PerMinuteMax "per_minute_max" "It is more than can be achieved in the time.";
        Manual "manual" "It was entered by hand.";
    }
}

/// The rules of a competition. Frozen once it is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompetitionRules {
    /// For people.
    pub name: String,
    /// What is compared.
    pub metric: Metric,
    /// What a score is called, such as `points`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How many decimal places a score has, 0 to 6.
    pub decimals: u8,
    /// What several scores make together. Of activities: each of them is a score.
    pub operator: Operator,
    /// Which score is better.
    pub sort: Sort,
    /// Which rank equal scores get.
    pub ties: TiePolicy,
    /// How time is cut into periods; each has its own board.
    pub periods: Calendar,
    /// Whose midnights cut it.
    pub zone: Zone,
    /// Its first moment.
    pub starts_at: DateTime<Utc>,
    /// The first moment after it; left out: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<Utc>>,
    /// How long after a period's end its scores can still be handed in, in seconds, at most
    /// [`CLOSE_DELAY_SECONDS_MAX`].
    pub close_delay_seconds: u32,
    /// Who may join.
    pub join: JoinRule,
    /// From when on it counts what they do.
    pub counts_from: CountsFrom,
    /// Does whoever joins have to agree first?
    #[serde(default)]
    pub consent_required: bool,
    /// How many may take part, up to [`SIZE_MAX`]; left out: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_max: Option<u32>,
    /// How many scores each may hand in in one period; left out: [`ATTEMPTS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// What is taken from, for [`Operator::Decrement`] alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_score: Option<Score>,
    /// What a score must be to count at once.
    #[serde(default)]
    pub guards: Guards,
    /// Sources of activities, the one to believe first first: of two that tell of one time only one
    /// counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

impl CompetitionRules {
    /// The rules with every text, number and time checked, and what goes with what.
    pub fn checked(&self) -> Result<CompetitionRules, Refusal> {
        let checked = CompetitionRules {
            name: text(TextRule::Name, &self.name, "name")?.to_owned(),
            metric: self.checked_metric()?,
            unit: optional_text(TextRule::Key, self.unit.as_deref(), "unit")?,
            decimals: decimal::decimals(self.decimals, "decimals")?,
            periods: self.periods.checked()?,
            starts_at: known(self.starts_at, "startsAt")?,
            sources: checked_sources(&self.sources)?,
            ..self.clone()
        };
        if let Some(ends_at) = self.ends_at {
            lasting(self.starts_at, known(ends_at, "endsAt")?, "endsAt")?;
        }
        let delays = 0..=CLOSE_DELAY_SECONDS_MAX;
        between(self.close_delay_seconds, delays, "closeDelaySeconds")?;
        if let Some(size) = self.size_max {
            between(size, 1..=SIZE_MAX, "sizeMax")?;
        }
        if let Some(attempts) = self.attempts_max {
            between(attempts, 1..=ATTEMPTS_MAX, "attemptsMax")?;
        }
        checked.fit_together()?;
        Ok(checked)
    }

    fn checked_metric(&self) -> Result<Metric, Refusal> {
        match &self.metric {
            Metric::Custom(name) => {
                let name = text(TextRule::Key, name, "metric")?;
                Ok(Metric::Custom(name.to_owned()))
            }
            known => Ok(known.clone()),
        }
    }

    fn fit_together(&self) -> Result<(), Refusal> {
        let handed_in = self.metric == Metric::Submitted;
        let invalid =
            |field: &str, message: &str| Err(Refusal::new(Code::Validation, message).at([field]));
        let decrements = self.operator == Operator::Decrement;
        if decrements && !handed_in {
            let message = "activities are nothing to take away";
            return Err(Refusal::new(Code::InvalidOperator, message).at(["operator"]));
        }
        if decrements != self.start_score.is_some() {
            let message = "a score to start from goes with decrement, and with nothing else";
            return Err(Refusal::new(Code::InvalidOperator, message).at(["startScore"]));
        }
        if let Some(decimals) = self.metric.decimals().filter(|d| *d != self.decimals) {
            let message = format!("scores of this metric have {decimals} decimal places");
            return invalid("decimals", &message);
        }
        if !handed_in && self.attempts_max.is_some() {
            return invalid("attemptsMax", "scores of activities are not handed in");
        }
        let frame = self.frame(self.ends_at);
        if frame.first_ending_after(self.starts_at).is_none() {
            return invalid("periods", "no period lies between startsAt and endsAt");
        }
        Ok(())
    }

    /// The periods, if the competition ends then.
    pub fn frame(&self, ends_at: Option<DateTime<Utc>>) -> Frame<'_> {
        Frame {
            calendar: &self.periods,
            zone: self.zone,
            starts_at: self.starts_at,
            ends_at,
        }
    }

    /// The board of one period: what each user has come to, as ranked. Whoever has more taken away
    /// than there was to start from is on none; their entry refuses such a score.
    pub fn board(&self, tallies: impl IntoIterator<Item = (String, Tally)>) -> Vec<Standing> {
        let start = self.start_score.unwrap_or_default();
        let contenders = tallies.into_iter().filter_map(|(user, tally)| {
            Some(Contender {
                user,
                score: tally.standing(self.operator, start)?,
                sub_score: tally.sub_score,
                achieved_at: tally.achieved_at,
            })
        });
        rank(contenders.collect(), self.sort, self.ties)
    }

    /// From when on it counts what somebody does who joined then.
    pub fn counts_since(&self, joined_at: DateTime<Utc>) -> DateTime<Utc> {
        match self.counts_from {
            CountsFrom::Start => self.starts_at,
            CountsFrom::Joining => self.starts_at.max(joined_at),
        }
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let listed = match &self.periods {
            Calendar::Custom(list) => list.iter().map(|p| size_of_val(p) + p.key.len()).sum(),
            Calendar::AllTime | Calendar::Daily | Calendar::Weekly | Calendar::Monthly => 0,
        };
        let sources: usize = self.sources.iter().map(|s| size_of_val(s) + s.len()).sum();
        size_of::<Self>() + self.name.len() + sources + listed
    }
}

fn checked_sources(sources: &[String]) -> Result<Vec<String>, Refusal> {
    let field = "sources";
    if sources.len() > SOURCES_MAX {
        return Err(too_large(sources.len(), SOURCES_MAX, "sources", field));
    }
    let checked = sources.iter().map(|source| id(source, field));
    let checked = checked.collect::<Result<Vec<_>, _>>()?;
    let distinct: BTreeSet<&String> = checked.iter().collect();
    if distinct.len() < checked.len() {
        let message = "a source is named twice";
        return Err(Refusal::new(Code::Validation, message).at([field]));
    }
    Ok(checked)
}
