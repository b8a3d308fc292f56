//! People, API keys and tenants of a process under test, and what is asked in their names.

use chrono::DateTime;
use daybook::auth::Role;
use daybook::config::Settings;
use daybook::ops::{Clock, MockClock};
use serde_json::{Value, json};

use crate::support::{Reply, TestApp};

/// Whom a request shows that it is from.
#[derive(Clone, Debug)]
pub enum As {
    Nobody,
    Token(String),
    Key(String),
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub email: String,
    pub session: String,
    pub access: As,
    pub refresh: String,
}

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery staple";

/// The tenant nobody belongs to unless it is said.
pub const SOUTH: &str = "south";

/// A session, and everything that is told of it.
pub const SESSION: &str = "session { userId sessionId accessToken refreshToken sessionEndsAt }
                           userErrors { code message path }";

/// A process, and who is known to it.
pub struct Scene {
    pub app: TestApp,
}

impl As {
    /// The headers that show it.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            As::Nobody => vec![("authorization", String::new())],
            As::Token(token) => vec![("authorization", format!("Bearer {token}"))],
            As::Key(key) => vec![("authorization", String::new()), ("x-api-key", key.clone())],
        }
    }

    /// What is shown itself.
    pub fn secret(&self) -> &str {
        match self {
            As::Nobody => "",
            As::Token(secret) | As::Key(secret) => secret,
        }
    }
}

impl Person {
    /// What they are called.
    pub fn name(&self) -> &str {
        self.email.split('@').next().unwrap()
    }
}

