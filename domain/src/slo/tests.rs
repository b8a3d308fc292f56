//! The rules of objectives.

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::given::{at, check, check_shape, given, refusal};

fn objective() -> Objective {
    Objective {
        name: "Approved within an hour".to_owned(),
        sli: Sli::ApprovalWait,
        scope: SloScope::default(),
        objective_ppm: 995_000,
        window: Window::Rolling { days: 30 },
        method: Method::Occurrences {},
        threshold_seconds: 3_600,
        percentile_ppm: None,
        min_events: 20,
    }
}

fn better() -> Objective {
    Objective {
        objective_ppm: 999_000,
        ..objective()
    }
}

fn define(objective: Objective) -> SloCommand {
    SloCommand::Define { objective }
}

fn revise(objective: Objective) -> SloCommand {
    SloCommand::Revise { objective }
}

fn retire() -> SloCommand {
    SloCommand::Retire { reason: None }
}

fn exclude(from: i64, to: i64) -> SloCommand {
    SloCommand::ExcludePeriod {
        from: at(from),
        to: at(to),
        reason: "Public holidays".to_owned(),
    }
}

fn rule(long_minutes: u32) -> BurnRule {
    BurnRule {
        long_minutes,
        short_minutes: 5,
        factor_milli: 14_400,
    }
}

fn rates(long_milli: u64) -> BurnRates {
    BurnRates {
        long_milli,
        short_milli: 16_000,
        position: Position(7),
    }
}

fn raise(rule: BurnRule) -> SloCommand {
    SloCommand::RaiseAlert {
        rule,
        rates: rates(15_000),
    }
}

fn clear(rule: BurnRule) -> SloCommand {
    SloCommand::ClearAlert {
        rule,
        rates: rates(1_000),
    }
}

fn defined() -> SloEvent {
    SloEvent::SloDefined(SloDefined {
        objective: objective(),
    })
}

fn revised(revision: u32, objective: Objective) -> SloEvent {
    SloEvent::SloRevised(SloRevised {
        revision,
        objective,
    })
}

fn retired() -> SloEvent {
    SloEvent::SloRetired(SloRetired { reason: None })
}

fn excluded(from: i64, to: i64) -> SloEvent {
    SloEvent::PeriodExcluded(PeriodExcluded {
        from: at(from),
        to: at(to),
        reason: "Public holidays".to_owned(),
    })
}

fn raised(revision: u32, rule: BurnRule) -> SloEvent {
    SloEvent::BurnAlertRaised(BurnAlertRaised {
        revision,
        rule,
        rates: rates(15_000),
    })
}

fn cleared(revision: u32, rule: BurnRule) -> SloEvent {
    SloEvent::BurnAlertCleared(BurnAlertCleared {
        revision,
        rule,
        rates: rates(1_000),
    })
}

#[test]
fn an_objective_is_defined_once_and_revised() {
    check::<Slo>(&[], define(objective()), Ok(&[defined()]));
    check::<Slo>(&[defined()], define(better()), Err(Code::AlreadyExists));
    let more = [revised(2, better())];
    check::<Slo>(&[defined()], revise(better()), Ok(&more));
    check::<Slo>(&[defined()], revise(objective()), Ok(&[]));
    let back = [revised(3, objective())];
    check::<Slo>(
        &[defined(), more[0].clone()],
        revise(objective()),
        Ok(&back),
    );
}

#[test]
fn what_is_retired_or_was_never_there_accepts_nothing() {
    check::<Slo>(&[defined()], retire(), Ok(&[retired()]));
    let over = [defined(), retired()];
    let commands = || {
        [
            revise(better()),
            retire(),
            exclude(0, 1),
            raise(rule(60)),
            clear(rule(60)),
        ]
    };
    for command in commands() {
        check::<Slo>(&over, command, Err(Code::SloRetired));
    }
    for command in commands() {
        check::<Slo>(&[], command, Err(Code::NotFound));
    }
    check::<Slo>(&over, define(objective()), Err(Code::AlreadyExists));
}

#[test]
fn an_objective_can_be_missed_and_can_be_met() {
    let with = |ppm| Objective {
        objective_ppm: ppm,
        ..objective()
    };
    for ppm in [1, 500_000, 999_999] {
        assert!(with(ppm).checked().is_ok(), "{ppm}");
    }
    for ppm in [0, 1_000_000, u32::MAX] {
        let refusal = with(ppm).checked().expect_err("out of range");
        assert_eq!(refusal.code, Code::ObjectiveOutOfRange);
        assert_eq!(
            (&refusal.path[0][..], &refusal.details["actual"]),
            ("objectivePpm", &ppm.into())
        );
    }
}

/// Spoilt so, the objective is refused with this code at this path.
fn check_spoilt(spoil: impl FnOnce(&mut Objective), code: Code, path: &str) {
    let mut objective = objective();
    spoil(&mut objective);
    let refusal = refusal::<Slo>(&[], &define(objective));
    assert_eq!((refusal.code, &refusal.path.join(".")[..]), (code, path));
}

