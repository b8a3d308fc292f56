//! Signing in and staying so, section K of `docs/promises.md`: refresh tokens, wrong passwords, how often
//! they are tried.

use std::time::Duration;

use chrono::TimeDelta;
use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{As, PASSWORD, Person, SESSION, SOUTH, Scene, clock, email, outcome, person};
use crate::support::{Heard, Reply};

fn refreshed(told: &Value) -> Person {
    assert_eq!(outcome(told), "ok", "{told}");
    person(&told["data"]["refreshSession"]["session"], "ann")
}

/// K1: a token that was given up ends the session for everybody, and the log tells of it.
#[tokio::test]
async fn k1_a_stolen_token_ends_the_session() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let other = scene.sign_in("default", "ann").await;
    let next = refreshed(&scene.refresh(&ann.refresh).await);
    hand.advance(TimeDelta::seconds(10));
    assert_eq!(outcome(&scene.refresh(&ann.refresh).await), "ok", "10 s");
    hand.advance(TimeDelta::milliseconds(1));
    assert_eq!(
        outcome(&scene.refresh(&ann.refresh).await),
        "REFRESH_REUSED"
    );
    for token in [&ann.refresh, &next.refresh] {
        assert_eq!(outcome(&scene.refresh(token).await), "SESSION_REVOKED");
    }
    for access in [&ann.access, &next.access] {
        assert_eq!(scene.standing(access).await, "UNAUTHENTICATED");
    }
    assert_eq!(scene.standing(&other.access).await, "ok", "another session");
    let query = "{ events(types: [\"session.reuse_detected\"]) { nodes { aggregateId } } }";
    let admin = scene.admin("default");
    let told = scene.settled(&admin, "default", query, json!({})).await;
    assert_eq!(
        told["data"]["events"]["nodes"],
        json!([{ "aggregateId": ann.session }])
    );
    // By REST it is a status.
    let third = refreshed(&scene.refresh(&other.refresh).await);
    hand.advance(TimeDelta::seconds(11));
    let body = json!({ "refreshToken": other.refresh });
    let reply = scene.post(&As::Nobody, "/api/jwt/refresh", &body).await;
    assert_eq!(
        (reply.status, outcome(&reply.json())),
        (401, "REFRESH_REUSED")
    );
    assert_eq!(scene.standing(&third.access).await, "UNAUTHENTICATED");
}

/// K2, K3: whoever asks twice, or twenty times at once, is given one successor.
#[tokio::test]
async fn k3_one_successor_however_often_it_is_asked_for() {
    let scene = Scene::start().await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let at_once = (0..20).map(|_| scene.refresh(&ann.refresh));
    let told = futures::future::join_all(at_once).await;
    let mut given: Vec<String> = told.iter().map(|told| refreshed(told).refresh).collect();
    given.push(refreshed(&scene.refresh(&ann.refresh).await).refresh);
    given.dedup();
    assert_eq!(given.len(), 1, "{given:?}");
    assert_ne!(given[0], ann.refresh);
    let query = "query($id: String!) { events(aggregate: { type: \"session\", id: $id }) {
                 nodes { type } } }";
    let variables = json!({ "id": ann.session });
    let admin = scene.admin("default");
    let told = scene.settled(&admin, "default", query, variables).await;
    let types = json!([{ "type": "session.started" }, { "type": "session.refreshed" }]);
    assert_eq!(told["data"]["events"]["nodes"], types);
    // From another node as well.
    let beside = scene.beside().await;
    let (here, there) = tokio::join!(scene.refresh(&given[0]), beside.refresh(&given[0]));
    assert_eq!(refreshed(&here).refresh, refreshed(&there).refresh);
}

