//! What a competition is to be by, as it is sent.

use async_graphql::InputObject;
use domain::competition::{CompetitionRules, Guards, Metric};
use domain::period::{Calendar, CustomPeriod};
use domain::prize::{PrizePlan, PrizeRule};
use domain::{Code, Refusal, Zone, score};

use crate::api::mutation::payload::{Told, whole};
use crate::api::scalars::{DateTime, Score};
use crate::api::types::competition::{
    CompetitionMetric, CountsFrom, JoinRule, PeriodKind, PrizeTies, ScoreOperator, ScoreSort,
    TiePolicy,
};

/// What a competition is by.
#[derive(InputObject)]
pub struct CompetitionRulesInput {
    /// A name for people; at most 200 characters.
    name: String,
    /// What is compared.
    metric: CompetitionMetric,
    /// The name of a measure of its own; with CUSTOM, and only with that.
    custom_metric: Option<String>,
    /// What a score is called, such as `points`.
    unit: Option<String>,
    /// How many decimal places a score has, 0 to 6; as the metric has if not said, else 0.
    decimals: Option<i32>,
    /// What several scores make together. Of activities: each of them is a score.
    operator: ScoreOperator,
    /// Which score is better.
    #[graphql(default_with = "ScoreSort::Descending")]
    sort: ScoreSort,
    /// Which rank equal scores get.
    #[graphql(default_with = "TiePolicy::Competition")]
    ties: TiePolicy,
    /// How time is cut into periods; each has its own board.
    #[graphql(default_with = "PeriodKind::AllTime")]
    periods: PeriodKind,
    /// With CUSTOM, and only with that: in order of time and without overlap; at most 366.
    custom_periods: Option<Vec<CompetitionPeriodInput>>,
    /// Whose midnights cut it: a zone of the IANA database.
    #[graphql(default = "UTC")]
    zone: String,
    /// Its first moment.
    starts_at: DateTime,
    /// The first moment after it; left out: it goes on.
    ends_at: Option<DateTime>,
    /// How long after a period's end its scores can still be handed in, in seconds; at most 30 days.
    #[graphql(default)]
    close_delay_seconds: i32,
    /// Who may join.
    #[graphql(default_with = "JoinRule::Open")]
    join: JoinRule,
    /// From when on it counts what they do.
    #[graphql(default_with = "CountsFrom::Start")]
    counts_from: CountsFrom,
    /// Does whoever joins have to agree first?
    #[graphql(default)]
    consent_required: bool,
    /// How many may take part, up to 1,000,000; left out: any number.
    size_max: Option<i32>,
    /// How many scores each may hand in in one period; left out: 10,000.
    attempts_max: Option<i32>,
    /// What is taken from; with DECREMENT, and only with that.
    start_score: Option<Score>,
    /// What a score must be to count at once.
    guards: Option<CompetitionGuardsInput>,
    /// Sources of activities, the one to believe first first; at most 50.
    #[graphql(default)]
    sources: Vec<String>,
}

/// A stretch of time with a board of its own.
#[derive(InputObject)]
pub struct CompetitionPeriodInput {
    /// What it is called; unique within the competition.
    key: String,
    /// Its first moment.
    start: DateTime,
    /// The first moment after it.
    end: DateTime,
}

/// What a score must be to count at once.
#[derive(InputObject)]
pub struct CompetitionGuardsInput {
    /// A score above this waits for a moderator.
    score_max: Option<Score>,
    /// A score that is more than this for each minute since the last one waits for a moderator.
    per_minute_max: Option<Score>,
    /// Does a score that was entered by hand wait, and an activity not count?
    #[graphql(default)]
    manual_refused: bool,
    /// Do activities that no body can do not count?
    #[graphql(default)]
    flagged_refused: bool,
}

/// What the places of every period's board are worth.
#[derive(InputObject)]
pub struct PrizePlanInput {
    /// What is given, such as `EUR`.
    currency: String,
    /// How many decimal places an amount has, 0 to 6.
    #[graphql(default)]
    decimals: i32,
    /// What there is to give each period.
    pool: Score,
    /// What happens to places that are shared.
    #[graphql(default_with = "PrizeTies::Split")]
    ties: PrizeTies,
    /// What is given; rules for one place add up. At most 100.
    rules: Vec<PrizeRuleInput>,
}

/// What one rule gives: an amount for a place, a share of the pool for a place, or a share of the pool for
/// the first of all entries.
#[derive(InputObject)]
pub struct PrizeRuleInput {
    /// For this place, from 1.
    place: Option<i32>,
    /// For so many of the entries, in parts per million.
    top_ppm: Option<i32>,
    /// So much.
    amount: Option<Score>,
    /// So much of the pool, in parts per million.
    share_ppm: Option<i32>,
}

impl CompetitionRulesInput {
    /// The rules, if there can be such.
    pub fn rules(self) -> Told<CompetitionRules> {
        let rules = self.read().and_then(|rules| rules.checked());
        rules.map_err(|refusal| refusal.under(["rules"]))
    }

