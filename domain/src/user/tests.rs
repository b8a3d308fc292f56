//! The rules of users.

use super::*;
use crate::event::Event;
use crate::given::{check, check_shape, given, refusal};

fn plain(text: &str) -> Personal {
    Personal::Plain(text.to_owned())
}

fn registered(roles: &[Role]) -> UserEvent {
    UserEvent::UserRegistered(UserRegistered {
        email: plain("Ada@Example.org"),
        name: plain("Ada"),
        roles: roles.iter().copied().collect(),
    })
}

fn verified() -> UserEvent {
    UserEvent::EmailVerified(EmailVerified {})
}

fn assigned(role: Role) -> UserEvent {
    UserEvent::RoleAssigned(RoleAssigned { role })
}

fn revoked(role: Role) -> UserEvent {
    UserEvent::RoleRevoked(RoleRevoked { role })
}

fn password(reason: PasswordChangeReason) -> UserEvent {
    UserEvent::PasswordChanged(PasswordChanged { reason })
}

fn deactivated(reason: Option<&str>) -> UserEvent {
    UserEvent::UserDeactivated(UserDeactivated {
        reason: reason.map(plain),
    })
}

fn reactivated() -> UserEvent {
    UserEvent::UserReactivated(UserReactivated {})
}

fn erased() -> UserEvent {
    UserEvent::PersonalDataErased(PersonalDataErased {})
}

fn register(roles: &[Role]) -> UserCommand {
    UserCommand::Register {
        email: " Ada@Example.org".to_owned(),
        name: " Ada ".to_owned(),
        roles: roles.iter().copied().collect(),
        verified: false,
    }
}

fn deactivate(reason: Option<&str>, admin: bool) -> UserCommand {
    UserCommand::Deactivate {
        reason: reason.map(str::to_owned),
        admin,
    }
}

/// Every command that only somebody active may be given.
fn of_the_active() -> Vec<UserCommand> {
    let (role, reason) = (Role::Viewer, PasswordChangeReason::Changed);
    vec![
        UserCommand::VerifyEmail,
        UserCommand::ChangePassword { reason },
        UserCommand::AssignRole { role },
        UserCommand::RevokeRole { role },
    ]
}

fn of_anybody() -> Vec<UserCommand> {
    vec![
        deactivate(None, false),
        UserCommand::Reactivate,
        UserCommand::SignOutEverywhere,
        UserCommand::ErasePersonalData { admin: false },
    ]
}

#[test]
fn a_user_is_registered_once() {
    let roles = [Role::Operator, Role::Viewer];
    check::<User>(&[], register(&roles), Ok(&[registered(&roles)]));
    check::<User>(&[], register(&[]), Ok(&[registered(&[])]));
    check::<User>(&[registered(&[])], register(&[]), Err(Code::AlreadyExists));
    check::<User>(
        &[registered(&[]), deactivated(None)],
        register(&[]),
        Err(Code::AlreadyExists),
    );
    let mut known = register(&[]);
    if let UserCommand::Register { verified, .. } = &mut known {
        *verified = true;
    }
    check::<User>(&[], known, Ok(&[registered(&[]), verified()]));
}

#[test]
fn what_is_said_about_a_user_is_checked() {
    let with = |address: &str, called: &str| UserCommand::Register {
        email: address.to_owned(),
        name: called.to_owned(),
        roles: BTreeSet::new(),
        verified: false,
    };
    for (command, code, field) in [
        (with("ada", "Ada"), Code::Validation, "email"),
        (with("ada@example.org", ""), Code::Validation, "name"),
        (with("ada@example.org", "A\0"), Code::BadText, "name"),
        (
            with(&format!("ada@{}.org", "x.".repeat(200)), "Ada"),
            Code::TooLarge,
            "email",
        ),
    ] {
        let refusal = refusal::<User>(&[], &command);
        assert_eq!(
            (refusal.code, &refusal.path[..]),
            (code, &[field.to_owned()][..])
        );
    }
    check::<User>(
        &[registered(&[])],
        deactivate(Some(""), false),
        Err(Code::Validation),
    );
}

#[test]
fn an_address_is_verified_once() {
    check::<User>(
        &[registered(&[])],
        UserCommand::VerifyEmail,
        Ok(&[verified()]),
    );
    check::<User>(
        &[registered(&[]), verified()],
        UserCommand::VerifyEmail,
        Ok(&[]),
    );
}

