//! Who is let in: signatures, times, secrets that end, sizes and types.

use serde_json::json;

use super::scene::{
    CREATED, ENCODED, GENERIC, GITHUB, OTHER, PING, PUSH, SECRET, Yard, file, github, hub, intake,
    outcome, post, private, standard, told,
};

const UNSIGNED: (u16, &str) = (401, "BAD_SIGNATURE");

/// W1, W5, W6, W7: one body, and what it shows.
#[tokio::test]
async fn w1_nothing_but_the_signature_of_these_bytes_lets_in() {
    let yard = Yard::open().await;
    let right = hub(SECRET, CREATED);
    let spaced = [CREATED, b" "].concat();
    let head = yard.app.head().await;
    let cases: &[(&str, &[(&str, &str)], &[u8])] = &[
        ("missing", &[], CREATED),
        (
            "of another secret",
            &[("x-hub-signature-256", &hub(OTHER, CREATED))],
            CREATED,
        ),
        (
            "of another body",
            &[("x-hub-signature-256", &hub(SECRET, b"{}"))],
            CREATED,
        ),
        ("written again", &[("x-hub-signature-256", &right)], &spaced),
        (
            "v1",
            &[("x-hub-signature-256", &right.replace("sha256=", "v1="))],
            CREATED,
        ),
        (
            "upper case",
            &[("x-hub-signature-256", &right.to_uppercase())],
            CREATED,
        ),
        (
            "digits in upper case",
            &[(
                "x-hub-signature-256",
                &format!("sha256={}", right[7..].to_uppercase()),
            )],
            CREATED,
        ),
        ("short", &[("x-hub-signature-256", &right[..70])], CREATED),
        (
            "twice",
            &[
                ("x-hub-signature-256", &right),
                ("x-hub-signature-256", &right),
            ],
            CREATED,
        ),
        (
            "two",
            &[
                ("x-hub-signature-256", &right),
                ("x-hub-signature-256", &hub(OTHER, CREATED)),
            ],
            CREATED,
        ),
        ("of SHA-1", &[("x-hub-signature", &right)], CREATED),
        ("ping, unsigned", &[("x-github-event", "ping")], PING),
    ];
    for (what, shown, body) in cases {
        let mut headers = vec![("x-github-delivery", "d1")];
        if !shown.iter().any(|(name, _)| *name == "x-github-event") {
            headers.push(("x-github-event", "deployment"));
        }
        headers.extend_from_slice(shown);
        let reply = post(&yard.app, GITHUB, &headers, body).await;
        let (status, code) = outcome(&reply);
        assert_eq!((status, code.as_str()), UNSIGNED, "{what}");
        assert!(reply.header("www-authenticate").starts_with("HMAC-SHA256"));
        assert_eq!(reply.json()["redeliver"], false, "{what}");
    }
    let paths = [
        GENERIC.to_owned(),
        format!("{GITHUB}/nobody"),
        format!("{GITHUB}/other"),
    ];
    for path in paths {
        let reply = github(&yard.app, (&path, SECRET), ("deployment", "d1"), CREATED).await;
        let (status, code) = outcome(&reply);
        assert_eq!((status, code.as_str()), UNSIGNED, "{path}");
    }
    assert_eq!(yard.app.head().await, head);
    // Tokens are another way in, and neither help nor hinder.
    let token = format!("Bearer {}", yard.app.own_token());
    let shown = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("x-github-event", "deployment"),
        ("x-github-delivery", "d1"),
    ];
    let line = format!("POST {GITHUB}");
    assert_eq!(yard.app.send(&line, &shown, CREATED).await.status, 401);
    let reply = yard.github("deployment", "d1", CREATED).await;
    assert_eq!(outcome(&reply), (200, "recorded".to_owned()));
}

