//! Personal values: sealed in the log, readable as long as their subject's key exists, nowhere in the clear.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::DateTime;
use daybook::commands::{CommandContext, CommandError, Door, DoorSettings};
use daybook::store::{PageLimits, Store, StoreSettings, StoredEvent};
use daybook::vault::{Place, Vault, VaultError};
use domain::session::{ClientInfo, Session, SessionCommand, SessionPolicy};
use domain::user::{User, UserCommand, UserEvent};
use domain::{Actor, ActorKind, Code, Personal, Position};

use crate::support::{Scratch, TestDb, eventually, vault};

const TENANT: &str = "default";
const EMAIL: &str = "Ada.Lovelace@Example.org";
const NAME: &str = "Ada Quillfeather";

async fn store(db: &TestDb) -> Store {
    let options = db.options().application_name("daybook-unsafe");
    let settings = StoreSettings {
        pool_max: 6,
        pool_min: 1,
        ..StoreSettings::default()
    };
    Store::connect(options, settings).await.unwrap()
}

fn context(tenant: &str) -> CommandContext {
    let actor = Actor {
        kind: ActorKind::System,
        id: "test".into(),
    };
    let now = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    CommandContext::new(tenant.into(), actor, now)
}

fn register(email: &str) -> UserCommand {
    UserCommand::Register {
        email: email.to_owned(),
        name: NAME.to_owned(),
        roles: BTreeSet::new(),
        verified: false,
    }
}

async fn log(store: &Store) -> Vec<StoredEvent> {
    let tenant: Arc<str> = TENANT.into();
    store
        .read_log(&tenant, Position::START, PageLimits::default())
        .await
        .unwrap()
}

/// What the first event of a user says of the user, opened with this vault.
async fn told(vault: &Vault, event: &StoredEvent, id: &str) -> Option<(String, String)> {
    let domain::Event::User(UserEvent::UserRegistered(registered)) = event.decode().unwrap().event
    else {
        panic!("{event:?}");
    };
    let key = vault.existing_key(TENANT, id).await.unwrap()?;
    let open = |field, value: &Personal| {
        let Personal::Sealed(sealed) = value else {
            panic!("it was read from the log in the clear");
        };
        let place = Place {
            tenant: TENANT,
            subject: id,
            field,
            event_id: event.event_id,
        };
        key.open(&place, sealed)
    };
    Some((
        open("email", &registered.email)?,
        open("name", &registered.name)?,
    ))
}

#[tokio::test]
async fn a_personal_value_is_read_with_its_key_and_never_without() {
    let (db, keys) = (TestDb::create().await, Scratch::new());
    let (store, vault) = (store(&db).await, vault(&db, keys.path()));
    let door = Door::new(store.clone(), DoorSettings::default()).sealing(vault.clone());
    door.execute::<User>(&context(TENANT), "u1", register(EMAIL))
        .await
        .unwrap();

    let event = &log(&store).await[0];
    let said = Some((EMAIL.to_owned(), NAME.to_owned()));
    assert_eq!(told(&vault, event, "u1").await, said);
    // Another process with the same master key reads it too; one with another cannot even unwrap the key.
    let beside = self::vault(&db, keys.path());
    assert_eq!(told(&beside, event, "u1").await, said);
    let foreign = self::vault(&db, Scratch::new().path());
    let refused = foreign.existing_key(TENANT, "u1").await;
    assert!(matches!(refused, Err(VaultError::Foreign)));

    assert!(vault.destroy(TENANT, "u1").await.unwrap());
    assert_eq!(told(&vault, event, "u1").await, None);
    assert!(!vault.destroy(TENANT, "u1").await.unwrap());
    // A key of the same name is another key.
    vault.key(TENANT, "u1").await.unwrap();
    assert_eq!(told(&vault, event, "u1").await, None);
    // The event itself is what it was, and the user's state folds from it.
    assert_eq!(log(&store).await[0].payload, event.payload);
    let (user, version) = door.load::<User>(&TENANT.into(), "u1").await.unwrap();
    assert_eq!(
        (user.standing(), version),
        (domain::user::UserStanding::Active, 1)
    );
}

#[tokio::test]
async fn nothing_personal_is_in_the_database_in_the_clear() {
    let (db, keys) = (TestDb::create().await, Scratch::new());
    let vault = vault(&db, keys.path());
    let door = Door::new(store(&db).await, DoorSettings::default()).sealing(vault);
    let mut ctx = context(TENANT);
    ctx.command_id = Some("register-ada".to_owned());
    door.execute::<User>(&ctx, "u1", register(EMAIL))
        .await
        .unwrap();

    let dump = db.dump().await;
    assert!(dump.contains("user.registered"), "{dump}");
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    for value in [EMAIL, NAME, "ada.lovelace@example.org", "Quillfeather"] {
        for planted in [value.to_owned(), value.to_lowercase(), hex(value)] {
            assert!(!dump.contains(&planted), "{planted}");
        }
    }
}

#[tokio::test]
async fn an_address_belongs_to_one_user_of_a_tenant_however_it_is_spelt() {
    let (db, keys) = (TestDb::create().await, Scratch::new());
    let store = store(&db).await;
    sqlx::query("insert into logs (tenant) values ('other')")
        .execute(db.pool())
        .await
        .unwrap();
    let door = Door::new(store, DoorSettings::default()).sealing(vault(&db, keys.path()));
    let registered = async |tenant: &str, id: &str, email: &str| {
        door.execute::<User>(&context(tenant), id, register(email))
            .await
    };
    registered(TENANT, "u1", EMAIL).await.unwrap();
    for twin in [
        EMAIL,
        "ADA.LOVELACE@EXAMPLE.ORG",
        "ada.lovelace@example.org",
    ] {
        let Err(CommandError::Refused(refusal)) = registered(TENANT, "u2", twin).await else {
            panic!("{twin} was taken twice");
        };
        assert_eq!(refusal.code, Code::EmailTaken);
        assert_eq!(refusal.path, ["email"]);
        assert!(
            !refusal.message.to_lowercase().contains("ada"),
            "{refusal:?}"
        );
    }
    registered(TENANT, "u2", "grace@example.org").await.unwrap();
    registered("other", "u1", EMAIL).await.unwrap();
}

