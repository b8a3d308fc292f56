//! Sockets and event streams end with what they rest on, S4, S8 and S16 of `docs/promises.md`.

use daybook::auth::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::scene::{As, PASSWORD, SOUTH, Scene};
use crate::support::{PATIENCE, eventually};
use crate::transport::client::Socket;

/// A subscription in which nothing happens.
const QUIET: &str = "subscription { events(types: [\"fleet.archived\"]) { id } }";

/// A socket of somebody's.
async fn socket(scene: &Scene, who: &As) -> Socket {
    let (headers, payload) = match who {
        As::Nobody => (Vec::new(), Value::Null),
        As::Token(token) => (Vec::new(), json!({ "token": token })),
        As::Key(key) => (vec![("x-api-key", key.as_str())], Value::Null),
    };
    let mut socket = Socket::open(scene.app.address(), &headers).await;
    let init = json!({ "type": "connection_init", "payload": payload });
    socket.send(&init).await;
    socket
}

/// An event stream of somebody's, open.
async fn stream(scene: &Scene, who: &As) -> TcpStream {
    let mut stream = TcpStream::connect(scene.app.address()).await.unwrap();
    let mut request =
        "POST /graphql HTTP/1.1\r\nhost: test\r\naccept: text/event-stream\r\n".to_owned();
    request += "content-type: application/json\r\nconnection: close\r\n";
    for (name, value) in who.headers().iter().filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    let body = json!({ "query": QUIET }).to_string();
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut head))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

/// What is still said on a stream until it ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest))
        .await
        .expect("an end")
        .unwrap();
    rest
}

/// S16: what befalls the token, the person or the key ends what is open, and only that.
#[tokio::test]
async fn s16_what_is_open_ends() {
    for what in [
        "signed out",
        "password changed",
        "deactivated",
        "role taken",
        "token given back",
        "key revoked",
        "owner of the key deactivated",
        "owner of the key may less",
    ] {
        let scene = Scene::start().await;
        let admin = scene.admin("default");
        let name = "olga";
        let olga = scene.person("default", name, &[Role::Auditor]).await;
        let (id, key) = scene.key(&olga.access, &["audit:read"]).await;
        let program = scene.program(&[Role::Auditor], "default");
        let who = match what {
            "token given back" => &program,
            "key revoked" | "owner of the key deactivated" | "owner of the key may less" => &key,
            _ => &olga.access,
        };
        let mut open = socket(&scene, who).await;
        assert_eq!(open.next().await["type"], "connection_ack", "{what}");
        open.subscribe("1", QUIET).await;
        let events = stream(&scene, who).await;
        // Somebody else's stay open.
        let bystander = scene.program(&[Role::Auditor], "default");
        let mut others = socket(&scene, &bystander).await;
        assert_eq!(others.next().await["type"], "connection_ack");

        let sign_out = "mutation { signOut { userErrors { code } } }";
        let user = json!({ "userId": olga.id });
        let (by, mutation, input) = match what {
            "signed out" => (&olga.access, sign_out.to_owned(), Value::Null),
            "token given back" => (&program, sign_out.to_owned(), Value::Null),
            "password changed" => (
                &olga.access,
                one_of("changePassword", "ChangePassword"),
                json!({ "currentPassword": PASSWORD, "newPassword": "another horse altogether" }),
            ),
            "deactivated" | "owner of the key deactivated" => {
                (&admin, one_of("deactivateUser", "DeactivateUser"), user)
            }
            "role taken" | "owner of the key may less" => (
                &admin,
                one_of("revokeRole", "UserRole"),
                json!({ "userId": olga.id, "role": "AUDITOR" }),
            ),
            "key revoked" => (
                &olga.access,
                one_of("revokeApiKey", "RevokeApiKey"),
                json!({ "id": id }),
            ),
            other => panic!("{other}?"),
        };
        scene.done(by, &mutation, input).await;
        assert_eq!(open.closed().await, 4403, "{what}");
        let said = rest(events).await;
        assert!(
            said.contains("\"code\":\"UNAUTHENTICATED\""),
            "{what}: {said}"
        );
        assert!(said.contains("event: complete"), "{what}: {said}");
        others.text(r#"{"type":"ping"}"#).await;
        assert_eq!(others.next().await["type"], "pong", "{what}");
    }
}

fn one_of(field: &str, input: &str) -> String {
    format!("mutation($i: {input}Input!) {{ {field}(input: $i) {{ userErrors {{ code }} }} }}")
}

/// S16: whoever may more than before goes on, and so does everybody in a tenant that is suspended: it can be
/// read.
#[tokio::test]
async fn s16_what_may_go_on_does() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    let roles = [Role::Auditor, Role::Operator];
    let olga = scene.person(SOUTH, "olga", &roles).await;
    let mut open = socket(&scene, &olga.access).await;
    assert_eq!(open.next().await["type"], "connection_ack");
    open.subscribe("1", "subscription { events { type } }")
        .await;
    let role = json!({ "userId": olga.id, "role": "ANALYST" });
    let admin = scene.admin(SOUTH);
    scene
        .done(&admin, &one_of("assignRole", "UserRole"), role)
        .await;
    let tenant = json!({ "id": SOUTH });
    let house = scene.admin("default");
    scene
        .done(
            &house,
            &one_of("suspendTenant", "SuspendTenant"),
            tenant.clone(),
        )
        .await;
    let said = open.next().await;
    assert_eq!(
        said["payload"]["data"]["events"]["type"], "user.role_assigned",
        "{said}"
    );
    // Until it is looked at again the socket may not know.
    let fleet =
        "mutation { createFleet(input: { id: \"f\", name: \"F\" }) { userErrors { code } } }";
    let query = async |open: &mut Socket, id: &str| {
        open.subscribe(id, fleet).await;
        let said = open.until_end(id).await;
        let told = said.iter().find(|said| said["id"] == id).unwrap();
        let refused = &told["payload"]["data"]["createFleet"]["userErrors"][0]["code"];
        refused.as_str().unwrap_or("ok").to_owned()
    };
    let mut n = 0;
    eventually("it is told", async || {
        n += 1;
        query(&mut open, &format!("m{n}")).await == "TENANT_SUSPENDED"
    })
    .await;
    scene
        .done(&house, &one_of("resumeTenant", "ResumeTenant"), tenant)
        .await;
    eventually("it is told", async || {
        n += 1;
        query(&mut open, &format!("m{n}")).await != "TENANT_SUSPENDED"
    })
    .await;
}

