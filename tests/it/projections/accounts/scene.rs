//! A tenant whose accounts live a little, told through the door and folded by consumers.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::store::{PageLimits, Store, StoreSettings};
use daybook::vault::{Place, Vault};
use domain::admins::{ADMINS_ID, Admins, AdminsCommand};
use domain::api_key::{ApiKey, ApiKeyCommand};
use domain::session::{ClientInfo, RevokeReason, Session, SessionCommand, SessionPolicy};
use domain::tenant::{Tenant, TenantCommand};
use domain::user::{PasswordChangeReason, Role, User, UserCommand, UserStanding};
use domain::{Actor, ActorKind, Aggregate, Event, Position, Recorded, Scope};
use projections::accounts::{self, Sealed};
use projections::{Reader, Snapshot};

use super::super::scene::{TENANT, read_model};
use crate::support::{PATIENCE, Scratch, TestDb, vault};

/// When sessions begin, in seconds of `at`.
pub const POLICY: SessionPolicy = SessionPolicy {
    sliding_s: 600,
    absolute_s: 1_000,
    grace_s: 10,
};

/// So many seconds after the beginning of a day in January 2026.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_571_200, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub struct World {
    pub consumers: Consumers,
    pub store: Store,
    pub vault: Vault,
    pub door: Door,
    pub db: TestDb,
    _keys: Scratch,
}

impl World {
    /// One in which everything of [`World::live`] has happened.
    pub async fn new() -> World {
        let (db, keys) = (TestDb::create().await, Scratch::new());
        let settings = StoreSettings {
            unsafe_allowed: true,
            ..StoreSettings::default()
        };
        let store = Store::connect(db.options(), settings).await.unwrap();
        let vault = vault(&db, keys.path());
        let models = vec![read_model(accounts::NAME)];
        let consumers = Consumers::start(store.clone(), models, ConsumerSettings::default());
        let world = World {
            consumers: consumers.await.unwrap(),
            door: Door::new(store.clone(), DoorSettings::default()).sealing(vault.clone()),
            store,
            vault,
            db,
            _keys: keys,
        };
        world.live().await;
        world
    }

    /// Ada administers; Bob is deactivated; Cyd was and is back; Eve is erased.
    async fn live(&self) {
        self.register("ada", &[Role::Operator], false).await;
        self.tell::<User>("ada", UserCommand::VerifyEmail).await;
        let role = Role::Analyst;
        self.tell::<User>("ada", UserCommand::AssignRole { role })
            .await;
        let role = Role::Operator;
        self.tell::<User>("ada", UserCommand::RevokeRole { role })
            .await;
        self.appoint("ada").await;
        self.register("bob", &[Role::Viewer, Role::Analyst], true)
            .await;
        self.appoint("bob").await;
        let user_id = "bob".to_owned();
        self.tell::<Admins>(ADMINS_ID, AdminsCommand::Dismiss { user_id })
            .await;
        self.register("cyd", &[], true).await;
        self.register("eve", &[Role::Viewer], false).await;
        self.sign_in_and_out().await;

        let reason = PasswordChangeReason::Changed;
        self.tell::<User>("bob", UserCommand::ChangePassword { reason })
            .await;
        self.deactivate("bob", Some("bob has left us")).await;
        self.deactivate("cyd", None).await;
        self.tell::<User>("cyd", UserCommand::Reactivate).await;
        self.deactivate("eve", Some("eve asked for it")).await;
        self.api_keys().await;
        self.tenants().await;
        let erase = UserCommand::ErasePersonalData { admin: false };
        self.tell::<User>("eve", erase).await;
    }

    async fn sign_in_and_out(&self) {
        for (id, user, seconds) in [
            ("plain", "ada", 0),
            ("used", "ada", 10),
            ("left", "ada", 20),
            ("stolen", "ada", 30),
            ("twin", "ada", 30),
            ("outdated", "bob", 40),
            ("evil", "eve", 50),
        ] {
            self.sign_in(id, user, seconds).await;
        }
        self.refresh("used", 1, 300).await;
        self.refresh("used", 2, 700).await;
        let revoke = SessionCommand::Revoke {
            reason: RevokeReason::SignedOut,
            now: at(400),
        };
        self.tell::<Session>("left", revoke).await;
        self.refresh("stolen", 1, 200).await;
        self.refresh("stolen", 1, 500).await;
    }

    async fn api_keys(&self) {
        let far = at(3_000_000_000);
        self.issue("depot", far, Some(3_600), false).await;
        let rotate = ApiKeyCommand::Rotate {
            hash: "b".repeat(64),
            last_four: "Zz9z".to_owned(),
            now: at(0),
            overlap_s: 300,
            asked_s: None,
            expires_at: far,
            ttl_max_s: u32::MAX,
        };
        self.tell::<ApiKey>("depot", rotate).await;
        self.issue("feed", far, Some(60), true).await;
        self.issue("gone", far, Some(60), false).await;
        let reason = Some("lost".to_owned());
        self.tell::<ApiKey>("gone", ApiKeyCommand::Revoke { reason })
            .await;
        self.issue("over", at(1), Some(60), false).await;
        self.issue("still", far, None, false).await;
    }

