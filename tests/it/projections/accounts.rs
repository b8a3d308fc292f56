//! Accounts: the read model says what the aggregates say.

mod erasing;
mod scene;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::admins::{ADMINS_ID, Admins};
use domain::api_key::ApiKey;
use domain::session::{Session, SessionCommand};
use domain::user::{Role, User};
use domain::{Aggregate, Event, Recorded, Scope};
use projections::Snapshot;
use projections::accounts::{
    self, ApiKeyFilter, SessionRow, UserFilter, UserRow, UserStatus, api_key, api_keys,
    api_keys_due, session, sessions, tenant, tenants, user, users,
};

use self::scene::{World, at};
use super::scene::TENANT;

const USERS: [&str; 4] = ["ada", "bob", "cyd", "eve"];

fn recorded<'l>(log: &'l [Recorded<Event>], id: &str, event_type: &str) -> &'l Recorded<Event> {
    let is_it =
        |e: &&Recorded<Event>| e.aggregate_id.as_ref() == id && e.event.event_type() == event_type;
    log.iter().rfind(is_it).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_told_as_their_streams_say() {
    let world = World::new().await;
    let log = world.log().await;
    let mut snap = world.snapshot().await;
    let (roster, _) = load::<Admins>(&world, ADMINS_ID).await;
    for id in USERS {
        let row = user(&mut snap, id).await.unwrap().unwrap();
        let (state, version) = load::<User>(&world, id).await;
        let mut roles = state.roles.clone();
        roles.extend(roster.names(id).then_some(Role::Admin));
        assert_eq!((row.roles, row.version), (roles, version), "{id}");
        assert_eq!(row.verified, state.verified, "{id}");
        let registered = recorded(&log, id, "user.registered");
        assert_eq!(row.registered_at, registered.recorded_at, "{id}");
        assert_eq!(row.erased_at.is_some(), state.erased, "{id}");
        assert_eq!(row.deactivated_at.is_some(), state.deactivated, "{id}");
    }
    assert_eq!(user(&mut snap, "nobody").await.unwrap(), None);
    assert!(roster.names("ada") && !roster.names("bob"));

    let bob = user(&mut snap, "bob").await.unwrap().unwrap();
    let said = world.open("bob", "email", &bob.email).await;
    assert_eq!(said.as_deref(), Some("bob@example.org"));
    let said = world.open("bob", "name", &bob.name).await;
    assert_eq!(said.as_deref(), Some("bob the first"));
    let said = world.open("bob", "reason", &bob.deactivated_reason).await;
    assert_eq!(said.as_deref(), Some("bob has left us"));
    let changed = recorded(&log, "bob", "user.password_changed");
    assert_eq!(bob.password_changed_at, Some(changed.recorded_at));
    let deactivated = recorded(&log, "bob", "user.deactivated");
    assert_eq!(bob.deactivated_at, Some(deactivated.recorded_at));
    assert_eq!(bob.position, deactivated.position);
    world.consumers.stop().await;
}

async fn load<A: Aggregate>(world: &World, id: &str) -> (A, i64) {
    world.door.load::<A>(&TENANT.into(), id).await.unwrap()
}

