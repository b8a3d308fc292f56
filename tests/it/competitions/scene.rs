//! An operator, two who compete, and what a competition is by.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use daybook::auth::Role;
use daybook::config::Settings;
use daybook::ops::MockClock;
use serde_json::{Value, json};

use crate::identity::scene::{As, Person, Scene, clock, outcome};

/// Longer than any test takes.
const DAY: Duration = Duration::from_secs(86_400);

/// What tests look at of an entry.
const ENTRY: &str = "userId joinedAt place excluded disputed streamVersion";

/// What tests look at of a competition.
const COMPETITION: &str = "id status streamVersion endsAt invited
    rules { name metric decimals operator ties periods zone sizeMax startScore guards { scoreMax } }
    prizes { pool ties rules { place amount sharePpm } }";

/// What tests look at of a period.
const PERIOD: &str = "key score subScore achievedAt attempts waiting { attempt score achievedAt }";

/// People, a clock that stands still, and a process.
pub struct Arena {
    pub scene: Scene,
    pub clock: MockClock,
    /// Sets competitions up.
    pub root: Person,
    /// Compete; they have no role.
    pub ann: Person,
    pub bob: Person,
}

impl Arena {
    /// Where no period is closed by itself.
    pub async fn open() -> Arena {
        Arena::with(|settings| settings.competitions.close_interval = DAY).await
    }

    /// With settings that were changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Arena {
        let (shown, clock) = clock();
        let scene = Scene::at(shown, change).await;
        let root = scene.person("default", "root", &[Role::Operator]).await;
        let ann = scene.person("default", "ann", &[]).await;
        let bob = scene.person("default", "bob", &[]).await;
        Arena {
            scene,
            clock,
            root,
            ann,
            bob,
        }
    }

    /// The time, moved by so many seconds.
    pub fn at(&self, seconds: i64) -> String {
        let now: DateTime<Utc> = self.scene.app.app().clock.now();
        let at = now + TimeDelta::seconds(seconds);
        at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    /// An operator's program, whose token is new: for after the clock has moved.
    pub fn program(&self) -> As {
        self.scene.program(&[Role::Operator], "default")
    }

    /// Rules of a competition of scores that are handed in; it began an hour ago.
    pub fn rules(&self) -> Value {
        json!({ "name": "Cup", "metric": "SUBMITTED", "operator": "BEST", "startsAt": self.at(-3_600) })
    }

    /// Sends a command; the whole answer.
    pub async fn send(&self, who: &As, field: &str, input: Value) -> Value {
        let kind = field[..1].to_uppercase() + &field[1..] + "Input";
        let object = match field {
            "submitScore" => format!("entry {{ {ENTRY} }} period {{ {PERIOD} }}"),
            "syncActivities" => "results { index status flags error { code path } }".to_owned(),
            f if f == "closePeriod"
                || f.ends_with("Prizes")
                || f.contains("ompetition") && !is_of_entry(f) =>
            {
                format!("competition {{ {COMPETITION} }}")
            }
            _ => format!("entry {{ {ENTRY} period(key: \"all\") {{ {PERIOD} }} }}"),
        };
        let mutation = format!(
            "mutation($i: {kind}!) {{ {field}(input: $i) {{ {object}
               receipt {{ position version replayed }}
               userErrors {{ code message path ... on RefusalError {{ details }} }} }} }}"
        );
        self.scene.ask(who, &mutation, json!({ "i": input })).await
    }

    /// Sends one that must be kept; what is told of it.
    pub async fn done(&self, who: &As, field: &str, input: Value) -> Value {
        let mut told = self.send(who, field, input.clone()).await;
        assert_eq!(outcome(&told), "ok", "{field} {input}: {told}");
        told["data"][field].take()
    }

    /// Sends one that must come to nothing; its code, and where it stands below the input.
    pub async fn refused(&self, who: &As, field: &str, input: Value) -> (String, String) {
        let before = self.scene.app.head().await;
        let told = self.send(who, field, input).await;
        assert_eq!(self.scene.app.head().await, before, "{field}: {told}");
        let path = &told["data"][field]["userErrors"][0]["path"];
        let path = path.as_array().into_iter().flatten().skip(1);
        let path: Vec<&str> = path.map(|part| part.as_str().unwrap()).collect();
        (outcome(&told).to_owned(), path.join("."))
    }

    /// Writes a competition down and opens it.
    pub async fn opened(&self, id: &str, rules: Value) {
        let root = &self.root.access;
        let input = json!({ "id": id, "rules": rules });
        self.done(root, "createCompetition", input).await;
        self.done(root, "openCompetition", json!({ "id": id }))
            .await;
    }

    /// Opens a competition that ann and bob take part in.
    pub async fn joined(&self, id: &str, rules: Value) {
        self.opened(id, rules).await;
        for who in [&self.ann, &self.bob] {
            let input = json!({ "competition": id });
            self.done(&who.access, "joinCompetition", input).await;
        }
    }

    /// A score of now in a competition.
    pub fn score(&self, competition: &str, score: Value) -> Value {
        json!({ "competition": competition, "score": score, "achievedAt": self.at(0) })
    }
}

/// Fields with other ones beside them, or instead.
pub fn but(mut input: Value, other: Value) -> Value {
    for (field, value) in other.as_object().unwrap() {
        input[field] = value.clone();
    }
    input
}

fn is_of_entry(field: &str) -> bool {
    field.starts_with("join") || field.starts_with("leave")
}