    fn read(self) -> Told<CompetitionRules> {
        let metric = metric(self.metric, self.custom_metric)?;
        let decimals = match self.decimals {
            Some(decimals) => whole(decimals, "decimals")?,
            None => metric.decimals().unwrap_or(0),
        };
        let score = |said: Option<Score>, field| said.map(|said| read(said, decimals, field));
        let unknown = || {
            let message = "not a zone of the IANA database";
            Refusal::new(Code::Validation, message).at(["zone"])
        };
        Ok(CompetitionRules {
            name: self.name,
            metric,
            unit: self.unit,
            decimals,
            operator: self.operator.into(),
            sort: self.sort.into(),
            ties: self.ties.into(),
            periods: calendar(self.periods, self.custom_periods)?,
            zone: Zone::of_name(&self.zone).ok_or_else(unknown)?,
            starts_at: self.starts_at.0,
            ends_at: self.ends_at.map(|at| at.0),
            close_delay_seconds: whole(self.close_delay_seconds, "closeDelaySeconds")?,
            join: self.join.into(),
            counts_from: self.counts_from.into(),
            consent_required: self.consent_required,
            size_max: self.size_max.map(|n| whole(n, "sizeMax")).transpose()?,
            attempts_max: self
                .attempts_max
                .map(|n| whole(n, "attemptsMax"))
                .transpose()?,
            start_score: score(self.start_score, "startScore").transpose()?,
            guards: match self.guards {
                Some(guards) => guards.read(decimals).map_err(|r| r.under(["guards"]))?,
                None => Guards::default(),
            },
            sources: self.sources,
        })
    }
}

impl CompetitionGuardsInput {
    fn read(self, decimals: u8) -> Told<Guards> {
        let score = |said: Option<Score>, field| said.map(|said| read(said, decimals, field));
        Ok(Guards {
            score_max: score(self.score_max, "scoreMax").transpose()?,
            per_minute_max: score(self.per_minute_max, "perMinuteMax").transpose()?,
            manual_refused: self.manual_refused,
            flagged_refused: self.flagged_refused,
        })
    }
}

impl PrizePlanInput {
    /// The plan; the domain knows whether there can be such.
    pub fn plan(self) -> Told<PrizePlan> {
        self.read().map_err(|refusal| refusal.under(["prizes"]))
    }

    fn read(self) -> Told<PrizePlan> {
        let decimals = whole(self.decimals, "decimals")?;
        let rules = self.rules.into_iter().enumerate().map(|(index, rule)| {
            let at = |r: Refusal| r.under(["rules".to_owned(), index.to_string()]);
            rule.read(decimals).map_err(at)
        });
        Ok(PrizePlan {
            currency: self.currency,
            decimals,
            pool: read(self.pool, decimals, "pool")?.units(),
            ties: self.ties.into(),
            rules: rules.collect::<Told<_>>()?,
        })
    }
}

impl PrizeRuleInput {
    fn read(self, decimals: u8) -> Told<PrizeRule> {
        match (self.place, self.top_ppm, self.amount, self.share_ppm) {
            (Some(place), None, Some(amount), None) => Ok(PrizeRule::Fixed {
                place: whole(place, "place")?,
                amount: read(amount, decimals, "amount")?.units(),
            }),
            (Some(place), None, None, Some(share)) => Ok(PrizeRule::Percentage {
                place: whole(place, "place")?,
                share_ppm: whole(share, "sharePpm")?,
            }),
            (None, Some(top), None, Some(share)) => Ok(PrizeRule::TopPercent {
                top_ppm: whole(top, "topPpm")?,
                share_ppm: whole(share, "sharePpm")?,
            }),
            _ => {
                let message =
                    "a rule says place and amount, place and sharePpm, or topPpm and sharePpm";
                Err(Refusal::new(Code::Validation, message))
            }
        }
    }
}

/// A score with so many places at most.
fn read(said: Score, decimals: u8, field: &str) -> Told<score::Score> {
    score::Score::of_json(&said.0, decimals, field)
}

fn metric(kind: CompetitionMetric, name: Option<String>) -> Told<Metric> {
    let metric = match (kind, &name) {
        (CompetitionMetric::Custom, Some(name)) => return Ok(Metric::Custom(name.clone())),
        (CompetitionMetric::Custom, None) => None,
        (_, Some(_)) => None,
        (CompetitionMetric::Steps, None) => Some(Metric::Steps),
        (CompetitionMetric::Distance, None) => Some(Metric::Distance),
        (CompetitionMetric::Calories, None) => Some(Metric::Calories),
        (CompetitionMetric::ActiveMinutes, None) => Some(Metric::ActiveMinutes),
        (CompetitionMetric::Submitted, None) => Some(Metric::Submitted),
    };
    metric.ok_or_else(|| goes_with_custom("customMetric"))
}

fn calendar(kind: PeriodKind, list: Option<Vec<CompetitionPeriodInput>>) -> Told<Calendar> {
    let calendar = match (kind, list) {
        (PeriodKind::Custom, Some(list)) => {
            let period = |period: CompetitionPeriodInput| CustomPeriod {
                key: period.key,
                start: period.start.0,
                end: period.end.0,
            };
            Some(Calendar::Custom(list.into_iter().map(period).collect()))
        }
        (PeriodKind::Custom, None) | (_, Some(_)) => None,
        (PeriodKind::AllTime, None) => Some(Calendar::AllTime),
        (PeriodKind::Daily, None) => Some(Calendar::Daily),
        (PeriodKind::Weekly, None) => Some(Calendar::Weekly),
        (PeriodKind::Monthly, None) => Some(Calendar::Monthly),
    };
    calendar.ok_or_else(|| goes_with_custom("customPeriods"))
}

fn goes_with_custom(field: &str) -> Refusal {
    let message = format!("{field} goes with CUSTOM, and with nothing else");
    Refusal::new(Code::Validation, message).at([field])
}