#[test]
fn roles_come_and_go() {
    let role = Role::Approver;
    let assign = UserCommand::AssignRole { role };
    let revoke = UserCommand::RevokeRole { role };
    let (none, held) = ([registered(&[])], [registered(&[role])]);
    check::<User>(&none, assign.clone(), Ok(&[assigned(role)]));
    check::<User>(&held, assign, Ok(&[]));
    check::<User>(&held, revoke.clone(), Ok(&[revoked(role)]));
    check::<User>(&none, revoke, Ok(&[]));
    let user = given::<User>(&[
        registered(&[Role::Viewer]),
        assigned(role),
        revoked(Role::Viewer),
    ]);
    assert_eq!(user.roles, BTreeSet::from([role]));
    assert_eq!(user.session_epoch, 0, "another role ends no session");
}

#[test]
fn nobody_becomes_an_administrator_here() {
    let role = Role::Admin;
    for (events, command, field) in [
        (&[][..], register(&[Role::Viewer, role]), "roles"),
        (&[registered(&[])], UserCommand::AssignRole { role }, "role"),
        (&[registered(&[])], UserCommand::RevokeRole { role }, "role"),
    ] {
        let refusal = refusal::<User>(events, &command);
        assert_eq!(refusal.code, Code::AdminIsAppointed);
        assert_eq!(refusal.path, [field]);
    }
}

#[test]
fn an_administrator_is_dismissed_before_they_go() {
    let given_ = [registered(&[])];
    check::<User>(&given_, deactivate(None, true), Err(Code::IsAdmin));
    let erase = UserCommand::ErasePersonalData { admin: true };
    check::<User>(&given_, erase, Err(Code::IsAdmin));
}

#[test]
fn the_deactivated_are_reactivated_or_erased() {
    let gone = [registered(&[Role::Viewer]), deactivated(None)];
    check::<User>(
        &gone[..1],
        deactivate(Some(" left "), false),
        Ok(&[deactivated(Some("left"))]),
    );
    check::<User>(&gone, deactivate(Some("left"), false), Ok(&[]));
    for command in of_the_active() {
        check::<User>(&gone, command, Err(Code::UserDeactivated));
    }
    check::<User>(&gone, UserCommand::Reactivate, Ok(&[reactivated()]));
    check::<User>(&gone[..1], UserCommand::Reactivate, Ok(&[]));
    let erase = UserCommand::ErasePersonalData { admin: false };
    check::<User>(&gone, erase, Ok(&[erased()]));

    let back = given::<User>(&[gone[0].clone(), gone[1].clone(), reactivated()]);
    assert_eq!(back.standing(), UserStanding::Active);
    assert_eq!(back.roles, BTreeSet::from([Role::Viewer]));
    assert_eq!(back.session_epoch, 1, "what ended stays ended");
}

#[test]
fn the_erased_accept_nothing_and_the_unknown_are_not_found() {
    let nobody = [registered(&[]), erased()];
    for command in of_the_active().into_iter().chain(of_anybody()) {
        check::<User>(&[], command.clone(), Err(Code::NotFound));
        check::<User>(&nobody, command, Err(Code::UserErased));
    }
    check::<User>(&nobody, register(&[]), Err(Code::UserErased));
    let erase = UserCommand::ErasePersonalData { admin: false };
    check::<User>(&nobody[..1], erase, Ok(&[erased()]));
}

#[test]
fn a_user_stands_as_their_events_say() {
    let gone = [registered(&[]), deactivated(None), erased()];
    let standing = |count: usize| given::<User>(&gone[..count]).standing();
    assert_eq!(standing(0), UserStanding::Missing);
    assert_eq!(standing(1), UserStanding::Active);
    assert_eq!(standing(2), UserStanding::Deactivated);
    assert_eq!(standing(3), UserStanding::Erased);
    let code = |standing: UserStanding| standing.must_be_active().err().map(|r| r.code);
    assert_eq!(code(UserStanding::Missing), Some(Code::UserNotFound));
    assert_eq!(code(UserStanding::Active), None);
    assert_eq!(code(UserStanding::Deactivated), Some(Code::UserDeactivated));
    assert_eq!(code(UserStanding::Erased), Some(Code::UserErased));
}

