//! What is given is what there is.

use proptest::prelude::*;

use super::*;
use crate::given::at;
use crate::score::{Score, Sort};
use crate::standing::{Contender, TiePolicy, rank};

fn plan(ties: PrizeTies, pool: i64, rules: &[PrizeRule]) -> PrizePlan {
    PrizePlan {
        currency: "EUR".to_owned(),
        decimals: 2,
        pool,
        ties,
        rules: rules.to_vec(),
    }
}

fn fixed(place: u32, amount: i64) -> PrizeRule {
    PrizeRule::Fixed { place, amount }
}

fn podium(ties: PrizeTies) -> PrizePlan {
    plan(
        ties,
        100_000,
        &[fixed(1, 50_000), fixed(2, 30_000), fixed(3, 20_000)],
    )
}

/// A board of these scores, whose users are a, b, c, ... and were as fast as that.
fn board(scores: &[i64], policy: TiePolicy) -> Vec<Standing> {
    let names = ('a'..='z').map(String::from).zip(0..);
    let contenders = names.zip(scores).map(|((user, second), score)| Contender {
        user,
        score: Score::of_units(*score, "score").expect("a score"),
        sub_score: Score::ZERO,
        achieved_at: at(second),
    });
    rank(contenders.collect(), Sort::Descending, policy)
}

fn check(plan: &PrizePlan, board: &[Standing], expect: &[(&str, u64, i64)]) {
    let awards = plan.awards(board);
    let given: Vec<_> = awards
        .iter()
        .map(|a| (a.user.as_str(), a.rank, a.amount))
        .collect();
    assert_eq!(given, expect);
}

#[test]
fn who_ties_splits_the_places_they_occupy() {
    let split = podium(PrizeTies::Split);
    let shared = TiePolicy::Competition;
    let clear = [("a", 1, 50_000), ("b", 2, 30_000), ("c", 3, 20_000)];
    check(&split, &board(&[9, 8, 7, 6], shared), &clear);
    check(
        &split,
        &board(&[9, 9, 9, 9], shared),
        &[
            ("a", 1, 25_000),
            ("b", 1, 25_000),
            ("c", 1, 25_000),
            ("d", 1, 25_000),
        ],
    );
    // Beyond the last place that is worth anything: two share the third.
    check(
        &split,
        &board(&[9, 8, 7, 7], shared),
        &[
            ("a", 1, 50_000),
            ("b", 2, 30_000),
            ("c", 3, 10_000),
            ("d", 3, 10_000),
        ],
    );
    check(&split, &board(&[9], shared), &clear[..1]);
    check(&split, &[], &[]);
    // Where nobody shares a rank nothing is split.
    check(&split, &board(&[9, 9, 9], TiePolicy::Ordinal), &clear);
    let dense = [("a", 1, 50_000), ("b", 2, 25_000), ("c", 2, 25_000)];
    check(&split, &board(&[9, 8, 8, 7], TiePolicy::Dense), &dense);
}

#[test]
fn what_cannot_be_divided_goes_to_who_was_first() {
    let one = plan(PrizeTies::Split, 100, &[fixed(1, 100)]);
    let tied = board(&[5, 5, 5], TiePolicy::Competition);
    check(&one, &tied, &[("a", 1, 34), ("b", 1, 33), ("c", 1, 33)]);
    let cent = plan(PrizeTies::Split, 1, &[fixed(1, 1)]);
    check(&cent, &tied, &[("a", 1, 1)]);
}

#[test]
fn who_ties_may_each_get_the_prize_of_their_rank() {
    let twice = podium(PrizeTies::Duplicate);
    check(
        &twice,
        &board(&[9, 8, 8, 7], TiePolicy::Competition),
        &[("a", 1, 50_000), ("b", 2, 30_000), ("c", 2, 30_000)],
    );
    check(
        &twice,
        &board(&[9, 8, 8, 7], TiePolicy::Dense),
        &[
            ("a", 1, 50_000),
            ("b", 2, 30_000),
            ("c", 2, 30_000),
            ("d", 3, 20_000),
        ],
    );
}