/// K4, K5: refresh tokens that are good for nothing, and why.
#[tokio::test]
async fn k4_refresh_tokens_that_are_refused() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    scene.tenant(SOUTH).await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let parts: Vec<&str> = ann.refresh.split('.').collect();
    let [kind, tenant, session, number, proof] = parts[..] else {
        panic!("{}", ann.refresh);
    };
    let foreign = scene.person(SOUTH, "ann", &[Role::Viewer]).await;
    let of_theirs: Vec<&str> = foreign.refresh.split('.').collect();
    let elsewhere = of_theirs[1];
    for forged in [
        String::new(),
        "dbr".to_owned(),
        "dbr....".to_owned(),
        format!("{kind}.{elsewhere}.{session}.{number}.{proof}"),
        format!("{kind}.{tenant}.{}.{number}.{proof}", of_theirs[2]),
        format!("{kind}.{tenant}.{session}.Mg.{proof}"),
        format!("{kind}.{tenant}.{session}.{number}."),
        format!("{kind}.{tenant}.{session}.{number}.{}", "A".repeat(43)),
        format!("dbv.{tenant}.{session}.{number}.{proof}"),
        format!("{}=", ann.refresh),
        format!(" {}", ann.refresh),
        ann.access.secret().to_owned(),
        "x".repeat(100_000),
        "' or 1=1 --".to_owned(),
    ] {
        let told = scene.refresh(&forged).await;
        assert_eq!(outcome(&told), "INVALID_TOKEN", "{forged:.80}: {told}");
    }
    // A refresh token lets nobody in.
    assert_eq!(
        scene.standing(&As::Token(ann.refresh.clone())).await,
        "UNAUTHENTICATED"
    );
    // Used every six days it slides, but not beyond thirty.
    let mut last = ann;
    for _ in 0..4 {
        hand.advance(TimeDelta::days(6));
        last = refreshed(&scene.refresh(&last.refresh).await);
    }
    hand.advance(TimeDelta::days(6));
    assert_eq!(
        outcome(&scene.refresh(&last.refresh).await),
        "TOKEN_EXPIRED"
    );
    // Not used it ends after seven.
    let idle = scene.sign_in("default", "ann").await;
    hand.advance(TimeDelta::days(7));
    assert_eq!(
        outcome(&scene.refresh(&idle.refresh).await),
        "TOKEN_EXPIRED"
    );
    // Of those who may not sign in.
    let ben = scene.person("default", "ben", &[Role::Viewer]).await;
    let deactivate =
        "mutation($i: DeactivateUserInput!) { deactivateUser(input: $i) { userErrors { code } } }";
    let id = json!({ "userId": ben.id });
    let admin = scene.admin("default");
    scene.done(&admin, deactivate, id.clone()).await;
    assert_eq!(
        outcome(&scene.refresh(&ben.refresh).await),
        "SESSION_REVOKED"
    );
    let reactivate =
        "mutation($i: UserInput!) { reactivateUser(input: $i) { userErrors { code } } }";
    scene.done(&admin, reactivate, id).await;
    assert_eq!(
        outcome(&scene.refresh(&ben.refresh).await),
        "SESSION_REVOKED"
    );
    // K5: of those who signed out, here or everywhere.
    let (one, two) = (
        scene.sign_in("default", "ben").await,
        scene.sign_in("default", "ben").await,
    );
    let sign_out = "mutation($i: SignOutInput) { signOut(input: $i) { userErrors { code } } }";
    scene.done(&one.access, sign_out, json!({})).await;
    assert_eq!(
        outcome(&scene.refresh(&one.refresh).await),
        "SESSION_REVOKED"
    );
    assert_eq!(scene.standing(&two.access).await, "ok");
    scene
        .done(&two.access, sign_out, json!({ "everywhere": true }))
        .await;
    assert_eq!(
        outcome(&scene.refresh(&two.refresh).await),
        "SESSION_REVOKED"
    );
    assert_eq!(scene.standing(&two.access).await, "UNAUTHENTICATED");
}

/// People who cannot sign in with [`PASSWORD`], or with any.
async fn strangers(scene: &Scene) -> Vec<(&'static str, String, &'static str)> {
    let admin = scene.admin("default");
    scene.register("default", "ann", &[Role::Viewer]).await;
    let gone = scene.register("default", "gone", &[]).await;
    let erased = scene.register("default", "erased", &[]).await;
    for (mutation, input, id) in [
        ("deactivateUser", "DeactivateUserInput", &gone),
        ("erasePersonalData", "UserInput", &erased),
    ] {
        let query = format!(
            "mutation($i: {input}!) {{ {mutation}(input: $i) {{ userErrors {{ code }} }} }}"
        );
        scene.done(&admin, &query, json!({ "userId": id })).await;
    }
    let invited =
        "mutation($i: RegisterUserInput!) { registerUser(input: $i) { userErrors { code } } }";
    let input = json!({ "email": email("invited"), "name": "Invited" });
    scene.done(&admin, invited, input).await;
    vec![
        ("nobody", email("nobody"), PASSWORD),
        ("wrong password", email("ann"), "wrong horse battery staple"),
        ("deactivated", email("gone"), PASSWORD),
        ("erased", email("erased"), PASSWORD),
        ("no password yet", email("invited"), PASSWORD),
        ("no address", "no address".to_owned(), PASSWORD),
        ("sql", "' or 1=1 --@x.example".to_owned(), PASSWORD),
    ]
}

