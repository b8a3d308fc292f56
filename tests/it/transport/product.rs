//! The product behind its transport: who is let in, what is open to whom, the page for trying out.

use daybook::auth::Role;
use daybook::config::Environment;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::client::Socket;
use super::server::encoded;
use crate::support::{TestApp, eventually};

/// S4, S8: a token opens a socket, nothing else does; cookies and origins are never credentials.
#[tokio::test]
async fn a_socket_needs_a_token() {
    let app = TestApp::start().await;
    let cookie = format!("token={}; session={}", app.own_token(), app.own_token());
    for (headers, init) in [
        (&[][..], json!({ "type": "connection_init" })),
        (
            &[("cookie", cookie.as_str()), ("origin", "http://test")],
            json!({ "type": "connection_init" }),
        ),
        (
            &[],
            json!({ "type": "connection_init", "payload": { "token": "x.y.z" } }),
        ),
    ] {
        let mut socket = Socket::open(app.address(), headers).await;
        socket.send(&init).await;
        assert_eq!(socket.closed().await, 4403);
    }
    let bearer = format!("Bearer {}", app.own_token());
    for (headers, payload) in [
        (&[][..], json!({ "token": app.own_token() })),
        (&[], json!({ "Authorization": bearer })),
        (&[("authorization", bearer.as_str())], Value::Null),
    ] {
        let mut socket = Socket::open(app.address(), headers).await;
        socket
            .send(&json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket.subscribe("1", "{ vehicles { nodes { id } } }").await;
        let answer = socket.next().await;
        assert_eq!(answer["payload"]["data"]["vehicles"]["nodes"], json!([]));
    }
}

/// A command over a socket is kept like any other; a query by GET shows it.
#[tokio::test]
async fn commands_over_a_socket_and_questions_by_get() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(app.address(), &[]).await;
    let init = json!({ "type": "connection_init", "payload": { "token": app.own_token() } });
    socket.send(&init).await;
    socket.next().await;
    let mutation = r#"mutation { registerVehicle(input: { id: "2417" }) { receipt { position } userErrors { code } } }"#;
    socket.subscribe("1", mutation).await;
    let kept = socket.next().await["payload"].take();
    assert_eq!(kept["data"]["registerVehicle"]["receipt"]["position"], "1");
    assert_eq!(kept["extensions"]["position"], "1");
    let query = encoded("{ vehicle(id: \"2417\") { id } }");
    let extensions = encoded(r#"{"atLeast":"1"}"#);
    let path = format!("/graphql?query={query}&extensions={extensions}");
    let asked = app.get(&path).await.json();
    assert_eq!(asked["data"]["vehicle"]["id"], "2417", "{asked}");
    let anonymous = app
        .send(&format!("GET {path}"), &[("authorization", "")], b"")
        .await;
    assert_eq!(anonymous.status, 401);
}

/// H20: a caller that leaves in the middle leaves the command kept once, or not at all.
#[tokio::test]
async fn a_caller_that_leaves() {
    let app = TestApp::start().await;
    for n in 0..20 {
        let query = format!(
            "mutation {{ registerVehicle(input: {{ id: \"v{n}\", commandId: \"c{n}\" }}) {{ receipt {{ position }} userErrors {{ code }} }} }}"
        );
        let body = json!({ "query": query }).to_string();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            app.own_token(),
            body.len()
        );
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
        // Sent again, it is kept now or was kept then.
        let again = app.ask(&query, json!({})).await;
        let payload = &again["data"]["registerVehicle"];
        assert_eq!(payload["userErrors"], json!([]), "{again}");
    }
    let store = app.store();
    eventually("each is kept once", async || {
        store.head("default").await.unwrap().0 == 20
    })
    .await;
}

/// H19: figures are for whoever is inside, or may look after the process.
#[tokio::test]
async fn figures_are_not_for_outsiders() {
    let app = TestApp::start().await;
    let admin = format!("Bearer {}", app.token(&[Role::Admin], "default"));
    let elsewhere = format!("Bearer {}", app.token(&[Role::Admin], "north"));
    let operator = format!("Bearer {}", app.token(&[Role::Operator], "default"));
    let forwarded = ("x-forwarded-for", "203.0.113.7");
    for path in ["/metrics", "/health/detailed"] {
        for (headers, expect) in [
            (vec![("authorization", "")], 200),
            (vec![("authorization", ""), forwarded], 404),
            (
                vec![("authorization", ""), ("forwarded", "for=203.0.113.7")],
                404,
            ),
            (vec![("authorization", operator.as_str()), forwarded], 404),
            (vec![("authorization", elsewhere.as_str()), forwarded], 404),
            (vec![("authorization", admin.as_str()), forwarded], 200),
        ] {
            let reply = app.send(&format!("GET {path}"), &headers, b"").await;
            assert_eq!(reply.status, expect, "{path} {headers:?}");
        }
    }
    for path in ["/debug", "/admin", "/debug/pprof"] {
        assert_eq!(app.get(path).await.status, 404);
    }
}

