//! What is written into fields of identity, section N of `docs/promises.md`: it is data or refused.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{As, SOUTH, Scene, email, outcome};

/// Texts that other languages than ours read something into (N1, N4, N5, N8, N10, N13), and shapes that are no
/// text at all where one is due.
fn texts() -> Vec<Value> {
    let mut texts: Vec<Value> = [
        "'; drop table events;--",
        "\\'; drop table events;--",
        "$1; select pg_sleep(10)",
        "\r\nFLUSHALL\r\n",
        "*3\r\n$3\r\nSET\r\n",
        "{user}:*?[a-z]",
        "return redis.call('flushall')",
        "<script>alert(1)</script>",
        "javascript:alert(1)",
        "{{7*7}}{% raw %}${env}#{1}",
        "*)(uid=*))(|(uid=*",
        "{\"$gt\":\"\"}",
        "=cmd()|' /C calc'!A0",
        "\u{202e}gnp.exe\u{200b}",
        "\u{1b}[31m\n{\"level\":\"info\"}",
        "../../etc/passwd%00",
        "\u{0}",
        "",
        " ",
        "\u{fe0f}",
    ]
    .iter()
    .map(|text| json!(text))
    .collect();
    texts.push(json!("x".repeat(10_000)));
    texts.push(json!("\u{1f469}\u{200d}\u{1f680}".repeat(400)));
    texts.extend([
        json!({ "$gt": "" }),
        json!([]),
        json!(7),
        json!(true),
        Value::Null,
    ]);
    texts
}

/// Inputs that are good but for the field a text is put into.
fn inputs(ann: &str, key: &str, session: &str) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "signIn",
            "SignIn",
            json!({ "email": email("ann"), "password": "wrong", "tenant": "default" }),
        ),
        (
            "refreshSession",
            "RefreshSession",
            json!({ "refreshToken": "dbr.x" }),
        ),
        (
            "verifyEmail",
            "VerifyEmail",
            json!({ "token": "dbv.x", "password": "wrong" }),
        ),
        (
            "changePassword",
            "ChangePassword",
            json!({ "currentPassword": "wrong", "newPassword": "wrong" }),
        ),
        ("signOut", "SignOut", json!({ "sessionId": session })),
        (
            "registerUser",
            "RegisterUser",
            json!({ "email": email("eve"), "name": "Eve", "password": "weak", "commandId": "c" }),
        ),
        (
            "assignRole",
            "UserRole",
            json!({ "userId": ann, "role": "VIEWER", "commandId": "c" }),
        ),
        (
            "revokeRole",
            "UserRole",
            json!({ "userId": ann, "role": "ANALYST", "commandId": "c" }),
        ),
        (
            "deactivateUser",
            "DeactivateUser",
            json!({ "userId": "nobody", "reason": "r", "commandId": "c", "expectedVersion": 1 }),
        ),
        (
            "reactivateUser",
            "User",
            json!({ "userId": "nobody", "commandId": "c" }),
        ),
        (
            "erasePersonalData",
            "User",
            json!({ "userId": "nobody", "commandId": "c" }),
        ),
        (
            "issueApiKey",
            "IssueApiKey",
            json!({ "name": "k", "scopes": "vehicles:read", "expiresIn": "P1D", "rotateEvery": "P1D",
                    "commandId": "c" }),
        ),
        (
            "rotateApiKey",
            "RotateApiKey",
            json!({ "id": key, "expiresIn": "P1D", "commandId": "c" }),
        ),
        (
            "revokeApiKey",
            "RevokeApiKey",
            json!({ "id": "nobody", "reason": "r", "commandId": "c" }),
        ),
        (
            "createTenant",
            "CreateTenant",
            json!({ "id": "Not One", "name": "T", "commandId": "c" }),
        ),
        (
            "renameTenant",
            "RenameTenant",
            json!({ "id": SOUTH, "name": "S", "commandId": "c" }),
        ),
        (
            "suspendTenant",
            "SuspendTenant",
            json!({ "id": "nobody", "reason": "r", "commandId": "c" }),
        ),
        (
            "resumeTenant",
            "ResumeTenant",
            json!({ "id": "nobody", "commandId": "c" }),
        ),
        (
            "rotateSigningKey",
            "RotateSigningKey",
            json!({ "compromised": "nobody", "commandId": "c" }),
        ),
    ]
}

/// Answers that would say that a text did more than be one.
const BROKEN: &[&str] = &["INTERNAL", "UNAVAILABLE", "TIMEOUT", "GRAPHQL_PARSE_FAILED"];

