//! Versions and changes; environments; incidents.

use domain::Position;
use domain::deployment::{Status, Tier};
use domain::environment::{
    ApprovalPolicySet, EnvironmentDefined, EnvironmentEvent, EnvironmentFrozen,
    EnvironmentUnfrozen, Freeze, environment_id,
};
use domain::incident::{IncidentStatus, LinkKind};
use projections::deployments::{
    self, IncidentFilter, ListCursor, deployed_version, deployed_versions, environment,
    environments, incident, incidents, last_success,
};

use super::super::releases::{Story, back, carrying, change, january, ran};
use super::super::scene::{after, at, snapshot};
use super::policy;

#[tokio::test]
async fn versions_are_those_that_ran_there() {
    let mut story = Story::default();
    let mut failed = ran("cart", "v3", "2024-01-05T12:00:00Z");
    failed.status = Status::Failed;
    story
        .told("a", ran("cart", "v1", "2024-01-02T12:00:00Z"))
        .told("b", ran("cart", "v2", "2024-01-03T12:00:00Z"))
        .told("c", back("cart", "v2", "v1", "2024-01-04T12:00:00Z"))
        .told("d", failed)
        .told("e", ran("pay", "v9", "2024-01-04T12:00:00Z"));
    let db = after(story.0, 2).await;
    let mut snap = snapshot(&db).await;
    let here = ("shop", "live", "cart");
    let known = deployed_version(&mut snap, here, "v1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((known.deployments, known.last_at), (2, january(4, "12:00")));
    assert_eq!(deployed_version(&mut snap, here, "v3").await.unwrap(), None);
    assert_eq!(deployed_version(&mut snap, here, "v9").await.unwrap(), None);
    let page = deployed_versions(&mut snap, here, None, 1).await.unwrap();
    assert_eq!(
        (page.items[0].version.as_str(), page.has_next),
        ("v1", true)
    );
    let page = deployed_versions(&mut snap, here, Some("v1"), 1)
        .await
        .unwrap();
    assert_eq!(
        (page.items[0].version.as_str(), page.has_next),
        ("v2", false)
    );

    let mut last = async |service: Option<&str>, time: &str, known_at: Option<i64>| {
        let (at, known_at) = (at(time), known_at.map(Position));
        let row = last_success(&mut snap, "shop", service, None, at, known_at).await;
        row.unwrap().map(|row| row.id)
    };
    let is = |id: &str| Some(id.to_owned());
    assert_eq!(
        last(Some("cart"), "2024-01-06T00:00:00Z", None).await,
        is("c")
    );
    assert_eq!(
        last(Some("cart"), "2024-01-04T11:59:59Z", None).await,
        is("b")
    );
    assert_eq!(
        last(Some("cart"), "2024-01-04T12:00:00Z", Some(1)).await,
        is("a")
    );
    assert_eq!(last(Some("cart"), "2024-01-01T00:00:00Z", None).await, None);
    assert_eq!(last(None, "2024-01-06T00:00:00Z", None).await, is("e"));
}

#[tokio::test]
async fn environments_are_told_with_what_holds_them() {
    let mut story = Story::default();
    let (live, trial) = (
        environment_id("shop", "live"),
        environment_id("shop", "trial"),
    );
    let defined = |name: &str, tier| {
        EnvironmentEvent::EnvironmentDefined(EnvironmentDefined {
            project: "shop".to_owned(),
            name: name.to_owned(),
            tier,
        })
    };
    let frozen = |id: &str, until: Option<u32>| {
        EnvironmentEvent::EnvironmentFrozen(EnvironmentFrozen {
            freeze: Freeze {
                id: id.to_owned(),
                from: january(1, "00:00"),
                until: until.map(|day| january(day, "00:00")),
                reason: "holidays".to_owned(),
                weekly: vec![],
            },
            at: january(1, "00:00"),
        })
    };
    let policy = policy(&["ann", "bob"]);
    let set = ApprovalPolicySet {
        policy: policy.clone(),
    };
    let lifted = EnvironmentUnfrozen {
        freeze_id: "lifted".to_owned(),
        reason: None,
    };
    story
        .of(&live, defined("live", Tier::Staging))
        .of(&live, EnvironmentEvent::ApprovalPolicySet(set))
        .of(&live, defined("live", Tier::Production))
        .of(&live, frozen("over", Some(5)))
        .of(&live, frozen("open", None))
        .of(&live, frozen("lifted", None))
        .of(&live, EnvironmentEvent::EnvironmentUnfrozen(lifted))
        .of(&trial, defined("trial", Tier::Staging));
    let db = after(story.0, 3).await;
    let mut snap = snapshot(&db).await;
    let row = environment(&mut snap, &live, january(6, "00:00")).await;
    let row = row.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.tier), ("live", Tier::Production));
    assert_eq!(row.policy, Some(policy));
    let ids: Vec<_> = row
        .freezes
        .iter()
        .map(|freeze| freeze.id.as_str())
        .collect();
    assert_eq!(ids, ["open"]);
    let row = environment(&mut snap, &live, january(4, "00:00")).await;
    assert_eq!(row.unwrap().unwrap().freezes.len(), 2);
    let now = january(6, "00:00");
    let page = environments(&mut snap, Some("shop"), now, None, 1)
        .await
        .unwrap();
    assert_eq!(
        (page.items[0].id.as_str(), page.has_next),
        (live.as_str(), true)
    );
    let page = environments(&mut snap, None, now, Some(&live), 1)
        .await
        .unwrap();
    assert_eq!(
        (page.items[0].policy.as_ref(), page.has_next),
        (None, false)
    );
    let page = environments(&mut snap, Some("blog"), now, None, 1)
        .await
        .unwrap();
    assert!(page.items.is_empty());
}

