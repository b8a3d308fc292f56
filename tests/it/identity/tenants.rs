//! What else section Z of `docs/promises.md` says: what can be set, by whom roles are given, who sees whose
//! address, what is left of the erased.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::scene::{As, PASSWORD, SOUTH, Scene, email, outcome, word};

/// Z6: what nobody may set is no field of any input, in GraphQL or in REST.
#[tokio::test]
async fn z6_nothing_is_set_that_is_not_asked_for() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let head = scene.app.head().await;
    for (mutation, input, good) in [
        (
            "registerUser",
            "RegisterUserInput",
            json!({ "email": email("eve"), "name": "Eve" }),
        ),
        (
            "signIn",
            "SignInInput",
            json!({ "email": email("eve"), "password": "p" }),
        ),
        (
            "issueApiKey",
            "IssueApiKeyInput",
            json!({ "name": "k", "scopes": ["vehicles:read"] }),
        ),
        (
            "changePassword",
            "ChangePasswordInput",
            json!({ "currentPassword": "p", "newPassword": "q" }),
        ),
        (
            "createTenant",
            "CreateTenantInput",
            json!({ "id": "t", "name": "T" }),
        ),
    ] {
        for (name, value) in [
            ("role", json!("ADMIN")),
            ("tenantId", json!(SOUTH)),
            ("createdBy", json!("user:ann")),
            ("verified", json!(true)),
            ("userId", json!("user_1")),
            ("__proto__", json!({ "admin": true })),
        ] {
            let mut forged = good.clone();
            forged[name] = value;
            let query =
                format!("mutation($i: {input}!) {{ {mutation}(input: $i) {{ __typename }} }}");
            let reply = scene
                .request(&admin, &query, json!({ "i": forged }))
                .await
                .json();
            let code = outcome(&reply);
            let refused = ["GRAPHQL_VALIDATION_FAILED", "BAD_VARIABLES"].contains(&code);
            assert!(refused, "{mutation} {name}: {reply}");
        }
    }
    let forged = json!({ "email": email("eve"), "name": "Eve", "tenant": SOUTH });
    let reply = scene.post(&admin, "/api/v1/auth/register", &forged).await;
    assert_eq!(
        (reply.status, outcome(&reply.json())),
        (422, "VALIDATION"),
        "{}",
        reply.json()
    );
    assert_eq!(scene.app.head().await, head, "nothing was kept");
}

/// Z7: roles are given by administrators, who cannot lock themselves out.
#[tokio::test]
async fn z7_nobody_gives_themselves_a_role() {
    let scene = Scene::start().await;
    let mutation = |name: &str| {
        format!("mutation($i: UserRoleInput!) {{ {name}(input: $i) {{ userErrors {{ code }} }} }}")
    };
    let ann = scene.person("default", "ann", &[Role::Admin]).await;
    let oskar = scene.person("default", "oskar", &[Role::Operator]).await;
    for role in Role::ALL {
        for name in ["assignRole", "revokeRole"] {
            let input = json!({ "userId": oskar.id, "role": word(*role) });
            let told = scene
                .ask(&oskar.access, &mutation(name), json!({ "i": input }))
                .await;
            assert_eq!(outcome(&told), "FORBIDDEN", "{name} {role:?}");
        }
    }
    let of_admin = |id: &str| json!({ "i": { "userId": id, "role": "ADMIN" } });
    let told = scene
        .ask(&ann.access, &mutation("revokeRole"), of_admin(&ann.id))
        .await;
    assert_eq!(outcome(&told), "LAST_ADMIN");
    // Nor do two who dismiss each other.
    let told = scene
        .ask(&ann.access, &mutation("assignRole"), of_admin(&oskar.id))
        .await;
    assert_eq!(outcome(&told), "ok");
    let oskar = scene.sign_in("default", "oskar").await;
    let query = mutation("revokeRole");
    let (one, other) = tokio::join!(
        scene.ask(&ann.access, &query, of_admin(&oskar.id)),
        scene.ask(&oskar.access, &query, of_admin(&ann.id)),
    );
    let mut outcomes = [outcome(&one), outcome(&other)];
    outcomes.sort_unstable();
    // Whoever comes second is the last one, or is no administrator any more.
    assert_eq!(outcomes[1], "ok", "{one} {other}");
    assert!(
        ["FORBIDDEN", "LAST_ADMIN"].contains(&outcomes[0]),
        "{outcomes:?}"
    );
}