fn ids(rows: &[UserRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_users_add_up() {
    let world = World::new().await;
    let mut snap = world.snapshot().await;
    let any = UserFilter::default;
    let status = |status| UserFilter {
        status: Some(status),
        ..any()
    };
    let role = |role| UserFilter {
        role: Some(role),
        ..any()
    };
    let named = |ids: &[&str]| UserFilter {
        ids: Some(ids.iter().map(|&id| id.to_owned()).collect()),
        ..any()
    };
    let both = UserFilter {
        status: Some(UserStatus::Active),
        ..role(Role::Analyst)
    };
    let cases: Vec<(UserFilter, &[&str])> = vec![
        (any(), &["ada", "bob", "cyd"]),
        (status(UserStatus::Active), &["ada", "cyd"]),
        (status(UserStatus::Deactivated), &["bob"]),
        (status(UserStatus::Erased), &["eve"]),
        (role(Role::Admin), &["ada"]),
        (role(Role::Analyst), &["ada", "bob"]),
        (role(Role::Operator), &[]),
        // Erased ones are not listed unless they are asked for.
        (role(Role::Viewer), &["bob"]),
        (named(&["eve", "cyd", "nobody"]), &["cyd", "eve"]),
        (named(&[]), &[]),
        (both, &["ada"]),
    ];
    for (filter, expect) in cases {
        let page = users(&mut snap, &filter, None, 10).await.unwrap();
        assert_eq!(ids(&page.items), expect, "{filter:?}");
        assert!(!page.has_next);
        for row in page.items {
            assert!(filter.status.is_none_or(|status| status == row.status()));
        }
    }
    let page = users(&mut snap, &any(), None, 2).await.unwrap();
    assert_eq!(
        (ids(&page.items), page.has_next),
        (vec!["ada", "bob"], true)
    );
    let page = users(&mut snap, &any(), Some("bob"), 2).await.unwrap();
    assert_eq!((ids(&page.items), page.has_next), (vec!["cyd"], false));
    world.consumers.stop().await;
}

async fn sessions_of(snap: &mut Snapshot, user: &str, live_at: Option<i64>) -> Vec<String> {
    let page = sessions(snap, user, live_at.map(at), None, 10).await;
    let rows = page.unwrap().items;
    rows.into_iter().map(|row| row.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_live_as_long_as_they_can_be_refreshed() {
    let world = World::new().await;
    let mut snap = world.snapshot().await;
    let all = [
        "twin", "stolen", "left", "used", "plain", "outdated", "evil",
    ];
    let whose = ["ada", "ada", "ada", "ada", "ada", "bob", "eve"];
    for (id, whose) in all.into_iter().zip(whose) {
        let row = session(&mut snap, id).await.unwrap().unwrap();
        let (state, version) = load::<Session>(&world, id).await;
        assert_eq!(
            (row.user_id.as_str(), row.version),
            (whose, version),
            "{id}"
        );
        assert_eq!(Some(row.ends_at), state.ends_at(), "{id}");
        let used = state.used.unwrap();
        assert_eq!(
            (row.started_at, row.last_used_at),
            (used.first_at, used.last_at)
        );
        assert_eq!(row.ended_at.is_some(), state.ended.is_some(), "{id}");
        // Live is what a refresh is accepted by.
        let (user, _) = load::<User>(&world, whose).await;
        for seconds in [599, 600, 629, 630, 1_009, 1_010, 1_300] {
            let refresh = SessionCommand::Refresh {
                presented: state.current,
                now: at(seconds),
                user: user.standing(),
                epoch_now: user.session_epoch,
            };
            let listed = sessions_of(&mut snap, whose, Some(seconds)).await;
            let accepted = state.decide(&refresh).is_ok();
            assert_eq!(
                listed.contains(&id.to_owned()),
                accepted,
                "{id} at {seconds}"
            );
        }
    }
    assert_eq!(session(&mut snap, "none").await.unwrap(), None);
    assert_eq!(sessions_of(&mut snap, "ada", None).await, all[..5]);
    assert_eq!(
        sessions_of(&mut snap, "ada", Some(625)).await,
        ["twin", "used"]
    );

    let mut row = async |id| session(&mut snap, id).await.unwrap().unwrap();
    let ended = |row: &SessionRow| (row.ended_at, row.ended_why.clone());
    let (left, stolen, used) = (row("left").await, row("stolen").await, row("used").await);
    assert_eq!(ended(&left), (Some(at(400)), Some("signed_out".to_owned())));
    assert_eq!(
        ended(&stolen),
        (Some(at(500)), Some(accounts::REUSED.to_owned()))
    );
    assert_eq!((ended(&used), used.outdated), ((None, None), false));
    assert!(row("outdated").await.outdated);
    let said = world.open("ada", "ip", &used.ip).await;
    assert_eq!(said.as_deref(), Some("192.0.2.7"));
    let said = world.open("ada", "user_agent", &used.user_agent).await;
    assert_eq!(said.as_deref(), Some("browser of ada"));

    // Page by page, over two that began at the same moment.
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let from = after
            .as_ref()
            .map(|(at, id): &(_, String)| (*at, id.as_str()));
        let page = sessions(&mut snap, "ada", None, from, 1).await.unwrap();
        let row = page.items.into_iter().next().unwrap();
        after = Some((row.started_at, row.id.clone()));
        seen.push(row.id);
        if !page.has_next {
            break;
        }
    }
    assert_eq!(seen, all[..5]);
    world.consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_listed_and_found_when_they_are_due() {
    let world = World::new().await;
    let log = world.log().await;
    let mut snap = world.snapshot().await;
    let depot = api_key(&mut snap, "depot").await.unwrap().unwrap();
    let rotated = recorded(&log, "depot", "api_key.rotated");
    assert_eq!(depot.rotated_at, Some(rotated.recorded_at));
    assert_eq!((depot.version, depot.position), (2, rotated.position));
    let issued = recorded(&log, "depot", "api_key.issued");
    assert_eq!(depot.issued_at, issued.recorded_at);
    assert_eq!(
        (depot.issued_by.as_str(), depot.bootstrap),
        ("user:root", false)
    );
    assert_eq!(
        (depot.name.as_str(), depot.last_four.as_str()),
        ("key depot", "Zz9z")
    );
    assert_eq!(depot.previous_until, Some(at(300)));
    let scopes = BTreeSet::from([Scope::VehiclesRead, Scope::LogsWrite]);
    assert_eq!((depot.scopes, depot.rotate_every_s), (scopes, Some(3_600)));
    let (state, _) = load::<ApiKey>(&world, "depot").await;
    assert_eq!(depot.expires_at, state.current.unwrap().until);
    let feed = api_key(&mut snap, "feed").await.unwrap().unwrap();
    assert_eq!((feed.last_four.as_str(), feed.bootstrap), ("aB3d", true));
    assert_eq!((feed.rotated_at, feed.previous_until), (None, None));
    let gone = api_key(&mut snap, "gone").await.unwrap().unwrap();
    let revoked = recorded(&log, "gone", "api_key.revoked");
    assert_eq!(gone.revoked_at, Some(revoked.recorded_at));
    assert_eq!(api_key(&mut snap, "none").await.unwrap(), None);

    let filter = |include_revoked, issued_by: Option<&str>| ApiKeyFilter {
        include_revoked,
        issued_by: issued_by.map(str::to_owned),
    };
    let mut list = async |filter, after, first| {
        let page = api_keys(&mut snap, &filter, after, first).await.unwrap();
        let ids: Vec<_> = page.items.into_iter().map(|row| row.id).collect();
        (ids.join(" "), page.has_next)
    };
    let told = |ids: &str, has_next| (ids.to_owned(), has_next);
    let all = filter(true, Some("user:root"));
    assert_eq!(
        list(all.clone(), None, 10).await,
        told("depot feed gone over still", false)
    );
    assert_eq!(list(all, Some("feed"), 2).await, told("gone over", true));
    assert_eq!(
        list(filter(false, None), None, 10).await,
        told("depot feed over still", false)
    );
    assert_eq!(
        list(filter(true, Some("user:eve")), None, 10).await,
        told("", false)
    );

    let mut due = async |now, limit| {
        let due = api_keys_due(&mut snap, now, limit).await.unwrap();
        due.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let feed_due = feed.issued_at + TimeDelta::seconds(60);
    let depot_due = rotated.recorded_at + TimeDelta::seconds(3_600);
    let moment = TimeDelta::microseconds(1);
    assert_eq!(due(feed_due - moment, 10).await, [""; 0]);
    assert_eq!(due(feed_due, 10).await, ["feed"]);
    assert_eq!(due(depot_due - moment, 10).await, ["feed"]);
    assert_eq!(due(depot_due, 10).await, ["feed", "depot"]);
    assert_eq!(due(depot_due, 1).await, ["feed"]);
    world.consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_told_as_their_streams_say() {
    let world = World::new().await;
    let log = world.log().await;
    let mut snap = world.snapshot().await;
    let north = tenant(&mut snap, "north").await.unwrap().unwrap();
    let created = recorded(&log, "north", "tenant.created");
    let suspended = recorded(&log, "north", "tenant.suspended");
    assert_eq!((north.name.as_str(), north.version), ("North", 3));
    assert_eq!(north.created_at, created.recorded_at);
    assert_eq!(north.suspended_at, Some(suspended.recorded_at));
    assert_eq!(north.suspended_reason.as_deref(), Some("unpaid"));
    let south = tenant(&mut snap, "south").await.unwrap().unwrap();
    assert_eq!((south.suspended_at, south.suspended_reason), (None, None));
    assert_eq!(tenant(&mut snap, "west").await.unwrap(), None);
    let page = tenants(&mut snap, None, 1).await.unwrap();
    assert_eq!((page.items[0].id.as_str(), page.has_next), ("north", true));
    let page = tenants(&mut snap, Some("north"), 1).await.unwrap();
    assert_eq!((page.items[0].id.as_str(), page.has_next), ("south", false));
    world.consumers.stop().await;
}
