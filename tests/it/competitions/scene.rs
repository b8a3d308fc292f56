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

    /// Opens a competition in which these users without an account have come to these scores, each so many
    /// seconds ago.
    pub async fn played(&self, id: &str, rules: Value, scores: &[(&str, i64, i64)]) {
        self.opened(id, rules).await;
        let root = &self.root.access;
        for (user, score, ago) in scores {
            let of = json!({ "competition": id, "user": user });
            self.done(root, "joinCompetition", of.clone()).await;
            let score = json!({ "score": score, "achievedAt": self.at(-ago) });
            self.done(root, "submitScore", but(of, score)).await;
        }
    }

    /// Asks a question once the read models show all that was written.
    pub async fn look(&self, who: &As, query: &str) -> Value {
        let query = format!("{{ {query} }}");
        let told = self.scene.settled(who, "default", &query, json!({}));
        told.await
    }

    /// What one root field is answered; it must be.
    pub async fn seen(&self, who: &As, field: &str) -> Value {
        let told = self.look(who, field).await;
        assert_eq!(outcome(&told), "ok", "{field}: {told}");
        let data = told["data"].as_object().unwrap();
        data.values().next().unwrap().clone()
    }

    /// The code that a question is refused with, or `ok`.
    pub async fn code(&self, who: &As, field: &str) -> String {
        outcome(&self.look(who, field).await).to_owned()
    }

    /// Rank and user of every line of a board's page, as an operator sees it.
    pub async fn lines(&self, arguments: &str) -> Vec<(i64, String)> {
        let field = format!("leaderboard({arguments}) {{ nodes {{ rank userId }} }}");
        let board = self.seen(&self.root.access, &field).await;
        ranked(&board["nodes"])
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

/// Rank and user of lines.
pub fn ranked(lines: &Value) -> Vec<(i64, String)> {
    let lines = lines
        .as_array()
        .unwrap_or_else(|| panic!("no lines: {lines}"));
    let line = |line: &Value| {
        let rank = line["rank"].as_i64().unwrap();
        (rank, line["userId"].as_str().unwrap().to_owned())
    };
    lines.iter().map(line).collect()
}

/// Lines as they are expected.
pub fn lines(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    let line = |(rank, user): &(i64, &str)| (*rank, (*user).to_owned());
    expected.iter().map(line).collect()
}
