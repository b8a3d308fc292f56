//! Users and declared ids: whatever their text, it comes back, is found and is told apart.

use domain::log_batch::LogRecord;
use domain::log_source::LogType;
use projections::logs::{
    LogBucket, LogFilter, LogOnly, LogPlace, LogQuery, active_users, distinct, logs,
};

use super::super::scene::{after, at, snapshot};
use super::{batch, record};

const PSEUDONYM: &str = "0123456789abcdef0123456789abcdef";
const DECLARED: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Pseudonyms and UUIDs as they are written, and texts that could be taken for one.
fn texts() -> Vec<String> {
    // Written as text these are the sixteen bytes of the one that comes next.
    let bytes = "61626364656667686162636465666768";
    let [upper, upper_declared] = [PSEUDONYM.to_uppercase(), DECLARED.to_uppercase()];
    let texts = [
        PSEUDONYM,
        &upper,
        DECLARED,
        &upper_declared,
        bytes,
        "abcdefghabcdefgh",
        "bcdefghabcdefgh",
        "cdefghabcdefgh",
        "ann",
    ];
    texts.map(str::to_owned).to_vec()
}

fn of_user(user: &str) -> LogFilter {
    LogFilter {
        user_id: Some(user.to_owned()),
        ..LogFilter::default()
    }
}

#[tokio::test]
async fn an_id_is_the_text_that_was_told() {
    let told = |text: &String| LogRecord {
        user_id: Some(text.clone()),
        event_id: Some(text.clone()),
        ..record("2016-01-05T00:00:00Z", LogType::Error, "e")
    };
    let mut records: Vec<LogRecord> = texts().iter().map(told).collect();
    // Again, and once nobody.
    records.extend(texts().iter().map(told));
    records.push(record("2016-01-05T00:00:00Z", LogType::Error, "e"));
    let db = after(vec![batch("web", records)], 1).await;
    let mut snap = snapshot(&db).await;
    for text in texts() {
        let query = LogQuery {
            filter: of_user(&text),
            ..LogQuery::default()
        };
        let page = logs(&mut snap, &query, LogPlace::Skip(0), 5).await;
        let found = page.unwrap().records;
        let found: Vec<_> = found
            .iter()
            .map(|row| (row.user_id.as_deref(), row.event_id.as_deref()))
            .collect();
        assert_eq!(found, [(Some(&*text), Some(&*text)); 2]);
    }
    let users = i64::try_from(texts().len()).unwrap();
    let about_somebody = LogQuery {
        only: LogOnly::OfUsers,
        ..LogQuery::default()
    };
    let page = logs(&mut snap, &about_somebody, LogPlace::Skip(0), 100).await;
    assert_eq!(page.unwrap().records.len(), 2 * texts().len());
    let one = distinct(&mut snap, &of_user(PSEUDONYM), LogBucket::Whole, "UTC", 5).await;
    let one = &one.unwrap().items[0];
    assert_eq!((one.records, one.users), (2, 1));
    let anybody = LogFilter::default();
    let all = distinct(&mut snap, &anybody, LogBucket::Whole, "UTC", 5).await;
    assert_eq!(all.unwrap().items[0].users, users);
    let day = at("2016-01-05T00:00:00Z").date_naive();
    let active = active_users(&mut snap, day).await.unwrap();
    assert_eq!((active.daily, active.monthly), (users, users));
}