/// K6: why somebody is not let in is told by nothing: not by the answer, not by what is looked up.
#[tokio::test]
async fn k6_nobody_learns_who_is_known() {
    let heard = Heard::listen();
    let scene = Scene::start().await;
    let mut told = Vec::new();
    for (who, email, password) in strangers(&scene).await {
        // What is set up once for all is set up.
        scene.try_sign_in("default", &email, password).await;
        heard.take();
        let mut answer = scene.try_sign_in("default", &email, password).await;
        assert_eq!(outcome(&answer), "SIGN_IN_FAILED", "{who}");
        answer.as_object_mut().unwrap().remove("extensions");
        let statements = heard
            .statements()
            .into_iter()
            .map(|(statement, _)| statement);
        told.push((who, answer, statements.collect::<Vec<_>>()));
    }
    for (who, answer, statements) in &told[1..] {
        assert_eq!(*answer, told[0].1, "{who}");
        // Whoever knows the password may learn that it is good no more.
        if *who != "deactivated" {
            assert_eq!(*statements, told[0].2, "{who}");
        }
    }
    // Another tenant, known or not, is as this one without such an account.
    for tenant in ["default", "nowhere", "Not A Tenant", ""] {
        let told = scene.try_sign_in(tenant, &email("nobody"), PASSWORD).await;
        assert_eq!(outcome(&told), "SIGN_IN_FAILED", "{tenant:?}: {told}");
    }
    // Six wrong ones lock nobody out whose turn it is.
    let ann = scene.sign_in("default", "ann").await;
    assert_eq!(scene.standing(&ann.access).await, "ok");
}

/// K6, K8: a hash is worked out for everybody, known or not: with one at a time, several at once get in each
/// other's way. For what cannot be a password there is none.
#[tokio::test]
async fn k6_everybody_costs_a_hash() {
    let scene = Scene::with(|settings| {
        settings.auth.password_checks_max = 1;
        settings.auth.password_wait = Duration::from_millis(10);
    })
    .await;
    for (who, email, password) in strangers(&scene).await {
        let at_once = (0..8).map(|_| scene.try_sign_in("default", &email, password));
        let told = futures::future::join_all(at_once).await;
        let outcomes: Vec<&str> = told.iter().map(outcome).collect();
        assert!(outcomes.contains(&"OVERLOADED"), "{who}: {outcomes:?}");
        assert!(outcomes.contains(&"SIGN_IN_FAILED"), "{who}: {outcomes:?}");
    }
    let long = "x".repeat(128 << 10);
    for password in ["", long.as_str(), &"\u{1f511}".repeat(129)] {
        for address in [email("ann"), email("nobody")] {
            let at_once = (0..8).map(|_| scene.try_sign_in("default", &address, password));
            for told in futures::future::join_all(at_once).await {
                assert_eq!(outcome(&told), "VALIDATION", "{password:.20}: {told}");
            }
        }
    }
    let told = scene
        .try_sign_in("default", &email("ann"), "nul\0nul")
        .await;
    assert_eq!(outcome(&told), "BAD_TEXT", "{told}");
}

async fn rest_sign_in(scene: &Scene, account: &str, password: &str) -> Reply {
    let body = json!({ "email": account, "password": password });
    scene.post(&As::Nobody, "/api/v1/auth/sign-in", &body).await
}

/// K7: the eleventh in a minute of an address; the sixth of an account, which is locked for nobody for good.
#[tokio::test]
async fn k7_tries_are_counted() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |settings| {
        settings.limits = daybook::config::Settings::default().limits;
        settings.limits.enabled = true;
    })
    .await;
    scene.register("default", "ann", &[Role::Viewer]).await;
    let address = email("ann");
    for _ in 0..5 {
        let reply = rest_sign_in(&scene, &address, "wrong").await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (401, "SIGN_IN_FAILED")
        );
    }
    for who in [&address, &address.to_uppercase()] {
        let reply = rest_sign_in(&scene, who, PASSWORD).await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (429, "RATE_LIMITED")
        );
        assert_eq!(reply.json()["quota"], "sign_in_account");
        assert_eq!(reply.header("retry-after"), "1");
        assert_ne!(reply.header("ratelimit"), "");
    }
    // Whoever waits as long as they were told is let in with the right one.
    hand.advance(TimeDelta::seconds(1));
    let reply = rest_sign_in(&scene, &address, PASSWORD).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    // The address begins anew.
    hand.advance(TimeDelta::minutes(2));
    for n in 0..10 {
        let reply = rest_sign_in(&scene, &email(&format!("n{n}")), "wrong").await;
        assert_eq!(reply.status, 401, "{n}: {}", reply.json());
    }
    let reply = rest_sign_in(&scene, &address, PASSWORD).await;
    assert_eq!(
        (reply.status, outcome(&reply.json())),
        (429, "RATE_LIMITED")
    );
    assert_eq!(reply.json()["quota"], "sign_in_address");
    assert_eq!(reply.header("retry-after"), "6");
    // By GraphQL the same is told in the answer.
    let told = scene.try_sign_in("default", &address, PASSWORD).await;
    assert_eq!(outcome(&told), "RATE_LIMITED");
    assert_eq!(told["errors"][0]["extensions"]["retryAfterMs"], 6_000);
    hand.advance(TimeDelta::seconds(6));
    let told = scene.try_sign_in("default", &address, PASSWORD).await;
    assert_eq!(outcome(&told), "ok", "{told}");
}