/// A suspended tenant is not written: its people sign in and out, so that it can be read, and that is all.
#[tokio::test]
async fn what_is_left_to_people_of_a_suspended_tenant() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    let admin = scene.admin(SOUTH);
    let ann = scene.person(SOUTH, "ann", &[Role::Viewer]).await;
    let invite = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                  verificationToken userErrors { code } } }";
    let input = json!({ "email": email("ben"), "name": "Ben" });
    let link = scene.done(&admin, invite, input).await["verificationToken"].take();
    let suspend =
        "mutation($i: SuspendTenantInput!) { suspendTenant(input: $i) { userErrors { code } } }";
    let tenant = json!({ "id": SOUTH });
    scene
        .done(&scene.admin("default"), suspend, tenant.clone())
        .await;
    let ann = {
        let again = scene.sign_in(SOUTH, "ann").await;
        assert_eq!(outcome(&scene.refresh(&again.refresh).await), "ok");
        assert_eq!(scene.standing(&ann.access).await, "ok");
        again
    };
    let head = scene.app.store().head(SOUTH).await.unwrap();
    let verify =
        "mutation($i: VerifyEmailInput!) { verifyEmail(input: $i) { userErrors { code } } }";
    let change =
        "mutation($i: ChangePasswordInput!) { changePassword(input: $i) { userErrors { code } } }";
    let follow = json!({ "token": link, "password": PASSWORD });
    for (who, query, input) in [
        (&As::Nobody, verify, json!({ "token": link })),
        (&As::Nobody, verify, follow.clone()),
        (
            &ann.access,
            change,
            json!({ "currentPassword": PASSWORD, "newPassword": "another horse altogether" }),
        ),
        (
            &admin,
            invite,
            json!({ "email": email("eve"), "name": "Eve" }),
        ),
    ] {
        let told = scene.ask(who, query, json!({ "i": input })).await;
        assert_eq!(outcome(&told), "TENANT_SUSPENDED", "{query}: {told}");
    }
    assert_eq!(scene.app.store().head(SOUTH).await.unwrap(), head);
    let sign_out = "mutation { signOut { userErrors { code } } }";
    scene.done(&ann.access, sign_out, json!({})).await;
    let resume =
        "mutation($i: ResumeTenantInput!) { resumeTenant(input: $i) { userErrors { code } } }";
    scene.done(&scene.admin("default"), resume, tenant).await;
    scene.done(&As::Nobody, verify, follow).await;
    scene.sign_in(SOUTH, "ben").await;
}

/// Z8: an auditor sees the log of their own tenant, and changes nothing.
#[tokio::test]
async fn z8_an_auditor_reads_ones_own_log() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    scene.register(SOUTH, "sam", &[Role::Viewer]).await;
    let auditor = scene.program(&[Role::Auditor], "default");
    let query = "{ events(first: 200) { nodes { type aggregateId metadata { actor } } } }";
    let told = scene.settled(&auditor, "default", query, json!({})).await;
    let types = |told: &Value| -> Vec<String> {
        let nodes = told["data"]["events"]["nodes"].as_array().unwrap();
        let types = nodes.iter().map(|node| node["type"].as_str().unwrap());
        types.map(str::to_owned).collect()
    };
    assert_eq!(types(&told), ["tenant.created"]);
    let theirs = scene.program(&[Role::Auditor], SOUTH);
    let told = scene.settled(&theirs, SOUTH, query, json!({})).await;
    assert_eq!(types(&told), ["user.registered"]);
}

