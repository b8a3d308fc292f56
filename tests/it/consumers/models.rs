//! The read models themselves among faults: each of their tables, before and after a row of a batch.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use daybook::commands::{CommandContext, Door, DoorSettings, IngestLogs, ReportPositions};
use daybook::consumers::{Consumers, RebuildOptions, rebuild};
use domain::activity::{Activity, ActivityRules, Measures};
use domain::activity_log::{
    ActivityLog, ActivityLogCommand, SyncRecord, activity_log_id, month_of,
};
use domain::api_key::{ApiKey, ApiKeyCommand};
use domain::approval::{ApprovalPolicy, ApprovalRule};
use domain::competition::{
    Competition, CompetitionCommand, CompetitionRules, CompetitionStatus, CountsFrom, Guards,
    JoinRule, Metric, Terms,
};
use domain::deployment::{
    Change, Deployment, DeploymentCommand, DeploymentReason, Plan, Request, Requester, Tier, Vote,
    Voter,
};
use domain::entry::{Entry, EntryCommand, Join, Submission, entry_id};
use domain::environment::{Environment, EnvironmentCommand, Freeze, environment_id};
use domain::fleet::{Fleet, FleetCommand};
use domain::incident::{Incident, IncidentCommand, IncidentReport, LinkKind, Severity};
use domain::log::Position;
use domain::log_batch::LogReport;
use domain::period::Calendar;
use domain::prize::{PrizePlan, PrizeRule, PrizeTies};
use domain::score::{Attempt, Operator, Score, Sort, Tally};
use domain::session::{ClientInfo, Session, SessionCommand, SessionPolicy};
use domain::slo::{BurnRates, BurnRule, Method, Objective, Sli, Slo, SloCommand, SloScope, Window};
use domain::standing::TiePolicy;
use domain::tenant::{Tenant, TenantCommand};
use domain::track::FixReport;
use domain::user::{Role, User, UserCommand, UserStanding};
use domain::vehicle::{Vehicle, VehicleCommand, VehicleProfile};
use domain::{Actor, ActorKind, Scope, Zone};

use super::scene::{settings, store, tenant};
use crate::support::{Action, PATIENCE, Scratch, Step, TestDb, Trap, vault};

/// Something new for every table: a fleet, a vehicle that joins it, where it was at an hour of its own;
/// a tenant, a user with a role, a session and an API key; an environment that is frozen, a deployment
/// to it with a change and a vote, an incident that is put down to it; an objective with an alert; a log record; a
/// competition with a score that counts and one that waits, closed with a prize; an activity.
async fn happen(door: &Door, nth: i64) {
    let actor = Actor {
        kind: ActorKind::User,
        id: "ann".into(),
    };
    let began = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    let ctx = CommandContext::new(tenant(), actor, began + TimeDelta::days(30));
    accounts(door, &ctx, nth).await;
    deployments(door, &ctx, nth).await;
    slos(door, &ctx, nth).await;
    logs(door, &ctx, nth).await;
    competition(door, &ctx, nth).await;
    activities(door, &ctx, nth).await;
    let (fleet, bus) = (format!("fleet{nth}"), format!("bus{nth}"));
    let name = format!("Fleet {nth}");
    let create = FleetCommand::Create { name };
    door.execute::<Fleet>(&ctx, &fleet, create).await.unwrap();
    let register = VehicleCommand::Register {
        profile: VehicleProfile::default(),
        on_first_report: false,
    };
    door.execute::<Vehicle>(&ctx, &bus, register).await.unwrap();
    door.join_fleet(&ctx, &bus, &fleet).await.unwrap();
    let at = began + TimeDelta::hours(nth);
    // One that is new, and one of the first vehicle, whose rows are there.
    let fix = |vehicle: &str, minute| FixReport {
        vehicle: vehicle.to_owned(),
        fix_time: (at + TimeDelta::minutes(minute)).to_rfc3339_opts(SecondsFormat::Secs, true),
        lat: 30.0 + nth as f64 / 100.0,
        lon: -97.0,
        ..FixReport::default()
    };
    let report = ReportPositions {
        fixes: vec![fix(&bus, 1), fix("bus0", 2)],
        may_register: false,
    };
    door.report_positions(&ctx, report).await.unwrap();
}