/// K7: a token that was found is no way to guess the password.
#[tokio::test]
async fn k7_the_present_password_is_guessed_no_faster() {
    let (clock, _) = clock();
    let scene = Scene::at(clock, |settings| settings.limits.account_attempts = 5).await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let query = format!(
        "mutation($i: ChangePasswordInput!) {{ changePassword(input: $i) {{ {SESSION} }} }}"
    );
    let guess = async |current: &str| {
        let input =
            json!({ "currentPassword": current, "newPassword": "another horse altogether" });
        let told = scene.ask(&ann.access, &query, json!({ "i": input })).await;
        outcome(&told).to_owned()
    };
    for n in 0..5 {
        assert_eq!(guess(&format!("guess {n}")).await, "SIGN_IN_FAILED");
    }
    assert_eq!(guess(PASSWORD).await, "RATE_LIMITED");
    let ann = scene.sign_in("default", "ann").await;
    assert_eq!(scene.standing(&ann.access).await, "ok");
}

/// A link is good once and for a while, and sets no password that is guessed first.
#[tokio::test]
async fn links_are_good_once() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |_| ()).await;
    let invite = async |name: &str| {
        let query = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                     user { id } verificationToken userErrors { code } } }";
        let input = json!({ "email": email(name), "name": name, "roles": ["VIEWER"] });
        let told = scene.done(&scene.admin("default"), query, input).await;
        told["verificationToken"].as_str().unwrap().to_owned()
    };
    let follow = async |token: &str, password: Option<&str>| {
        let query = "mutation($i: VerifyEmailInput!) { verifyEmail(input: $i) {
                     userId userErrors { code } } }";
        let input = json!({ "token": token, "password": password });
        let told = scene.ask(&As::Nobody, query, json!({ "i": input })).await;
        outcome(&told).to_owned()
    };
    let link = invite("ann").await;
    for forged in [
        "",
        "dbv",
        "dbv....",
        "dbv.x.y.z.w.v",
        &link[1..],
        &format!("{link}A"),
    ] {
        assert_eq!(follow(forged, None).await, "INVALID_TOKEN", "{forged:.40}");
    }
    assert_eq!(follow(&link, Some("password")).await, "WEAK_PASSWORD");
    assert_eq!(follow(&link, Some(&email("ann"))).await, "WEAK_PASSWORD");
    assert_eq!(follow(&link, Some(PASSWORD)).await, "ok");
    scene.sign_in("default", "ann").await;
    // Whoever finds it later sets nothing by it.
    assert_eq!(
        follow(&link, Some("another horse altogether")).await,
        "INVALID_TOKEN"
    );
    scene.sign_in("default", "ann").await;
    let late = invite("late").await;
    hand.advance(TimeDelta::hours(24));
    assert_eq!(follow(&late, Some(PASSWORD)).await, "TOKEN_EXPIRED");
}

/// An account that is asked for twice by the same command is one, with its first password.
#[tokio::test]
async fn an_account_asked_for_twice_is_made_once() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let query = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                 user { id } verificationToken receipt { replayed } userErrors { code } } }";
    let other = "another horse altogether";
    let input = |name: &str, password: &str| json!({ "email": email("ann"), "name": name, "password": password, "commandId": "ann" });
    let first = scene.done(&admin, query, input("Ann", PASSWORD)).await;
    assert_ne!(first["verificationToken"], Value::Null);
    // A password is no part of what a command is recognised by: the first one stays.
    for password in [PASSWORD, other] {
        let again = scene.done(&admin, query, input("Ann", password)).await;
        assert_eq!(again["user"], first["user"]);
        assert_eq!(again["receipt"]["replayed"], true);
        assert_eq!(again["verificationToken"], Value::Null, "told once");
    }
    let variables = json!({ "i": input("Eve", other) });
    let refused = scene.ask(&admin, query, variables).await;
    assert_eq!(outcome(&refused), "IDEMPOTENCY_KEY_REUSED");
    scene.sign_in("default", "ann").await;
    let wrong = scene.try_sign_in("default", &email("ann"), other).await;
    assert_eq!(outcome(&wrong), "SIGN_IN_FAILED");
}
