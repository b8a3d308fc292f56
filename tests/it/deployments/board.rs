//! What is asked about deployments: now, as of then, by whom.

use serde_json::{Value, json};

use super::scene::{SHOWN, Yard};
use crate::identity::scene::outcome;

/// At every position of its past a deployment is what it was.
#[tokio::test]
async fn a_deployment_is_told_as_of_then() {
    let yard = Yard::open().await;
    let change = json!({ "id": "c1", "committedAt": "2026-01-01T00:00:00Z" });
    let input = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                        "version": "1", "changes": [change] });
    let mut steps = vec![yard.send(&yard.ann, "requestDeployment", input).await];
    for (who, field, input) in [
        (
            &yard.bob,
            "approveDeployment",
            json!({ "id": "d", "revision": 1, "comment": "good" }),
        ),
        (
            &yard.ann,
            "amendDeployment",
            json!({ "id": "d", "version": "2", "changes": [] }),
        ),
        (
            &yard.bob,
            "approveDeployment",
            json!({ "id": "d", "revision": 2 }),
        ),
        (
            &yard.cid,
            "approveDeployment",
            json!({ "id": "d", "revision": 2 }),
        ),
        (&yard.cid, "revokeApproval", json!({ "id": "d" })),
        (
            &yard.cid,
            "approveDeployment",
            json!({ "id": "d", "revision": 2 }),
        ),
        (&yard.ann, "startDeployment", json!({ "id": "d" })),
        (&yard.ann, "succeedDeployment", json!({ "id": "d" })),
        (&yard.ann, "markHotfix", json!({ "id": "d" })),
    ] {
        let told = yard.send(who, field, input).await;
        assert_eq!(outcome(&told), "ok", "{field}: {told}");
        steps.push(told);
    }
    let query = format!(
        "query($at: Position!) {{ deployment(id: \"d\", asOf: {{ position: $at }}) {{ {SHOWN}
           approvedAt startedAt succeededAt changes {{ nodes {{ id }} }}
           timeline(first: 200) {{ nodes {{ position }} }} }} }}"
    );
    for step in &steps {
        let payload = step["data"].as_object().unwrap().values().next().unwrap();
        let at = &payload["receipt"]["position"];
        let told = yard.settled(&yard.bob, &query, json!({ "at": at })).await;
        let then = &told["deployment"];
        for field in ["version", "revision", "status", "streamVersion", "approval"] {
            assert_eq!(then[field], payload["it"][field], "{field} at {at}");
        }
        let first = then["version"] == "1";
        let carried = if first {
            json!([{ "id": "c1" }])
        } else {
            json!([])
        };
        assert_eq!(then["changes"]["nodes"], carried, "at {at}");
        let past = then["timeline"]["nodes"].as_array().unwrap();
        assert_eq!(past.last().unwrap()["position"], *at);
        assert_eq!(past.len() as i64, then["streamVersion"].as_i64().unwrap());
    }
    let now = yard
        .settled(
            &yard.bob,
            &query,
            json!({ "at": steps.last().unwrap()
        ["data"]["markHotfix"]["receipt"]["position"] }),
        )
        .await;
    let model = format!(
        "{{ deployment(id: \"d\") {{ {SHOWN} approvedAt startedAt succeededAt
             changes {{ nodes {{ id }} }} timeline(first: 200) {{ nodes {{ position }} }} }} }}"
    );
    assert_eq!(
        yard.settled(&yard.bob, &model, json!({})).await,
        now,
        "log and board agree"
    );
    let before = yard.settled(&yard.bob, &query, json!({ "at": "1" })).await;
    assert_eq!(before["deployment"], Value::Null);
    let beyond = yard
        .scene
        .ask(&yard.bob.access, &query, json!({ "at": "99999" }))
        .await;
    assert_eq!(outcome(&beyond), "BAD_POSITION");
    let by_time =
        r#"query($at: DateTime!) { deployment(id: "d", asOf: { time: $at }) { status } }"#;
    for (at, status) in [
        ("2020-01-01T00:00:00Z", json!(null)),
        ("2199-01-01T00:00:00Z", json!("SUCCEEDED")),
    ] {
        let told = yard.settled(&yard.bob, by_time, json!({ "at": at })).await;
        assert_eq!(
            told["deployment"].get("status").unwrap_or(&Value::Null),
            &status
        );
    }
}

