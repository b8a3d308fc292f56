//! Runs against servers that are slow or never answer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::figures::NOT_SENT;
use crate::target::Target;

const MS: Duration = Duration::from_millis(1);

/// A server that answers every request after so long, or never; who asks it.
async fn clients(count: usize, after: Option<Duration>) -> Vec<Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Arc::new(Target {
        address: listener.local_addr().unwrap().to_string(),
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = vec![0; 1 << 20];
                while stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {
                    match after {
                        Some(after) => sleep_until(Instant::now() + after).await,
                        None => std::future::pending().await,
                    }
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (0..count)
        .map(|_| Client::new(target.clone(), None))
        .collect()
}

fn world() -> World {
    World::new(1, 5, "2026-03-01T12:00:00Z".parse().unwrap())
}

fn pace(ramp_up: Duration, duration: Duration, rate: Option<f64>) -> Pace {
    Pace {
        ramp_up,
        duration,
        rate,
        overrun_max: MS * 200,
    }
}

#[tokio::test]
async fn what_was_under_way_or_due_when_a_run_is_ended_has_failed() {
    let (told, stop) = watch::channel(None);
    let run = Run::begin(
        world(),
        Scenario::S4,
        pace(Duration::ZERO, MS * 60_000, Some(100.0)),
        stop,
    );
    let ended = async {
        sleep_until(Instant::now() + MS * 300).await;
        told.send_replace(Some(Instant::now()));
    };
    tokio::join!(run.work(clients(2, None).await, 1), ended);
    assert!(run.elapsed() < MS * 60_000 && run.is_stopped());
    let all = run.counted().measured.overall();
    assert_eq!(all.failures[NOT_ANSWERED], 2);
    assert_eq!(all.failures[NOT_SENT], run.pace.due_before(run.end()) - 2);
    assert!(all.failures[NOT_SENT] >= 20, "{all:?}");
    assert_eq!(run.measured(), run.end());
}

#[tokio::test]
async fn without_a_rate_what_was_under_way_when_a_run_is_ended_has_failed_too() {
    let (told, stop) = watch::channel(None);
    let grows = pace(MS * 60_000, MS * 60_000, None);
    let run = Run::begin(world(), Scenario::S4, grows, stop);
    let ended = async {
        sleep_until(Instant::now() + MS * 100).await;
        told.send_replace(Some(Instant::now()));
    };
    tokio::join!(run.work(clients(2, None).await, 1), ended);
    let counted = run.counted();
    // The second would have begun in the middle of the minute.
    assert_eq!(counted.ramp_up.overall().failures[NOT_ANSWERED], 1);
    assert!(counted.measured.operations.is_empty());
    assert_eq!(run.measured(), Duration::ZERO);
}

#[tokio::test]
async fn what_cannot_be_sent_soon_after_the_end_is_not_sent_and_counted() {
    let (_told, stop) = watch::channel(None);
    let run = Run::begin(
        world(),
        Scenario::S4,
        pace(MS * 100, MS * 100, Some(1_000.0)),
        stop,
    );
    run.work(clients(1, Some(MS * 50)).await, 1).await;
    assert!(run.elapsed() < MS * 2_000, "{:?}", run.elapsed());
    let counted = run.counted();
    let requests = |figures: &Figures| figures.overall().successes() + figures.overall().failed();
    assert_eq!(
        (requests(&counted.ramp_up), requests(&counted.measured)),
        (50, 100)
    );
    // A request in 50 ms, for 400 ms.
    let sent = 100 - counted.measured.overall().failures[NOT_SENT];
    assert!(sent <= 8, "{sent}");
    assert_eq!(run.measured(), MS * 100);
}

#[test]
fn a_rate_is_made_of_what_came_while_it_was_measured() {
    let (told, stop) = watch::channel(None);
    let run = Run::begin(
        world(),
        Scenario::S4,
        pace(MS * 10_000, MS * 30_000, None),
        stop,
    );
    let call = || Call::get("GET board", "/".to_owned()).of_records(5);
    let answered = |due, now| run.record(call(), MS * due, MS * due, MS * now, Ok(()));
    answered(1_000, 9_999);
    answered(9_990, 10_000);
    answered(20_000, 20_001);
    answered(39_000, 69_000);
    let measured = run.counted().measured.overall();
    assert_eq!((measured.in_time, measured.units), (2, 10));
    assert_eq!((measured.successes(), run.measured()), (2, MS * 30_000));

    // One that is ended early is measured until then.
    told.send_replace(Some(run.began + MS * 25_000));
    answered(24_000, 24_999);
    answered(24_000, 25_000);
    assert_eq!(run.counted().measured.overall().in_time, 3);
    assert_eq!(run.measured(), MS * 15_000);
}
