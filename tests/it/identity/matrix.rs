//! The guard, field by field: whoever asks, by whichever way in, what `@auth` in the committed schema says is
//! what happens.

use std::collections::BTreeMap;

use daybook::auth::Role;
use domain::Scope;
use serde_json::{Value, json};

use super::scene::{As, SOUTH, Scene};
use super::schema::{RootField, committed, root_fields};
use crate::transport::client::Socket;

/// Arguments of every root field: they pass the guard, and what is asked of the domain it refuses, or can be
/// done any number of times. Subscriptions are answered at once with what is wrong with them.
pub const ARGUMENTS: &[(&str, &str)] = &[
    ("Query.vehicle", r#"(id: "nobody")"#),
    ("Query.vehicles", ""),
    ("Query.fleet", r#"(id: "nobody")"#),
    ("Query.fleets", ""),
    ("Query.node", r#"(id: "nobody")"#),
    ("Query.nodes", r#"(ids: ["nobody"])"#),
    ("Query.latestPositions", "(first: 1)"),
    (
        "Query.positionHistory",
        r#"(vehicleId: "nobody", from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    (
        "Query.heatmap",
        r#"(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    (
        "Query.trend",
        r#"(metric: FIXES, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", bucket: HOUR)"#,
    ),
    (
        "Query.fleetSummary",
        r#"(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    ("Query.deployment", r#"(id: "nobody")"#),
    ("Query.deployments", ""),
    ("Query.pendingApprovals", ""),
    ("Query.environment", r#"(project: "nobody", name: "none")"#),
    ("Query.environments", ""),
    ("Query.incident", r#"(id: "nobody")"#),
    ("Query.incidents", ""),
    (
        "Query.doraMetrics",
        r#"(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    ("Query.slaStats", r#"(slo: "nobody")"#),
    ("Query.applicationStats", ""),
    ("Query.slo", r#"(id: "nobody")"#),
    ("Query.slos", ""),
    ("Query.competition", r#"(id: "nobody")"#),
    ("Query.competitions", ""),
    ("Query.leaderboard", r#"(competition: "nobody")"#),
    (
        "Query.leaderboardAround",
        r#"(competition: "nobody", user: "u")"#,
    ),
    ("Query.myRank", r#"(competition: "nobody")"#),
    ("Query.prizes", r#"(competition: "nobody")"#),
    ("Query.awards", ""),
    ("Query.moderationQueue", ""),
    (
        "Query.activities",
        r#"(from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    (
        "Query.activityTotals",
        r#"(metric: STEPS, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z")"#,
    ),
    ("Query.logs", "(first: 1)"),
    ("Query.logSource", r#"(id: "nobody")"#),
    ("Query.logSources", ""),
    ("Query.logStatus", ""),
    ("Query.logStats", ""),
    ("Query.events", "(first: 1)"),
    ("Query.aggregate", r#"(type: "vehicle", id: "nobody")"#),
    (
        "Query.aggregateHistory",
        r#"(type: "vehicle", id: "nobody")"#,
    ),
    ("Query.seals", ""),
    ("Query.inclusionProof", r#"(position: "1")"#),
    ("Query.consistencyProof", r#"(size: "1")"#),
    ("Query.projections", ""),
    ("Query.rebuilds", ""),
    ("Query.generations", ""),
    ("Query.failedEvents", ""),
    ("Query.projectionDecisions", ""),
    ("Query.analystQuery", r#"(sql: "select 1")"#),
    ("Query.ingestReceipt", r#"(batchId: "nobody")"#),
    ("Query.rejectedRecords", ""),
    ("Query.me", ""),
    ("Query.tokenStatus", ""),
    ("Query.user", r#"(id: "nobody")"#),
    ("Query.users", ""),
    ("Query.sessions", ""),
    ("Query.apiKeys", ""),
    ("Query.tenants", ""),
    ("Mutation.registerVehicle", r#"(input: { id: "v" })"#),
    (
        "Mutation.changeVehicleProfile",
        r#"(input: { id: "nobody", name: "n" })"#,
    ),
    ("Mutation.retireVehicle", r#"(input: { id: "nobody" })"#),
    ("Mutation.reinstateVehicle", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.joinFleet",
        r#"(input: { vehicleId: "nobody", fleetId: "f" })"#,
    ),
    (
        "Mutation.leaveFleet",
        r#"(input: { vehicleId: "nobody", fleetId: "f" })"#,
    ),
    ("Mutation.createFleet", r#"(input: { id: "f", name: "F" })"#),
    (
        "Mutation.renameFleet",
        r#"(input: { id: "nobody", name: "F" })"#,
    ),
    ("Mutation.archiveFleet", r#"(input: { id: "nobody" })"#),
    ("Mutation.reportPositions", "(input: { fixes: [] })"),
    (
        "Mutation.ingestLogs",
        r#"(input: { source: "nobody", logs: [] })"#,
    ),
    (
        "Mutation.eraseLogPerson",
        r#"(input: { person: { user: "nobody" } })"#,
    ),
    ("Mutation.recoverRejected", r#"(input: { id: "nobody" })"#),
    ("Mutation.registerLogSource", r#"(input: { id: "shop" })"#),
    (
        "Mutation.pauseLogSource",
        r#"(input: { id: "nobody", reason: "r" })"#,
    ),
    ("Mutation.resumeLogSource", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.setLogLimits",
        r#"(input: { id: "nobody", limits: {} })"#,
    ),
    (
        "Mutation.setLogRetention",
        r#"(input: { id: "nobody", retention: {} })"#,
    ),
    (
        "Mutation.setPersonalFields",
        r#"(input: { id: "nobody", personalFields: [] })"#,
    ),
    (
        "Mutation.requestDeployment",
        r#"(input: { project: "p", service: "s", environment: "none", version: "1" })"#,
    ),
    (
        "Mutation.recordDeployment",
        r#"(input: { project: "p", service: "s", environment: "none", version: "1", status: SUCCEEDED })"#,
    ),
    ("Mutation.startDeployment", r#"(input: { id: "nobody" })"#),
    ("Mutation.succeedDeployment", r#"(input: { id: "nobody" })"#),
    ("Mutation.failDeployment", r#"(input: { id: "nobody" })"#),
    ("Mutation.cancelDeployment", r#"(input: { id: "nobody" })"#),
    ("Mutation.amendDeployment", r#"(input: { id: "nobody" })"#),
    ("Mutation.markHotfix", r#"(input: { id: "nobody" })"#),
    ("Mutation.unmarkHotfix", r#"(input: { id: "nobody" })"#),
    ("Mutation.requestApproval", r#"(input: { id: "nobody" })"#),
    ("Mutation.revokeApproval", r#"(input: { id: "nobody" })"#),
    ("Mutation.resolveIncident", r#"(input: { id: "nobody" })"#),
    ("Mutation.reopenIncident", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.rollBackDeployment",
        r#"(input: { id: "nobody", to: "1" })"#,
    ),
    (
        "Mutation.addDeploymentChanges",
        r#"(input: { id: "nobody", changes: [] })"#,
    ),
    (
        "Mutation.approveDeployment",
        r#"(input: { id: "nobody", revision: 1 })"#,
    ),
    (
        "Mutation.rejectDeployment",
        r#"(input: { id: "nobody", revision: 1 })"#,
    ),
    (
        "Mutation.overrideApproval",
        r#"(input: { id: "nobody", reason: "r" })"#,
    ),
    (
        "Mutation.defineEnvironment",
        r#"(input: { project: "p", environment: "e", tier: OTHER })"#,
    ),
    (
        "Mutation.setApprovalPolicy",
        r#"(input: { project: "p", environment: "none", rules: [] })"#,
    ),
    (
        "Mutation.freezeEnvironment",
        r#"(input: { project: "p", environment: "none", freezeId: "f", reason: "r" })"#,
    ),
    (
        "Mutation.unfreezeEnvironment",
        r#"(input: { project: "p", environment: "none", freezeId: "f" })"#,
    ),
    (
        "Mutation.defineSlo",
        r#"(input: { name: "n", sli: APPROVAL_WAIT, objectivePpm: 0, window: { kind: ROLLING, days: 1 }, thresholdSeconds: 1 })"#,
    ),
    (
        "Mutation.reviseSlo",
        r#"(input: { id: "nobody", name: "n", sli: APPROVAL_WAIT, objectivePpm: 1, window: { kind: ROLLING, days: 1 }, thresholdSeconds: 1 })"#,
    ),
    ("Mutation.retireSlo", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.excludePeriod",
        r#"(input: { id: "nobody", from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", reason: "r" })"#,
    ),
    (
        "Mutation.createCompetition",
        r#"(input: { rules: { name: "", metric: SUBMITTED, operator: BEST, startsAt: "2026-01-01T00:00:00Z" } })"#,
    ),
    (
        "Mutation.reviseCompetition",
        r#"(input: { id: "nobody", rules: { name: "n", metric: SUBMITTED, operator: BEST, startsAt: "2026-01-01T00:00:00Z" } })"#,
    ),
    ("Mutation.definePrizes", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.inviteToCompetition",
        r#"(input: { id: "nobody", users: ["u"] })"#,
    ),
    ("Mutation.openCompetition", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.cutCompetitionShort",
        r#"(input: { id: "nobody" })"#,
    ),
    ("Mutation.cancelCompetition", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.closePeriod",
        r#"(input: { competition: "nobody", period: "all" })"#,
    ),
    (
        "Mutation.joinCompetition",
        r#"(input: { competition: "nobody" })"#,
    ),
    (
        "Mutation.leaveCompetition",
        r#"(input: { competition: "nobody" })"#,
    ),
    (
        "Mutation.submitScore",
        r#"(input: { competition: "nobody", score: 1, achievedAt: "2026-01-01T00:00:00Z" })"#,
    ),
    (
        "Mutation.openDispute",
        r#"(input: { competition: "nobody", statement: "s" })"#,
    ),
    (
        "Mutation.releaseScore",
        r#"(input: { competition: "nobody", user: "u", period: "all", attempt: 1 })"#,
    ),
    (
        "Mutation.dismissScore",
        r#"(input: { competition: "nobody", user: "u", period: "all", attempt: 1, reason: "r" })"#,
    ),
    (
        "Mutation.excludeEntry",
        r#"(input: { competition: "nobody", user: "u", reason: "r" })"#,
    ),
    (
        "Mutation.reinstateEntry",
        r#"(input: { competition: "nobody", user: "u", reason: "r" })"#,
    ),
    (
        "Mutation.resolveDispute",
        r#"(input: { competition: "nobody", user: "u", outcome: UPHELD, reason: "r" })"#,
    ),
    ("Mutation.syncActivities", "(input: { records: [] })"),
    (
        "Mutation.rebuildProjection",
        r#"(input: { name: "nobody" })"#,
    ),
    (
        "Mutation.rollBackProjection",
        r#"(input: { name: "nobody" })"#,
    ),
    ("Mutation.pauseRebuild", r#"(input: { name: "nobody" })"#),
    ("Mutation.resumeRebuild", r#"(input: { name: "nobody" })"#),
    ("Mutation.cancelRebuild", r#"(input: { name: "nobody" })"#),
    (
        "Mutation.dropGeneration",
        r#"(input: { name: "nobody", generation: 1 })"#,
    ),
    ("Mutation.pauseProjection", r#"(input: { name: "nobody" })"#),
    (
        "Mutation.resumeProjection",
        r#"(input: { name: "nobody" })"#,
    ),
    (
        "Mutation.retryFailedEvent",
        r#"(input: { name: "nobody", position: "1" })"#,
    ),
    (
        "Mutation.skipFailedEvent",
        r#"(input: { name: "nobody", position: "1", reason: "r" })"#,
    ),
    (
        "Mutation.openIncident",
        r#"(input: { title: "", severity: LOW, project: "p" })"#,
    ),
    (
        "Mutation.linkDeployment",
        r#"(input: { id: "nobody", deploymentId: "nobody" })"#,
    ),
    (
        "Mutation.unlinkDeployment",
        r#"(input: { id: "nobody", deploymentId: "nobody" })"#,
    ),
    (
        "Mutation.signIn",
        r#"(input: { email: "nobody@people.example", password: "wrong" })"#,
    ),
    (
        "Mutation.refreshSession",
        r#"(input: { refreshToken: "dbr.x" })"#,
    ),
    ("Mutation.signOut", ""),
    ("Mutation.verifyEmail", r#"(input: { token: "dbv.x" })"#),
    (
        "Mutation.changePassword",
        r#"(input: { currentPassword: "a", newPassword: "b" })"#,
    ),
    (
        "Mutation.registerUser",
        r#"(input: { email: "none", name: "N" })"#,
    ),
    (
        "Mutation.assignRole",
        r#"(input: { userId: "nobody", role: VIEWER })"#,
    ),
    (
        "Mutation.revokeRole",
        r#"(input: { userId: "nobody", role: VIEWER })"#,
    ),
    (
        "Mutation.deactivateUser",
        r#"(input: { userId: "nobody" })"#,
    ),
    (
        "Mutation.reactivateUser",
        r#"(input: { userId: "nobody" })"#,
    ),
    (
        "Mutation.erasePersonalData",
        r#"(input: { userId: "nobody" })"#,
    ),
    (
        "Mutation.issueApiKey",
        r#"(input: { name: "k", scopes: [] })"#,
    ),
    ("Mutation.rotateApiKey", r#"(input: { id: "nobody" })"#),
    ("Mutation.revokeApiKey", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.createTenant",
        r#"(input: { id: "No Id", name: "N" })"#,
    ),
    (
        "Mutation.renameTenant",
        r#"(input: { id: "nobody", name: "N" })"#,
    ),
    ("Mutation.suspendTenant", r#"(input: { id: "nobody" })"#),
    ("Mutation.resumeTenant", r#"(input: { id: "nobody" })"#),
    (
        "Mutation.rotateSigningKey",
        r#"(input: { compromised: "nobody" })"#,
    ),
    ("Subscription.events", r#"(after: "999999999")"#),
    ("Subscription.deploymentChanged", r#"(after: "999999999")"#),
    ("Subscription.sloBurnAlert", r#"(after: "999999999")"#),
    ("Subscription.logTail", r#"(after: "999999999")"#),
    ("Subscription.vehicleMoved", "(maxHz: -1.0)"),
    (
        "Subscription.heatmapChanged",
        r#"(from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z")"#,
    ),
    (
        "Subscription.leaderboardChanged",
        r#"(competition: "nothing", maxHz: -1.0)"#,
    ),
    ("Subscription.projectionProgress", r#"(name: "nobody")"#),
];

/// People with one of these roles are let in where the one before them is named.
const LET_IN: &[(&str, &[Role])] = &[
    (
        "VIEWER",
        &[
            Role::Viewer,
            Role::Operator,
            Role::Approver,
            Role::Analyst,
            Role::Auditor,
            Role::Admin,
        ],
    ),
    ("OPERATOR", &[Role::Operator, Role::Admin]),
    ("APPROVER", &[Role::Approver, Role::Admin]),
    ("ANALYST", &[Role::Analyst, Role::Admin]),
    ("AUDITOR", &[Role::Auditor, Role::Admin]),
    ("INGEST", &[Role::Ingest, Role::Operator, Role::Admin]),
    ("ADMIN", &[Role::Admin]),
    ("INSTALLATION_ADMIN", &[Role::Admin]),
];

/// Somebody who asks.
#[derive(Clone, Debug)]
enum Asker {
    Anonymous,
    /// A person or program with these roles, in a tenant.
    Token(Vec<Role>, &'static str),
    /// An API key with these scopes.
    Key(Vec<Scope>),
}

/// What `@auth` of a field says of somebody: the code they are refused with, if they are.
fn refused(rule: &(String, Option<String>), asker: &Asker) -> Option<&'static str> {
    let (role, scope) = (rule.0.as_str(), rule.1.as_deref());
    let let_in = match (role, asker) {
        ("ANYONE", _) => true,
        (_, Asker::Anonymous) => return Some("UNAUTHENTICATED"),
        ("KNOWN", _) | ("SIGNED_IN", Asker::Token(..)) => true,
        (_, Asker::Key(scopes)) => scopes.iter().any(|held| Some(held.as_str()) == scope),
        ("INSTALLATION_ADMIN", Asker::Token(_, tenant)) if *tenant != "default" => false,
        (role, Asker::Token(roles, _)) => {
            let (_, enough) = LET_IN.iter().find(|(word, _)| *word == role).unwrap();
            roles.iter().any(|held| enough.contains(held))
        }
    };
    (!let_in).then_some("FORBIDDEN")
}

/// Everybody whom a field's rule has something to say of.
fn askers(rule: &(String, Option<String>)) -> Vec<Asker> {
    let mut askers = vec![Asker::Anonymous, Asker::Token(Vec::new(), "default")];
    askers.extend(
        Role::ALL
            .iter()
            .map(|role| Asker::Token(vec![*role], "default")),
    );
    askers.push(Asker::Token(Role::ALL.to_vec(), SOUTH));
    let named = |scope: &&Scope| rule.1.as_deref() == Some(scope.as_str());
    let scopes = || Scope::ALL.iter();
    askers.push(Asker::Key(
        scopes().filter(|s| !named(s)).copied().collect(),
    ));
    if rule.1.is_some() {
        askers.push(Asker::Key(scopes().filter(named).copied().collect()));
    }
    askers
}

/// Fields that nobody said who they are for.
fn unruled(fields: &[RootField]) -> Vec<&str> {
    let known = |role: &str| {
        let others = ["ANYONE", "KNOWN", "SIGNED_IN"].contains(&role);
        others || LET_IN.iter().any(|(word, _)| *word == role)
    };
    let ruled = |field: &&RootField| field.rule.as_ref().is_some_and(|(role, _)| known(role));
    let unruled = fields.iter().filter(|field| !ruled(field));
    unruled.map(|field| field.path.as_str()).collect()
}

/// Fields that nobody said how to ask for.
fn untold(fields: &[RootField]) -> Vec<&str> {
    let told = |field: &&RootField| ARGUMENTS.iter().any(|(path, _)| *path == field.path);
    let untold = fields.iter().filter(|field| !told(field));
    untold.map(|field| field.path.as_str()).collect()
}

#[test]
fn every_root_field_has_a_rule_and_is_tried() {
    let fields = root_fields(&committed());
    assert_eq!(unruled(&fields), Vec::<&str>::new(), "who are they for?");
    assert_eq!(untold(&fields), Vec::<&str>::new(), "how are they asked?");
    let told: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    for (path, _) in ARGUMENTS {
        assert!(told.contains(path), "{path} is not in the schema");
    }
}

#[test]
fn a_field_without_a_rule_is_found() {
    let whole = committed();
    let good = "me: Me! @auth(role: KNOWN)";
    assert!(whole.contains(good));
    for (planted, without_rule, not_tried) in [
        ("me: Me!", &["Query.me"][..], &[][..]),
        ("me: Me! @auth(role: NOBODY)", &["Query.me"], &[]),
        ("me: Me! @auth(scope: \"audit:read\")", &["Query.me"], &[]),
        (
            "me: Me! @auth(role: KNOWN) you: Me! @auth(role: KNOWN)",
            &[],
            &["Query.you"],
        ),
        (
            "me: Me! @auth(role: KNOWN) you(id: ID!): Me! @deprecated",
            &["Query.you"],
            &["Query.you"],
        ),
    ] {
        let fields = root_fields(&whole.replace(good, planted));
        assert_eq!(unruled(&fields), without_rule, "{planted}");
        assert_eq!(untold(&fields), not_tried, "{planted}");
    }
}

/// A process, and API keys by their scopes.
struct Doors {
    scene: Scene,
    keys: BTreeMap<Vec<Scope>, As>,
}

impl Doors {
    async fn open() -> Doors {
        let scene = Scene::with(|settings| settings.sockets.per_caller_max = 1_000_000).await;
        scene.tenant(SOUTH).await;
        Doors {
            scene,
            keys: BTreeMap::new(),
        }
    }

    /// What somebody shows. A token is another one each time: some operations use theirs up.
    async fn shown(&mut self, asker: &Asker) -> As {
        match asker {
            Asker::Anonymous => As::Nobody,
            Asker::Token(roles, tenant) => self.scene.program(roles, tenant),
            Asker::Key(scopes) => {
                if !self.keys.contains_key(scopes) {
                    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
                    let admin = self.scene.admin("default");
                    let (_, key) = self.scene.key(&admin, &words).await;
                    self.keys.insert(scopes.clone(), key);
                }
                self.keys[scopes].clone()
            }
        }
    }

    /// What an operation is answered, as text.
    async fn answer(&self, way: Way, who: &As, document: &str) -> String {
        let accept = match way {
            Way::Socket => return self.over_a_socket(who, document).await,
            Way::Post => "application/json",
            Way::Stream => "text/event-stream",
        };
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let body = json!({ "query": document }).to_string();
        let reply = self
            .scene
            .send(who, "POST /graphql", &headers, body.as_bytes())
            .await;
        String::from_utf8(reply.body).unwrap()
    }

    async fn over_a_socket(&self, who: &As, document: &str) -> String {
        let (headers, init) = match who {
            As::Nobody => (Vec::new(), json!({ "type": "connection_init" })),
            As::Token(token) => (
                Vec::new(),
                json!({ "type": "connection_init", "payload": { "token": token } }),
            ),
            As::Key(key) => (
                vec![("x-api-key", key.as_str())],
                json!({ "type": "connection_init" }),
            ),
        };
        let mut socket = Socket::open(self.scene.app.address(), &headers).await;
        socket.send(&init).await;
        assert_eq!(socket.next().await["type"], "connection_ack", "{who:?}");
        socket.subscribe("1", document).await;
        let said = socket.until_end("1").await;
        Value::from(said).to_string()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Post,
    Stream,
    Socket,
}

/// The first code an answer names, if it names one.
fn code(answer: &str) -> Option<&str> {
    answer.split("\"code\":\"").nth(1)?.split('"').next()
}

/// What was expected of an answer and did not come.
fn disappointment(answer: &str, expected: Option<&str>) -> Option<String> {
    let found = code(answer);
    let guard = ["FORBIDDEN", "UNAUTHENTICATED"];
    // Past the guard a question must have been understood, and no more than refused.
    let broken = [
        "INTERNAL",
        "GRAPHQL_VALIDATION_FAILED",
        "GRAPHQL_PARSE_FAILED",
        "BAD_VARIABLES",
        "UNAVAILABLE",
        "RATE_LIMITED",
    ];
    let as_expected = match expected {
        Some(code) => found == Some(code),
        None => !found.is_some_and(|code| guard.contains(&code) || broken.contains(&code)),
    };
    (!as_expected).then(|| format!("expected {expected:?}, was answered {answer:.300}"))
}

#[tokio::test]
async fn whoever_asks_for_a_field_is_let_in_by_its_rule_alone() {
    let mut doors = Doors::open().await;
    let (mut asked, mut wrong) = (0, Vec::new());
    let fields = root_fields(&committed());
    for field in &fields {
        let rule = field.rule.clone().unwrap();
        let (_, arguments) = ARGUMENTS.iter().find(|(p, _)| *p == field.path).unwrap();
        let document = field.document(arguments);
        for asker in askers(&rule) {
            let who = doors.shown(&asker).await;
            let answer = doors.answer(Way::Post, &who, &document).await;
            asked += 1;
            let expected = refused(&rule, &asker);
            if let Some(what) = disappointment(&answer, expected) {
                wrong.push(format!("{} by {asker:?}: {what}", field.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 10 * fields.len(), "{asked}");
}

#[tokio::test]
async fn every_way_in_has_the_same_guard() {
    let mut doors = Doors::open().await;
    let mut wrong = Vec::new();
    for field in root_fields(&committed()) {
        let rule = field.rule.clone().unwrap();
        let (_, arguments) = ARGUMENTS.iter().find(|(p, _)| *p == field.path).unwrap();
        let document = field.document(arguments);
        // One of each kind: let in or not, by role and by scope.
        let mut kinds: BTreeMap<(u8, bool), Asker> = BTreeMap::new();
        for asker in askers(&rule) {
            let kind = match &asker {
                Asker::Anonymous => 0,
                Asker::Token(..) => 1,
                Asker::Key(_) => 2,
            };
            let let_in = refused(&rule, &asker).is_none();
            kinds.entry((kind, let_in)).or_insert(asker);
        }
        for asker in kinds.values() {
            let expected = refused(&rule, asker);
            for way in [Way::Stream, Way::Socket] {
                // Nobody has a socket who is not known.
                if way == Way::Socket && matches!(asker, Asker::Anonymous) {
                    continue;
                }
                let who = doors.shown(asker).await;
                let answer = doors.answer(way, &who, &document).await;
                if let Some(what) = disappointment(&answer, expected) {
                    wrong.push(format!("{} by {asker:?}, {way:?}: {what}", field.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