/// At every position of the past the list is what it was, whatever it is asked by.
#[tokio::test]
async fn the_board_is_told_as_of_then() {
    let yard = Yard::open().await;
    yard.ran("old", "0", "2026-01-01T12:00:00Z").await;
    let input = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                        "version": "1" });
    let mut steps = vec![yard.send(&yard.ann, "requestDeployment", input).await];
    let agree = |revision: i32| json!({ "id": "d", "revision": revision });
    for (who, field, input) in [
        (&yard.bob, "approveDeployment", agree(1)),
        (&yard.cid, "approveDeployment", agree(1)),
        (
            &yard.ann,
            "amendDeployment",
            json!({ "id": "d", "version": "2" }),
        ),
        (&yard.bob, "approveDeployment", agree(2)),
        (&yard.cid, "approveDeployment", agree(2)),
        (&yard.cid, "revokeApproval", json!({ "id": "d" })),
        (&yard.cid, "approveDeployment", agree(2)),
        (&yard.ann, "startDeployment", json!({ "id": "d" })),
        (&yard.ann, "succeedDeployment", json!({ "id": "d" })),
        (
            &yard.ann,
            "rollBackDeployment",
            json!({ "id": "d", "to": "0" }),
        ),
    ] {
        let told = yard.send(who, field, input).await;
        assert_eq!(outcome(&told), "ok", "{field}: {told}");
        steps.push(told);
    }
    yard.ran("new", "9", "2026-01-03T12:00:00Z").await;
    let query = format!(
        "query($at: Position!, $filter: DeploymentFilterInput) {{
           deployments(asOf: {{ position: $at }}, filter: $filter) {{
             nodes {{ {SHOWN} }} asOfPosition }} }}"
    );
    let ask = async |at: &Value, filter: Value| {
        let variables = json!({ "at": at, "filter": filter });
        yard.settled(&yard.bob, &query, variables).await["deployments"].take()
    };
    let ids = |list: &Value| -> Vec<String> {
        let nodes = list["nodes"].as_array().unwrap().iter();
        nodes
            .map(|node| node["id"].as_str().unwrap().to_owned())
            .collect()
    };
    for step in &steps {
        let payload = step["data"].as_object().unwrap().values().next().unwrap();
        let (at, then) = (&payload["receipt"]["position"], &payload["it"]);
        let list = ask(at, json!({})).await;
        assert_eq!(list["asOfPosition"], *at);
        assert_eq!(ids(&list), ["d", "old"], "at {at}");
        assert_eq!(list["nodes"][0], *then, "at {at}");
        let so = json!({ "status": [then["status"]], "version": then["version"] });
        assert_eq!(ids(&ask(at, so).await), ["d"], "at {at}");
        let others = [
            "REQUESTED",
            "AWAITING_APPROVAL",
            "APPROVED",
            "IN_PROGRESS",
            "ROLLED_BACK",
        ];
        let others: Vec<_> = others
            .iter()
            .filter(|word| then["status"] != **word)
            .collect();
        assert!(
            ids(&ask(at, json!({ "status": others })).await).is_empty(),
            "at {at}"
        );
        let other = if then["version"] == "1" { "2" } else { "1" };
        assert!(
            ids(&ask(at, json!({ "version": other })).await).is_empty(),
            "at {at}"
        );
    }
    let first = ask(&json!("1"), json!({})).await;
    assert_eq!(first["nodes"], json!([]), "none was known yet");
    let variables = json!({ "at": "99999", "filter": {} });
    let beyond = yard.scene.ask(&yard.bob.access, &query, variables).await;
    assert_eq!(outcome(&beyond), "BAD_POSITION");
    let pages = "query($c: String) { deployments(first: 1, after: $c,
                   asOf: { time: \"2199-01-01T00:00:00Z\" }) {
                   nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut cursor, mut all) = (Value::Null, Vec::new());
    loop {
        let told = yard.settled(&yard.bob, pages, json!({ "c": cursor })).await;
        all.extend(ids(&told["deployments"]));
        let page = &told["deployments"]["pageInfo"];
        if page["hasNextPage"] == false {
            break;
        }
        cursor = page["endCursor"].clone();
    }
    assert_eq!(all, ["d", "new", "old"]);
}