/// S4, S8: nothing but a good token or key opens a socket; cookies are none, and a foreign page has no socket
/// whatever it shows.
#[tokio::test]
async fn s4_what_opens_a_socket() {
    let scene = Scene::start().await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let (id, key) = scene.key(&ann.access, &["vehicles:read"]).await;
    let ended = scene.sign_in("default", "ann").await;
    let sign_out = "mutation { signOut { userErrors { code } } }";
    scene.done(&ended.access, sign_out, Value::Null).await;
    for bad in [
        ended.access.clone(),
        As::Token(ann.refresh.clone()),
        As::Token(format!("{}x", key.secret())),
        As::Key(ann.access.secret().to_owned()),
        As::Key("x".to_owned()),
        As::Nobody,
    ] {
        let mut socket = socket(&scene, &bad).await;
        let said = socket.next().await;
        assert_eq!(
            said,
            json!({ "closed": 4403, "reason": "forbidden" }),
            "{bad:?}"
        );
    }
    for good in [&ann.access, &key, &As::Token(key.secret().to_owned())] {
        let mut socket = socket(&scene, good).await;
        assert_eq!(socket.next().await["type"], "connection_ack", "{good:?}");
    }
    let bearer = format!("Bearer {}", ann.access.secret());
    let foreign = [
        ("authorization", bearer.as_str()),
        ("origin", "https://evil.example"),
    ];
    let (_, status, _) = crate::transport::client::handshake(scene.app.address(), &foreign).await;
    assert_eq!(status, 403);
    let revoke = one_of("revokeApiKey", "RevokeApiKey");
    scene.done(&ann.access, &revoke, json!({ "id": id })).await;
    let mut socket = socket(&scene, &key).await;
    assert_eq!(socket.closed().await, 4403);
}
