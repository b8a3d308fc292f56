//! The cache: one maker for many callers, a bound, and a Redis that may be slow, lost or lying.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daybook::cache::{Cache, CacheKey};
use daybook::config::{self, Settings, Sources};
use daybook::ops::{Probed, State};
use domain::Position;
use futures::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{TestRedis, eventually};

const SECRET: [u8; 32] = [7; 32];

fn key(question: &str) -> CacheKey {
    CacheKey::new(
        "default",
        &[("heatmap", 1, Position(5))],
        "",
        question.as_bytes(),
    )
}

fn settings(redis: Option<&str>) -> Settings {
    let environment = redis
        .map(|url| ("REDIS_URL".to_owned(), url.to_owned()))
        .into_iter()
        .collect();
    config::load(&Sources {
        environment,
        ..Sources::default()
    })
    .unwrap()
}

fn cache(settings: &Settings) -> Cache {
    Cache::new(&settings.cache, &settings.redis, SECRET).unwrap()
}

/// Asks for `question`, whose answer is `answer`; tells how often it had to be made.
async fn ask(cache: &Cache, question: &str, answer: &str, made: &AtomicUsize) -> String {
    let make = || async {
        made.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>(Arc::from(answer.as_bytes()))
    };
    let kept = cache.get_or(&key(question), make).await.unwrap();
    String::from_utf8(kept.bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_answer_is_made_once_for_many_callers() {
    let cache = cache(&settings(None));
    let (made, go) = (AtomicUsize::new(0), Notify::new());
    let make = || async {
        made.fetch_add(1, Ordering::Relaxed);
        go.notified().await;
        Ok::<_, io::Error>(Arc::from(b"answer".as_slice()))
    };
    let key = key("q");
    let callers = join_all((0..100).map(|_| cache.get_or(&key, make)));
    let (answers, ()) = tokio::join!(callers, async {
        tokio::task::yield_now().await;
        go.notify_one();
    });
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(
        answers
            .iter()
            .all(|answer| &*answer.as_ref().unwrap().bytes == b"answer")
    );
}

#[tokio::test]
async fn when_the_maker_goes_away_another_caller_makes_it() {
    let cache = cache(&settings(None));
    let key = key("q");
    let never = || async {
        std::future::pending::<()>().await;
        Ok::<_, io::Error>(Arc::from(b"never".as_slice()))
    };
    let other = || async { Ok::<_, io::Error>(Arc::from(b"answer".as_slice())) };
    let mut first = Box::pin(cache.get_or(&key, never));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(cache.get_or(&key, other));
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(&*second.await.unwrap().bytes, b"answer");
}

#[tokio::test]
async fn an_error_is_told_and_not_kept() {
    let cache = cache(&settings(None));
    let failing = || async { Err::<Arc<[u8]>, _>(io::Error::other("no database")) };
    let error = cache.get_or(&key("q"), failing).await.unwrap_err();
    assert_eq!(error.to_string(), "no database");
    let made = AtomicUsize::new(0);
    assert_eq!(ask(&cache, "q", "answer", &made).await, "answer");
}

#[tokio::test]
async fn memory_is_bounded_by_bytes_and_takes_no_giants() {
    let mut settings = settings(None);
    settings.cache.bytes_max = config::Bytes(100_000);
    settings.cache.entry_bytes_max = config::Bytes(10_000);
    let cache = cache(&settings);
    let made = AtomicUsize::new(0);
    let kilobyte = "x".repeat(1_000);
    for n in 0..1_000 {
        ask(&cache, &format!("q{n}"), &kilobyte, &made).await;
    }
    let entries = cache.memory_entries().await;
    assert!(
        (1..=100).contains(&entries),
        "{entries} entries of 1,000 bytes in 100,000"
    );

    let giant = "x".repeat(10_001);
    for _ in 0..2 {
        assert_eq!(ask(&cache, "giant", &giant, &made).await, giant);
    }
    assert_eq!(
        made.load(Ordering::Relaxed),
        1_002,
        "a giant is made each time"
    );
}

#[tokio::test]
async fn a_cache_of_no_size_still_answers() {
    let mut settings = settings(None);
    settings.cache.bytes_max = config::Bytes(0);
    settings.cache.entry_bytes_max = config::Bytes(0);
    settings.cache.ttl = Duration::ZERO;
    let (cache, made) = (cache(&settings), AtomicUsize::new(0));
    for _ in 0..3 {
        assert_eq!(ask(&cache, "q", "answer", &made).await, "answer");
    }
    assert_eq!(made.load(Ordering::Relaxed), 3);
}

#[test]
fn whatever_an_answer_depends_on_makes_another_key() {
    let at = Position(5);
    let one = [("heatmap", 1, at)];
    let key = |tenant, models: &[(&str, i32, Position)], scope, question: &str| {
        CacheKey::new(tenant, models, scope, question.as_bytes())
    };
    let same = key("t", &one, "s", "q");
    assert_eq!(same, key("t", &one, "s", "q"));
    let others = [
        key("u", &one, "s", "q"),
        key("t", &[("trend", 1, at)], "s", "q"),
        key("t", &[("heatmap", 2, at)], "s", "q"),
        key("t", &[("heatmap", 1, Position(6))], "s", "q"),
        key("t", &[("heatmap", 1, at), ("trend", 1, at)], "s", "q"),
        key("t", &[], "s", "q"),
        key("t", &one, "", "q"),
        key("t", &one, "s", "r"),
        key("t", &one, "sq", ""),
        key("theatmap", &[], "s", "q"),
        // The parts of `a:b` + `c` and `a` + `b:c` are different parts.
        key("a:b", &[], "c", "q"),
        key("a", &[], "b:c", "q"),
    ];
    for (i, other) in others.iter().enumerate() {
        assert_ne!(*other, same, "case {i}");
        assert!(
            others[..i].iter().all(|earlier| earlier != other),
            "case {i}"
        );
    }
}

/// How a false Redis answers a look-up.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Planted(&'static [u8]),
    Huge,
    Error,
    Garbage,
    Silence,
    Reset,
}

/// A server that speaks just enough of the protocol to lie.
async fn false_redis(fault: Fault) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let lookups = Arc::new(AtomicUsize::new(0));
    let counter = lookups.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_falsely(stream, fault, counter.clone()));
        }
    });
    (url, lookups)
}

