//! People: who one is, who there is, and signing in.

use serde_json::json;

use crate::call::Call;
use crate::chance::Chance;
use crate::world::World;

/// People who sign in; a password's hash takes a while, so there are few.
pub const ACCOUNTS_MAX: usize = 10;

/// What they sign in with. Nothing is kept behind it but what this tool makes.
pub const PASSWORD: &str = "tin-whistle-orbit-marmalade-91";

/// Who one is.
pub fn me(_: &World, _: &mut Chance) -> Call {
    Call::get("GET auth/me", "/api/v1/auth/me".to_owned())
}

/// What one's token says.
pub fn token_status(_: &World, _: &mut Chance) -> Call {
    Call::get("GET jwt/status", "/api/jwt/status".to_owned())
}

/// A page of people.
pub fn list(_: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "{ users(first: 20) { nodes { id name roles status } } }";
    Call::query("users", DOCUMENT, &json!({}))
}

/// Somebody signs in.
pub fn sign_in(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str = "mutation($input: SignInInput!) { signIn(input: $input) {
        session { userId sessionId expiresInS } userErrors { code message } } }";
    let n = chance.below(ACCOUNTS_MAX.min(world.users()) as u64) as usize;
    let input = json!({ "email": world.email(n), "password": PASSWORD });
    Call::mutation("signIn", DOCUMENT, &input)
}