/// A clock that stands still.
pub fn clock() -> (Clock, MockClock) {
    Clock::mock(DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

/// Sign-ins are not what the test is about, nor is how often something is looked at again.
pub fn at_leisure(settings: &mut Settings) {
    settings.limits.sign_ins_per_minute = 100_000;
    settings.limits.account_attempts = 100_000;
    settings.auth.recheck = std::time::Duration::ZERO;
    settings.sockets.recheck = std::time::Duration::from_millis(100);
    settings.sockets.messages_burst = 100_000;
}

impl Scene {
    /// Where nothing known of anybody is remembered.
    pub async fn start() -> Scene {
        Scene::with(|_| ()).await
    }

    /// The same with settings that were changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Scene {
        Scene::at(Clock::system(), change).await
    }

    /// The same by this clock.
    pub async fn at(clock: Clock, change: impl FnOnce(&mut Settings)) -> Scene {
        let settings = |settings: &mut Settings| {
            at_leisure(settings);
            change(settings);
        };
        Scene {
            app: TestApp::at(clock, settings).await,
        }
    }

    /// Another process over the same database.
    pub async fn beside(&self) -> Scene {
        Scene {
            app: self.app.beside(at_leisure).await,
        }
    }

    /// A program of an operator's, with these roles.
    pub fn program(&self, roles: &[Role], tenant: &str) -> As {
        As::Token(self.app.token(roles, tenant))
    }

    /// An administrator's program.
    pub fn admin(&self, tenant: &str) -> As {
        self.program(&[Role::Admin], tenant)
    }

    /// Sends a request with these headers beside those that show who sends it.
    pub async fn send(&self, who: &As, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let own = who.headers();
        let mut all: Vec<(&str, &str)> = own.iter().map(|(n, v)| (*n, v.as_str())).collect();
        all.extend_from_slice(headers);
        self.app.send(line, &all, body).await
    }

    /// Posts a JSON body to a path.
    pub async fn post(&self, who: &As, path: &str, body: &Value) -> Reply {
        let json = [("content-type", "application/json")];
        let body = body.to_string();
        self.send(who, &format!("POST {path}"), &json, body.as_bytes())
            .await
    }

    /// Sends a GraphQL operation.
    pub async fn request(&self, who: &As, query: &str, variables: Value) -> Reply {
        let body = json!({ "query": query, "variables": variables });
        self.post(who, "/graphql", &body).await
    }

    /// What a GraphQL operation is answered.
    pub async fn ask(&self, who: &As, query: &str, variables: Value) -> Value {
        self.request(who, query, variables).await.json()
    }

    /// The same, once the read models show all that was written in a tenant.
    pub async fn settled(&self, who: &As, tenant: &str, query: &str, variables: Value) -> Value {
        let head = self.app.store().head(tenant).await.unwrap().0.to_string();
        let extensions = json!({ "atLeast": head });
        let body = json!({ "query": query, "variables": variables, "extensions": extensions });
        self.post(who, "/graphql", &body).await.json()
    }

    /// Carries out a mutation with one field that must be kept; gives what it tells.
    pub async fn done(&self, who: &As, mutation: &str, input: Value) -> Value {
        let mut told = self.ask(who, mutation, json!({ "i": input })).await;
        assert_eq!(outcome(&told), "ok", "{mutation} {input}: {told}");
        let data = told["data"].as_object_mut().unwrap();
        data.values_mut().next().unwrap().take()
    }

    /// Makes a tenant.
    pub async fn tenant(&self, id: &str) {
        let mutation = "mutation($i: CreateTenantInput!) { createTenant(input: $i) {
                        tenant { id } userErrors { code } } }";
        let input = json!({ "id": id, "name": id });
        self.done(&self.admin("default"), mutation, input).await;
    }

    /// Makes somebody known; gives their id.
    pub async fn register(&self, tenant: &str, name: &str, roles: &[Role]) -> String {
        let mutation = "mutation($i: RegisterUserInput!) { registerUser(input: $i) {
                        user { id } userErrors { code message } } }";
        let roles: Vec<String> = roles.iter().map(|role| word(*role)).collect();
        let input =
            json!({ "email": email(name), "name": name, "password": PASSWORD, "roles": roles });
        let told = self.done(&self.admin(tenant), mutation, input).await;
        told["user"]["id"].as_str().unwrap().to_owned()
    }

    /// Tries to sign somebody in.
    pub async fn try_sign_in(&self, tenant: &str, email: &str, password: &str) -> Value {
        let mutation =
            format!("mutation($i: SignInInput!) {{ signIn(input: $i) {{ {SESSION} }} }}");
        let input = json!({ "email": email, "password": password, "tenant": tenant });
        self.ask(&As::Nobody, &mutation, json!({ "i": input }))
            .await
    }

    /// Signs somebody in who is known.
    pub async fn sign_in(&self, tenant: &str, name: &str) -> Person {
        let told = self.try_sign_in(tenant, &email(name), PASSWORD).await;
        assert_eq!(outcome(&told), "ok", "{name}: {told}");
        person(&told["data"]["signIn"]["session"], name)
    }

    /// Makes somebody known and signs them in.
    pub async fn person(&self, tenant: &str, name: &str, roles: &[Role]) -> Person {
        self.register(tenant, name, roles).await;
        self.sign_in(tenant, name).await
    }

    /// Sends a refresh token.
    pub async fn refresh(&self, token: &str) -> Value {
        let mutation = format!(
            "mutation($i: RefreshSessionInput!) {{ refreshSession(input: $i) {{ {SESSION} }} }}"
        );
        let variables = json!({ "i": { "refreshToken": token } });
        self.ask(&As::Nobody, &mutation, variables).await
    }

    /// Makes an API key in somebody's name; gives its id and the key.
    pub async fn key(&self, issuer: &As, scopes: &[&str]) -> (String, As) {
        let mutation = "mutation($i: IssueApiKeyInput!) { issueApiKey(input: $i) {
                        apiKey { id } secret userErrors { code message } } }";
        let input = json!({ "name": "a key", "scopes": scopes });
        let told = self.done(issuer, mutation, input).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&told["apiKey"]["id"]), As::Key(text(&told["secret"])))
    }

    /// Is somebody let in? The code they are refused with, or `ok`.
    pub async fn standing(&self, who: &As) -> String {
        let told = self.ask(who, "{ tokenStatus { kind } }", json!({})).await;
        outcome(&told).to_owned()
    }
}

/// Somebody by a session they were given.
pub fn person(session: &Value, name: &str) -> Person {
    let text = |field: &str| {
        let value = session[field].as_str();
        value
            .unwrap_or_else(|| panic!("no session: {session}"))
            .to_owned()
    };
    Person {
        id: text("userId"),
        email: email(name),
        session: text("sessionId"),
        access: As::Token(text("accessToken")),
        refresh: text("refreshToken"),
    }
}

/// Somebody's address.
pub fn email(name: &str) -> String {
    format!("{name}@people.example")
}

/// A role as the schema writes it.
pub fn word(role: Role) -> String {
    role.as_str().to_ascii_uppercase()
}

/// The code of the first fault or refusal of an answer; `ok` if there is none.
pub fn outcome(told: &Value) -> &str {
    let fault = told["errors"][0]["extensions"]["code"].as_str();
    let fields = told["data"].as_object().into_iter().flatten();
    let mut refusals = fields.filter_map(|(_, field)| field["userErrors"][0]["code"].as_str());
    let refusal = refusals.next();
    fault.or(refusal).or(told["code"].as_str()).unwrap_or("ok")
}
