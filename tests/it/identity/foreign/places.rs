//! Where ids of objects go in, and an operation for each.

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Vehicle,
    Fleet,
    User,
    Session,
    Key,
    Deployment,
    Incident,
    Slo,
    LogSource,
    Competition,
}
use Kind::{Competition, Deployment, Fleet, Incident, Key, LogSource, Session, Slo, User, Vehicle};

/// Where ids go in, of which kind, and an operation that takes one as `$id`. Those that change something come
/// last, in an order in which the own object can be told to do each.
pub const TAKEN: &[(&[&str], Kind, &str)] = &[
    (
        &["Query.vehicle(id)"],
        Vehicle,
        "query($id: ID!) { vehicle(id: $id) { id name fleetIds latestPosition { lat } } }",
    ),
    (
        &["Query.fleet(id)"],
        Fleet,
        "query($id: ID!) { fleet(id: $id) { id name vehicleCount vehicles { nodes { id } } } }",
    ),
    (
        &["Query.node(id)"],
        Vehicle,
        "query($id: ID!) { node(id: $id) { id } }",
    ),
    (
        &["Query.node(id)"],
        Fleet,
        "query($id: ID!) { node(id: $id) { id } }",
    ),
    (
        &["Query.deployment(id)"],
        Deployment,
        r#"query($id: ID!) { deployment(id: $id) { id version timeline { nodes { type } } } }"#,
    ),
    (
        &["Query.deployment(id)"],
        Deployment,
        r#"query($id: ID!) { deployment(id: $id, asOf: { time: "2100-01-01T00:00:00Z" }) { id changes { nodes { id } } } }"#,
    ),
    (
        &["Query.node(id)"],
        Deployment,
        r#"query($id: ID!) { node(id: $id) { id } }"#,
    ),
    (
        &["Query.node(id)"],
        Incident,
        r#"query($id: ID!) { node(id: $id) { id } }"#,
    ),
    (
        &["Query.incident(id)"],
        Incident,
        r#"query($id: ID!) { incident(id: $id) { id title links { deploymentId } } }"#,
    ),
    (
        &["Query.slo(id)"],
        Slo,
        "query($id: ID!) { slo(id: $id) { id objective { name } revisions { nodes { revision } } } }",
    ),
    (
        &["Query.slo(id)"],
        Slo,
        r#"query($id: ID!) { slo(id: $id, asOf: { time: "2100-01-01T00:00:00Z" }) { id excludedPeriods { nodes { reason } } } }"#,
    ),
    (
        &["Query.slaStats(slo)"],
        Slo,
        "query($id: ID!) { slaStats(slo: $id) { sloId objective { name } status } }",
    ),
    (
        &["Query.logSource(id)"],
        LogSource,
        "query($id: ID!) { logSource(id: $id) { id records limits { recordBytesMax } } }",
    ),
    (
        &[],
        LogSource,
        "query($id: String!) { logs(filter: { source: $id }) { nodes { source eventName } } }",
    ),
    (
        &[],
        LogSource,
        "query($id: String!) { logStats(filter: { source: $id }) { topNames { eventName records } } }",
    ),
    (
        &["Query.competition(id)"],
        Competition,
        "query($id: ID!) { competition(id: $id) { id rules { name } entries periods { nodes { key } } } }",
    ),
    (
        &["Query.leaderboard(competition)"],
        Competition,
        "query($id: ID!) { leaderboard(competition: $id) { size nodes { rank userId } } }",
    ),
    (
        &["Query.leaderboardAround(competition)"],
        Competition,
        r#"query($id: ID!) { leaderboardAround(competition: $id, user: "u") { lines { userId } } }"#,
    ),
    (
        &["Query.prizes(competition)"],
        Competition,
        "query($id: ID!) { prizes(competition: $id) { awards { nodes { userId } } } }",
    ),
    (
        &["Query.nodes(ids)"],
        Vehicle,
        r#"query($id: ID!) { nodes(ids: ["v-own-2", $id]) { id } }"#,
    ),
    (
        &["Query.vehicles(filter.fleetId)"],
        Fleet,
        "query($id: ID!) { vehicles(filter: { fleetId: $id }) { nodes { id } pageInfo { hasNextPage } } }",
    ),
    (
        &["Query.latestPositions(vehicleIds)"],
        Vehicle,
        "query($id: ID!) { latestPositions(vehicleIds: [$id]) { nodes { vehicleId vehicle { id } } } }",
    ),
    (
        &["Query.latestPositions(fleetId)"],
        Fleet,
        "query($id: ID!) { latestPositions(fleetId: $id) { nodes { vehicleId } } }",
    ),
    (
        &["Query.positionHistory(vehicleId)"],
        Vehicle,
        r#"query($id: ID!) { positionHistory(vehicleId: $id, from: "2026-01-01T00:00:00Z",
            to: "2026-01-02T00:00:00Z") { nodes { vehicleId lat } } }"#,
    ),
    (
        &["Query.trend(vehicleId)"],
        Vehicle,
        r#"query($id: ID!) { trend(metric: FIXES, bucket: HOUR, vehicleId: $id,
            from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z") { points { value } } }"#,
    ),
    (
        &["Query.trend(fleetId)"],
        Fleet,
        r#"query($id: ID!) { trend(metric: FIXES, bucket: HOUR, fleetId: $id,
            from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z") { points { value } } }"#,
    ),
    (
        &["Query.fleetSummary(vehicleId)"],
        Vehicle,
        r#"query($id: ID!) { fleetSummary(vehicleId: $id, from: "2026-01-01T00:00:00Z",
            to: "2026-01-02T00:00:00Z") { fixes activeVehicles evidence { nodes { lat } } } }"#,
    ),
    (
        &["Query.fleetSummary(fleetId)"],
        Fleet,
        r#"query($id: ID!) { fleetSummary(fleetId: $id, from: "2026-01-01T00:00:00Z",
            to: "2026-01-02T00:00:00Z") { fixes byVehicle { nodes { vehicleId } } } }"#,
    ),
    (
        &[],
        Vehicle,
        r#"query($id: String!) { events(aggregate: { type: "vehicle", id: $id }) { nodes { type } } }"#,
    ),
    (
        &[],
        Vehicle,
        r#"query($id: String!) { aggregate(type: "vehicle", id: $id) { version state } }"#,
    ),
    (
        &[],
        Vehicle,
        r#"query($id: String!) { aggregateHistory(type: "vehicle", id: $id) { nodes { version state } } }"#,
    ),
    (
        &["Query.user(id)"],
        User,
        "query($id: ID!) { user(id: $id) { id email name status } }",
    ),
    (
        &[],
        User,
        r#"query($id: String!) { events(aggregate: { type: "user", id: $id }) { nodes { type } } }"#,
    ),
    (
        &["Query.sessions(userId)"],
        User,
        "query($id: ID!) { sessions(userId: $id, includeOver: true) { nodes { id address } } }",
    ),
    (
        &["Mutation.changeVehicleProfile(input.id)"],
        Vehicle,
        r#"mutation($id: ID!) { changeVehicleProfile(input: { id: $id, plate: "B 1" }) {
            vehicle { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.joinFleet(input.fleetId)"],
        Fleet,
        r#"mutation($id: ID!) { joinFleet(input: { vehicleId: "v-own-2", fleetId: $id }) {
            vehicle { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.leaveFleet(input.fleetId)"],
        Fleet,
        r#"mutation($id: ID!) { leaveFleet(input: { vehicleId: "v-own-2", fleetId: $id }) {
            vehicle { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.joinFleet(input.vehicleId)"],
        Vehicle,
        r#"mutation($id: ID!) { joinFleet(input: { vehicleId: $id, fleetId: "f-own-2" }) {
            vehicle { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.leaveFleet(input.vehicleId)"],
        Vehicle,
        r#"mutation($id: ID!) { leaveFleet(input: { vehicleId: $id, fleetId: "f-own-2" }) {
            vehicle { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.retireVehicle(input.id)"],
        Vehicle,
        "mutation($id: ID!) { retireVehicle(input: { id: $id }) {
            vehicle { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.reinstateVehicle(input.id)"],
        Vehicle,
        "mutation($id: ID!) { reinstateVehicle(input: { id: $id }) {
            vehicle { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.renameFleet(input.id)"],
        Fleet,
        r#"mutation($id: ID!) { renameFleet(input: { id: $id, name: "F" }) {
            fleet { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.archiveFleet(input.id)"],
        Fleet,
        "mutation($id: ID!) { archiveFleet(input: { id: $id }) {
            fleet { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.requestApproval(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { requestApproval(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.overrideApproval(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { overrideApproval(input: { id: $id, reason: "r" }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.amendDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { amendDeployment(input: { id: $id, version: "2" }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.overrideApproval(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { overrideApproval(input: { id: $id, reason: "r" }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.startDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { startDeployment(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.addDeploymentChanges(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { addDeploymentChanges(input: { id: $id, changes: [{ id: "c", committedAt: "2026-01-01T00:00:00Z" }] }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.succeedDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { succeedDeployment(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.failDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { failDeployment(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.cancelDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { cancelDeployment(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.markHotfix(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { markHotfix(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.unmarkHotfix(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { unmarkHotfix(input: { id: $id }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.rollBackDeployment(input.id)"],
        Deployment,
        r#"mutation($id: ID!) { rollBackDeployment(input: { id: $id, to: "0" }) {
            deployment { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.openIncident(input.deploymentId)"],
        Deployment,
        r#"mutation($id: ID!) { openIncident(input: { deploymentId: $id, id: "i-own-3", title: "t", severity: LOW, project: "p-own" }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.linkDeployment(input.deploymentId)"],
        Deployment,
        r#"mutation($id: ID!) { linkDeployment(input: { deploymentId: $id, id: "i-own-2" }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.unlinkDeployment(input.deploymentId)"],
        Deployment,
        r#"mutation($id: ID!) { unlinkDeployment(input: { deploymentId: $id, id: "i-own-2" }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.linkDeployment(input.id)"],
        Incident,
        r#"mutation($id: ID!) { linkDeployment(input: { id: $id, deploymentId: "d-own-2" }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.unlinkDeployment(input.id)"],
        Incident,
        r#"mutation($id: ID!) { unlinkDeployment(input: { id: $id, deploymentId: "d-own-2" }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.resolveIncident(input.id)"],
        Incident,
        r#"mutation($id: ID!) { resolveIncident(input: { id: $id }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.reopenIncident(input.id)"],
        Incident,
        r#"mutation($id: ID!) { reopenIncident(input: { id: $id }) {
            incident { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.signOut(input.sessionId)"],
        Session,
        "mutation($id: ID!) { signOut(input: { sessionId: $id }) {
            receipt { version } userErrors { code message path } } }",
    ),
    (
        &["Mutation.assignRole(input.userId)"],
        User,
        "mutation($id: ID!) { assignRole(input: { userId: $id, role: ANALYST }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.assignRole(input.userId)"],
        User,
        "mutation($id: ID!) { assignRole(input: { userId: $id, role: ADMIN }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.revokeRole(input.userId)"],
        User,
        "mutation($id: ID!) { revokeRole(input: { userId: $id, role: ADMIN }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.revokeRole(input.userId)"],
        User,
        "mutation($id: ID!) { revokeRole(input: { userId: $id, role: ANALYST }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.deactivateUser(input.userId)"],
        User,
        "mutation($id: ID!) { deactivateUser(input: { userId: $id }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.reactivateUser(input.userId)"],
        User,
        "mutation($id: ID!) { reactivateUser(input: { userId: $id }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.erasePersonalData(input.userId)"],
        User,
        "mutation($id: ID!) { erasePersonalData(input: { userId: $id }) {
            user { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.reviseSlo(input.id)"],
        Slo,
        "mutation($id: ID!) { reviseSlo(input: { id: $id, name: \"n\", sli: APPROVAL_WAIT, objectivePpm: 1,
            window: { kind: ROLLING, days: 1 }, thresholdSeconds: 1 }) {
            slo { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.excludePeriod(input.id)"],
        Slo,
        "mutation($id: ID!) { excludePeriod(input: { id: $id, from: \"2026-01-01T00:00:00Z\",
            to: \"2026-01-02T00:00:00Z\", reason: \"r\" }) {
            slo { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.retireSlo(input.id)"],
        Slo,
        "mutation($id: ID!) { retireSlo(input: { id: $id }) {
            slo { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.reviseCompetition(input.id)"],
        Competition,
        r#"mutation($id: ID!) { reviseCompetition(input: { id: $id, rules: { name: "n", metric: SUBMITTED, operator: BEST, startsAt: "2026-01-01T00:00:00Z" } }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.definePrizes(input.id)"],
        Competition,
        r#"mutation($id: ID!) { definePrizes(input: { id: $id }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.inviteToCompetition(input.id)"],
        Competition,
        r#"mutation($id: ID!) { inviteToCompetition(input: { id: $id, users: ["u"] }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.openCompetition(input.id)"],
        Competition,
        r#"mutation($id: ID!) { openCompetition(input: { id: $id }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.joinCompetition(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { joinCompetition(input: { competition: $id, user: "u" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.submitScore(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { submitScore(input: { competition: $id, user: "u", score: 1, achievedAt: "2026-01-01T00:00:00Z" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.openDispute(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { openDispute(input: { competition: $id, user: "u", statement: "s" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.resolveDispute(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { resolveDispute(input: { competition: $id, user: "u", outcome: UPHELD, reason: "r" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.excludeEntry(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { excludeEntry(input: { competition: $id, user: "u", reason: "r" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.reinstateEntry(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { reinstateEntry(input: { competition: $id, user: "u", reason: "r" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.releaseScore(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { releaseScore(input: { competition: $id, user: "u", period: "all", attempt: 1 }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.dismissScore(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { dismissScore(input: { competition: $id, user: "u", period: "all", attempt: 1, reason: "r" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.leaveCompetition(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { leaveCompetition(input: { competition: $id, user: "u" }) {
            entry { userId } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.closePeriod(input.competition)"],
        Competition,
        r#"mutation($id: ID!) { closePeriod(input: { competition: $id, period: "all" }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.cutCompetitionShort(input.id)"],
        Competition,
        r#"mutation($id: ID!) { cutCompetitionShort(input: { id: $id }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.cancelCompetition(input.id)"],
        Competition,
        r#"mutation($id: ID!) { cancelCompetition(input: { id: $id }) {
            competition { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.setLogLimits(input.id)"],
        LogSource,
        "mutation($id: ID!) { setLogLimits(input: { id: $id, limits: { ageSecondsMax: 60 } }) {
            logSource { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.setLogRetention(input.id)"],
        LogSource,
        "mutation($id: ID!) { setLogRetention(input: { id: $id, retention: { days: 9 } }) {
            logSource { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.setPersonalFields(input.id)"],
        LogSource,
        r#"mutation($id: ID!) { setPersonalFields(input: { id: $id, personalFields: [{ path: "userId" }] }) {
            logSource { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.pauseLogSource(input.id)"],
        LogSource,
        r#"mutation($id: ID!) { pauseLogSource(input: { id: $id, reason: "r" }) {
            logSource { id } userErrors { code message path } } }"#,
    ),
    (
        &["Mutation.resumeLogSource(input.id)"],
        LogSource,
        "mutation($id: ID!) { resumeLogSource(input: { id: $id }) {
            logSource { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.rotateApiKey(input.id)"],
        Key,
        "mutation($id: ID!) { rotateApiKey(input: { id: $id }) {
            apiKey { id } userErrors { code message path } } }",
    ),
    (
        &["Mutation.revokeApiKey(input.id)"],
        Key,
        "mutation($id: ID!) { revokeApiKey(input: { id: $id }) {
            apiKey { id } userErrors { code message path } } }",
    ),
];

/// Where ids go in that name nothing of another tenant's, and why.
pub const APART: &[(&str, &str)] = &[
    (
        "Mutation.registerVehicle(input.id)",
        "the id of something new",
    ),
    ("Mutation.createFleet(input.id)", "the id of something new"),
    (
        "Mutation.requestDeployment(input.id)",
        "the id of something new",
    ),
    (
        "Mutation.requestDeployment(input.remedies)",
        "kept as it is said, never looked up",
    ),
    (
        "Mutation.recordDeployment(input.id)",
        "the id of something new",
    ),
    (
        "Mutation.recordDeployment(input.remedies)",
        "kept as it is said, never looked up",
    ),
    (
        "Mutation.setApprovalPolicy(input.rules.members)",
        "kept as they are said: a vote is looked up by its voter",
    ),
    (
        "Mutation.markHotfix(input.fixedBy)",
        "kept as it is said, never looked up",
    ),
    (
        "Mutation.approveDeployment(input.id)",
        "people vote: tried by people in `deployments/votes.rs`",
    ),
    (
        "Mutation.rejectDeployment(input.id)",
        "people vote: tried by people in `deployments/votes.rs`",
    ),
    (
        "Mutation.revokeApproval(input.id)",
        "people vote: tried by people in `deployments/votes.rs`",
    ),
    (
        "Mutation.freezeEnvironment(input.freezeId)",
        "a name within the environment",
    ),
    (
        "Mutation.unfreezeEnvironment(input.freezeId)",
        "a name within the environment",
    ),
    ("Mutation.openIncident(input.id)", "the id of something new"),
    ("Mutation.defineSlo(input.id)", "the id of something new"),
    (
        "Query.myRank(competition)",
        "of users: tried by people in `competitions/boards.rs`",
    ),
    (
        "Query.moderationQueue(competition)",
        "a filter of what waits: tried in `competitions/own.rs`",
    ),
    (
        "Query.leaderboard(among.users)",
        "kept as they are said: whoever has no account may take part",
    ),
    (
        "Query.leaderboardAround(user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Query.leaderboardAround(among.users)",
        "kept as they are said: whoever has no account may take part",
    ),
    (
        "Query.awards(user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Query.activities(user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Query.activityTotals(user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.joinCompetition(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.submitScore(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.openDispute(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.resolveDispute(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.excludeEntry(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.reinstateEntry(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.releaseScore(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.dismissScore(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.leaveCompetition(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.syncActivities(input.user)",
        "kept as it is said: whoever has no account may take part",
    ),
    (
        "Mutation.createCompetition(input.id)",
        "the id of something new",
    ),
    (
        "Mutation.registerLogSource(input.id)",
        "the id of something new",
    ),
    (
        "Mutation.eraseLogPerson(input.person.pseudonym)",
        "tried in `logs/erasing.rs`",
    ),
    (
        "Mutation.eraseLogPerson(input.person.batchId)",
        "tried in `logs/erasing.rs`",
    ),
    (
        "Mutation.recoverRejected(input.id)",
        "tried in `logs/later.rs`",
    ),
    ("Query.ingestReceipt(batchId)", "tried in `logs/later.rs`"),
    ("Mutation.signIn(input.tenant)", "the tenant itself"),
    ("Mutation.createTenant(input.id)", "the installation's"),
    ("Mutation.renameTenant(input.id)", "the installation's"),
    ("Mutation.suspendTenant(input.id)", "the installation's"),
    ("Mutation.resumeTenant(input.id)", "the installation's"),
    (
        "Mutation.rotateSigningKey(input.compromised)",
        "the installation's",
    ),
    (
        "Subscription.sloBurnAlert(sloId)",
        "followed in `slos/alerts.rs`",
    ),
    (
        "Subscription.leaderboardChanged(competition)",
        "followed in `feeds/boards.rs`",
    ),
    (
        "Subscription.leaderboardChanged(among.users)",
        "of the competition alone",
    ),
    ("Subscription.vehicleMoved(fleetId)", "followed below"),
    ("Subscription.vehicleMoved(vehicleIds)", "followed below"),
];