/// H14: the page is for browsers, outside production; GraphQL itself is never a page.
#[tokio::test]
async fn the_page_for_trying_out() {
    let app = TestApp::start().await;
    for (path, kind, holds) in [
        ("/", "text/html", "<script src=\"/page.js\" defer></script>"),
        ("/page.js", "text/javascript", "graphql-transport-ws"),
        ("/page.css", "text/css", "#query"),
    ] {
        let reply = app
            .send(&format!("GET {path}"), &[("authorization", "")], b"")
            .await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-type").starts_with(kind), "{path}");
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(text.contains(holds), "{path}");
        assert!(
            !text.contains("://") || path == "/page.js",
            "nothing is loaded from elsewhere: {path}"
        );
    }
    let policy = app.get("/").await;
    let policy = policy.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    for accept in ["text/html", "image/png"] {
        let body = br#"{"query":"{ __typename }"}"#;
        let reply = app.post(body, &[("accept", accept)]).await;
        assert_eq!(reply.status, 406, "{accept}");
    }

    let production = TestApp::with(|s| s.process.env = Environment::Production).await;
    for path in ["/", "/page.js", "/schema.graphql"] {
        assert_eq!(production.get(path).await.status, 404, "{path}");
    }
}

/// G15: in production the schema is for those who may ask something of it. Without a token there is no
/// telling a question about it from any other.
#[tokio::test]
async fn the_schema_is_not_for_everybody() {
    let production = TestApp::with(|s| s.process.env = Environment::Production).await;
    let development = TestApp::start().await;
    let document = "{ __schema { queryType { name } } }";
    for (app, roles, expect) in [
        (&production, Some(&[][..]), "INTROSPECTION_DISABLED"),
        (&production, Some(&[Role::Viewer]), "ok"),
        (&production, None, "UNAUTHENTICATED"),
        (&development, Some(&[]), "ok"),
        (&development, None, "UNAUTHENTICATED"),
    ] {
        let token = roles.map(|roles| app.token(roles, "default"));
        let bearer = token
            .as_ref()
            .map_or(String::new(), |t| format!("Bearer {t}"));
        let code = |reply: &Value| {
            let code = reply["errors"][0]["extensions"]["code"].as_str();
            code.unwrap_or("ok").to_owned()
        };
        let body = json!({ "query": document }).to_string();
        let path = format!("GET /graphql?query={}", encoded(document));
        let headers = [("authorization", bearer.as_str())];
        let posted = app.post(body.as_bytes(), &headers).await.json();
        let got = app.send(&path, &headers, b"").await.json();
        assert_eq!([code(&posted), code(&got)], [expect, expect], "{roles:?}");
        if let Some(token) = token {
            let mut socket = Socket::open(app.address(), &[]).await;
            let init = json!({ "type": "connection_init", "payload": { "token": token } });
            socket.send(&init).await;
            socket.next().await;
            socket.subscribe("1", document).await;
            let told = socket.next().await;
            let refused = told["payload"][0]["extensions"]["code"].as_str();
            assert_eq!(refused.unwrap_or("ok"), expect, "{roles:?}");
        }
    }
}

/// A refusal rests on what the log holds by then, and tells how far that is as every answer does.
#[tokio::test]
async fn a_refused_command_tells_a_position() {
    let app = TestApp::start().await;
    let register = r#"registerVehicle(input: { id: "v" }) { userErrors { code } }"#;
    let kept = app
        .ask(&format!("mutation {{ {register} }}"), json!({}))
        .await;
    assert_eq!(kept["extensions"]["position"], "1", "{kept}");
    for refused in [
        register,
        r#"registerVehicle(input: { id: "" }) { userErrors { code } }"#,
        r#"renameFleet(input: { id: "f", name: "x", expectedVersion: -1 }) { userErrors { code } }"#,
        "reportPositions(input: { fixes: [] }) { userErrors { code } }",
    ] {
        let told = app
            .ask(&format!("mutation {{ told: {refused} }}"), json!({}))
            .await;
        assert_ne!(told["data"]["told"]["userErrors"], json!([]), "{told}");
        assert_eq!(told["extensions"]["position"], "1", "{told}");
    }
    // A command that was kept tells its own position, whatever else was refused.
    let both = format!(
        r#"mutation {{ registerVehicle(input: {{ id: "w" }}) {{ userErrors {{ code }} }} told: {register} }}"#
    );
    let told = app.ask(&both, json!({})).await;
    assert_eq!(told["extensions"]["position"], "2", "{told}");
}