async fn serve_falsely(
    stream: TcpStream,
    fault: Fault,
    lookups: Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let command = read_command(&mut stream).await?;
        let reply = match command.first().map(String::as_str) {
            Some("GETRANGE") => {
                lookups.fetch_add(1, Ordering::Relaxed);
                match fault {
                    Fault::Planted(bytes) => bulk(bytes),
                    Fault::Huge => bulk(&vec![b'x'; 4 << 20]),
                    Fault::Error => b"-OOM command not allowed\r\n".to_vec(),
                    Fault::Garbage => b"\x00\x01!!not redis\r\n".to_vec(),
                    Fault::Silence => continue,
                    Fault::Reset => return Ok(()),
                }
            }
            Some("PING") => b"+PONG\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        };
        stream.get_mut().write_all(&reply).await?;
    }
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

async fn read_command(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut line = String::new();
    let count = match stream.read_line(&mut line).await? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => line[1..].trim().parse().unwrap(),
    };
    let mut words = Vec::new();
    for _ in 0..count {
        line.clear();
        stream.read_line(&mut line).await?;
        let mut word = vec![0; line[1..].trim().parse::<usize>().unwrap() + 2];
        stream.read_exact(&mut word).await?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Ok(words)
}

#[tokio::test]
async fn a_lying_slow_or_broken_redis_costs_speed_only() {
    let faults = [
        Fault::Planted(b"answer planted by somebody"),
        Fault::Planted(b"DBC1"),
        Fault::Planted(b"DBC10123456789abcdef0123456789abcdefplanted"),
        Fault::Huge,
        Fault::Error,
        Fault::Garbage,
        Fault::Silence,
        Fault::Reset,
    ];
    for fault in faults {
        let (url, lookups) = false_redis(fault).await;
        let (cache, made) = (cache(&settings(Some(&url))), AtomicUsize::new(0));
        for n in 0..20 {
            let answer = format!("answer {n}");
            assert_eq!(
                ask(&cache, &format!("q{n}"), &answer, &made).await,
                answer,
                "{fault:?}"
            );
        }
        assert_eq!(
            made.load(Ordering::Relaxed),
            20,
            "{fault:?}: every answer is our own"
        );
        assert!(
            lookups.load(Ordering::Relaxed) > 0,
            "{fault:?}: it was asked"
        );
        assert!(cache.probe().await.state <= State::Degraded, "{fault:?}");
    }
}

#[tokio::test]
async fn a_silent_redis_is_left_alone_after_a_few_requests() {
    let (url, lookups) = false_redis(Fault::Silence).await;
    let settings = settings(Some(&url));
    let (cache, made) = (cache(&settings), AtomicUsize::new(0));
    for n in 0..50 {
        ask(&cache, &format!("q{n}"), "answer", &made).await;
    }
    let asked = lookups.load(Ordering::Relaxed);
    assert!(
        asked <= settings.redis.breaker_failures as usize,
        "asked {asked} times"
    );
    let health = cache.probe().await;
    assert_eq!(health.state, State::Degraded);
    assert!(health.detail.unwrap().contains("skipped"));
}

#[tokio::test]
async fn no_redis_at_the_address_is_no_obstacle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://ann:hunter2@{}", listener.local_addr().unwrap());
    drop(listener);
    let (cache, made) = (cache(&settings(Some(&url))), AtomicUsize::new(0));
    assert_eq!(ask(&cache, "q", "answer", &made).await, "answer");
    assert_eq!(ask(&cache, "q", "answer", &made).await, "answer");
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(
        !cache.describe().contains("hunter2"),
        "{}",
        cache.describe()
    );
    assert_eq!(cache.probe().await.state, State::Degraded);
}