/// A record of a source that is new.
async fn logs(door: &Door, ctx: &CommandContext, nth: i64) {
    let report = LogReport {
        timestamp: ctx.now.to_rfc3339_opts(SecondsFormat::Secs, true),
        event_type: "error".to_owned(),
        event_name: "checkout".to_owned(),
        user_id: Some(format!("user{nth}")),
        ..LogReport::default()
    };
    let batch = IngestLogs {
        source: format!("shop{nth}"),
        records: vec![Ok(report)],
        may_register: true,
    };
    door.ingest_logs(ctx, batch).await.unwrap();
}

/// From its first rules to its prizes.
async fn competition(door: &Door, ctx: &CommandContext, nth: i64) {
    let (id, user, hour) = (format!("c{nth}"), "ann".to_owned(), TimeDelta::hours(1));
    let rules = Box::new(rules(ctx.now - hour, ctx.now + hour));
    let prepare = [
        CompetitionCommand::Create {
            rules: rules.clone(),
        },
        CompetitionCommand::DefinePrizes {
            prizes: Some(prizes()),
        },
        CompetitionCommand::Open { now: ctx.now },
    ];
    for command in prepare {
        let done = door.execute::<Competition>(ctx, &id, command).await;
        done.unwrap();
    }
    let terms = Box::new(Terms {
        status: Some(CompetitionStatus::Open),
        rules: Some(rules.clone()),
        ends_at: rules.ends_at,
        sealed_until: None,
        invited: false,
    });
    let join = EntryCommand::Join(Join {
        competition: id.clone(),
        user: user.clone(),
        consent: true,
        groups: BTreeSet::new(),
        place: None,
        terms: terms.clone(),
        now: ctx.now,
    });
    let submit = |score: i64| EntryCommand::SubmitScore {
        submission: Submission {
            id: Some(format!("s{score}")),
            score: Score::of_units(score, "score").unwrap(),
            sub_score: Score::ZERO,
            achieved_at: ctx.now,
            source: None,
            manual: false,
        },
        terms: terms.clone(),
        now: ctx.now,
    };
    let entry = entry_id(&id, &user);
    for command in [join, submit(5), submit(500)] {
        door.execute::<Entry>(ctx, &entry, command).await.unwrap();
    }
    let tally = Tally::from(Attempt {
        score: Score::of_units(5, "score").unwrap(),
        sub_score: Score::ZERO,
        achieved_at: ctx.now,
        number: 1,
    });
    let end = [
        CompetitionCommand::SealPeriod {
            period: "all".to_owned(),
            now: ctx.now + hour,
        },
        CompetitionCommand::ClosePeriod {
            period: "all".to_owned(),
            sealed_at: Position(1),
            as_of: Position(1),
            standings: rules.board([(user, tally)]).into(),
            standings_hash: "0".repeat(64),
        },
    ];
    for command in end {
        let done = door.execute::<Competition>(ctx, &id, command).await;
        done.unwrap();
    }
}

fn prizes() -> PrizePlan {
    PrizePlan {
        currency: "EUR".to_owned(),
        decimals: 2,
        pool: 100,
        ties: PrizeTies::Split,
        rules: vec![PrizeRule::Fixed {
            place: 1,
            amount: 100,
        }],
    }
}

/// A score above 100 waits for a moderator.
fn rules(starts_at: DateTime<Utc>, ends_at: DateTime<Utc>) -> CompetitionRules {
    CompetitionRules {
        name: "Spring".to_owned(),
        metric: Metric::Submitted,
        unit: None,
        decimals: 0,
        operator: Operator::Best,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::AllTime,
        zone: Zone::of_name("UTC").unwrap(),
        starts_at,
        ends_at: Some(ends_at),
        close_delay_seconds: 0,
        join: JoinRule::Open,
        counts_from: CountsFrom::Start,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards {
            score_max: Some(Score::of_units(100, "score").unwrap()),
            ..Guards::default()
        },
        sources: vec![],
    }
}

