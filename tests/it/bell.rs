//! Wake-ups by Redis: heard by other processes, signed, and hints at most.

use std::sync::Mutex;
use std::time::Duration;

use daybook::cache::{Bell, Cache};
use daybook::config::{self, Sources};
use domain::Position;
use redis::cmd;

use crate::support::{PATIENCE, TestApp, TestRedis, eventually, redis_settings};

fn bell(redis: &TestRedis, secret: [u8; 32]) -> Bell {
    let settings = config::load(&Sources::default()).unwrap();
    let redis = redis_settings(&redis.url());
    Cache::new(&settings.cache, &redis, secret)
        .unwrap()
        .bell()
        .unwrap()
}

/// How many hear.
async fn listeners(redis: &TestRedis) -> usize {
    let channels: Vec<String> = redis.tell(cmd("PUBSUB").arg("CHANNELS")).await;
    channels.len()
}

#[tokio::test]
async fn what_one_process_says_others_hear() {
    let mut redis = TestRedis::start().await;
    let (ours, theirs) = (bell(&redis, [1; 32]), bell(&redis, [1; 32]));
    let stranger = bell(&redis, [2; 32]);
    let heard = Mutex::new(Vec::new());
    let note = |tenant: &str, head| heard.lock().unwrap().push((tenant.to_owned(), head));
    let told = async {
        eventually("somebody listens", async || listeners(&redis).await == 1).await;
        ours.ring("default", Position(7)).await;
        eventually("it is heard", async || heard.lock().unwrap().len() == 1).await;

        // Others may shout into the same channel.
        let channels: Vec<String> = redis.tell(cmd("PUBSUB").arg("CHANNELS")).await;
        let channel = &channels[0];
        for noise in [
            "",
            "9 default",
            "DBC1",
            "\r\nFLUSHALL\r\n",
            &"x".repeat(100_000),
        ] {
            redis
                .tell::<()>(cmd("PUBLISH").arg(channel).arg(noise))
                .await;
        }
        stranger.ring("default", Position(99)).await;
        ours.ring("a tenant with spaces", Position(8)).await;
        eventually("the next is heard", async || {
            heard.lock().unwrap().len() >= 2
        })
        .await;

        // A lost Redis is listened to again once it is back.
        redis.restart().await;
        eventually("somebody listens again", async || {
            listeners(&redis).await == 1
        })
        .await;
        eventually("it is heard again", async || {
            ours.ring("default", Position(9)).await;
            heard.lock().unwrap().len() >= 3
        })
        .await;
    };
    tokio::select! {
        () = theirs.listen(note) => {}
        () = told => {}
    }
    let heard = heard.into_inner().unwrap();
    let default = |position| ("default".to_owned(), Position(position));
    assert_eq!(heard[0], default(7));
    assert_eq!(heard[1], ("a tenant with spaces".to_owned(), Position(8)));
    assert!(
        heard[2..].iter().all(|word| *word == default(9)),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_process_that_hears_nothing_else_is_woken_by_redis() {
    let redis = TestRedis::start().await;
    let app = TestApp::with(|settings| {
        settings.redis = redis_settings(&redis.url());
        settings.append.poll_interval = Duration::from_secs(60);
        settings.consumers.project = false;
    })
    .await;
    eventually("it listens", async || listeners(&redis).await == 1).await;
    // An appender whose notifications do not come through, but whose word in Redis does.
    let silent = "update logs set position = 5 where tenant = 'default'";
    sqlx::query(silent).execute(app.db().pool()).await.unwrap();
    let identity = app.store().identity().await.unwrap();
    let secret = app
        .app()
        .vault
        .shared_secret(&format!("cache of {identity}"));
    bell(&redis, secret).ring("default", Position(7)).await;
    let mut head = app.store().watch_head(&"default".into());
    let seen = head.wait_for(|head| *head > Position(0));
    let seen = *tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap();
    assert_eq!(seen, Position(5), "what is there, not what was said");
}

#[tokio::test]
async fn appends_are_told_by_redis_too() {
    let redis = TestRedis::start().await;
    let app = TestApp::with(|settings| settings.redis = redis_settings(&redis.url())).await;
    let identity = app.store().identity().await.unwrap();
    let secret = app
        .app()
        .vault
        .shared_secret(&format!("cache of {identity}"));
    let (bell, heard) = (bell(&redis, secret), Mutex::new(Position::START));
    let register = async || {
        let query = "mutation { registerVehicle(input: { id: \"a\" }) { receipt { position } } }";
        app.data(query, serde_json::json!({})).await;
        let fleet =
            "mutation { createFleet(input: { id: \"f\", name: \"F\" }) { receipt { position } } }";
        app.data(fleet, serde_json::json!({})).await;
    };
    let told = async {
        // The app listens as well; we are there once our own word comes back.
        eventually("we listen", async || {
            bell.ring("nobody", Position(1)).await;
            *heard.lock().unwrap() > Position::START
        })
        .await;
        *heard.lock().unwrap() = Position::START;
        register().await;
        eventually("the last append is told", async || {
            *heard.lock().unwrap() == Position(2)
        })
        .await;
    };
    let note = |tenant: &str, head: Position| {
        if tenant == "default" || *heard.lock().unwrap() == Position::START {
            *heard.lock().unwrap() = head;
        }
    };
    tokio::select! {
        () = bell.listen(note) => {}
        () = told => {}
    }
}
