//! The rules of approval policies, and votes counted against every way of counting them.

use proptest::prelude::*;

use super::*;

fn users(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn rule(group: &str, members: &[&str], required: u16) -> ApprovalRule {
    ApprovalRule {
        group: group.to_owned(),
        members: users(members),
        required,
    }
}

fn policy(rules: &[ApprovalRule]) -> ApprovalPolicy {
    ApprovalPolicy {
        rules: rules.to_vec(),
        ..ApprovalPolicy::default()
    }
}

fn refused(policy: ApprovalPolicy) -> (Code, String) {
    let refusal = policy.checked().expect_err("refused");
    (refusal.code, refusal.path.join("."))
}

#[test]
fn a_policy_is_checked_and_kept_as_it_is() {
    let good = ApprovalPolicy {
        rules: vec![
            rule("web", &["ada", "grace"], 2),
            rule("ops", &["linus"], 1),
        ],
        prevent_self_review: true,
        wait_minutes: WAIT_MINUTES_MAX,
        expiry_days: 1,
    };
    assert_eq!(good.clone().checked(), Ok(good));
    let none = ApprovalPolicy::default();
    assert_eq!((none.expiry_days, none.clone().checked()), (30, Ok(none)));
}

#[test]
fn what_a_policy_may_not_be() {
    let one = || policy(&[rule("web", &["ada"], 1)]);
    let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rules: Vec<_> = (0..=RULES_MAX)
        .map(|n| rule(&n.to_string(), &["ada"], 1))
        .collect();
    let with = |change: fn(&mut ApprovalPolicy)| {
        let mut policy = one();
        change(&mut policy);
        policy
    };
    let cases = [
        (policy(&rules), Code::TooLarge, "rules"),
        (
            policy(&[rule("", &["ada"], 1)]),
            Code::Validation,
            "rules.0.group",
        ),
        (
            policy(&[rule("web", &["a\n"], 1)]),
            Code::BadText,
            "rules.0.members",
        ),
        (
            policy(&[rule("web", &many, 1)]),
            Code::TooLarge,
            "rules.0.members",
        ),
        (
            policy(&[rule("web", &["ada"], 0)]),
            Code::OutOfRange,
            "rules.0.required",
        ),
        (
            policy(&[rule("web", &["ada"], 21)]),
            Code::OutOfRange,
            "rules.0.required",
        ),
        (
            policy(&[rule("web", &["ada"], 1), rule("web", &["grace"], 1)]),
            Code::Validation,
            "rules",
        ),
        (
            with(|p| p.wait_minutes = 43_201),
            Code::OutOfRange,
            "waitMinutes",
        ),
        (with(|p| p.expiry_days = 0), Code::OutOfRange, "expiryDays"),
        (with(|p| p.expiry_days = 31), Code::OutOfRange, "expiryDays"),
    ];
    for (policy, code, path) in cases {
        assert_eq!(refused(policy), (code, path.to_owned()));
    }
}

#[test]
fn what_nobody_could_meet_is_refused() {
    for (rules, missing) in [
        (vec![rule("web", &["ada"], 2)], 1),
        (vec![rule("web", &[], 3)], 3),
        // One person cannot stand for two groups.
        (vec![rule("web", &["ada"], 1), rule("ops", &["ada"], 1)], 1),
        (
            vec![
                rule("web", &["ada", "grace"], 2),
                rule("ops", &["ada", "grace", "linus"], 2),
            ],
            1,
        ),
    ] {
        let refusal = policy(&rules).checked().expect_err("impossible");
        assert_eq!(refusal.code, Code::QuorumImpossible);
        assert_eq!(refusal.details["missing"], missing, "{rules:?}");
    }
    let enough = [rule("web", &["ada"], 1), rule("ops", &["ada", "linus"], 1)];
    assert!(policy(&enough).checked().is_ok());
}

#[test]
fn a_vote_moves_to_the_rule_that_needs_it() {
    let policy = policy(&[rule("web", &["ada", "grace"], 1), rule("ops", &["ada"], 1)]);
    let counted = |names: &[&str]| {
        let votes = policy.count(&users(names));
        let votes = votes
            .into_iter()
            .map(|vote| format!("{}:{}", vote.group, vote.by));
        (
            votes.collect::<Vec<_>>().join(" "),
            policy.missing(&users(names)),
        )
    };
    assert_eq!(counted(&[]), (String::new(), 2));
    assert_eq!(counted(&["ada"]), ("web:ada".to_owned(), 1));
    assert_eq!(counted(&["grace", "joan"]), ("web:grace".to_owned(), 1));
    assert_eq!(
        counted(&["ada", "grace"]),
        ("web:grace ops:ada".to_owned(), 0)
    );
    assert!(policy.names("grace") && !policy.names("joan"));
}

/// Every way to let each voter count for one of their rules, or for none.
fn best(rules: &[ApprovalRule], voters: &[String], taken: &mut Vec<u16>) -> usize {
    let Some((voter, rest)) = voters.split_first() else {
        return 0;
    };
    let mut most = best(rules, rest, taken);
    for (n, rule) in rules.iter().enumerate() {
        if rule.members.contains(voter) && taken[n] < rule.required {
            taken[n] += 1;
            most = most.max(1 + best(rules, rest, taken));
            taken[n] -= 1;
        }
    }
    most
}

fn any_rules() -> impl Strategy<Value = Vec<ApprovalRule>> {
    let rule = (prop::collection::btree_set("[a-g]", 0..6), 1u16..4);
    prop::collection::vec(rule, 0..4).prop_map(|rules| {
        let rules = rules.into_iter().enumerate();
        let named = rules.map(|(n, (members, required))| ApprovalRule {
            group: n.to_string(),
            members,
            required,
        });
        named.collect()
    })
}

proptest! {
    /// As many votes count as in the best of all ways, each once, for a rule of its voter's, and no
    /// rule is given more than it asks for.
    #[test]
    fn no_way_of_counting_counts_more(
        rules in any_rules(), voters in prop::collection::btree_set("[a-g]", 0..8),
    ) {
        let policy = policy(&rules);
        let counted = policy.count(&voters);
        let names: Vec<String> = voters.iter().cloned().collect();
        prop_assert_eq!(counted.len(), best(&rules, &names, &mut vec![0; rules.len()]));
        let required: usize = rules.iter().map(|rule| usize::from(rule.required)).sum();
        prop_assert_eq!(policy.missing(&voters), required - counted.len());
        let by: BTreeSet<&String> = counted.iter().map(|vote| &vote.by).collect();
        prop_assert_eq!(by.len(), counted.len(), "somebody counts twice");
        for rule in &rules {
            let own = counted.iter().filter(|vote| vote.group == rule.group);
            prop_assert!(own.clone().count() <= rule.required.into());
            for vote in own {
                prop_assert!(rule.members.contains(&vote.by) && voters.contains(&vote.by));
            }
        }
    }
}
