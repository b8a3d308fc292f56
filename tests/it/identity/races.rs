//! What happens at one moment: somebody is erased, deactivated or taken something from while they sign in, set
//! a password or rotate a key. Whoever comes second is decided again, and nothing is left of the one who lost.

use daybook::auth::Role;
use futures::future::join_all;
use serde_json::{Value, json};

use super::scene::{As, PASSWORD, Person, Scene, email, outcome, person};
use crate::support::{Action, Step, Trap};

const VERIFY: &str =
    "mutation($i: VerifyEmailInput!) { verifyEmail(input: $i) { userErrors { code } } }";
const ROTATE: &str =
    "mutation($i: RotateApiKeyInput!) { rotateApiKey(input: $i) { secret userErrors { code } } }";
const REVOKE: &str =
    "mutation($i: RevokeApiKeyInput!) { revokeApiKey(input: $i) { userErrors { code } } }";
const CHANGE: &str = "mutation($i: ChangePasswordInput!) { changePassword(input: $i) {
                      session { userId sessionId accessToken refreshToken } userErrors { code } } }";

/// A mutation on a user, by the name of its input.
fn on_user(field: &str, input: &str) -> String {
    format!("mutation($i: {input}!) {{ {field}(input: $i) {{ userErrors {{ code }} }} }}")
}

/// Makes somebody known who has no password yet; their id, and the link that sets one.
async fn invite(scene: &Scene, name: &str) -> (String, String) {
    let query = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                 user { id } verificationToken userErrors { code } } }";
    let input = json!({ "email": email(name), "name": name, "roles": ["VIEWER"] });
    let told = scene.done(&scene.admin("default"), query, input).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&told["user"]["id"]), text(&told["verificationToken"]))
}

async fn follow(scene: &Scene, link: &str, password: Option<&str>) -> String {
    let input = json!({ "i": { "token": link, "password": password } });
    outcome(&scene.ask(&As::Nobody, VERIFY, input).await).to_owned()
}

async fn rows(scene: &Scene, table: &str) -> i64 {
    let count = format!("select count(*) from {table}");
    let count = sqlx::query_scalar(&count).fetch_one(scene.app.db().pool());
    count.await.unwrap()
}

/// A first password that is set while its owner is erased, or deactivated, stays nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_is_not_left_behind() {
    for (field, input, code) in [
        ("erasePersonalData", "UserInput", "USER_ERASED"),
        ("deactivateUser", "DeactivateUserInput", "USER_DEACTIVATED"),
    ] {
        let scene = Scene::start().await;
        let (id, link) = invite(&scene, "ann").await;
        let [before, _] = Step::around("insert", "credentials", "");
        let mut trap = Trap::plant(scene.app.db(), std::slice::from_ref(&before)).await;
        trap.arm(&before, Action::Hold).await;
        let set = follow(&scene, &link, Some(PASSWORD));
        let meanwhile = async {
            trap.holds().await;
            let user = json!({ "userId": id });
            scene
                .done(&scene.admin("default"), &on_user(field, input), user)
                .await;
            trap.disarm().await;
        };
        let (set, ()) = tokio::join!(set, meanwhile);
        assert_eq!(set, code);
        assert_eq!(rows(&scene, "credentials").await, 0, "{field}");
    }
}

/// A link is looked at by what its owner is when it comes back: after a password was set or changed it is
/// worthless, and of somebody who may not sign in as well. What is refused leaves nothing.
#[tokio::test]
async fn a_link_that_comes_back_late() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let (id, link) = invite(&scene, "ann").await;
    let head = scene.app.head().await;
    for password in [
        "",
        "short",
        "password",
        "nul\u{0}nul and more of it",
        &"x".repeat(128 << 10),
    ] {
        assert_ne!(
            follow(&scene, &link, Some(password)).await,
            "ok",
            "{password:.20}"
        );
    }
    assert_eq!(scene.app.head().await, head, "nothing was kept");
    let user = json!({ "userId": id });
    let deactivate = on_user("deactivateUser", "DeactivateUserInput");
    scene.done(&admin, &deactivate, user.clone()).await;
    for password in [None, Some(PASSWORD)] {
        assert_eq!(follow(&scene, &link, password).await, "USER_DEACTIVATED");
    }
    assert_eq!(rows(&scene, "credentials").await, 0);
    scene
        .done(&admin, &on_user("reactivateUser", "UserInput"), user)
        .await;
    assert_eq!(follow(&scene, &link, Some(PASSWORD)).await, "ok");
    assert_eq!(follow(&scene, &link, None).await, "INVALID_TOKEN");

    // Registered with a password, which is another one by now.
    let query = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                 verificationToken userErrors { code } } }";
    let input = json!({ "email": email("ben"), "name": "Ben", "password": PASSWORD });
    let told = scene.done(&admin, query, input).await;
    let link = told["verificationToken"].as_str().unwrap();
    let refused = follow(&scene, link, Some("another horse altogether")).await;
    assert_eq!(refused, "ALREADY_EXISTS");
    let ben = scene.sign_in("default", "ben").await;
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "another horse altogether" });
    scene.done(&ben.access, CHANGE, change).await;
    assert_eq!(follow(&scene, link, None).await, "INVALID_TOKEN");
}

