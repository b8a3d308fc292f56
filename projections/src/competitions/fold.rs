//! What each event says about a competition or an entry.

use chrono::{DateTime, Utc};
use domain::competition::{CompetitionEvent, CompetitionStatus};
use domain::entry::{EntryEvent, entry_parts};
use domain::score::Tally;
use domain::{Event, Personal, Recorded};

use super::{
    Awarded, CompetitionChange, Decision, Delta, Dispute, EntryKey, Member, Membership, Resolution,
    SealedPeriod, Words,
};
use crate::Poison;
use crate::accounts::sealed;
use crate::latest::{Latest, keep_last, keep_last_of};

pub(super) fn competition(delta: &mut Delta, event: &Recorded<Event>, what: &CompetitionEvent) {
    let id = event.aggregate_id.to_string();
    let change = delta.competitions.entry(id.clone()).or_default();
    change.seen.see(event);
    match what {
        CompetitionEvent::CompetitionCreated(e) => {
            stands(change, event, CompetitionStatus::Draft);
            keep_last(&mut change.created_at, said(event, event.recorded_at));
            keep_last(&mut change.rules, said(event, e.rules.clone()));
        }
        CompetitionEvent::CompetitionRevised(e) => {
            keep_last(&mut change.rules, said(event, e.rules.clone()));
        }
        CompetitionEvent::PrizesDefined(e) => {
            keep_last(&mut change.prizes, said(event, e.prizes.clone()));
        }
        CompetitionEvent::CompetitionInvited(e) => {
            change.invited += counted(e.users.len() + e.groups.len());
        }
        CompetitionEvent::CompetitionOpened(e) => {
            stands(change, event, CompetitionStatus::Open);
            keep_last(&mut change.opened_at, said(event, e.at));
        }
        CompetitionEvent::CompetitionCutShort(e) => {
            keep_last(&mut change.cut_at, said(event, e.at));
            keep_last(&mut change.reason, said(event, e.reason.clone()));
        }
        CompetitionEvent::CompetitionCancelled(e) => {
            over(change, event, CompetitionStatus::Cancelled);
            keep_last(&mut change.reason, said(event, e.reason.clone()));
        }
        CompetitionEvent::CompetitionEnded(_) => over(change, event, CompetitionStatus::Ended),
        CompetitionEvent::PeriodSealed(_)
        | CompetitionEvent::PeriodClosed(_)
        | CompetitionEvent::PrizesCalculated(_)
        | CompetitionEvent::PrizesAwarded(_) => period(delta, event, id, what),
    }
}

fn stands(change: &mut CompetitionChange, event: &Recorded<Event>, status: CompetitionStatus) {
    keep_last(&mut change.status, said(event, status));
}

fn over(change: &mut CompetitionChange, event: &Recorded<Event>, status: CompetitionStatus) {
    stands(change, event, status);
    keep_last(&mut change.ended_at, said(event, event.recorded_at));
}

fn period(delta: &mut Delta, event: &Recorded<Event>, id: String, what: &CompetitionEvent) {
    match what {
        CompetitionEvent::PeriodSealed(e) => {
            let change = delta.periods.entry((id, e.period.clone())).or_default();
            let sealed = SealedPeriod {
                start: e.start,
                end: e.end,
                at: event.recorded_at,
            };
            keep_last(&mut change.sealed, said(event, sealed));
        }
        CompetitionEvent::PeriodClosed(e) => {
            let change = delta.periods.entry((id, e.period.clone())).or_default();
            let closed = (event.recorded_at, e.clone());
            keep_last(&mut change.closed, said(event, closed));
        }
        CompetitionEvent::PrizesCalculated(e) => {
            let change = delta.periods.entry((id, e.period.clone())).or_default();
            keep_last(&mut change.prizes, said(event, e.clone()));
        }
        CompetitionEvent::PrizesAwarded(e) => {
            for award in &e.awards {
                let key = (id.clone(), e.period.clone(), award.user.clone());
                let awarded = Latest {
                    position: event.position.0,
                    value: Awarded {
                        rank: award.rank,
                        amount: award.amount,
                    },
                };
                keep_last_of(&mut delta.awards, key, awarded);
            }
        }
        _ => {}
    }
}

