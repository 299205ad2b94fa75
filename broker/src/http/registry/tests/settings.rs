use super::*;

#[tokio::test]
async fn configs_are_set_read_and_removed_by_level() {
    let api = Api::new();
    assert_eq!(
        api.get("/config").await,
        json!({ "compatibilityLevel": "BACKWARD" })
    );
    let set = |level: &str| Some(json!({ "compatibility": level }));
    let put = api.call("PUT", "/config", set("full")).await;
    assert_eq!(put, (200, json!({ "compatibility": "FULL" })));
    assert_eq!(
        api.get("/config").await,
        json!({ "compatibilityLevel": "FULL" })
    );
    assert_eq!(api.refusal("GET", "/config/a", None).await, (404, 40408));
    let inherited = api.get("/config/a?defaultToGlobal=true").await;
    assert_eq!(inherited, json!({ "compatibilityLevel": "FULL" }));
    api.call("PUT", "/config/a", set("NONE")).await;
    assert_eq!(
        api.get("/config/a").await,
        json!({ "compatibilityLevel": "NONE" })
    );
    assert_eq!(
        api.refusal("PUT", "/config/a", set("SIDEWAYS")).await,
        (422, 42203)
    );
    let deleted = api.call("DELETE", "/config/a", None).await;
    assert_eq!(deleted, (200, json!({ "compatibilityLevel": "NONE" })));
    assert_eq!(api.refusal("DELETE", "/config/a", None).await, (404, 40401));
    assert_eq!(api.call("DELETE", "/config", None).await.0, 200);
    assert_eq!(
        api.get("/config").await,
        json!({ "compatibilityLevel": "BACKWARD" })
    );
}

#[tokio::test]
async fn every_field_of_a_config_comes_back() {
    let api = Api::new();
    let update = json!({
        "alias": "b", "normalize": true, "validateFields": true, "compatibility": "FORWARD",
        "compatibilityPolicy": "LENIENT", "compatibilityGroup": "major",
        "defaultMetadata": { "properties": { "a": "b" } },
        "overrideRuleSet": { "domainRules": [{ "name": "r", "kind": "TRANSFORM", "mode": "WRITE",
                                               "type": "ENCRYPT", "disabled": true }] }
    });
    let (status, echoed) = api.call("PUT", "/config/a", Some(update.clone())).await;
    assert_eq!((status, &echoed), (200, &update));
    let mut read = api.get("/config/a").await;
    let level = read
        .as_object_mut()
        .and_then(|fields| fields.remove("compatibilityLevel"));
    assert_eq!(level, Some(json!("FORWARD")));
    assert_eq!(read["alias"], "b");
    assert_eq!(read["overrideRuleSet"], update["overrideRuleSet"]);
}

#[tokio::test]
async fn modes_are_set_read_and_removed_by_level() {
    let api = Api::new();
    assert_eq!(api.get("/mode").await, json!({ "mode": "READWRITE" }));
    let set = |mode: &str| Some(json!({ "mode": mode }));
    let put = api.call("PUT", "/mode/a", set("READONLY")).await;
    assert_eq!(put, (200, json!({ "mode": "READONLY" })));
    assert_eq!(api.get("/mode/a").await, json!({ "mode": "READONLY" }));
    assert_eq!(api.refusal("GET", "/mode/b", None).await, (404, 40409));
    assert_eq!(
        api.get("/mode/b?defaultToGlobal=true").await,
        json!({ "mode": "READWRITE" })
    );
    assert_eq!(
        api.refusal("PUT", "/mode/a", set("SIDEWAYS")).await,
        (422, 42204)
    );
    let body = Some(json!({ "schema": USER }));
    let register = "/subjects/a/versions";
    assert_eq!(
        api.refusal("POST", register, body.clone()).await,
        (422, 42205)
    );
    let deleted = api.call("DELETE", "/mode/a", None).await;
    assert_eq!(deleted, (200, json!({ "mode": "READONLY" })));
    api.call("PUT", "/mode", set("IMPORT")).await;
    assert_eq!(
        api.refusal("POST", register, body).await,
        (422, 42205),
        "an id is needed"
    );
    let import = Some(json!({ "schema": USER, "id": 40, "version": 7 }));
    let (status, imported) = api.call("POST", register, import).await;
    assert_eq!(
        (status, &imported["id"], &imported["version"]),
        (200, &json!(40), &json!(7))
    );
    let clash = Some(json!({ "schema": USER_WITH_NAME, "id": 40, "version": 8 }));
    assert_eq!(api.refusal("POST", register, clash).await, (422, 42205));
    assert_eq!(
        api.call("DELETE", "/mode?recursive=true", None).await.0,
        200
    );
    assert_eq!(
        api.refusal("PUT", "/mode", set("IMPORT")).await,
        (422, 42205)
    );
    assert_eq!(
        api.call("PUT", "/mode?force=true", set("IMPORT")).await.0,
        200
    );
}

#[tokio::test]
async fn an_alias_answers_for_its_subject() {
    let api = Api::new();
    api.put("orders-value", USER).await;
    api.call("PUT", "/config/o", Some(json!({ "alias": "orders-value" })))
        .await;
    assert_eq!(
        api.get("/subjects/o/versions/latest").await["subject"],
        "orders-value"
    );
    assert_eq!(api.put("o", USER).await, 1);
}
