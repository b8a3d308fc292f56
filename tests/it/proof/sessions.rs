//! Refresh tokens over two processes: one rotation however many ask, and an end to what was stolen.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use daybook::ops::Clock;
use futures::future::join_all;
use serde_json::json;

use super::scene::{ask, events, refresh, register, sign_in, turned_away};
use crate::support::{TestApp, eventually};

const NOW: i64 = 1_800_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_who_refresh_one_token_at_once_are_given_one_successor() {
    let first = TestApp::start().await;
    let second = first.beside(|_| ()).await;
    register(&first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let mut token = sign_in(&first, "ada@example.org").await.refresh;
    for round in 1..=5 {
        let asking = (0..20).map(|n| {
            let node = if n % 2 == 0 { &first } else { &second };
            refresh(node, &token)
        });
        let given: Vec<_> = join_all(asking).await.into_iter().collect();
        let given: BTreeSet<String> = given.into_iter().map(|t| t.unwrap().refresh).collect();
        assert_eq!(given.len(), 1, "round {round}");
        assert_eq!(events(&first, "session.refreshed").await, round);
        token = given.into_iter().next().unwrap();
    }
    assert_eq!(events(&first, "session.reuse_detected").await, 0);
}

/// K1: a token that comes back after its grace ends the family for everybody, on every node.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_used_again_too_late_ends_the_family_on_both_nodes() {
    let (clock, time) = Clock::mock(DateTime::from_timestamp(NOW, 0).unwrap());
    let first = TestApp::at(clock, |settings| settings.auth.recheck = Duration::ZERO);
    let first = first.await;
    let second = first
        .beside(|settings| settings.auth.recheck = Duration::ZERO)
        .await;
    register(&first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let given = sign_in(&first, "ada@example.org").await;
    let other = sign_in(&first, "ada@example.org").await;
    let next = refresh(&first, &given.refresh).await.unwrap();
    // A lost answer: the other node gives the same one, and no event.
    time.advance(TimeDelta::seconds(9));
    let again = refresh(&second, &given.refresh).await.unwrap();
    assert_eq!(again.refresh, next.refresh);
    assert_eq!(events(&first, "session.refreshed").await, 1);
    assert_eq!(turned_away(&second, &next.access).await, None);

    time.advance(TimeDelta::seconds(2));
    let reused = refresh(&second, &given.refresh).await;
    assert_eq!(reused.unwrap_err(), "REFRESH_REUSED");
    for node in [&first, &second] {
        for access in [&given.access, &next.access, &again.access] {
            let code = turned_away(node, access).await;
            assert_eq!(code.as_deref(), Some("UNAUTHENTICATED"));
        }
        // Whoever comes later is told that it is over, not why.
        let over = refresh(node, &next.refresh).await;
        assert_eq!(over.unwrap_err(), "SESSION_REVOKED");
    }
    assert_eq!(events(&first, "session.reuse_detected").await, 1);
    // Another session of the same user has nothing to do with it.
    assert_eq!(turned_away(&second, &other.access).await, None);
    refresh(&second, &other.refresh).await.unwrap();
}

/// What was thrown away at the very moment a token was used: no node gives another successor of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_it_is_refreshed_gives_nothing_afterwards() {
    let first = TestApp::start().await;
    let second = first.beside(|_| ()).await;
    register(&first, "ada@example.org", "Ada", &["VIEWER"]).await;
    let given = sign_in(&first, "ada@example.org").await;
    let out = "mutation { signOut { userErrors { code } } }";
    let (refreshed, ended) = tokio::join!(
        refresh(&second, &given.refresh),
        ask(&first, Some(&given.access), out, json!({})),
    );
    assert_eq!(ended["data"]["signOut"]["userErrors"], json!([]));
    let token = refreshed.map_or(given.refresh, |tokens| tokens.refresh);
    for node in [&first, &second] {
        assert_eq!(refresh(node, &token).await.unwrap_err(), "SESSION_REVOKED");
    }
    eventually("the access token is good nowhere", async || {
        turned_away(&second, &given.access).await.is_some()
    })
    .await;
}