async fn activities(door: &Door, ctx: &CommandContext, nth: i64) {
    let (user, month) = ("ann".to_owned(), month_of(ctx.now));
    let walk = Activity {
        source: "watch".to_owned(),
        external_id: format!("w{nth}"),
        device: None,
        kind: "walking".to_owned(),
        start: ctx.now,
        end: ctx.now,
        offset_minutes: None,
        manual: false,
        measures: Measures {
            steps: Some(nth),
            ..Measures::default()
        },
    };
    let id = activity_log_id(&user, &month);
    let sync = ActivityLogCommand {
        user,
        month,
        records: vec![SyncRecord::Activity(Box::new(walk))],
        rules: ActivityRules::default(),
        now: ctx.now,
    };
    door.execute::<ActivityLog>(ctx, &id, sync).await.unwrap();
}

async fn deployments(door: &Door, ctx: &CommandContext, nth: i64) {
    let name = format!("live{nth}");
    let environment = environment_id("shop", &name);
    let members = BTreeSet::from(["ann".to_owned(), "bob".to_owned()]);
    let rule = ApprovalRule {
        group: "leads".to_owned(),
        members,
        required: 2,
    };
    let policy = ApprovalPolicy {
        rules: vec![rule],
        ..ApprovalPolicy::default()
    };
    let freeze = Freeze {
        id: "f".to_owned(),
        from: ctx.now,
        until: None,
        reason: "holidays".to_owned(),
        weekly: vec![],
    };
    let commands = [
        EnvironmentCommand::Define {
            project: "shop".to_owned(),
            name: name.clone(),
            tier: Tier::Production,
        },
        EnvironmentCommand::SetApprovalPolicy {
            policy: policy.clone(),
        },
        EnvironmentCommand::Freeze {
            freeze,
            now: ctx.now,
        },
    ];
    for command in commands {
        let done = door
            .execute::<Environment>(ctx, &environment, command)
            .await;
        done.unwrap();
    }
    let id = format!("d{nth}");
    let request = DeploymentCommand::Request(Request {
        plan: plan(name, nth, ctx.now),
        tier: Some(Tier::Production),
        requested_by: Requester::User("ann".to_owned()),
        now: ctx.now,
    });
    let ask = DeploymentCommand::RequestApproval {
        policy,
        now: ctx.now,
    };
    let vote = DeploymentCommand::Approve(Vote {
        voter: Voter {
            user_id: "bob".to_owned(),
            standing: UserStanding::Active,
            may_vote: true,
        },
        revision: 1,
        comment: None,
        now: ctx.now,
    });
    for command in [request, ask, vote] {
        door.execute::<Deployment>(ctx, &id, command).await.unwrap();
    }
    let open = IncidentCommand::Open {
        report: IncidentReport {
            title: format!("Incident {nth}"),
            severity: Severity::Low,
            project: "shop".to_owned(),
            service: None,
            environment: None,
            opened_at: ctx.now,
            external: None,
        },
        now: ctx.now,
    };
    let link = IncidentCommand::LinkDeployment {
        deployment: id,
        kind: LinkKind::Explicit,
        rule: None,
        known: true,
    };
    for command in [open, link] {
        let id = format!("i{nth}");
        door.execute::<Incident>(ctx, &id, command).await.unwrap();
    }
}

async fn slos(door: &Door, ctx: &CommandContext, nth: i64) {
    let define = SloCommand::Define {
        objective: Objective {
            name: format!("Objective {nth}"),
            sli: Sli::DeploymentDuration,
            scope: SloScope::default(),
            objective_ppm: 990_000,
            window: Window::Rolling { days: 30 },
            method: Method::Occurrences {},
            threshold_seconds: 600,
            percentile_ppm: None,
            min_events: 0,
        },
    };
    let exclude = SloCommand::ExcludePeriod {
        from: ctx.now,
        to: ctx.now + TimeDelta::hours(1),
        reason: "holidays".to_owned(),
    };
    let raise = SloCommand::RaiseAlert {
        rule: BurnRule {
            long_minutes: 60,
            short_minutes: 5,
            factor_milli: 14_400,
        },
        rates: BurnRates {
            long_milli: 15_000,
            short_milli: 16_000,
            position: Position(1),
        },
    };
    for command in [define, exclude, raise] {
        let id = format!("o{nth}");
        door.execute::<Slo>(ctx, &id, command).await.unwrap();
    }
}