/// W2: what is signed is good for five minutes, to either side.
#[tokio::test]
async fn w2_a_delivery_of_another_time_is_stale() {
    let yard = Yard::open().await;
    let body = told("1", "web", "approved").to_string();
    let now = yard.now();
    for (at, expect) in [
        (Some((now - 301).to_string()), (401, "STALE")),
        (Some((now + 301).to_string()), (401, "STALE")),
        (Some(format!("{now}.0")), (401, "STALE")),
        (Some(format!("+{now}")), (401, "STALE")),
        (Some("now".to_owned()), (401, "STALE")),
        (Some("9".repeat(40)), (401, "STALE")),
        (None, (401, "STALE")),
        (Some((now - 300).to_string()), (200, "recorded")),
        (Some((now + 300).to_string()), (200, "unchanged")),
    ] {
        let id = format!("m-{}", at.as_deref().unwrap_or("none").len());
        let signed_at = at.as_deref().unwrap_or_default();
        let id = format!("{id}-{}", expect.1);
        let signature = standard(ENCODED, &id, signed_at, body.as_bytes());
        let mut headers = vec![
            ("webhook-id", id.as_str()),
            ("webhook-signature", &signature),
        ];
        headers.extend(at.as_deref().map(|at| ("webhook-timestamp", at)));
        let reply = post(&yard.app, GENERIC, &headers, body.as_bytes()).await;
        let (status, word) = outcome(&reply);
        assert_eq!((status, word.as_str()), expect, "{at:?}");
    }
}

/// What is joined by dots cannot be taken apart elsewhere; several signatures are how secrets are changed.
#[tokio::test]
async fn a_standard_signature_is_of_one_id_and_time() {
    let yard = Yard::open().await;
    let body = told("1", "web", "approved").to_string();
    let body = body.as_bytes();
    let at = yard.now().to_string();
    let right = standard(ENCODED, "m", &at, body);
    let other = standard(OTHER, "m", &at, body);
    let dotted = standard(ENCODED, "m.1", &at, body);
    let both = format!("{other} {right}");
    for (id, signature, expect) in [
        ("m", other.as_str(), UNSIGNED),
        ("n", &right, UNSIGNED),
        ("m.1", &dotted, UNSIGNED),
        ("", &right, UNSIGNED),
        ("m", "", UNSIGNED),
        ("m", &right.replace("v1,", "v1a,"), UNSIGNED),
        ("m", &[other.as_str(); 6].join(" "), UNSIGNED),
        ("m", &both, (200, "recorded")),
    ] {
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", signature),
        ];
        let reply = post(&yard.app, GENERIC, &headers, body).await;
        let (status, word) = outcome(&reply);
        assert_eq!((status, word.as_str()), expect, "{id} {signature}");
    }
}

/// W7 and what else is no step: signed, it is thanked for; nothing is kept.
#[tokio::test]
async fn what_is_no_step_is_passed_over() {
    let yard = Yard::open().await;
    let head = yard.app.head().await;
    let inactive = super::scene::status("inactive", "2019-05-15T15:20:55Z");
    for (event, body) in [
        ("ping", PING),
        ("push", PUSH),
        ("deployment_status", &inactive),
    ] {
        let reply = yard.github(event, "d1", body).await;
        assert_eq!(outcome(&reply), (202, "ignored".to_owned()), "{event}");
        assert!(reply.json()["reason"].as_str().unwrap().contains(event));
    }
    assert_eq!(yard.app.head().await, head);
}

/// W10: two secrets while one takes the other's place, and the old one ends by itself, or with the settings.
#[tokio::test]
async fn w10_an_old_secret_ends() {
    let yard = Yard::open().await;
    std::fs::write(yard.secrets.join("next"), OTHER).unwrap();
    private(&yard.secrets, "next");
    let end = yard.app.app().clock.now() + chrono::TimeDelta::hours(1);
    let mut old = file(&yard.secrets, "github");
    old["until"] = json!(end.to_rfc3339());
    let next = file(&yard.secrets, "next");
    let of = |secrets: serde_json::Value| {
        intake(&json!([{ "kind": "github", "projects": ["Codertocat/*"], "secrets": secrets }]))
    };
    let sources = &yard.app.app().sources;
    sources.adopt(&of(json!([old, next]))).unwrap();
    let send = async |secret: &str| {
        let reply = github(&yard.app, (GITHUB, secret), ("ping", "d1"), PING).await;
        reply.status
    };
    assert_eq!((send(SECRET).await, send(OTHER).await), (202, 202));
    yard.hand.advance(chrono::TimeDelta::minutes(59));
    assert_eq!((send(SECRET).await, send(OTHER).await), (202, 202));
    yard.hand.advance(chrono::TimeDelta::minutes(1));
    assert_eq!((send(SECRET).await, send(OTHER).await), (401, 202));
    // Settings that cannot be used change nothing.
    let gone = file(&yard.secrets, "gone");
    let refused = sources.adopt(&of(json!([gone]))).unwrap_err();
    assert!(refused.to_string().contains("gone"), "{refused}");
    assert!(!refused.to_string().contains(OTHER));
    assert_eq!(send(OTHER).await, 202);
    sources
        .adopt(&of(json!([file(&yard.secrets, "github")])))
        .unwrap();
    assert_eq!((send(SECRET).await, send(OTHER).await), (202, 401));
}