#[tokio::test]
async fn what_one_process_made_another_finds() {
    let redis = TestRedis::start().await;
    let settings = settings(Some(&redis.url()));
    let (ours, theirs) = (cache(&settings), cache(&settings));
    let made = AtomicUsize::new(0);
    assert_eq!(ask(&ours, "q", "answer", &made).await, "answer");
    // The store does not make its caller wait, so it may come about a little later.
    eventually("the answer is in Redis", async || {
        let found = AtomicUsize::new(0);
        let other = cache(&settings);
        ask(&other, "q", "answer", &found).await;
        found.load(Ordering::Relaxed) == 0
    })
    .await;
    assert_eq!(ask(&theirs, "q", "not asked", &made).await, "answer");
    assert_eq!(made.load(Ordering::Relaxed), 1);

    let stranger = Cache::new(&settings.cache, &settings.redis, [8; 32]).unwrap();
    assert_eq!(
        ask(&stranger, "q", "own", &made).await,
        "own",
        "another key's word is not taken"
    );
    assert_eq!(ours.probe().await, Probed::ok());
}

#[tokio::test]
async fn a_redis_that_dies_is_missed_by_nobody() {
    let redis = TestRedis::start().await;
    let (cache, made) = (cache(&settings(Some(&redis.url()))), AtomicUsize::new(0));
    ask(&cache, "before", "answer", &made).await;
    drop(redis);
    for n in 0..20 {
        let answer = format!("answer {n}");
        assert_eq!(ask(&cache, &format!("q{n}"), &answer, &made).await, answer);
    }
    assert_eq!(cache.probe().await.state, State::Degraded);
}
