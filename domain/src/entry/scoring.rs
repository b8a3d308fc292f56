//! Which score counts, in which period, and which waits for a moderator.

use chrono::{DateTime, TimeDelta, Utc};

use super::event::{EntryEvent, ScoreAccepted, ScoreHeld, Submission};
use super::{Entry, Played};
use crate::competition::{
    ATTEMPTS_MAX, CompetitionRules, CompetitionStatus, CountsFrom, GuardRule, Metric, Terms,
};
use crate::period::Period;
use crate::refusal::{Code, Refusal};
use crate::score::{Attempt, Operator, Score, Tally};
use crate::values::{TextRule, after, id, instant, known, optional_text, too_large};

/// How many seconds ahead of our clock a score may be achieved: clocks differ, days do not.
pub const AHEAD_SCORE_SECONDS_MAX: u32 = 300;
/// How many scores of one period may wait for a moderator.
pub const HELD_MAX: usize = 100;

const MINUTE_MICROS: i128 = 60_000_000;

/// The same.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// The rules, or `NOT_FOUND` if there is no such competition.
pub(super) fn rules(terms: &Terms) -> Result<&CompetitionRules, Refusal> {
    let missing = || Refusal::new(Code::NotFound, "no such competition").at(["competition"]);
    terms.rules.as_deref().ok_or_else(missing)
}

impl Submission {
    /// With every text and time checked.
    fn checked(&self, now: DateTime<Utc>) -> Result<Submission, Refusal> {
        let named = self.id.as_deref().map(|name| id(name, "submissionId"));
        let achieved_at = known(self.achieved_at, "achievedAt")?;
        if achieved_at > after(now, AHEAD_SCORE_SECONDS_MAX) {
            let message = "the score is achieved in the future";
            return Err(Refusal::new(Code::TimeInFuture, message)
                .at(["achievedAt"])
                .with("maxSeconds", AHEAD_SCORE_SECONDS_MAX)
                .with("actualSeconds", (achieved_at - now).num_seconds()));
        }
        Ok(Submission {
            id: named.transpose()?,
            source: optional_text(TextRule::Key, self.source.as_deref(), "source")?,
            ..self.clone()
        })
    }

    /// What it is known by.
    fn key(&self) -> String {
        match &self.id {
            Some(id) => format!("id:{id}"),
            None => format!("at:{}", self.achieved_at.timestamp_micros()),
        }
    }

    /// As a score that counts.
    pub(super) fn attempt(&self, number: u32) -> Attempt {
        Attempt {
            score: self.score,
            sub_score: self.sub_score,
            achieved_at: self.achieved_at,
            number,
        }
    }
}

impl Played {
    pub(super) fn remember(&mut self, submission: &Submission) {
        self.submissions
            .insert(submission.key(), submission.clone());
    }

    /// What counts once this counts too; `OUT_OF_RANGE` if that cannot be told exactly, or is more
    /// than there was to take away.
    pub(super) fn with(
        &self,
        attempt: Attempt,
        rules: &CompetitionRules,
    ) -> Result<Tally, Refusal> {
        let more = Tally::from(attempt);
        let tally = match self.tally {
            None => Some(more),
            Some(tally) => tally.merge(more, rules.operator, rules.sort),
        };
        let start = rules.start_score.unwrap_or_default();
        let stands = tally.filter(|tally| tally.standing(rules.operator, start).is_some());
        stands.ok_or_else(|| {
            let message = "what the scores come to is below zero or too large to be exact";
            Refusal::new(Code::OutOfRange, message).at(["score"])
        })
    }
}

impl Entry {
    pub(super) fn submit(
        &self,
        submission: &Submission,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Result<Vec<EntryEvent>, Refusal> {
        let rules = rules(terms)?;
        if rules.metric != Metric::Submitted {
            let message = "scores of this competition are made of activities";
            return Err(Refusal::new(Code::AuthoritativeOnly, message));
        }
        let submission = submission.checked(now)?;
        if self.knows(&submission)? {
            return Ok(vec![]);
        }
        let counts_since = self.must_take_part(submission.achieved_at, rules)?;
        let period = open_period(terms, rules, submission.achieved_at, now)?;
        let nothing = Played::default();
        let played = self.periods.get(&period.key).unwrap_or(&nothing);
        let number = next_number(played, rules)?;
        let attempt = submission.attempt(number);
        let tally = played.with(attempt, rules)?;
        let began = period.start.max(counts_since);
        let event = match guard(&submission, (played, began), rules) {
            None => EntryEvent::ScoreAccepted(ScoreAccepted {
                submission,
                period: period.key,
                attempt: number,
                tally,
            }),
            Some(_) if played.held.len() >= HELD_MAX => {
                let held = played.held.len() + 1;
                return Err(too_large(held, HELD_MAX, "scores that wait", "score"));
            }
            Some((rule, reason)) => EntryEvent::ScoreHeld(ScoreHeld {
                submission,
                period: period.key,
                attempt: number,
                rule,
                reason,
            }),
        };
        Ok(vec![event])
    }

    /// Was this very score handed in before? `DUPLICATE_DIFFERS` if another one was by its name.
    fn knows(&self, submission: &Submission) -> Result<bool, Refusal> {
        let key = submission.key();
        let mut known = self.periods.values();
        let Some(first) = known.find_map(|played| played.submissions.get(&key)) else {
            return Ok(false);
        };
        if first == submission {
            return Ok(true);
        }
        let message = "another score was handed in under this id or of this moment";
        Err(Refusal::new(Code::DuplicateDiffers, message)
            .at(["submissionId"])
            .with("firstAchievedAt", instant(first.achieved_at)))
    }

    /// From when on scores of this entry count.
    fn must_take_part(
        &self,
        achieved_at: DateTime<Utc>,
        rules: &CompetitionRules,
    ) -> Result<DateTime<Utc>, Refusal> {
        self.must_not_be_excluded()?;
        let refused = |message: &str| Refusal::new(Code::JoinRequired, message);
        let Some(joined_at) = self.joined_at else {
            return Err(refused("the user takes no part in the competition"));
        };
        if achieved_at < joined_at && rules.counts_from == CountsFrom::Joining {
            let message = "the score was achieved before the user joined";
            return Err(refused(message)
                .at(["achievedAt"])
                .with("joinedAt", instant(joined_at)));
        }
        Ok(rules.counts_since(joined_at))
    }
}

impl Played {
    /// The last moment up to this one that a score is of, or else when scoring began.
    fn since(&self, moment: DateTime<Utc>, began: DateTime<Utc>) -> DateTime<Utc> {
        let earlier = self.submissions.values().map(|earlier| earlier.achieved_at);
        earlier
            .filter(|at| *at <= moment)
            .fold(began, DateTime::max)
    }

