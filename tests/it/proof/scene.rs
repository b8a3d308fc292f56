//! People of a test, what they are given, and processes that serve them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use daybook::config::Settings;
use serde_json::{Value, json};

use crate::support::{TestApp, TestRedis, exchange, redis_settings};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery staple";

/// Within this, what was taken back is good nowhere any more.
pub const AT_MOST: Duration = Duration::from_secs(5);

/// All of a test sign in from one address, and try one key after the other.
pub fn hurried(settings: &mut Settings) {
    settings.limits.sign_ins_per_minute = 10_000;
}

/// Two processes over one database, otherwise as they are shipped; with a Redis between them or not.
pub async fn nodes(redis: Option<&TestRedis>) -> [TestApp; 2] {
    let shared = |settings: &mut Settings| {
        hurried(settings);
        if let Some(redis) = redis {
            settings.redis = redis_settings(&redis.url());
        }
    };
    let first = TestApp::with(shared).await;
    let second = first.beside(shared).await;
    [first, second]
}

/// What somebody was given who signed in.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

/// A serving process, in this one or of its own.
pub trait Node {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// An administrator's token.
    fn token(&self) -> &str;
}

impl Node for TestApp {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn token(&self) -> &str {
        self.own_token()
    }
}

/// Carries out a mutation with the usual token; what its field says. It must be kept.
pub async fn kept(app: &impl Node, document: &str, input: Value) -> Value {
    let told = told(app, None, document, input).await;
    assert_eq!(told["userErrors"], json!([]), "{document}");
    told
}

/// Carries out a mutation with this token, or the usual one; what its only field says.
pub async fn told(app: &impl Node, token: Option<&str>, document: &str, input: Value) -> Value {
    let mut answer = ask(app, token, document, json!({ "input": input })).await;
    assert_eq!(answer["errors"], Value::Null, "{document}: {answer}");
    let data = answer["data"].as_object_mut().unwrap();
    let (_, told) = data.iter_mut().next().unwrap();
    told.take()
}

/// Asks with this token, or the usual one, whatever comes of it. An empty one is none.
pub async fn ask(app: &impl Node, token: Option<&str>, document: &str, variables: Value) -> Value {
    ask_from(app, token, &[], document, variables).await
}

/// The same with these headers beside.
pub async fn ask_from(
    app: &impl Node,
    token: Option<&str>,
    headers: &[(&str, &str)],
    document: &str,
    variables: Value,
) -> Value {
    let body = json!({ "query": document, "variables": variables }).to_string();
    let mut request = format!(
        "POST /graphql HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let token = token.unwrap_or(app.token());
    if !token.is_empty() {
        request += &format!("authorization: Bearer {token}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let request = request + "\r\n" + &body;
    exchange(app.address(), request.as_bytes()).await.json()
}

/// Registers somebody; their id.
pub async fn register(app: &impl Node, email: &str, name: &str, roles: &[&str]) -> String {
    let document = "mutation($input: RegisterUserInput!) { registerUser(input: $input) {
        user { id } userErrors { code message path } } }";
    // With an id declared, so that the log keeps what an erasure has to take away.
    let command_id = uuid::Uuid::now_v7();
    let input = json!({ "email": email, "name": name, "password": PASSWORD, "roles": roles,
                        "commandId": command_id });
    let told = kept(app, document, input).await;
    told["user"]["id"].as_str().unwrap().to_owned()
}

const SESSION: &str = "session { accessToken refreshToken } userErrors { code path }";

/// Signs somebody in.
pub async fn sign_in(app: &impl Node, email: &str) -> Tokens {
    sign_in_from(app, &[], email).await
}

/// Signs somebody in who sends these headers.
pub async fn sign_in_from(app: &impl Node, headers: &[(&str, &str)], email: &str) -> Tokens {
    let document =
        format!("mutation($input: SignInInput!) {{ signIn(input: $input) {{ {SESSION} }} }}");
    let input = json!({ "email": email, "password": PASSWORD });
    let variables = json!({ "input": input });
    let answer = ask_from(app, Some(""), headers, &document, variables).await;
    let told = &answer["data"]["signIn"];
    assert_eq!(told["userErrors"], json!([]), "{email}: {answer}");
    tokens(told)
}

/// Gives the next tokens for a refresh token, or the code of the refusal.
pub async fn refresh(app: &impl Node, token: &str) -> Result<Tokens, String> {
    let document = format!(
        "mutation($input: RefreshSessionInput!) {{ refreshSession(input: $input) {{ {SESSION} }} }}"
    );
    let told = told(app, Some(""), &document, json!({ "refreshToken": token })).await;
    match told["userErrors"][0]["code"].as_str() {
        Some(code) => Err(code.to_owned()),
        None => Ok(tokens(&told)),
    }
}

fn tokens(told: &Value) -> Tokens {
    let text = |name: &str| told["session"][name].as_str().unwrap().to_owned();
    Tokens {
        access: text("accessToken"),
        refresh: text("refreshToken"),
    }
}

/// The code with which a token or API key is turned away; none if it is good.
pub async fn turned_away(app: &impl Node, token: &str) -> Option<String> {
    let answer = ask(app, Some(token), "{ tokenStatus { subject } }", json!({})).await;
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    let subject = &answer["data"]["tokenStatus"]["subject"];
    assert_eq!(code.is_none(), subject.is_string(), "{answer}");
    code.map(str::to_owned)
}

/// Waits until it is so, which must be within the time promised, counted from `since`.
pub async fn soon(since: Instant, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    loop {
        // Asked before it is looked how late it is: what was so in time is not late.
        let (asked, so) = (since.elapsed(), is_so().await);
        if so {
            assert!(asked <= AT_MOST, "{what} after {asked:?}");
            return;
        }
        assert!(asked <= AT_MOST, "it is not so after {asked:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many events of this type a tenant's log holds.
pub async fn events(app: &TestApp, event_type: &str) -> i64 {
    sqlx::query_scalar("select count(*) from events where event_type = $1")
        .bind(event_type)
        .fetch_one(app.db().pool())
        .await
        .unwrap()
}