#[test]
fn epochs_count_what_ends_links_and_sessions() {
    use PasswordChangeReason::{Changed, Reset};
    let reason = Reset;
    check::<User>(
        &[registered(&[])],
        UserCommand::ChangePassword { reason },
        Ok(&[password(Reset)]),
    );
    let user = given::<User>(&[
        registered(&[]),
        password(Changed),
        verified(),
        password(Reset),
        deactivated(None),
        reactivated(),
    ]);
    assert_eq!((user.password_epoch, user.session_epoch), (2, 3));
}

#[test]
fn an_address_is_claimed_in_one_spelling_while_it_is_in_the_clear() {
    let state = User::default();
    let claim = ClaimChange {
        scope: EMAIL_SCOPE,
        value: "ada@example.org".to_owned(),
        release: false,
        personal: true,
    };
    assert_eq!(state.claims(&registered(&[])), std::slice::from_ref(&claim));
    assert_eq!(email_claim(" ADA@example.ORG "), claim);
    let mut sealed = registered(&[]);
    seal(&mut sealed);
    assert_eq!(state.claims(&sealed), []);
    let state = given::<User>(&[sealed]);
    assert_eq!(state.claims(&erased()), []);
}

/// Stands in for the write door.
fn seal(event: &mut UserEvent) {
    for field in User::personal("u-1", event) {
        assert_eq!(field.subject, "u-1");
        assert!(field.value.plain().is_some(), "{} is plain", field.field);
        *field.value = Personal::Sealed(format!("of-{}", field.field));
    }
}

#[test]
fn an_event_is_written_once_its_personal_fields_are_sealed() {
    let cases = [
        (
            registered(&[Role::Viewer]),
            r#"{"email":{"sealed":"of-email"},"name":{"sealed":"of-name"},"roles":["viewer"]}"#,
        ),
        (
            deactivated(Some("left")),
            r#"{"reason":{"sealed":"of-reason"}}"#,
        ),
    ];
    for (mut event, stored) in cases {
        let payload = Event::from(event.clone()).payload();
        assert!(payload.is_err(), "{payload:?}");
        seal(&mut event);
        let event = Event::from(event);
        assert_eq!(event.payload().expect("sealed"), stored);
        let read = Event::decode(event.event_type(), event.event_version(), stored);
        assert_eq!(read.ok(), Some(event));
    }
    for mut event in [
        verified(),
        assigned(Role::Viewer),
        revoked(Role::Viewer),
        password(PasswordChangeReason::Changed),
        deactivated(None),
        reactivated(),
        erased(),
    ] {
        seal(&mut event);
        assert!(Event::from(event).payload().is_ok());
    }
}

#[test]
fn a_state_is_written_as_it_always_was_and_tells_nothing_about_a_person() {
    let roles = [Role::Ingest, Role::Viewer];
    let events = [registered(&roles), verified(), deactivated(Some("left"))];
    let state = given::<User>(&events);
    check_shape(
        &state,
        r#"{"registered":true,"verified":true,"deactivated":true,"erased":false,"roles":["viewer","ingest"],"passwordEpoch":0,"sessionEpoch":1}"#,
    );
}

/// What only we have seen is no part of what a caller asked for: a retry is the same command.
#[test]
fn a_fingerprint_holds_what_was_asked() {
    let text = |command: &UserCommand| serde_json::to_string(command).expect("a command");
    assert_eq!(
        text(&deactivate(None, true)),
        text(&deactivate(None, false))
    );
    assert_eq!(
        text(&UserCommand::ErasePersonalData { admin: true }),
        r#"{"type":"erasePersonalData"}"#
    );
}

#[test]
fn signing_out_everywhere_ends_what_was_begun() {
    let gone = UserEvent::SignedOutEverywhere(SignedOutEverywhere {});
    let known = [registered(&[])];
    check::<User>(
        &known,
        UserCommand::SignOutEverywhere,
        Ok(std::slice::from_ref(&gone)),
    );
    let user = given::<User>(&[registered(&[]), gone]);
    assert_eq!((user.password_epoch, user.session_epoch), (0, 1));
    check::<User>(&[], UserCommand::SignOutEverywhere, Err(Code::NotFound));
}
