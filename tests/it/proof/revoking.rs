//! What was taken back on one node is good on no other within five seconds, with settings as shipped.

use std::time::Instant;

use serde_json::{Value, json};

use super::scene::{Tokens, ask, kept, nodes, refresh, register, sign_in, soon, told, turned_away};
use crate::support::{TestApp, TestRedis};

const REFUSED: &str = "UNAUTHENTICATED";

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_outlives_its_revocation_on_a_second_node() {
    check(&nodes(None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_nothing_outlives_its_revocation_on_a_second_node() {
    let redis = TestRedis::start().await;
    check(&nodes(Some(&redis)).await).await;
}

/// Somebody who signed in, and is known to the second node.
async fn known(nodes: &[TestApp; 2], name: &str, roles: &[&str]) -> (String, Tokens) {
    let email = format!("{name}@example.org");
    let id = register(&nodes[0], &email, name, roles).await;
    let tokens = sign_in(&nodes[0], &email).await;
    assert_eq!(turned_away(&nodes[1], &tokens.access).await, None, "{name}");
    (id, tokens)
}

async fn check(nodes: &[TestApp; 2]) {
    let [first, second] = nodes;
    let (_, out) = known(nodes, "signed-out", &["VIEWER"]).await;
    let (_, everywhere) = known(nodes, "everywhere", &["VIEWER"]).await;
    let (_, changed) = known(nodes, "changed", &["VIEWER"]).await;
    let (gone_id, gone) = known(nodes, "deactivated", &["VIEWER"]).await;
    let (erased_id, erased) = known(nodes, "erased", &["VIEWER"]).await;
    let (_, stolen) = known(nodes, "stolen", &["VIEWER"]).await;
    let (less_id, less) = known(nodes, "downgraded", &["OPERATOR"]).await;
    let (former_id, former) = known(nodes, "dismissed", &["ADMIN"]).await;
    // The family's first two numbers are given up, so that the first one is a sign of theft at once.
    let second_given = refresh(first, &stolen.refresh).await.unwrap();
    refresh(first, &second_given.refresh).await.unwrap();
    let issue = "mutation($input: IssueApiKeyInput!) { issueApiKey(input: $input) {
        apiKey { id } secret userErrors { code path } } }";
    let order = json!({ "name": "feed", "scopes": ["vehicles:read"] });
    let key = kept(first, issue, order.clone()).await;
    let key_secret = key["secret"].as_str().unwrap().to_owned();
    let of_gone = told(first, Some(&gone.access), issue, order).await;
    let of_gone = of_gone["secret"].as_str().unwrap().to_owned();
    for secret in [&key_secret, &of_gone] {
        assert_eq!(turned_away(second, secret).await, None);
    }
    let operator_token = first.token(&[daybook::auth::Role::Viewer], "default");
    assert_eq!(turned_away(second, &operator_token).await, None);
    assert_eq!(creates(second, &less.access, "before").await, json!(null));
    assert_eq!(lists_tenants(second, &former.access).await, json!(null));

    let sign_out = "mutation($input: SignOutInput) { signOut(input: $input) {
        userErrors { code path } } }";
    let user = |field: &str| {
        format!(
            "mutation($input: {}!) {{ {field}(input: $input) {{ userErrors {{ code path }} }} }}",
            match field {
                "deactivateUser" => "DeactivateUserInput",
                "erasePersonalData" => "UserInput",
                _ => "UserRoleInput",
            }
        )
    };
    // Each is timed from when it was begun.
    let mut over: Vec<(&str, &str, Instant)> = Vec::new();
    let at = Instant::now();
    done(told(first, Some(&out.access), sign_out, json!({})).await);
    over.push(("signed out", &out.access, at));
    let at = Instant::now();
    let input = json!({ "everywhere": true });
    done(told(first, Some(&everywhere.access), sign_out, input).await);
    over.push(("signed out everywhere", &everywhere.access, at));
    let at = Instant::now();
    done(told(first, Some(&operator_token), sign_out, json!({})).await);
    over.push(("a token of no session, given up", &operator_token, at));
    let at = Instant::now();
    done(kept(first, &user("deactivateUser"), json!({ "userId": gone_id })).await);
    over.push(("deactivated", &gone.access, at));
    over.push(("a key of somebody deactivated", &of_gone, at));
    let at = Instant::now();
    done(
        kept(
            first,
            &user("erasePersonalData"),
            json!({ "userId": erased_id }),
        )
        .await,
    );
    over.push(("erased", &erased.access, at));
    let at = Instant::now();
    let reused = refresh(first, &stolen.refresh).await;
    assert_eq!(reused.unwrap_err(), "REFRESH_REUSED");
    over.push(("of a family that was stolen", &stolen.access, at));
    let at = Instant::now();
    let revoke = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) {
        userErrors { code path } } }";
    done(kept(first, revoke, json!({ "id": key["apiKey"]["id"] })).await);
    over.push(("a key that was revoked", &key_secret, at));
    let at = Instant::now();
    let change = "mutation($input: ChangePasswordInput!) { changePassword(input: $input) {
        userErrors { code path } } }";
    let passwords = json!({ "currentPassword": super::scene::PASSWORD,
                            "newPassword": "incorrect horse battery staple" });
    done(told(first, Some(&changed.access), change, passwords).await);
    over.push(("of before the password was changed", &changed.access, at));
    let downgraded = Instant::now();
    let role = json!({ "userId": less_id, "role": "OPERATOR" });
    done(kept(first, &user("revokeRole"), role).await);
    let role = json!({ "userId": former_id, "role": "ADMIN" });
    // The last administrator stays one.
    let (_, _) = known(nodes, "other-admin", &["ADMIN"]).await;
    done(kept(first, &user("revokeRole"), role).await);

    for (what, token, since) in over {
        soon(since, what, async || {
            turned_away(second, token).await.as_deref() == Some(REFUSED)
        })
        .await;
        let again = turned_away(second, token).await;
        assert_eq!(again.as_deref(), Some(REFUSED), "it stays so: {what}");
    }
    let mut nth = 0;
    soon(downgraded, "a role that was taken", async || {
        nth += 1;
        creates(second, &less.access, &format!("after-{nth}")).await == "FORBIDDEN"
    })
    .await;
    soon(downgraded, "an administrator dismissed", async || {
        lists_tenants(second, &former.access).await == "FORBIDDEN"
    })
    .await;
    // The person is still let in: only the role is gone.
    assert_eq!(turned_away(second, &less.access).await, None);
    // What nobody took back is good.
    assert_eq!(turned_away(second, second.own_token()).await, None);
}

fn done(told: Value) {
    assert_eq!(told["userErrors"], json!([]));
}

/// What an operator may do: the code of the refusal, null if it was done.
async fn creates(app: &TestApp, token: &str, id: &str) -> Value {
    let document = "mutation($input: CreateFleetInput!) { createFleet(input: $input) {
        userErrors { code } } }";
    let input = json!({ "input": { "id": id, "name": id } });
    let answer = ask(app, Some(token), document, input).await;
    answer["errors"][0]["extensions"]["code"].clone()
}

/// What an administrator of the default tenant may do: the code of the refusal, null if they may.
async fn lists_tenants(app: &TestApp, token: &str) -> Value {
    let answer = ask(app, Some(token), "{ tenants { nodes { id } } }", json!({})).await;
    answer["errors"][0]["extensions"]["code"].clone()
}