pub(super) fn entry(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &EntryEvent,
) -> Result<(), Poison> {
    let key = entry_key(event)?;
    let change = delta.entries.entry(key.clone()).or_default();
    change.seen.see(event);
    match what {
        EntryEvent::EntryJoined(e) => {
            let member = Member::Joined {
                at: e.at,
                groups: e.groups.clone(),
                place: e.place,
                consent: e.consent,
            };
            keep_last(&mut change.member, said(event, member));
        }
        EntryEvent::EntryLeft(e) => {
            keep_last(&mut change.member, said(event, Member::Left { at: e.at }));
        }
        EntryEvent::EntryExcluded(e) => {
            let decision = decision(event, &e.by, Some(&e.reason))?;
            keep_last(&mut change.excluded, said(event, decision));
        }
        EntryEvent::EntryReinstated(e) => {
            let decision = decision(event, &e.by, Some(&e.reason))?;
            keep_last(&mut change.reinstated, said(event, decision));
        }
        EntryEvent::DisputeOpened(e) => {
            let dispute = Dispute {
                at: event.recorded_at,
                statement: words(event, &e.statement)?,
            };
            keep_last(&mut change.disputed, said(event, dispute));
        }
        EntryEvent::DisputeResolved(e) => {
            let resolution = Resolution {
                outcome: e.outcome,
                decision: decision(event, &e.by, Some(&e.reason))?,
            };
            keep_last(&mut change.resolved, said(event, resolution));
        }
        EntryEvent::ScoreAccepted(_)
        | EntryEvent::ScoreHeld(_)
        | EntryEvent::ScoreReleased(_)
        | EntryEvent::ScoreDismissed(_) => score(delta, event, &key, what)?,
    }
    membership(delta, event, key, what);
    Ok(())
}

/// Neither id holds a slash.
fn entry_key(event: &Recorded<Event>) -> Result<EntryKey, Poison> {
    let parts = entry_parts(&event.aggregate_id);
    let (competition, user) =
        parts.ok_or_else(|| Poison("an entry's key has no slash".to_owned()))?;
    Ok((competition.to_owned(), user.to_owned()))
}

fn score(
    delta: &mut Delta,
    event: &Recorded<Event>,
    (competition, user): &EntryKey,
    what: &EntryEvent,
) -> Result<(), Poison> {
    let key = |period: &str| (competition.clone(), period.to_owned(), user.clone());
    let held = |period: &str, attempt: u32| (key(period), i64::from(attempt));
    match what {
        EntryEvent::ScoreAccepted(e) => comes_to(delta, event, key(&e.period), e.tally),
        EntryEvent::ScoreHeld(e) => {
            let change = delta.held.entry(held(&e.period, e.attempt)).or_default();
            keep_last(
                &mut change.held,
                said(event, (event.recorded_at, e.clone())),
            );
        }
        EntryEvent::ScoreReleased(e) => {
            comes_to(delta, event, key(&e.period), e.tally);
            let change = delta.held.entry(held(&e.period, e.attempt)).or_default();
            let decision = decision(event, &e.by, e.reason.as_ref())?;
            keep_last(&mut change.decided, said(event, (true, decision)));
        }
        EntryEvent::ScoreDismissed(e) => {
            let change = delta.held.entry(held(&e.period, e.attempt)).or_default();
            let decision = decision(event, &e.by, Some(&e.reason))?;
            keep_last(&mut change.decided, said(event, (false, decision)));
        }
        _ => {}
    }
    Ok(())
}

fn comes_to(delta: &mut Delta, event: &Recorded<Event>, key: super::ScoreKey, tally: Tally) {
    let position = event.position.0;
    let at: DateTime<Utc> = event.recorded_at;
    delta.tallies.insert((key.clone(), position), (at, tally));
    let tally = Latest {
        position,
        value: tally,
    };
    keep_last_of(&mut delta.scores, key, tally);
}

/// Takes note of whether the entry is on its boards from now on, and of how many there are.
fn membership(delta: &mut Delta, event: &Recorded<Event>, key: EntryKey, what: &EntryEvent) {
    let mut fact = Membership::default();
    let (mut entries, mut excluded) = (0, 0);
    match what {
        EntryEvent::EntryJoined(e) => {
            fact.member = Some(true);
            fact.joined_at = Some(e.at);
            fact.groups.clone_from(&e.groups);
            entries = 1;
        }
        EntryEvent::EntryLeft(_) => {
            fact.member = Some(false);
            entries = -1;
        }
        EntryEvent::EntryExcluded(_) => {
            fact.excluded = Some(true);
            excluded = 1;
        }
        EntryEvent::EntryReinstated(_) => {
            fact.excluded = Some(false);
            excluded = -1;
        }
        _ => return,
    }
    let competition = delta.competitions.entry(key.0.clone()).or_default();
    competition.entries += entries;
    competition.excluded += excluded;
    delta.memberships.insert((key, event.position.0), fact);
}

fn decision(
    event: &Recorded<Event>,
    by: &str,
    reason: Option<&Personal>,
) -> Result<Decision, Poison> {
    Ok(Decision {
        at: event.recorded_at,
        by: by.to_owned(),
        reason: reason.map(|reason| words(event, reason)).transpose()?,
    })
}

fn words(event: &Recorded<Event>, said: &Personal) -> Result<Words, Poison> {
    Ok(Words {
        sealed: sealed(said)?,
        event: event.event_id,
    })
}

fn counted(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

fn said<T>(event: &Recorded<Event>, value: T) -> Option<Latest<T>> {
    Some(Latest {
        position: event.position.0,
        value,
    })
}
