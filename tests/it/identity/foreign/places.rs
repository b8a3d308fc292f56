//! Where ids of objects go in, and an operation for each.

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Vehicle,
    Fleet,
    User,
    Session,
    Key,
}
use Kind::{Fleet, Key, Session, User, Vehicle};

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
    ("Mutation.signIn(input.tenant)", "the tenant itself"),
    ("Mutation.createTenant(input.id)", "the installation's"),
    ("Mutation.renameTenant(input.id)", "the installation's"),
    ("Mutation.suspendTenant(input.id)", "the installation's"),
    ("Mutation.resumeTenant(input.id)", "the installation's"),
    (
        "Mutation.rotateSigningKey(input.compromised)",
        "the installation's",
    ),
    ("Subscription.vehicleMoved(fleetId)", "followed below"),
    ("Subscription.vehicleMoved(vehicleIds)", "followed below"),
];