/// W11: sizes and types, and heads and bodies that are none.
#[tokio::test]
async fn w11_a_delivery_is_one_json_document_of_a_mebibyte_at_most() {
    let yard = Yard::open().await;
    let head = yard.app.head().await;
    let large = vec![b' '; (1 << 20) + 1];
    let form = [b"payload=".as_slice(), CREATED].concat();
    let twice = br#"{"deployment":{},"deployment":{}}"#;
    let json = "application/json";
    for (what, kind, body, expect) in [
        ("large", json, large.as_slice(), (413, "PAYLOAD_TOO_LARGE")),
        (
            "form",
            "application/x-www-form-urlencoded",
            &form,
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        (
            "text",
            "text/plain",
            CREATED,
            (415, "UNSUPPORTED_MEDIA_TYPE"),
        ),
        ("half", json, &CREATED[..100], (400, "BAD_JSON")),
        ("nothing", json, b"", (400, "BAD_JSON")),
        ("a key twice", json, twice, (400, "DUPLICATE_KEY")),
        ("NUL", json, br#"{"a":"\u0000"}"#, (400, "BAD_TEXT")),
        ("another body", json, b"{}", (422, "VALIDATION")),
        ("no object", json, b"[]", (400, "BAD_REQUEST")),
    ] {
        let signature = hub(SECRET, body);
        let headers = [
            ("content-type", kind),
            ("x-github-event", "deployment"),
            ("x-github-delivery", "d1"),
            ("x-hub-signature-256", &signature),
        ];
        let reply = post(&yard.app, GITHUB, &headers, body).await;
        let (status, code) = outcome(&reply);
        assert_eq!((status, code.as_str()), expect, "{what}");
    }
    let signature = hub(SECRET, CREATED);
    for (event, id) in [
        ("", "d1"),
        ("deployment", ""),
        ("deployment", "a b"),
        ("a.b", "d1"),
    ] {
        let headers = [
            ("x-github-event", event),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ];
        let reply = post(&yard.app, GITHUB, &headers, CREATED).await;
        assert_eq!(
            outcome(&reply),
            (400, "BAD_REQUEST".to_owned()),
            "{event} {id}"
        );
    }
    assert_eq!(yard.app.get(GITHUB).await.status, 405);
    assert_eq!(yard.app.head().await, head);
}

/// Whoever makes signatures up is told to wait; whoever need not is let in from the same address.
#[tokio::test]
async fn guesses_are_few_and_keep_nobody_out() {
    let yard = Yard::with(|settings| settings.limits.sign_ins_per_minute = 3).await;
    for expect in [401, 401, 401, 429, 429] {
        let reply = github(&yard.app, (GITHUB, OTHER), ("ping", "d1"), PING).await;
        assert_eq!(reply.status, expect);
    }
    assert_eq!(yard.github("ping", "d1", PING).await.status, 202);
    let page = yard.app.get("/metrics").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let line = "daybook_webhooks_total{kind=\"github\",outcome=\"unsigned\"}";
    assert!(page.contains(line), "{page}");
}

/// A source has a quota as a caller has, and what it did not sign costs it nothing.
#[tokio::test]
async fn a_source_has_a_quota_of_its_own() {
    let yard = Yard::with(|settings| {
        settings.limits.enabled = true;
        settings.limits.user_per_minute = 1;
        settings.limits.user_burst = 2;
        settings.limits.sign_ins_per_minute = 100;
    })
    .await;
    for _ in 0..5 {
        let reply = github(&yard.app, (GITHUB, OTHER), ("ping", "d1"), PING).await;
        assert_eq!(reply.status, 401);
    }
    for expect in [202, 202, 429] {
        assert_eq!(yard.github("ping", "d1", PING).await.status, expect);
    }
    let reply = yard.generic("m1", &told("1", "web", "approved")).await;
    assert_eq!(outcome(&reply), (200, "recorded".to_owned()));
}
