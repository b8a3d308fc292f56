//! One access token that was taken back before it ran out. A token that was not has no stream: nothing is
//! written for the many that simply run out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Shape};
use crate::refusal::Refusal;

/// What can be done to a token. Its id (`jti`) comes with the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum TokenCommand {
    /// Take it back. Taken back before: already so.
    Revoke {
        /// When it would have run out; nobody need remember it longer.
        #[serde(skip_serializing)]
        expires_at: DateTime<Utc>,
    },
}

/// What happened to a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TokenEvent {
    /// It was taken back.
    #[serde(rename = "token.revoked")]
    TokenRevoked(TokenRevoked),
}

/// Taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRevoked {
    /// When it would have run out.
    pub expires_at: DateTime<Utc>,
}

/// The state a token's events fold to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Was it taken back?
    pub revoked: bool,
}

impl Aggregate for Token {
    const TYPE: &'static str = "token";
    type Command = TokenCommand;
    type Event = TokenEvent;
    const SHAPE: Option<Shape<Token>> = Some(Shape::json(1));

    fn decide(&self, command: &TokenCommand) -> Result<Vec<TokenEvent>, Refusal> {
        let TokenCommand::Revoke { expires_at } = command;
        if self.revoked {
            return Ok(vec![]);
        }
        Ok(vec![TokenEvent::TokenRevoked(TokenRevoked {
            expires_at: *expires_at,
        })])
    }

    fn apply(&mut self, event: &TokenEvent) {
        let TokenEvent::TokenRevoked(_) = event;
        self.revoked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{check, check_shape, given};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn a_token_is_taken_back_once() {
        let revoked = [TokenEvent::TokenRevoked(TokenRevoked {
            expires_at: at(900),
        })];
        let revoke = |seconds| TokenCommand::Revoke {
            expires_at: at(seconds),
        };
        check::<Token>(&[], revoke(900), Ok(&revoked));
        check::<Token>(&revoked, revoke(5), Ok(&[]));
        check_shape(&given::<Token>(&revoked), r#"{"revoked":true}"#);
    }
}