/// Whoever signs in while they are erased or deactivated has no session afterwards, and no key.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_signed_in() {
    for (field, input) in [
        ("erasePersonalData", "UserInput"),
        ("deactivateUser", "DeactivateUserInput"),
    ] {
        let scene = Scene::start().await;
        let beside = scene.beside().await;
        let before = scene.person("default", "ann", &[Role::Viewer]).await;
        let signing_in = (0..8).map(|n| {
            let scene = [&scene, &beside][n % 2];
            scene.try_sign_in("default", &before.email, PASSWORD)
        });
        let ended = async {
            let user = json!({ "userId": before.id });
            scene
                .done(&scene.admin("default"), &on_user(field, input), user)
                .await;
        };
        let (told, ()) = tokio::join!(join_all(signing_in), ended);
        let mut people = vec![before];
        for told in &told {
            let session = &told["data"]["signIn"]["session"];
            if session.is_object() {
                people.push(person(session, "ann"));
            }
        }
        for Person {
            access, refresh, ..
        } in &people
        {
            assert_eq!(scene.standing(access).await, "UNAUTHENTICATED", "{field}");
            assert_eq!(beside.standing(access).await, "UNAUTHENTICATED", "{field}");
            let refreshed = beside.refresh(refresh).await;
            assert_eq!(outcome(&refreshed), "SESSION_REVOKED", "{field}");
        }
        if field == "erasePersonalData" {
            assert_eq!(rows(&scene, "subject_keys").await, 0);
            assert_eq!(rows(&scene, "credentials").await, 0);
        }
    }
}

/// Of several who change a password at once one does, and it is theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_by_one() {
    let scene = Scene::start().await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let new: Vec<String> = (0..4)
        .map(|n| format!("another horse altogether {n}"))
        .collect();
    let changing = new.iter().map(|new| {
        let input = json!({ "i": { "currentPassword": PASSWORD, "newPassword": new } });
        scene.ask(&ann.access, CHANGE, input)
    });
    let told = join_all(changing).await;
    let done: Vec<usize> = (0..4).filter(|n| outcome(&told[*n]) == "ok").collect();
    assert_eq!(done.len(), 1, "{told:?}");
    for (n, new) in new.iter().enumerate() {
        let signed_in = scene.try_sign_in("default", &ann.email, new).await;
        let expected = if done == [n] { "ok" } else { "SIGN_IN_FAILED" };
        assert_eq!(outcome(&signed_in), expected, "{n}");
    }
    let old = scene.try_sign_in("default", &ann.email, PASSWORD).await;
    assert_eq!(outcome(&old), "SIGN_IN_FAILED");
}

/// However many rotate a key at once, two of its secrets are good afterwards; once it is taken back, none.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_rotated_by_many_has_two_secrets() {
    let scene = Scene::start().await;
    let beside = scene.beside().await;
    let admin = scene.admin("default");
    let (id, first) = scene.key(&admin, &["vehicles:read"]).await;
    let rotate = async |scene: &Scene, by: &As| {
        let told = scene.ask(by, ROTATE, json!({ "i": { "id": id } })).await;
        let secret = told["data"]["rotateApiKey"]["secret"].as_str();
        secret.map(|secret| As::Key(secret.to_owned()))
    };
    let rotating = (0..8).map(|n| rotate([&scene, &beside][n % 2], &admin));
    let mut secrets: Vec<As> = join_all(rotating).await.into_iter().flatten().collect();
    assert!(!secrets.is_empty());
    secrets.push(first);
    let mut good = Vec::new();
    for secret in &secrets {
        let standing = scene.standing(secret).await;
        assert_eq!(beside.standing(secret).await, standing);
        good.extend((standing == "ok").then_some(secret));
    }
    assert_eq!(good.len(), 2, "{secrets:?}");
    // What was told to nobody is not kept either.
    assert_eq!(rows(&scene, "api_key_secrets").await, secrets.len() as i64);

    let (by, revoke) = (good[0].clone(), json!({ "i": { "id": id } }));
    let (rotated, revoked) = tokio::join!(rotate(&scene, &by), beside.ask(&admin, REVOKE, revoke));
    assert_eq!(outcome(&revoked), "ok");
    secrets.extend(rotated);
    for secret in &secrets {
        assert_eq!(scene.standing(secret).await, "UNAUTHENTICATED");
        assert_eq!(beside.standing(secret).await, "UNAUTHENTICATED");
    }
}
