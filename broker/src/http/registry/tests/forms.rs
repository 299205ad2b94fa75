//! Forms of requests and answers: content types, lenient queries, paths that are not there.

use super::*;

async fn media(api: &Api, accept: Option<&str>) -> String {
    let mut request = Request::builder().uri("/subjects");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    api.send(request.body(Body::empty()).expect("a request"))
        .await
        .1
}

#[tokio::test]
async fn the_content_type_is_the_first_that_the_client_accepts() {
    let api = Api::new();
    let v1 = "application/vnd.schemaregistry.v1+json";
    assert_eq!(media(&api, None).await, v1);
    assert_eq!(media(&api, Some("*/*")).await, v1);
    assert_eq!(
        media(&api, Some("application/json")).await,
        "application/json"
    );
    let several = "text/html, application/vnd.schemaregistry+json;q=0.9, application/json";
    assert_eq!(
        media(&api, Some(several)).await,
        "application/vnd.schemaregistry+json"
    );
}

#[tokio::test]
async fn bodies_are_read_whatever_their_content_type() {
    let api = Api::new();
    let request = Request::builder()
        .method("POST")
        .uri("/subjects/a/versions?normalize=False&limit=-1&unknown=1")
        .header("content-type", "application/octet-stream")
        .body(Body::from(
            json!({ "schema": USER, "unknown": {} }).to_string(),
        ));
    let (status, _, body) = api.send(request.expect("a request")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        api.refusal("POST", "/subjects/a/versions", None).await,
        (422, 422)
    );
    let bad = Some(json!([1]));
    assert_eq!(
        api.refusal("POST", "/subjects/a/versions", bad).await,
        (400, 400)
    );
}

#[tokio::test]
async fn unknown_paths_are_404_in_json() {
    let api = Api::new();
    for (method, path) in [
        ("GET", "/no/such/path"),
        ("GET", "/schemas/ids/first"),
        ("GET", "/dek-registry/v1/keks"),
        ("POST", "/associations:batchGet"),
        ("PUT", "/subjects/a"),
        ("PATCH", "/subjects"),
        ("GET", "/subjects/%ff/versions"),
    ] {
        assert_eq!(
            api.refusal(method, path, None).await,
            (404, 404),
            "{method} {path}"
        );
    }
    let probe = "/associations/resources/-/topic?resourceType=topic&associationType=value";
    assert_eq!(api.get(probe).await, json!([]));
}

#[tokio::test]
async fn subjects_may_hold_slashes_and_paths_may_end_in_one() {
    let api = Api::new();
    api.put("a%2Fb%20c", USER).await;
    assert_eq!(api.get("/subjects/").await, json!(["a/b c"]));
    assert_eq!(api.get("/subjects/a%2Fb%20c/versions/").await, json!([1]));
}

#[tokio::test]
async fn probes_and_server_paths_answer() {
    let api = Api::new();
    assert_eq!(api.get("/").await, json!({}));
    assert_eq!(
        api.call("POST", "/", Some(json!({}))).await,
        (200, json!({}))
    );
    assert_eq!(
        api.get("/schemas/types").await,
        json!(["JSON", "PROTOBUF", "AVRO"])
    );
    assert_eq!(
        api.get("/v1/metadata/id").await["scope"]["clusters"]["kafka-cluster"],
        "cluster"
    );
    assert_eq!(
        api.get("/v1/metadata/version").await["version"],
        env!("CARGO_PKG_VERSION")
    );
    for path in [
        "/status/ready",
        "/_health",
        "/master_available",
        "/v1/metadata/deployment",
    ] {
        api.get(path).await;
    }
}

#[tokio::test]
async fn listings_are_paged() {
    let api = Api::new();
    for subject in ["a", "b", "c"] {
        api.put(subject, USER).await;
    }
    assert_eq!(api.get("/subjects?offset=1&limit=1").await, json!(["b"]));
    assert_eq!(
        api.get("/subjects?offset=1&limit=-1").await,
        json!(["b", "c"])
    );
    assert_eq!(
        api.get("/schemas/ids/1/subjects?limit=2").await,
        json!(["a", "b"])
    );
}