#[test]
fn every_text_is_checked_under_its_name() {
    let text = |text: &str| Some(text.to_owned());
    check_spoilt(|o| o.name = String::new(), Code::Validation, "name");
    check_spoilt(
        |o| o.scope.project = text(""),
        Code::Validation,
        "scope.project",
    );
    check_spoilt(
        |o| o.scope.service = text("a\0"),
        Code::BadText,
        "scope.service",
    );
    check_spoilt(
        |o| o.scope.environment = text(" a"),
        Code::Validation,
        "scope.environment",
    );
    let week = |zone: &str| Window::CalendarWeek {
        zone: zone.to_owned(),
    };
    check_spoilt(|o| o.window = week(""), Code::Validation, "window.zone");
    let month = |zone: &str| Window::CalendarMonth {
        zone: zone.to_owned(),
    };
    check_spoilt(
        |o| o.window = month(&"x".repeat(65)),
        Code::TooLarge,
        "window.zone",
    );
    for window in [week("Europe/London"), month("UTC")] {
        let objective = Objective {
            window,
            ..objective()
        };
        assert_eq!(objective.clone().checked(), Ok(objective));
    }
}

#[test]
fn a_feed_is_of_no_project() {
    let feed = |spoil: fn(&mut SloScope)| {
        move |objective: &mut Objective| {
            objective.sli = Sli::FeedFreshness;
            spoil(&mut objective.scope);
        }
    };
    fn name() -> Option<String> {
        Some("shop".to_owned())
    }
    check_spoilt(
        feed(|s| s.project = name()),
        Code::Validation,
        "scope.project",
    );
    check_spoilt(
        feed(|s| s.service = name()),
        Code::Validation,
        "scope.service",
    );
    check_spoilt(
        feed(|s| s.environment = name()),
        Code::Validation,
        "scope.environment",
    );
    let mut everything = objective();
    feed(|_| ())(&mut everything);
    assert_eq!(everything.clone().checked(), Ok(everything));
}

#[test]
fn every_number_is_checked_under_its_name() {
    let out = Code::OutOfRange;
    for days in [0, 91] {
        check_spoilt(|o| o.window = Window::Rolling { days }, out, "window.days");
    }
    for seconds in [0, 31_622_401] {
        check_spoilt(|o| o.threshold_seconds = seconds, out, "thresholdSeconds");
    }
    for ppm in [0, 1_000_000] {
        check_spoilt(|o| o.percentile_ppm = Some(ppm), out, "percentilePpm");
    }
    let slices = |slice_minutes, slice_objective_ppm| Method::Timeslices {
        slice_minutes,
        slice_objective_ppm,
    };
    for minutes in [0, 1_441] {
        check_spoilt(
            |o| o.method = slices(minutes, 1),
            out,
            "method.sliceMinutes",
        );
    }
    for ppm in [0, 1_000_000] {
        let code = Code::ObjectiveOutOfRange;
        check_spoilt(
            |o| o.method = slices(5, ppm),
            code,
            "method.sliceObjectivePpm",
        );
    }
    let widest = Objective {
        window: Window::Rolling { days: 90 },
        method: slices(1_440, 999_999),
        threshold_seconds: 31_622_400,
        percentile_ppm: Some(999_999),
        ..objective()
    };
    assert_eq!(widest.clone().checked(), Ok(widest));
}

/// D19: a span of time that does not last leaves nothing out.
#[test]
fn a_period_is_left_out_once() {
    check::<Slo>(&[defined()], exclude(0, 1), Ok(&[excluded(0, 1)]));
    check::<Slo>(&[defined()], exclude(0, 0), Err(Code::TimeTravel));
    check::<Slo>(&[defined()], exclude(1, 0), Err(Code::TimeTravel));
    check::<Slo>(
        &[defined()],
        exclude(-1_790_000_001, 0),
        Err(Code::BadTimestamp),
    );
    let without = [defined(), excluded(0, 10)];
    check::<Slo>(&without, exclude(0, 10), Ok(&[]));
    check::<Slo>(&without, exclude(5, 10), Ok(&[excluded(5, 10)]));
    let silent = SloCommand::ExcludePeriod {
        from: at(0),
        to: at(1),
        reason: " ".to_owned(),
    };
    check::<Slo>(&[defined()], silent, Err(Code::Validation));
    let mut state = given::<Slo>(&[defined()]);
    (0..EXCLUSIONS_MAX as i64).for_each(|n| state.apply(&excluded(n, n + 1)));
    let more = state
        .decide(&exclude(-5, 0))
        .map_err(|refusal| refusal.code);
    assert_eq!(more, Err(Code::TooLarge));
    assert_eq!(state.decide(&exclude(0, 1)), Ok(vec![]));
    assert!(state.weight_bytes() > 8 * EXCLUSIONS_MAX);
}