/// N1, N2, N4, N5, N13: whatever is written into whichever field is kept as it is or refused.
#[tokio::test]
async fn n1_texts_are_data() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let admin = scene.admin("default");
    let (key, _) = scene.key(&admin, &["vehicles:read"]).await;
    let mut wrong = Vec::new();
    for (mutation, input, good) in inputs(&ann.id, &key, &ann.session) {
        let query = format!(
            "mutation($i: {input}Input!) {{ {mutation}(input: $i) {{ userErrors {{ code message path }} }} }}"
        );
        for field in good.as_object().unwrap().keys() {
            for text in texts() {
                let mut planted = good.clone();
                planted[field] = text.clone();
                // A token of its own for each: some use theirs up. Programs have no password to change.
                let program = scene.admin("default");
                let who = match mutation {
                    "changePassword" => &ann.access,
                    _ => &program,
                };
                let reply = scene.request(who, &query, json!({ "i": planted })).await;
                let told = reply.json();
                let code = outcome(&told);
                let echoed = reply.body.len() > 5_000;
                let is_json = reply.header("content-type").contains("json");
                let sniffed = reply.header("x-content-type-options") != "nosniff";
                let out = ["UNAUTHENTICATED", "FORBIDDEN"].contains(&code);
                if out || BROKEN.contains(&code) || echoed || !is_json || sniffed {
                    wrong.push(format!("{mutation}.{field} = {text:.60}: {told:.300}"));
                }
            }
        }
    }
    for query in [
        "query($t: ID!) { user(id: $t) { id } }",
        "query($t: String!) { users(filter: { email: $t }) { nodes { id } } }",
        "query($t: String!) { users(after: $t) { nodes { id } } }",
        "query($t: ID!) { sessions(userId: $t) { nodes { id } } }",
        "query($t: String!) { sessions(after: $t) { nodes { id } } }",
        "query($t: String!) { apiKeys(after: $t) { nodes { id } } }",
        "query($t: String!) { tenants(after: $t) { nodes { id } } }",
    ] {
        for text in texts() {
            let told = scene.ask(&admin, query, json!({ "t": text })).await;
            if BROKEN.contains(&outcome(&told)) || told.to_string().len() > 5_000 {
                wrong.push(format!("{query} {text:.60}: {told:.300}"));
            }
        }
    }
    // The same written into the document itself.
    for text in texts().iter().filter(|text| text.is_string()) {
        for query in [
            format!("{{ user(id: {text}) {{ id }} }}"),
            format!("{{ sessions(userId: {text}) {{ nodes {{ id }} }} }}"),
            format!(
                "mutation {{ signIn(input: {{ email: {text}, password: {text}, tenant: {text} }}) {{ userErrors {{ code }} }} }}"
            ),
            format!(
                "mutation {{ rotateApiKey(input: {{ id: {text} }}) {{ userErrors {{ code }} }} }}"
            ),
            format!(
                "mutation {{ signOut(input: {{ sessionId: {text} }}) {{ userErrors {{ code }} }} }}"
            ),
        ] {
            let told = scene.ask(&scene.admin("default"), &query, json!({})).await;
            let broken = ["INTERNAL", "UNAVAILABLE", "TIMEOUT", "UNAUTHENTICATED"];
            if broken.contains(&outcome(&told)) {
                wrong.push(format!("{query:.100}: {told:.300}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    // All is there as it was.
    let query = "query($id: ID!) { user(id: $id) { id name } }";
    let told = scene
        .settled(&admin, "default", query, json!({ "id": ann.id }))
        .await;
    assert_eq!(told["data"]["user"]["name"], "ann");
}

/// N8: markup in names comes back as it went in, as JSON that nobody takes for anything else.
#[tokio::test]
async fn n8_markup_is_text() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let query = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                 user { name } userErrors { code } } }";
    for (n, name) in [
        "<script>alert(1)</script>",
        "javascript:alert(1)",
        "{{7*7}}",
        "'; drop table users;--",
        "=cmd()",
        "O'Brien \"Bobby\" \\ & <b>",
    ]
    .iter()
    .enumerate()
    {
        let input = json!({ "email": email(&format!("n{n}")), "name": name });
        let reply = scene.request(&admin, query, json!({ "i": input })).await;
        let told = reply.json();
        assert_eq!(
            told["data"]["registerUser"]["user"]["name"], *name,
            "{told}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.header("content-type").contains("json"));
    }
}

/// N14: traces that are none are passed over, and what goes with them is not unbounded.
#[tokio::test]
async fn n14_traces_of_others() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let long = "x".repeat(9_000);
    for (name, value, status) in [
        ("traceparent", "garbage", 200),
        ("traceparent", "00-zz-zz-01", 200),
        (
            "traceparent",
            "00-00000000000000000000000000000000-0000000000000000-01",
            200,
        ),
        ("traceparent", long.as_str(), 200),
        ("tracestate", long.as_str(), 200),
        ("baggage", long.as_str(), 200),
        ("x-correlation-id", long.as_str(), 200),
    ] {
        let headers = [("content-type", "application/json"), (name, value)];
        let body = br#"{"query":"{ me { id } }"}"#;
        let reply = scene.send(&admin, "POST /graphql", &headers, body).await;
        assert_eq!(reply.status, status, "{name}: {value:.40}");
        assert_eq!(reply.header("x-correlation-id").len(), 36, "{name}");
    }
    let huge = "x".repeat(70_000);
    let reply = scene
        .send(&admin, "GET /livez", &[("baggage", &huge)], b"")
        .await;
    assert_eq!(reply.status, 431);
}

/// N15: no caller's word is a label.
#[tokio::test]
async fn n15_labels_are_ours() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let mark = "planted0label";
    scene
        .send(&admin, &format!("GET /{mark}?{mark}={mark}"), &[], b"")
        .await;
    scene
        .send(&admin, &format!("{mark} /livez"), &[], b"")
        .await;
    for query in [
        format!("query {mark} {{ me {{ id }} }}"),
        format!("{{ {mark}: me {{ id }} }}"),
        format!("{{ {mark} }}"),
        format!(
            "mutation {{ createFleet(input: {{ id: \"{mark}\", name: \"{mark}\" }}) {{ userErrors {{ code }} }} }}"
        ),
    ] {
        scene.ask(&admin, &query, json!({})).await;
    }
    scene.register("default", mark, &[]).await;
    scene.try_sign_in(mark, &email(mark), mark).await;
    scene.standing(&As::Token(mark.to_owned())).await;
    scene.standing(&As::Key(format!("dbk_live_{mark}"))).await;
    let metrics = scene.send(&admin, "GET /metrics", &[], b"").await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("daybook_http_requests_total"));
    assert!(!metrics.contains(mark), "{metrics}");
}
