use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

mod fake;
use fake::Fake;

/// Sends a request and returns status, `Retry-After` and body.
async fn send(service: &Arc<Fake>, request: Request<Body>) -> (StatusCode, Option<String>, Value) {
    let response = router(service.clone()).oneshot(request).await.unwrap();
    let retry = response
        .headers()
        .get(header::RETRY_AFTER)
        .map(|v| v.to_str().unwrap().to_owned());
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, retry, serde_json::from_slice(&body).unwrap())
}

async fn call(
    service: &Arc<Fake>,
    method: Method,
    uri: &str,
    body: impl Into<Body>,
) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(body.into())
        .unwrap();
    let (status, _, body) = send(service, request).await;
    (status.as_u16(), body)
}

async fn get(service: &Arc<Fake>, uri: &str) -> (u16, Value) {
    call(service, Method::GET, uri, "").await
}

async fn put(service: &Arc<Fake>, uri: &str, row: Value) -> (u16, Value) {
    call(service, Method::PUT, uri, row.to_string()).await
}

async fn lookup(service: &Arc<Fake>, table: &str, body: Value) -> (u16, Value) {
    call(
        service,
        Method::POST,
        &format!("/v1/tables/{table}/lookup"),
        body.to_string(),
    )
    .await
}

/// A refusal's status, code and field.
fn refusal((status, body): (u16, Value)) -> (u16, String, Option<String>) {
    let error = &body["error"];
    assert!(
        error["message"].is_string() && error["hint"].is_string(),
        "{body}"
    );
    (
        status,
        error["code"].as_str().unwrap().into(),
        error["field"].as_str().map(Into::into),
    )
}

#[track_caller]
fn refused(answer: (u16, Value), status: u16, code: &str, field: Option<&str>) {
    assert_eq!(
        refusal(answer),
        (status, code.into(), field.map(Into::into))
    );
}

#[tokio::test]
async fn a_row_that_is_put_is_got_and_deleted() {
    let service = Fake::new();
    let (status, written) = put(
        &service,
        "/v1/tables/planes/rows/N14228",
        json!({"value": "AAE="}),
    )
    .await;
    assert_eq!((status, &written["offset"]), (200, &json!(0)));
    let row = json!({"key": "N14228", "value": "AAE="});
    assert_eq!(
        get(&service, "/v1/tables/planes/rows/N14228").await,
        (200, row)
    );
    let (status, deleted) = call(
        &service,
        Method::DELETE,
        "/v1/tables/planes/rows/N14228",
        "",
    )
    .await;
    assert_eq!((status, &deleted["offset"]), (200, &json!(1)));
    assert_eq!(deleted["partition"], written["partition"]);
    refused(
        get(&service, "/v1/tables/planes/rows/N14228").await,
        404,
        "no_such_row",
        None,
    );
}

#[tokio::test]
async fn tables_that_are_none_are_refused() {
    let service = Fake::new();
    refused(
        get(&service, "/v1/tables/nothing/rows/a").await,
        404,
        "no_such_table",
        None,
    );
    refused(
        get(&service, "/v1/tables/plain/rows/a").await,
        409,
        "not_a_table",
        None,
    );
    refused(
        get(&service, "/v1/tables/plain").await,
        409,
        "not_a_table",
        None,
    );
    let wrong = call(&service, Method::POST, "/v1/tables/planes/rows/a", "").await;
    refused(wrong, 405, "wrong_method", None);
    refused(get(&service, "/v1/tables/%AA").await, 400, "bad_path", None);
}

#[tokio::test]
async fn raw_bytes_are_put_as_they_are() {
    let service = Fake::new();
    let request = |uri: &str, body: &'static [u8]| {
        let request = Request::builder().method(Method::PUT).uri(uri);
        request
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Body::from(body))
            .unwrap()
    };
    let (status, ..) = send(&service, request("/v1/tables/planes/rows/a", b"\xff\x00")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        get(&service, "/v1/tables/planes/rows/a").await.1["value"],
        json!("/wA=")
    );
    let (status, _, body) = send(&service, request("/v1/tables/counts/rows/1", b"\xff")).await;
    refused((status.as_u16(), body), 400, "bad_body", None);
    let (status, _, body) = send(&service, request("/v1/tables/flights/rows/UA,1", b"x")).await;
    refused((status.as_u16(), body), 400, "bad_body", None);
}