    async fn tenants(&self) {
        for (id, name) in [("north", "Nord"), ("south", "South")] {
            let name = name.to_owned();
            self.tell::<Tenant>(id, TenantCommand::Create { name })
                .await;
            let reason = Some("unpaid".to_owned());
            self.tell::<Tenant>(id, TenantCommand::Suspend { reason })
                .await;
        }
        let name = "North".to_owned();
        self.tell::<Tenant>("north", TenantCommand::Rename { name })
            .await;
        self.tell::<Tenant>("south", TenantCommand::Resume).await;
    }

    /// Sends a command that must be accepted.
    pub async fn tell<A: Aggregate>(&self, id: &str, command: A::Command)
    where
        A::Command: serde::Serialize + Clone + Sync,
    {
        let actor = Actor {
            kind: ActorKind::User,
            id: "root".into(),
        };
        let ctx = CommandContext::new(TENANT.into(), actor, at(0));
        self.door.execute::<A>(&ctx, id, command).await.unwrap();
    }

    async fn register(&self, id: &str, roles: &[Role], verified: bool) {
        let register = UserCommand::Register {
            email: format!("{id}@example.org"),
            name: format!("{id} the first"),
            roles: roles.iter().copied().collect(),
            verified,
        };
        self.tell::<User>(id, register).await;
    }

    async fn appoint(&self, id: &str) {
        let appoint = AdminsCommand::Appoint {
            user_id: id.to_owned(),
            standing: UserStanding::Active,
        };
        self.tell::<Admins>(ADMINS_ID, appoint).await;
    }

    async fn deactivate(&self, id: &str, reason: Option<&str>) {
        let deactivate = UserCommand::Deactivate {
            reason: reason.map(str::to_owned),
            admin: false,
        };
        self.tell::<User>(id, deactivate).await;
    }

    async fn sign_in(&self, id: &str, user: &str, seconds: i64) {
        let start = SessionCommand::Start {
            user_id: user.to_owned(),
            policy: POLICY,
            client: ClientInfo {
                ip: Some("192.0.2.7".to_owned()),
                user_agent: Some(format!("browser of {user}")),
            },
            user: UserStanding::Active,
            epoch: 0,
            now: at(seconds),
        };
        self.tell::<Session>(id, start).await;
    }

    async fn refresh(&self, id: &str, presented: u64, seconds: i64) {
        let refresh = SessionCommand::Refresh {
            presented,
            now: at(seconds),
            user: UserStanding::Active,
            epoch_now: 0,
        };
        self.tell::<Session>(id, refresh).await;
    }

    async fn issue(
        &self,
        id: &str,
        expires_at: DateTime<Utc>,
        rotate_every_s: Option<u32>,
        bootstrap: bool,
    ) {
        let scopes = BTreeSet::from([Scope::VehiclesRead, Scope::LogsWrite]);
        let issue = ApiKeyCommand::Issue {
            name: format!("key {id}"),
            hash: "a".repeat(64),
            last_four: "aB3d".to_owned(),
            scopes: scopes.clone(),
            issuer_scopes: scopes,
            asked_s: None,
            expires_at,
            now: at(0),
            ttl_max_s: u32::MAX,
            rotate_every_s,
            bootstrap,
            owner: None,
        };
        self.tell::<ApiKey>(id, issue).await;
    }

    /// A moment of the read model in which all of the log is folded.
    pub async fn snapshot(&self) -> Snapshot {
        let head = self.store.head(TENANT).await.unwrap();
        self.consumers
            .wait_for(&TENANT.into(), &[accounts::NAME], head, PATIENCE)
            .await
            .unwrap();
        let reader = Reader::new(self.store.pool().clone());
        let snapshot = reader.snapshot(TENANT).await.unwrap();
        assert_eq!(snapshot.position(&[accounts::NAME]).unwrap(), head);
        snapshot
    }

    /// All of the log.
    pub async fn log(&self) -> Vec<Recorded<Event>> {
        let (tenant, limits): (Arc<str>, _) = (TENANT.into(), PageLimits::default());
        let log = self.store.read_log(&tenant, Position::START, limits);
        let log = log.await.unwrap();
        log.iter().map(|event| event.decode().unwrap()).collect()
    }

    /// What a sealed value of a user says; `None` if it does not open as that field.
    pub async fn open(&self, user: &str, field: &str, sealed: &Option<Sealed>) -> Option<String> {
        let sealed = sealed.as_ref()?;
        let place = Place {
            tenant: TENANT,
            subject: user,
            field,
            event_id: sealed.event_id,
        };
        let key = self.vault.existing_key(TENANT, user).await.unwrap()?;
        key.open(&place, &sealed.text)
    }
}