#[test]
fn shares_are_of_the_pool_and_cut_to_the_smallest_unit() {
    let third = PrizeRule::Percentage {
        place: 1,
        share_ppm: 333_333,
    };
    let half_for_a_fifth = PrizeRule::TopPercent {
        top_ppm: 400_000,
        share_ppm: 500_000,
    };
    let plan = plan(PrizeTies::Split, 1_001, &[third, half_for_a_fifth]);
    assert_eq!(plan.places(5), [333 + 250, 250]);
    assert_eq!(plan.places(9), [333 + 167, 167, 166]);
    // One at least, however few there are.
    assert_eq!(plan.places(1), [833]);
    assert_eq!(plan.places(0), [0; 0]);
}

#[test]
fn a_plan_gives_no_more_than_there_is() {
    let code = |plan: PrizePlan| {
        let refused = plan
            .checked()
            .map_err(|refusal| (refusal.code, refusal.path.join(".")));
        refused.map(|_| ())
    };
    let of = |pool, rules: &[PrizeRule]| code(plan(PrizeTies::Split, pool, rules));
    let share = |ppm| PrizeRule::Percentage {
        place: 1,
        share_ppm: ppm,
    };
    assert_eq!(code(podium(PrizeTies::Split)), Ok(()));
    let exceeds = Err((Code::PrizesExceedPool, "prizes.rules".to_owned()));
    assert_eq!(of(99_999, &[fixed(1, 50_000), fixed(2, 50_000)]), exceeds);
    assert_eq!(of(100, &[share(1_000_000), fixed(2, 1)]), exceeds);
    assert_eq!(
        of(i64::MAX, &[fixed(1, i64::MAX), fixed(2, i64::MAX)]),
        exceeds
    );
    let range = |path: &str| Err((Code::OutOfRange, path.to_owned()));
    assert_eq!(of(0, &[fixed(1, 1)]), range("prizes.pool"));
    assert_eq!(of(5, &[fixed(1, 0)]), range("prizes.rules.0.amount"));
    assert_eq!(
        of(5, &[fixed(1, 1), fixed(0, 1)]),
        range("prizes.rules.1.place")
    );
    assert_eq!(of(5, &[share(0)]), range("prizes.rules.0.sharePpm"));
    assert_eq!(of(5, &[share(1_000_001)]), range("prizes.rules.0.sharePpm"));
    assert_eq!(
        of(5, &[]),
        Err((Code::Validation, "prizes.rules".to_owned()))
    );
    let many = vec![fixed(1, 1); 101];
    assert_eq!(
        of(500, &many),
        Err((Code::TooLarge, "prizes.rules".to_owned()))
    );
}

fn any_rule() -> impl Strategy<Value = PrizeRule> {
    let ppm = || prop::sample::select(vec![1, 10_000, 333_333, 500_000, 1_000_000]);
    prop_oneof![
        (1u32..8, 1i64..200).prop_map(|(place, amount)| fixed(place, amount)),
        (1u32..8, ppm()).prop_map(|(place, share_ppm)| PrizeRule::Percentage { place, share_ppm }),
        (ppm(), ppm())
            .prop_map(|(top_ppm, share_ppm)| PrizeRule::TopPercent { top_ppm, share_ppm }),
    ]
}

proptest! {
    /// Splitting pays what the places are worth, to the unit, and never more than the pool.
    #[test]
    fn splitting_pays_the_places_exactly(
        rules in prop::collection::vec(any_rule(), 1..5),
        pool in 1i64..2_000,
        scores in prop::collection::vec(0i64..4, 0..20),
        policy in prop::sample::select(TiePolicy::ALL),
    ) {
        let plan = plan(PrizeTies::Split, pool, &rules);
        prop_assume!(plan.checked().is_ok());
        let awards = plan.awards(&board(&scores, policy));
        let paid: i64 = awards.iter().map(|award| award.amount).sum();
        prop_assert_eq!(paid, plan.places(scores.len()).iter().sum::<i64>());
        prop_assert!(paid <= pool);
        for tied in awards.chunk_by(|a, b| a.rank == b.rank) {
            prop_assert!(tied[0].amount - tied[tied.len() - 1].amount <= 1);
        }
    }
}
