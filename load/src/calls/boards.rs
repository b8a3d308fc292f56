//! A competition: scores handed in, and boards that show them.

use serde_json::json;

use crate::call::Call;
use crate::chance::Chance;
use crate::world::World;

/// The first page of the board.
pub fn page(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($id: ID!) { leaderboard(competition: $id, first: 20) {
        nodes { rank userId score } size asOfPosition } }";
    Call::query("leaderboard", DOCUMENT, &json!({ "id": world.name() }))
}

/// Somebody and who is around them.
pub fn around(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($id: ID!, $user: ID) {
        leaderboardAround(competition: $id, user: $user, eachSide: 5) {
          line { rank score } lines { rank userId score } size asOfPosition } }";
    let user = world.person(world.any(chance));
    let variables = json!({ "id": world.name(), "user": user });
    Call::query("leaderboardAround", DOCUMENT, &variables)
}

/// The first page by REST.
pub fn rest_page(world: &World, _: &mut Chance) -> Call {
    let path = format!("/api/v1/leaderboard/{}?first=100", world.name());
    Call::get("GET leaderboard", path)
}

/// Somebody hands a score in.
pub fn submit(world: &World, chance: &mut Chance) -> Call {
    let fresh = world.fresh();
    let body = json!({
        "competition_id": world.name(), "user_id": world.person(world.any(chance)),
        "score": chance.below(1_000_000), "submission_id": fresh,
    });
    Call::post(
        "POST leaderboard/update",
        "/api/v1/leaderboard/update",
        &body,
    )
}