#[tokio::test]
async fn lists_show_what_is_asked_for() {
    let yard = Yard::open().await;
    yard.ran("one", "1", "2026-01-01T12:00:00Z").await;
    yard.ran("two", "2", "2026-01-02T12:00:00Z").await;
    yard.wanted("open", "live", "3").await;
    yard.wanted("tried", "test", "3").await;
    for (filter, expect) in [
        ("", vec!["tried", "open", "two", "one"]),
        ("(filter: { status: [SUCCEEDED] })", vec!["two", "one"]),
        ("(filter: { status: [] })", vec![]),
        ("(filter: { environment: \"test\" })", vec!["tried"]),
        (
            "(filter: { tier: PRODUCTION, version: \"3\" })",
            vec!["open"],
        ),
        ("(filter: { to: \"2026-01-02T00:00:00Z\" })", vec!["one"]),
        ("(filter: { project: \"other\" })", vec![]),
    ] {
        let query = format!("{{ deployments{filter} {{ nodes {{ id }} }} }}");
        let told = yard.settled(&yard.bob, &query, json!({})).await;
        let ids: Vec<&str> = told["deployments"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expect, "{filter}");
    }
    let page = "query($c: String) { deployments(first: 3, after: $c) {
                nodes { id } pageInfo { hasNextPage endCursor } } }";
    let first = yard.settled(&yard.bob, page, json!({})).await;
    let cursor = &first["deployments"]["pageInfo"]["endCursor"];
    let rest = yard.settled(&yard.bob, page, json!({ "c": cursor })).await;
    assert_eq!(rest["deployments"]["nodes"], json!([{ "id": "one" }]));
    let node = r#"{ a: node(id: "open") { __typename id } b: node(id: "deployment:one") { id }
                    environment(project: "shop", name: "live") { tier
                      policy { rules { group required } preventSelfReview } }
                    environments { nodes { id } } }"#;
    let told = yard.settled(&yard.bob, node, json!({})).await;
    assert_eq!(
        told["a"],
        json!({ "__typename": "Deployment", "id": "open" })
    );
    assert_eq!(told["b"]["id"], "one");
    assert_eq!(
        told["environment"],
        json!({ "tier": "PRODUCTION", "policy": {
        "rules": [{ "group": "owners", "required": 2 }], "preventSelfReview": true } })
    );
    assert_eq!(
        told["environments"]["nodes"],
        json!([{ "id": "shop/live" }, { "id": "shop/test" }])
    );
    // A key for vehicles finds none of it by the way that leads to both.
    let (_, key) = yard.scene.key(&yard.root.access, &["vehicles:read"]).await;
    let told = yard
        .scene
        .ask(&key, r#"{ node(id: "open") { id } }"#, json!({}))
        .await;
    assert_eq!(told["data"], json!({ "node": null }));
}

#[tokio::test]
async fn what_waits_for_somebody_is_their_own() {
    let yard = Yard::open().await;
    yard.wanted("d", "live", "1").await;
    let waiting = async |who| {
        let told = yard
            .settled(who, "{ pendingApprovals { nodes { id } } }", json!({}))
            .await;
        told["pendingApprovals"]["nodes"].as_array().unwrap().len()
    };
    assert_eq!(waiting(&yard.bob).await, 1);
    assert_eq!(waiting(&yard.ann).await, 0, "who asks does not approve");
    assert_eq!(waiting(&yard.root).await, 0, "no rule names them");
    yard.agreed(&yard.bob, "d").await;
    assert_eq!((waiting(&yard.bob).await, waiting(&yard.cid).await), (0, 1));
}

/// The name of somebody elsewhere is for administrators, and stands nowhere in the clear.
#[tokio::test]
async fn a_name_from_elsewhere_is_sealed() {
    let yard = Yard::open().await;
    let input = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                        "version": "1", "status": "SUCCEEDED", "finishedAt": "2026-01-01T12:00:00Z",
                        "requestedBy": { "kind": "PERSON", "name": "Zelda Quick" } });
    yard.done(&yard.ann, "recordDeployment", input).await;
    let query = r#"{ deployment(id: "d") { requestedBy { kind id personName } } }"#;
    let told = yard.settled(&yard.root, query, json!({})).await;
    let by = json!({ "kind": "PERSON", "id": null, "personName": "Zelda Quick" });
    assert_eq!(told["deployment"]["requestedBy"], by);
    let told = yard.scene.ask(&yard.bob.access, query, json!({})).await;
    assert_eq!(outcome(&told), "FORBIDDEN", "{told}");
    let events = r#"{ events(aggregate: { type: "deployment" }) { nodes {
                      payload redacted { field reason } } } }"#;
    let told = yard.settled(&yard.root, events, json!({})).await;
    let node = &told["events"]["nodes"][0];
    assert_eq!(node["payload"]["requestedBy"], json!({ "person": null }));
    assert_eq!(
        node["redacted"],
        json!([{ "field": "requestedBy.person", "reason": "PERSONAL" }])
    );
}
