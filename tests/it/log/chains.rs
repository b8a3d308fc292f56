//! Chains: what was decided on an event that is then lost is lost with it, whatever the versions say.

use daybook::store::{Append, Basis, Store, digest};
use uuid::Uuid;

use super::scene::{Hold, append, claim, flaws, named, one, store, tenant, told, write};
use crate::support::TestDb;

/// One event on a stream, decided on this basis.
fn on(basis: &Basis, id: &str, expected: i64) -> Append {
    let mut append = one(id, expected);
    append.writes[0].basis = basis.clone();
    append
}

/// The same, claiming a plate.
fn claiming(basis: &Basis, id: &str, expected: i64, plate: &str) -> Append {
    Append {
        claims: vec![claim(plate, id, false)],
        ..on(basis, id, expected)
    }
}

async fn outcomes(store: &Store, appends: Vec<Append>) -> Vec<String> {
    let submit = |append| store.submit(&tenant(), append).unwrap();
    let pending: Vec<_> = appends.into_iter().map(submit).collect();
    let mut outcomes = Vec::new();
    for pending in pending {
        outcomes.push(told(pending.outcome().await));
    }
    outcomes
}

#[tokio::test]
async fn a_chain_is_kept_together_or_not_at_all() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let holder = Append {
        claims: vec![claim("W-1", "w", false)],
        ..one("w", 0)
    };
    assert_eq!(outcomes(&store, vec![holder]).await, ["kept p1 v1"]);

    let (good, bad) = (Basis::default(), Basis::default());
    let group = vec![
        on(&bad, "a", 0),
        claiming(&bad, "a", 1, "W-1"),
        on(&good, "b", 0),
        on(&bad, "a", 2),
        on(&good, "b", 1),
    ];
    let expected = [
        "stale",
        "claimed 0 by w",
        "kept p2 v1",
        "stale",
        "kept p3 v2",
    ];
    assert_eq!(outcomes(&store, group).await, expected);
    assert!(bad.is_withdrawn() && !good.is_withdrawn());
    assert_eq!(outcomes(&store, vec![on(&bad, "a", 0)]).await, ["stale"]);
    assert_eq!(outcomes(&store, vec![one("a", 0)]).await, ["kept p4 v1"]);

    // One chain through two streams: what touches both binds them together.
    let moved = Basis::default();
    let mut through = append(vec![write("c", 1, 1), write("d", 0, 1)]);
    through
        .writes
        .iter_mut()
        .for_each(|w| w.basis = moved.clone());
    let group = vec![on(&moved, "c", 0), through, on(&moved, "d", 5), one("e", 0)];
    let told = outcomes(&store, group).await;
    assert_eq!(told[..2], ["kept p5 v1", "kept p7 v0"]);
    assert_eq!(told[2], "conflict vehicle-d v1");
    assert!(told[3].starts_with("kept"));
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

#[tokio::test]
async fn a_replay_in_a_chain_withdraws_what_was_decided_on_it() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let id = Uuid::now_v7();
    let first = named(id, 1, vec![write("a", 0, 1)]);
    assert_eq!(outcomes(&store, vec![first]).await, ["kept p1 v1"]);

    // The retry is decided anew, and its caller's next command on top of that.
    let basis = Basis::default();
    let mut retry = named(id, 1, vec![write("a", 1, 1)]);
    retry.writes[0].basis = basis.clone();
    let group = vec![retry, on(&basis, "a", 2)];
    assert_eq!(outcomes(&store, group).await, ["replayed p1 v1", "stale"]);
    assert!(basis.is_withdrawn());
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// The earlier command of a chain waits for a plate that it will not get, and meanwhile another process
/// appends just as many events: the version fits, the decision does not.
#[tokio::test]
async fn a_version_that_fits_by_chance_saves_no_decision() {
    let db = TestDb::create().await;
    let (ours, theirs) = (store(db.options()).await, store(db.options()).await);
    assert_eq!(outcomes(&ours, vec![one("a", 0)]).await, ["kept p1 v1"]);

    let hash = claim("W-1", "", false).value_hash;
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let taken = format!("insert into claims values ('default', 'vehicle.plate', '\\x{hex}', 'w')");
    let mut hold = Hold::with(db.options(), &taken).await;
    let basis = Basis::default();
    let submit = |append| ours.submit(&tenant(), append).unwrap();
    let first = submit(claiming(&basis, "a", 1, "W-1"));
    hold.until_waiting(1).await;
    let second = submit(on(&basis, "a", 2));
    let third = submit(append(vec![{
        let mut relies = write("a", 3, 0);
        relies.basis = basis.clone();
        relies
    }]));
    assert_eq!(outcomes(&theirs, vec![one("a", 1)]).await, ["kept p2 v2"]);
    hold.release().await;

    assert_eq!(told(first.outcome().await), "claimed 0 by w");
    assert_eq!(told(second.outcome().await), "stale");
    assert_eq!(told(third.outcome().await), "stale");
    assert_eq!(outcomes(&ours, vec![one("a", 2)]).await, ["kept p3 v3"]);
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}

/// The same where the database refuses the first for what it holds, so that the group is cut down.
#[tokio::test]
async fn a_group_that_is_cut_down_saves_no_decision_either() {
    let db = TestDb::create().await;
    let (ours, theirs) = (store(db.options()).await, store(db.options()).await);
    // A key too long for an index is found out under the head's lock.
    let random = |i: u32| Uuid::from_bytes(digest(&[&i.to_be_bytes()]));
    let too_long: String = (0..400).map(|i| random(i).to_string()).collect();
    for round in 0..3 {
        let id = format!("a{round}");
        let mut hold = Hold::head(db.options()).await;
        let basis = Basis::default();
        let mut broken = on(&basis, &id, 0);
        broken.writes.push(write(&too_long, 0, 1));
        let first = ours.submit(&tenant(), broken).unwrap();
        let second = ours.submit(&tenant(), on(&basis, &id, 1)).unwrap();
        hold.until_waiting(1).await;
        let other = tokio::spawn({
            let (theirs, id) = (theirs.clone(), id.clone());
            async move { told(theirs.append(&tenant(), one(&id, 0)).await) }
        });
        hold.until_waiting(2).await;
        hold.release().await;
        let first = told(first.outcome().await);
        assert!(!first.starts_with("kept"), "{first}");
        assert_eq!(told(second.outcome().await), "stale", "round {round}");
        let other = other.await.unwrap();
        assert!(
            other.starts_with("kept") && other.ends_with("v1"),
            "{other}"
        );
    }
    assert_eq!(flaws(db.pool()).await, [""; 0]);
}