fn plan(environment: String, nth: i64, now: DateTime<Utc>) -> Plan {
    Plan {
        project: "shop".to_owned(),
        service: "cart".to_owned(),
        environment,
        version: format!("v{nth}"),
        previous_version: None,
        reason: DeploymentReason::Planned,
        change_type: None,
        description: None,
        team: None,
        remedies: None,
        external: None,
        changes: vec![Change {
            id: format!("c{nth}"),
            committed_at: now,
            authored_at: None,
            opened_at: None,
            first_review_at: None,
            merged_at: None,
        }],
    }
}

async fn accounts(door: &Door, ctx: &CommandContext, nth: i64) {
    let (user, id) = (format!("user{nth}"), format!("id{nth}"));
    let register = UserCommand::Register {
        email: format!("{user}@example.org"),
        name: user.clone(),
        roles: BTreeSet::from([Role::Viewer]),
        verified: true,
    };
    door.execute::<User>(ctx, &user, register).await.unwrap();
    let start = SessionCommand::Start {
        user_id: user,
        policy: SessionPolicy::default(),
        client: ClientInfo::default(),
        user: UserStanding::Active,
        epoch: 0,
        now: ctx.now,
    };
    door.execute::<Session>(ctx, &id, start).await.unwrap();
    let scopes = BTreeSet::from([Scope::VehiclesRead]);
    let issue = ApiKeyCommand::Issue {
        name: id.clone(),
        hash: "0".repeat(64),
        last_four: "0000".to_owned(),
        scopes: scopes.clone(),
        issuer_scopes: scopes,
        asked_s: None,
        expires_at: ctx.now + TimeDelta::seconds(60),
        now: ctx.now,
        ttl_max_s: 60,
        rotate_every_s: None,
        bootstrap: false,
        owner: None,
    };
    door.execute::<ApiKey>(ctx, &id, issue).await.unwrap();
    let name = id.clone();
    let create = TenantCommand::Create { name };
    door.execute::<Tenant>(ctx, &id, create).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_table_of_any_read_model_leaves_a_fold_of_the_log() {
    let db = TestDb::create().await;
    let store = store(db.options()).await;
    let keys = Scratch::new();
    let vault = vault(&db, keys.path());
    let door = Door::new(store.clone(), DoorSettings::default()).sealing(vault);
    let models = projections::all();
    let names: Vec<_> = models.iter().map(|model| model.name()).collect();
    let consumers = Consumers::start(store.clone(), models.clone(), settings())
        .await
        .unwrap();
    let caught_up = async || {
        let head = store.head("default").await.unwrap();
        consumers
            .wait_for(&tenant(), &names, head, PATIENCE)
            .await
            .unwrap();
    };
    happen(&door, 0).await;
    caught_up().await;

    let tables = models.iter().flat_map(|model| model.tables());
    // A row that others have a part in is there already, as that of a minute is.
    let written = "insert or update";
    let steps: Vec<Step> = tables
        .flat_map(|table| Step::around(written, &format!("read.{table}_g1"), ""))
        .collect();
    let mut trap = Trap::plant(&db, &steps).await;
    let mut faults = 0;
    for step in &steps {
        for action in [Action::Refuse, Action::Disconnect] {
            faults += 1;
            trap.arm(step, action).await;
            happen(&door, faults).await;
            caught_up().await;
            assert!(
                trap.is_sprung().await,
                "{action:?} {}: nobody came by",
                step.name
            );
        }
    }
    trap.disarm().await;
    for model in &models {
        // Folded anew from the first event: the same, or else no swap.
        let options = RebuildOptions {
            compare: true,
            ..RebuildOptions::default()
        };
        let rebuilt = rebuild(&store, model, &tenant(), options, |_| {}).await;
        let rebuilt = rebuilt.unwrap_or_else(|e| panic!("{}: {e}", model.name()));
        assert!(rebuilt.digest.is_some(), "{} was compared", model.name());
    }
    consumers.stop().await;
    eprintln!(
        "{} read models: faults {faults}/{faults}, 0 halves",
        models.len()
    );
}