#[test]
fn an_alert_goes_up_and_down_in_turn() {
    let (hour, day) = (rule(60), rule(1_440));
    check::<Slo>(&[defined()], raise(hour), Ok(&[raised(1, hour)]));
    check::<Slo>(&[defined()], clear(hour), Ok(&[]));
    let up = [defined(), raised(1, hour)];
    check::<Slo>(&up, raise(hour), Ok(&[]));
    check::<Slo>(&up, raise(day), Ok(&[raised(1, day)]));
    check::<Slo>(&up, clear(hour), Ok(&[cleared(1, hour)]));
    let down = [defined(), raised(1, hour), cleared(1, hour)];
    check::<Slo>(&down, raise(hour), Ok(&[raised(1, hour)]));
    // What was said of another objective says nothing of this one.
    let anew = [defined(), raised(1, hour), revised(2, better())];
    check::<Slo>(&anew, clear(hour), Ok(&[]));
    check::<Slo>(&anew, raise(hour), Ok(&[raised(2, hour)]));
    let over = given::<Slo>(&[defined(), raised(1, hour), retired()]);
    assert!(over.alerts.is_empty());
}

#[test]
fn what_an_alert_may_not_be() {
    let with = |long_minutes, short_minutes, factor_milli| BurnRule {
        long_minutes,
        short_minutes,
        factor_milli,
    };
    for (rule, path) in [
        (with(0, 1, 1), "rule.longMinutes"),
        (with(129_601, 1, 1), "rule.longMinutes"),
        (with(60, 0, 1), "rule.shortMinutes"),
        (with(60, 61, 1), "rule.shortMinutes"),
        (with(60, 5, 0), "rule.factorMilli"),
    ] {
        let refusal = refusal::<Slo>(&[defined()], &raise(rule));
        assert_eq!(
            (refusal.code, refusal.path.join(".")),
            (Code::OutOfRange, path.to_owned())
        );
    }
    let mut state = given::<Slo>(&[defined()]);
    (1..=ALERTS_MAX as u32).for_each(|n| state.apply(&raised(1, rule(60 * n))));
    let more = state
        .decide(&raise(rule(7)))
        .map_err(|refusal| refusal.code);
    assert_eq!(more, Err(Code::TooLarge));
}

/// A figure is measured anew each time; that does not make it another command.
#[test]
fn what_was_measured_is_no_part_of_the_command() {
    let text = |long_milli| {
        let command = SloCommand::RaiseAlert {
            rule: rule(60),
            rates: rates(long_milli),
        };
        serde_json::to_string(&command).expect("JSON")
    };
    assert_eq!(text(1), text(2));
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let state = given::<Slo>(&[defined(), excluded(0, 10), raised(1, rule(60))]);
    let text = concat!(
        r#"{"objective":{"name":"Approved within an hour","sli":"approval_wait","scope":{},"#,
        r#""objectivePpm":995000,"window":{"type":"rolling","days":30},"#,
        r#""method":{"type":"occurrences"},"thresholdSeconds":3600,"minEvents":20},"#,
        r#""revision":1,"retired":false,"#,
        r#""excluded":[["2026-09-21T14:13:20Z","2026-09-21T14:13:30Z"]],"#,
        r#""alerts":[{"longMinutes":60,"shortMinutes":5,"factorMilli":14400}]}"#,
    );
    check_shape(&state, text);
}

fn any_command() -> impl Strategy<Value = SloCommand> {
    let rule = prop::sample::select(vec![rule(60), rule(360)]);
    prop_oneof![
        1 => Just(define(objective())),
        2 => prop::sample::select(vec![objective(), better()]).prop_map(revise),
        4 => rule.clone().prop_map(raise),
        4 => rule.prop_map(clear),
        2 => (0i64..4, 0i64..4).prop_map(|(from, to)| exclude(from, to)),
    ]
}

proptest! {
    /// Revisions are counted without a gap, an alert goes up and down in turn within one of them, and
    /// what is stored is read back.
    #[test]
    fn any_history_holds_together(commands in prop::collection::vec(any_command(), 0..40)) {
        let (mut state, mut revision, mut up) = (Slo::default(), 0, BTreeSet::new());
        for command in commands {
            let Ok(events) = state.decide(&command) else { continue };
            for event in events {
                match &event {
                    SloEvent::SloDefined(_) => revision += 1,
                    SloEvent::SloRevised(e) => {
                        revision += 1;
                        up.clear();
                        prop_assert_eq!(e.revision, revision);
                    }
                    SloEvent::BurnAlertRaised(e) => {
                        prop_assert!(up.insert(e.rule), "raised twice");
                        prop_assert_eq!(e.revision, revision);
                    }
                    SloEvent::BurnAlertCleared(e) => {
                        prop_assert!(up.remove(&e.rule), "cleared without being up");
                        prop_assert_eq!(e.revision, revision);
                    }
                    SloEvent::PeriodExcluded(e) => prop_assert!(e.from < e.to),
                    SloEvent::SloRetired(_) => {}
                }
                state.apply(&event);
                let stored = Event::from(event);
                let payload = stored.payload().expect("JSON");
                let read = Event::decode(stored.event_type(), stored.event_version(), &payload);
                prop_assert_eq!(read.ok(), Some(stored));
            }
            prop_assert_eq!((&state.alerts, state.revision), (&up, revision));
        }
    }
}