#[tokio::test]
async fn without_a_vault_nothing_personal_is_kept() {
    let db = TestDb::create().await;
    let store = store(&db).await;
    let door = Door::new(store.clone(), DoorSettings::default());
    let refused = door
        .execute::<User>(&context(TENANT), "u1", register(EMAIL))
        .await;
    assert!(matches!(
        refused,
        Err(CommandError::Sealing(VaultError::Absent))
    ));
    assert!(log(&store).await.is_empty());
}

#[tokio::test]
async fn a_key_made_by_several_at_once_is_one_key() {
    let (db, keys) = (TestDb::create().await, Scratch::new());
    let vaults: Vec<_> = (0..8).map(|_| vault(&db, keys.path())).collect();
    let place = Place {
        tenant: TENANT,
        subject: "u1",
        field: "name",
        event_id: uuid::Uuid::nil(),
    };
    let making = vaults.iter().map(|vault| vault.key(TENANT, "u1"));
    let made = futures::future::try_join_all(making).await.unwrap();
    let sealed = made[0].seal(&place, NAME);
    for key in &made {
        assert_eq!(key.open(&place, &sealed).as_deref(), Some(NAME));
    }
}

/// A sign-in that was decided on before somebody was erased, on another node: it begins no session, and makes
/// no key again that the erasure has destroyed.
#[tokio::test]
async fn whoever_was_erased_is_given_no_key_again() {
    let (db, keys) = (TestDb::create().await, Scratch::new());
    let vault = vault(&db, keys.path());
    let here = Door::new(store(&db).await, DoorSettings::default()).sealing(vault.clone());
    let there =
        Door::new(store(&db).await, DoorSettings::default()).sealing(self::vault(&db, keys.path()));
    here.execute::<User>(&context(TENANT), "u1", register(EMAIL))
        .await
        .unwrap();
    // The other node knows the user, and has had no use for their key.
    there.load::<User>(&TENANT.into(), "u1").await.unwrap();
    let erase = UserCommand::ErasePersonalData { admin: false };
    here.execute::<User>(&context(TENANT), "u1", erase)
        .await
        .unwrap();
    vault.destroy(TENANT, "u1").await.unwrap();

    let start = |user: &User| SessionCommand::Start {
        user_id: "u1".to_owned(),
        policy: SessionPolicy::default(),
        client: ClientInfo {
            ip: Some("203.0.113.7".to_owned()),
            user_agent: None,
        },
        user: user.standing(),
        epoch: user.session_epoch,
        now: context(TENANT).now,
    };
    let begun = there
        .execute_relying::<Session, User>(&context(TENANT), "s1", "u1", start)
        .await;
    let Err(CommandError::Refused(refusal)) = begun else {
        panic!("{begun:?}");
    };
    assert_eq!(refusal.code, Code::UserErased);
    // Nor is anything written about them.
    let deactivate = UserCommand::Deactivate {
        reason: Some("left".to_owned()),
        admin: false,
    };
    let told = there
        .execute::<User>(&context(TENANT), "u1", deactivate)
        .await;
    assert!(matches!(told, Err(CommandError::Refused(_))), "{told:?}");
    assert!(vault.existing_key(TENANT, "u1").await.unwrap().is_none());
    let rows: i64 = sqlx::query_scalar("select count(*) from subject_keys")
        .fetch_one(db.pool())
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

/// Whoever needs many keys, one of which another is making, waits and is given that one too.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_subjects_every_one_is_given_a_key() {
    let db = TestDb::create().await;
    let _store = store(&db).await;
    let dir = Scratch::new();
    let subjects: Vec<String> = (0..20).map(|n| format!("log_user:{n}")).collect();
    let theirs = vault(&db, dir.path()).key(TENANT, &subjects[7]).await;
    let theirs = theirs.unwrap();
    // As if they were at it still.
    let row = "delete from subject_keys returning tenant, subject, wrapped";
    let row: (String, String, Vec<u8>) = sqlx::query_as(row).fetch_one(db.pool()).await.unwrap();
    let mut making = projections::begin(db.pool(), "begin").await.unwrap();
    sqlx::query("insert into subject_keys (tenant, subject, wrapped) values ($1, $2, $3)")
        .bind(row.0)
        .bind(row.1)
        .bind(row.2)
        .execute(&mut *making)
        .await
        .unwrap();
    let mine = vault(&db, dir.path());
    let asked = tokio::spawn({
        let subjects = subjects.clone();
        async move { mine.keys(TENANT, subjects).await.unwrap() }
    });
    let waiting = "select exists (select from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock')";
    eventually("the other one waits", async || {
        sqlx::query_scalar(waiting)
            .fetch_one(db.pool())
            .await
            .unwrap()
    })
    .await;
    making.commit().await.unwrap();
    let keys = asked.await.unwrap();
    assert_eq!(keys.len(), subjects.len());
    let place = Place {
        tenant: TENANT,
        subject: &subjects[7],
        field: "record",
        event_id: uuid::Uuid::nil(),
    };
    let sealed = theirs.seal(&place, NAME);
    let opened = keys[&subjects[7]].open(&place, &sealed);
    assert_eq!(opened.as_deref(), Some(NAME), "it is the one they made");
}