#[tokio::test]
async fn incidents_are_told_with_the_links_that_stand() {
    let mut story = Story::default();
    story
        .opened("i1", "2024-01-02T12:00:00Z")
        .linked("i1", "a", LinkKind::Inferred)
        .linked("i1", "b", LinkKind::Explicit)
        .linked("i1", "a", LinkKind::Explicit)
        .unlinked("i1", "b")
        .opened("i2", "2024-01-03T12:00:00Z")
        .resolved("i2", "2024-01-03T13:00:00Z");
    let db = after(story.0, 2).await;
    let mut snap = snapshot(&db).await;
    let one = incident(&mut snap, "i1").await.unwrap().unwrap();
    assert_eq!(
        (one.status(), one.resolved_at),
        (IncidentStatus::Open, None)
    );
    assert_eq!(one.links.len(), 1);
    let link = &one.links[0];
    assert_eq!(
        (link.deployment.as_str(), link.kind),
        ("a", LinkKind::Explicit)
    );
    assert_eq!((link.rule.as_deref(), link.position), (None, Position(4)));
    let any = IncidentFilter::default;
    let resolved = IncidentFilter {
        status: Some(IncidentStatus::Resolved),
        ..any()
    };
    let open = IncidentFilter {
        status: Some(IncidentStatus::Open),
        service: Some("cart".to_owned()),
        ..any()
    };
    let early = IncidentFilter {
        project: Some("shop".to_owned()),
        to: Some(january(3, "12:00")),
        ..any()
    };
    let cases: [(IncidentFilter, &[&str]); 4] = [
        (any(), &["i2", "i1"]),
        (resolved, &["i2"]),
        (open, &["i1"]),
        (early, &["i1"]),
    ];
    for (filter, expect) in cases {
        let page = incidents(&mut snap, &filter, None, 10).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, expect, "{filter:?}");
    }
    let page = incidents(&mut snap, &any(), None, 1).await.unwrap();
    let cursor = ListCursor {
        at: page.items[0].opened_at,
        id: page.items[0].id.clone(),
    };
    let page = incidents(&mut snap, &any(), Some(&cursor), 1)
        .await
        .unwrap();
    assert_eq!((page.items[0].id.as_str(), page.has_next), ("i1", false));
}

#[tokio::test]
async fn changes_are_listed_by_id_and_the_latest_word_counts() {
    let mut story = Story::default();
    let changes = [
        change("a", "2024-01-02T10:00:00Z"),
        change("b", "2024-01-02T11:00:00Z"),
    ];
    story.told(
        "d",
        carrying(ran("cart", "v1", "2024-01-02T12:00:00Z"), &changes),
    );
    story.also_carries("d", &[change("c", "2024-01-02T11:30:00Z")]);
    let db = after(story.0, 1).await;
    let mut snap = snapshot(&db).await;
    let page = deployments::changes(&mut snap, "d", None, 2).await.unwrap();
    assert_eq!(
        (page.items[0].change.id.as_str(), page.has_next),
        ("a", true)
    );
    assert_eq!(page.items[1].change, changes[1]);
    let page = deployments::changes(&mut snap, "d", Some("b"), 2)
        .await
        .unwrap();
    assert_eq!(
        (page.items[0].position, page.has_next),
        (Position(2), false)
    );
}
