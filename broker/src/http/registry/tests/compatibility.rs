use super::*;

#[tokio::test]
async fn a_schema_is_tested_without_being_registered() {
    let api = Api::new();
    api.put("a", USER).await;
    let body = |schema: &str| Some(json!({ "schema": schema }));
    let path = "/compatibility/subjects/a/versions/latest";
    let tested = api.call("POST", path, body(USER_WITH_NAME)).await;
    assert_eq!(tested, (200, json!({ "is_compatible": true })));
    let tested = api.call("POST", path, body(USER_WITH_AGE)).await;
    assert_eq!(tested, (200, json!({ "is_compatible": false })));
    for path in [
        "/compatibility/subjects/a/versions",
        "/compatibility/subjects/a/versions/1",
    ] {
        let verbose = format!("{path}?verbose=True");
        let (status, tested) = api.call("POST", &verbose, body(USER_WITH_AGE)).await;
        assert_eq!((status, &tested["is_compatible"]), (200, &json!(false)));
        let first = tested["messages"][0].as_str().expect("a message");
        assert!(
            first.contains("READER_FIELD_MISSING_DEFAULT_VALUE"),
            "{first}"
        );
    }
    assert_eq!(api.get("/subjects/a/versions").await, json!([1]));
    let unknown = "/compatibility/subjects/a/versions/7";
    assert_eq!(api.refusal("POST", unknown, body(USER)).await, (404, 40402));
    assert_eq!(api.refusal("POST", path, body("{")).await, (422, 42201));
    let (_, tested) = api
        .call("POST", &format!("{path}?verbose=true"), body("{"))
        .await;
    assert_eq!(tested["is_compatible"], false);
    let fresh = "/compatibility/subjects/new/versions/latest";
    assert_eq!(
        api.call("POST", fresh, body(USER)).await,
        (200, json!({ "is_compatible": true }))
    );
}

#[tokio::test]
async fn the_level_decides_the_direction() {
    let api = Api::new();
    api.put("a", USER).await;
    let register = "/subjects/a/versions";
    let body = Some(json!({ "schema": USER_WITH_AGE }));
    let (status, refused) = api.call("POST", register, body.clone()).await;
    assert_eq!((status, &refused["error_code"]), (409, &json!(409)));
    let message = refused["message"].as_str().expect("a message");
    assert!(
        message.contains("incompatible with an earlier schema for subject \"a\""),
        "{message}"
    );
    api.call(
        "PUT",
        "/config/a",
        Some(json!({ "compatibility": "FORWARD" })),
    )
    .await;
    assert_eq!(api.call("POST", register, body).await.0, 200);
    let forced = Some(json!({ "schema": "\"int\"" }));
    assert_eq!(
        api.refusal("POST", register, forced.clone()).await,
        (409, 409)
    );
    assert_eq!(
        api.call("POST", "/subjects/a/versions?force=true", forced)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn the_incompatible_code_is_a_setting() {
    let mut options = Options::new("cluster");
    options.incompatible_code = 40901;
    let api = Api {
        router: router(Arc::new(Memory::default()), options),
    };
    api.put("a", USER).await;
    let body = Some(json!({ "schema": USER_WITH_AGE }));
    assert_eq!(
        api.refusal("POST", "/subjects/a/versions", body).await,
        (409, 40901)
    );
}