/// Z9, Z11: an address is told to its owner and to administrators, whatever was told to others before.
#[tokio::test]
async fn z9_addresses_are_for_their_owners() {
    let scene = Scene::start().await;
    let (ann, ben) = (
        scene.person("default", "ann", &[Role::Viewer]).await,
        scene.person("default", "ben", &[Role::Viewer]).await,
    );
    let query = "query($id: ID!) { user(id: $id) { id name email } }";
    let variables = json!({ "id": ann.id });
    let admin = scene.admin("default");
    for round in 0..2 {
        for (who, seen) in [(&admin, true), (&ann.access, true), (&ben.access, false)] {
            let told = scene
                .settled(who, "default", query, variables.clone())
                .await;
            let (user, error) = (&told["data"]["user"], &told["errors"][0]);
            assert_eq!(user["name"], "ann", "{round} {told}");
            if seen {
                assert_eq!(user["email"], *ann.email, "{round} {told}");
                assert_eq!(*error, Value::Null);
            } else {
                assert_eq!(user["email"], Value::Null, "{round} {told}");
                assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{told}");
                assert_eq!(error["path"], json!(["user", "email"]), "{told}");
            }
        }
        let me = scene
            .settled(
                &ben.access,
                "default",
                "{ me { id user { email } } }",
                json!({}),
            )
            .await;
        assert_eq!(me["data"]["me"]["user"]["email"], *ben.email);
        // By a filter it is not found out either.
        let filter = "query($e: String!) { users(filter: { email: $e }) { nodes { id } } }";
        let told = scene
            .settled(&ben.access, "default", filter, json!({ "e": ann.email }))
            .await;
        assert_eq!(outcome(&told), "FORBIDDEN");
    }
}

/// Z10, Z11: the same question in two names has two answers, however the names are put together.
#[tokio::test]
async fn z10_names_do_not_run_together() {
    let scene = Scene::start().await;
    let mut asked = Vec::new();
    for (tenant, subject) in [("a", "b-c"), ("a-b", "c"), ("a-b-c", "d")] {
        scene.tenant(tenant).await;
        let grant = daybook::auth::Grant {
            subject: subject.to_owned(),
            tenant: tenant.to_owned(),
            roles: vec![Role::Operator],
            ..daybook::auth::Grant::default()
        };
        let who = As::Token(scene.app.app().auth.mint(&grant).unwrap());
        let mutation =
            "mutation($i: CreateFleetInput!) { createFleet(input: $i) { userErrors { code } } }";
        let input = json!({ "id": "f", "name": format!("of {tenant}"), "commandId": "one" });
        scene.done(&who, mutation, input).await;
        asked.push((tenant, subject, who));
    }
    for _ in 0..2 {
        for (tenant, subject, who) in &asked {
            let query = "{ me { id tenant } fleets { nodes { name } } }";
            let told = scene.settled(who, tenant, query, json!({})).await;
            let expected = json!({ "me": { "id": subject, "tenant": tenant },
                                   "fleets": { "nodes": [{ "name": format!("of {tenant}") }] } });
            assert_eq!(told["data"], expected);
            let fleets = "{ fleets { nodes { name } } }";
            let told = scene.settled(who, tenant, fleets, json!({})).await;
            assert_eq!(told["data"]["fleets"], expected["fleets"]);
        }
    }
}

/// Z16: of the erased there is an id, and that they were.
#[tokio::test]
async fn z16_the_erased_are_nobody() {
    let scene = Scene::start().await;
    let (admin, ann) = (
        scene.admin("default"),
        scene.person("default", "ann", &[Role::Viewer]).await,
    );
    let query = "query($id: ID!) { user(id: $id) { id name email status roles deactivatedReason }
                 sessions(userId: $id, includeOver: true) { nodes { address userAgent over } }
                 events(first: 200) { nodes { payload metadata { actor } } } }";
    let variables = json!({ "id": ann.id });
    let before = scene
        .settled(&admin, "default", query, variables.clone())
        .await;
    assert!(before.to_string().contains(&ann.email), "{before}");
    let erase = "mutation($i: UserInput!) { erasePersonalData(input: $i) {
                 user { id name email } userErrors { code } } }";
    let told = scene.done(&admin, erase, json!({ "userId": ann.id })).await;
    assert_eq!(
        told["user"],
        json!({ "id": ann.id, "name": null, "email": null })
    );
    let after = scene.settled(&admin, "default", query, variables).await;
    assert_eq!(after["errors"], Value::Null, "{after}");
    assert_eq!(after["data"]["user"]["status"], "ERASED");
    let session = json!({ "address": null, "userAgent": null, "over": true });
    assert_eq!(after["data"]["sessions"]["nodes"], json!([session]));
    for trace in [ann.email.as_str(), "ann@", "127.0.0.1"] {
        assert!(!after.to_string().contains(trace), "{trace} is in {after}");
    }
    assert_eq!(scene.standing(&ann.access).await, "UNAUTHENTICATED");
    let told = scene.refresh(&ann.refresh).await;
    assert_eq!(outcome(&told), "SESSION_REVOKED");
}