#[tokio::test]
async fn a_body_that_is_no_row_is_refused_by_column() {
    let service = Fake::new();
    let uri = "/v1/tables/planes/rows/a";
    refused(
        put(&service, uri, json!({"value": "!"})).await,
        400,
        "bad_body",
        Some("value"),
    );
    refused(
        put(&service, uri, json!({})).await,
        400,
        "bad_body",
        Some("value"),
    );
    refused(
        put(&service, uri, json!({"value": "", "seats": 1})).await,
        400,
        "bad_body",
        Some("seats"),
    );
    refused(
        put(&service, uri, json!({"value": "", "key": "b"})).await,
        400,
        "bad_body",
        Some("key"),
    );
    refused(
        put(&service, uri, json!(["a"])).await,
        400,
        "bad_body",
        None,
    );
    assert_eq!(
        put(&service, uri, json!({"value": "", "key": "a"})).await.0,
        200,
        "the key may stand in both"
    );
    let many_values = format!(r#"{{"value":[{}0]}}"#, "0,".repeat(1 << 20));
    for body in ["{".to_owned(), many_values] {
        refused(
            call(&service, Method::PUT, uri, body).await,
            400,
            "bad_body",
            None,
        );
    }
}

#[tokio::test]
async fn keys_in_a_path_are_split_at_commas_and_decoded() {
    let service = Fake::new();
    let row = json!({"delay": 5});
    assert_eq!(
        put(&service, "/v1/tables/flights/rows/U%2CA,1545", row.clone())
            .await
            .0,
        200
    );
    let found = get(&service, "/v1/tables/flights/rows/U%2CA,1545").await;
    assert_eq!(
        found,
        (200, json!({"carrier": "U,A", "flight": 1545, "delay": 5}))
    );
    refused(
        get(&service, "/v1/tables/flights/rows/U,A,1545").await,
        400,
        "bad_key",
        None,
    );
    refused(
        get(&service, "/v1/tables/flights/rows/UA").await,
        400,
        "bad_key",
        None,
    );
    refused(
        get(&service, "/v1/tables/flights/rows/UA,x").await,
        400,
        "bad_key",
        Some("flight"),
    );
    refused(
        get(&service, "/v1/tables/planes/rows/%ff").await,
        400,
        "bad_key",
        None,
    );
    assert_eq!(
        put(
            &service,
            "/v1/tables/planes/rows/a%2Fb",
            json!({"value": ""})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        get(&service, "/v1/tables/planes/rows/a%2Fb").await.1["key"],
        json!("a/b")
    );
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_schema_is_refused_by_field() {
    let service = Fake::new();
    let uri = "/v1/tables/flights/rows/UA,1";
    let wrong = put(&service, uri, json!({"delay": "late"})).await;
    refused(wrong, 422, "schema", Some("delay"));
    refused(
        put(&service, uri, json!({"delay": 1, "gate": 2})).await,
        400,
        "bad_body",
        Some("gate"),
    );
    let key = json!({"delay": 1, "carrier": "AA"});
    refused(
        put(&service, uri, key).await,
        400,
        "bad_body",
        Some("carrier"),
    );
}

#[tokio::test]
async fn many_keys_are_answered_in_order_with_null_where_missing() {
    let service = Fake::new();
    for key in ["a", "b", "c"] {
        put(
            &service,
            &format!("/v1/tables/planes/rows/{key}"),
            json!({"value": "AAE="}),
        )
        .await;
    }
    let keys = json!({"keys": ["c", "x", ["a"], {"key": "b"}], "columns": ["key"]});
    let rows = json!({"rows": [{"key": "c"}, null, {"key": "a"}, {"key": "b"}]});
    assert_eq!(lookup(&service, "planes", keys).await, (200, rows));

    let refusals = [
        (json!({"keys": [1]}), "bad_key"),
        (json!({"keys": ["a"], "limit": 1}), "bad_body"),
        (json!({"columns": ["key"]}), "bad_body"),
        (json!({"keys": ["a"], "columns": ["seats"]}), "bad_query"),
        (json!([]), "bad_body"),
    ];
    for (body, code) in refusals {
        let (status, found, _) = refusal(lookup(&service, "planes", body.clone()).await);
        assert_eq!((status, found.as_str()), (400, code), "{body}");
    }
    let trailing = call(
        &service,
        Method::POST,
        "/v1/tables/planes/lookup",
        r#"{"keys":[]} x"#,
    )
    .await;
    refused(trailing, 400, "bad_body", None);
}

#[tokio::test]
async fn composite_keys_are_arrays_or_objects() {
    let service = Fake::new();
    put(
        &service,
        "/v1/tables/flights/rows/UA,1",
        json!({"delay": 7}),
    )
    .await;
    let keys = json!({"keys": [["UA", 1], {"flight": 1, "carrier": "UA"}, ["UA", 2]], "columns": ["delay"]});
    let rows = json!({"rows": [{"delay": 7}, {"delay": 7}, null]});
    assert_eq!(lookup(&service, "flights", keys).await, (200, rows));
    refused(
        lookup(&service, "flights", json!({"keys": ["UA"]})).await,
        400,
        "bad_key",
        None,
    );
}

#[tokio::test]
async fn bigint_is_exact_and_on_demand_a_string() {
    let service = Fake::new();
    let uri = "/v1/tables/counts/rows/9007199254740993";
    assert_eq!(put(&service, uri, json!({"value": "x"})).await.0, 200);
    assert_eq!(
        get(&service, uri).await.1,
        json!({"key": 9_007_199_254_740_993_i64, "value": "x"})
    );
    let text = get(&service, &format!("{uri}?int64=string")).await.1;
    assert_eq!(text, json!({"key": "9007199254740993", "value": "x"}));
    let keys =
        json!({"keys": [9_007_199_254_740_993_i64, "9007199254740993"], "columns": ["value"]});
    let rows = json!({"rows": [{"value": "x"}, {"value": "x"}]});
    assert_eq!(lookup(&service, "counts", keys).await, (200, rows));
    refused(
        get(&service, &format!("{uri}?int65=string")).await,
        400,
        "bad_query",
        None,
    );
}

#[tokio::test]
async fn a_scan_is_paged_in_key_order_over_all_partitions() {
    let service = Fake::new();
    for key in ["b2", "a1", "b1", "c1", "b3"] {
        put(
            &service,
            &format!("/v1/tables/planes/rows/{key}"),
            json!({"value": ""}),
        )
        .await;
    }
    let keys = |page: &Value| -> Vec<String> {
        page["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, all) = get(&service, "/v1/tables/planes/rows").await;
    assert_eq!(keys(&all), ["a1", "b1", "b2", "b3", "c1"]);
    assert_eq!(all["cursor"], Value::Null);
    let offsets = all["offsets"].as_object().unwrap();
    assert_eq!(
        offsets.values().map(|v| v.as_i64().unwrap()).sum::<i64>(),
        5
    );

    let (_, first) = get(&service, "/v1/tables/planes/rows?prefix=b&limit=2").await;
    assert_eq!(keys(&first), ["b1", "b2"]);
    put(&service, "/v1/tables/planes/rows/b4", json!({"value": ""})).await;
    let cursor = first["cursor"].as_str().unwrap();
    let (_, second) = get(
        &service,
        &format!("/v1/tables/planes/rows?prefix=b&limit=9&cursor={cursor}"),
    )
    .await;
    assert_eq!(
        (keys(&second), &second["cursor"]),
        (vec!["b3".to_owned(), "b4".to_owned()], &Value::Null)
    );
    assert_eq!(
        second["offsets"], first["offsets"],
        "the log is read on from the first page's view"
    );
    refused(
        get(&service, "/v1/tables/planes/rows?cursor=x").await,
        400,
        "bad_query",
        None,
    );
    refused(
        get(&service, "/v1/tables/planes/rows?limit=0").await,
        400,
        "bad_query",
        None,
    );
}

#[tokio::test]
async fn a_prefix_of_a_composite_key_is_its_first_columns() {
    let service = Fake::new();
    for key in ["UA,2", "UA,1", "UAX,1", "AA,1"] {
        put(
            &service,
            &format!("/v1/tables/flights/rows/{key}"),
            json!({"delay": 0}),
        )
        .await;
    }
    let (_, page) = get(
        &service,
        "/v1/tables/flights/rows?prefix=UA&columns=flight,carrier",
    )
    .await;
    assert_eq!(
        page["rows"],
        json!([{"carrier": "UA", "flight": 1}, {"carrier": "UA", "flight": 2}])
    );
    let (_, page) = get(&service, "/v1/tables/flights/rows?prefix=UA,2").await;
    assert_eq!(page["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tables_are_described() {
    let service = Fake::new();
    put(
        &service,
        "/v1/tables/flights/rows/UA,1",
        json!({"delay": 7}),
    )
    .await;
    let (_, list) = get(&service, "/v1/tables").await;
    let names: Vec<&Value> = list["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["name"])
        .collect();
    assert_eq!(names, ["counts", "flights", "planes"]);
    let (_, flights) = get(&service, "/v1/tables/flights").await;
    assert_eq!(
        (&flights["row_count"], &flights["lag"], &flights["engine"]),
        (&json!(1), &json!(0), &json!("last-row"))
    );
    assert_eq!(
        flights["key"],
        json!({"format": "schema", "columns": ["carrier", "flight"], "schema_id": 1})
    );
    assert_eq!(
        flights["columns"][2],
        json!({"name": "delay", "type": "INT", "nullable": false, "key": false})
    );
    assert_eq!(
        flights["partitioner"],
        json!({"setting": "murmur2", "candidates": ["murmur2"]})
    );
    assert_eq!(flights["partition_states"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_the_broker_cannot_do_now_says_when_to_try_again() {
    let service = Fake::new();
    let request = |method, body: &'static str| {
        Request::builder()
            .method(method)
            .uri("/v1/tables/planes/rows/a")
            .body(Body::from(body))
            .unwrap()
    };
    service.fail_writes(WriteError::Lag { records: 9 });
    let (status, retry, body) = send(&service, request(Method::PUT, r#"{"value":""}"#)).await;
    assert_eq!((status.as_u16(), retry.as_deref()), (429, Some("1")));
    assert_eq!(body["error"]["code"], json!("lag"));
    service.fail_writes(WriteError::NoLeader { partition: 1 });
    let (status, retry, _) = send(&service, request(Method::DELETE, "")).await;
    assert_eq!((status.as_u16(), retry.as_deref()), (503, Some("1")));
    service.fail_writes(WriteError::TooLarge { size: 2, limit: 1 });
    let (status, ..) = send(&service, request(Method::PUT, r#"{"value":""}"#)).await;
    assert_eq!(status.as_u16(), 413);
    service.fail_reads(ReadError::Behind { partition: 1 });
    let (status, retry, body) = send(&service, request(Method::GET, "")).await;
    assert_eq!((status.as_u16(), retry.as_deref()), (503, Some("1")));
    assert_eq!(body["error"]["code"], json!("behind"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let service = Fake::new();
    let large = vec![b' '; MAX_BODY_BYTES + 1];
    let answer = call(&service, Method::PUT, "/v1/tables/planes/rows/a", large).await;
    refused(answer, 413, "too_large", None);
}

#[tokio::test]
async fn a_table_is_made_and_described() {
    let service = Fake::new();
    let uri = "/v1/tables/planes";
    let (status, made) = put(&service, uri, json!({"partitions": 3})).await;
    assert_eq!((status, &made["name"]), (201, &json!("planes")));
    assert_eq!(
        call(&service, Method::PUT, uri, "").await.0,
        200,
        "the body may be left out"
    );
    refused(
        put(&service, uri, json!({"settings": {"table.x": "1"}})).await,
        400,
        "bad_table",
        None,
    );
    refused(
        put(&service, uri, json!({"engine": "x"})).await,
        400,
        "bad_body",
        None,
    );
    refused(
        put(&service, "/v1/tables/new", json!({})).await,
        503,
        "no_leader",
        None,
    );
}

#[tokio::test]
async fn a_table_whose_rows_cannot_be_asked_is_made_and_described_without_them() {
    let service = Fake::new();
    service.fail_reads(ReadError::Behind { partition: 1 });
    let uri = "/v1/tables/planes";
    let (status, made) = put(&service, uri, json!({"partitions": 3})).await;
    let (_, described) = get(&service, uri).await;
    assert_eq!((status, &made), (201, &described));
    for unknown in ["row_count", "lag", "partition_states"] {
        assert_eq!(made[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(made["columns"].as_array().unwrap().len(), 2);
}

/// As they do while the table's partitions move: what is asked of one node is the same as where all rows are.
#[tokio::test]
async fn rows_that_lie_on_several_nodes_are_put_together() {
    let service = Fake::new();
    for number in 0..20 {
        let row = format!("/v1/tables/counts/rows/{number}");
        put(&service, &row, json!({"value": format!("v{number}")})).await;
    }
    async fn asked(service: &Arc<Fake>) -> Vec<(u16, Value)> {
        let keys = json!({"keys": [3, 99, 0, 19], "columns": ["value"]});
        let mut answers = vec![
            get(service, "/v1/tables/counts/rows/7").await,
            get(service, "/v1/tables/counts/rows/77").await,
            lookup(service, "counts", keys).await,
            get(service, "/v1/tables/counts/rows").await,
        ];
        let mut next = String::new();
        for _ in 0..7 {
            let page = format!("/v1/tables/counts/rows?limit=3&cursor={next}");
            let page = get(service, &page).await;
            next = page.1["cursor"].as_str().unwrap_or_default().to_owned();
            answers.push(page);
        }
        answers
    }
    let here = asked(&service).await;
    assert_eq!(here[3].1["rows"].as_array().map(Vec::len), Some(20));
    service.fail_reads(ReadError::Spread);
    assert_eq!(asked(&service).await, here);
}