    /// What was achieved behind a moment and up to another, in the smallest unit.
    fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> i128 {
        let within = self.submissions.values();
        let within = within.filter(|s| from < s.achieved_at && s.achieved_at <= to);
        within.map(|s| i128::from(s.score.units())).sum()
    }

    /// The stretches of time that a score has to be possible in, each with what was achieved in it already.
    ///
    /// That since the score before. Where scores are added up, those of one minute are taken together, and so
    /// are this one and the next one, which was judged without it: so it does not matter in which order they
    /// are handed in.
    fn stretches(
        &self,
        at: DateTime<Utc>,
        began: DateTime<Utc>,
        operator: Operator,
    ) -> Vec<(TimeDelta, i128)> {
        if !matches!(operator, Operator::Sum | Operator::Decrement) {
            return vec![(at - self.since(at, began), 0)];
        }
        let from = self.since(at - MINUTE, began);
        let later = self.submissions.values().map(|later| later.achieved_at);
        let next = later.filter(|later| *later > at).min();
        let ends = [Some(at), next].into_iter().flatten();
        // A score of the very first moment is within.
        let before = from - TimeDelta::microseconds(i64::from(from == began));
        ends.map(|end| (end - from, self.between(before, end)))
            .collect()
    }
}

/// The period that a moment is in, while it takes scores.
fn open_period(
    terms: &Terms,
    rules: &CompetitionRules,
    achieved_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Period, Refusal> {
    let outside = |message: &str| Refusal::new(Code::OutsideWindow, message).at(["achievedAt"]);
    let period = rules.frame(terms.ends_at).period_of(achieved_at);
    let Some(period) = period else {
        return Err(outside(
            "the score was achieved in no period of the competition",
        ));
    };
    let until = period.end.map(|end| after(end, rules.close_delay_seconds));
    let late = until.is_some_and(|until| now >= until);
    if late
        || terms
            .sealed_until
            .is_some_and(|sealed| period.start < sealed)
    {
        let message = "the period takes no scores any more";
        let refusal = Refusal::new(Code::PeriodClosed, message).with("period", period.key);
        return Err(match until {
            Some(until) => refusal.with("until", instant(until)),
            None => refusal,
        });
    }
    match terms.status {
        Some(CompetitionStatus::Open) => Ok(period),
        Some(status) => {
            let refusal = outside("the competition is not open");
            Err(refusal.with("status", status.as_str()))
        }
        None => Err(outside("the competition is not open")),
    }
}

fn next_number(played: &Played, rules: &CompetitionRules) -> Result<u32, Refusal> {
    let max = rules.attempts_max.unwrap_or(ATTEMPTS_MAX);
    let number = u32::try_from(played.submissions.len()).unwrap_or(u32::MAX);
    if number >= max {
        let message = "the user has handed in as many scores as the period allows";
        return Err(Refusal::new(Code::MaxAttemptsReached, message).with("max", max));
    }
    Ok(number + 1)
}

/// The first rule that a score does not meet, and what it found.
fn guard(
    submission: &Submission,
    (played, began): (&Played, DateTime<Utc>),
    rules: &CompetitionRules,
) -> Option<(GuardRule, String)> {
    let shown = |score: Score| score.text(rules.decimals);
    let (score, guards) = (submission.score, rules.guards);
    if submission.manual && guards.manual_refused {
        return Some((GuardRule::Manual, "entered by hand".to_owned()));
    }
    if let Some(max) = guards.score_max.filter(|max| score > *max) {
        let reason = format!("{} is above {}", shown(score), shown(max));
        return Some((GuardRule::ScoreMax, reason));
    }
    let max = guards.per_minute_max?;
    let stretches = played.stretches(submission.achieved_at, began, rules.operator);
    stretches.into_iter().find_map(|(span, before)| {
        let micros = i128::from(span.num_microseconds().unwrap_or(i64::MAX)).max(MINUTE_MICROS);
        let units = before + i128::from(score.units());
        let too_fast = units * MINUTE_MICROS > i128::from(max.units()) * micros;
        too_fast.then(|| {
            let seconds = micros / 1_000_000;
            let more = match before {
                0 => String::new(),
                _ => " with others".to_owned(),
            };
            let (score, max) = (shown(score), shown(max));
            let reason = format!("{score}{more} in {seconds} seconds is above {max} a minute");
            (GuardRule::PerMinuteMax, reason)
        })
    })
}
