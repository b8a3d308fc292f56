//! What is kept of secrets: digests and what is wrapped, never the secret itself.

use daybook::auth::Role;
use serde_json::json;

use super::scene::{PASSWORD, kept, register, sign_in, turned_away};
use super::traces::{Haystack, tables};
use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn no_table_holds_a_secret_as_it_is() {
    let app = TestApp::start().await;
    register(&app, "ada@example.org", "Ada", &["OPERATOR"]).await;
    let given = sign_in(&app, "ada@example.org").await;
    let issue = "mutation($input: IssueApiKeyInput!) { issueApiKey(input: $input) {
        apiKey { id } secret userErrors { code path } } }";
    let rotate = "mutation($input: RotateApiKeyInput!) { rotateApiKey(input: $input) {
        secret userErrors { code path } } }";
    let order = json!({ "name": "feed", "scopes": ["vehicles:read"] });
    let issued = kept(&app, issue, order).await;
    let rotated = kept(&app, rotate, json!({ "id": issued["apiKey"]["id"] })).await;
    let keys = [&issued, &rotated].map(|told| told["secret"].as_str().unwrap().to_owned());
    for key in &keys {
        assert_eq!(turned_away(&app, key).await, None);
    }
    let mut hay = Haystack::default();
    let rows = tables(app.db(), &mut hay).await;
    for table in ["credentials", "api_key_secrets", "signing_key_secrets"] {
        assert!(rows[&format!("public.{table}")] > 0, "{table} has rows");
    }
    // Nothing of a secret is there, but what tells keys apart for people: the last four characters.
    let [first, second] = keys
        .each_ref()
        .map(|key| &key["dbk_live_".len()..key.len() - 4]);
    let mut secrets = vec![PASSWORD, first, second, &given.access, &given.refresh];
    secrets.push(app.own_token());
    for secret in secrets {
        hay.assert_without(secret);
    }
    // The private parts of the keys that sign, which the vault can read and the tables do not show.
    let wrapped: Vec<(String, Vec<u8>)> =
        sqlx::query_as("select kid, wrapped from signing_key_secrets")
            .fetch_all(app.db().pool())
            .await
            .unwrap();
    for (kid, wrapped) in wrapped {
        let seed = app
            .app()
            .vault
            .unwrap(&["daybook", &kid], &wrapped)
            .unwrap();
        hay.assert_without_bytes(&seed);
    }
    // A copy of the database is nothing to sign in with: what it holds is no credential.
    let held: Vec<String> = sqlx::query_scalar(
        "select password_hash from credentials
         union all select encode(hash, 'hex') from api_key_secrets",
    )
    .fetch_all(app.db().pool())
    .await
    .unwrap();
    for held in held {
        let shown = turned_away(&app, &held).await;
        assert_eq!(shown.as_deref(), Some("UNAUTHENTICATED"));
    }
    assert_eq!(
        turned_away(&app, &app.token(&[Role::Viewer], "default")).await,
        None
    );
}
