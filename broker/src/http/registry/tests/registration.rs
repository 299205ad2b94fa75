use super::*;

#[tokio::test]
async fn a_registered_schema_is_found_every_way() {
    let api = Api::new();
    let (status, body) = api
        .call(
            "POST",
            "/subjects/users-value/versions",
            Some(json!({ "schema": USER })),
        )
        .await;
    assert_eq!(status, 200);
    let guid = body["guid"].as_str().expect("a guid").to_owned();
    assert_eq!(
        body,
        json!({ "version": 1, "id": 1, "guid": guid, "schemaType": "AVRO", "schema": USER })
    );
    let by_id = api.get("/schemas/ids/1").await;
    assert_eq!(
        (&by_id["schema"], &by_id["guid"]),
        (&json!(USER), &json!(guid))
    );
    assert_eq!(
        api.get(&format!("/schemas/guids/{guid}")).await["schema"],
        USER
    );
    assert_eq!(
        api.get(&format!("/schemas/guids/{guid}/ids")).await,
        json!([{ "context": ".", "id": 1 }])
    );
    assert_eq!(
        api.get("/schemas/ids/1/schema").await,
        serde_json::from_str::<Value>(USER).unwrap()
    );
    assert_eq!(
        api.get("/schemas/ids/1/versions").await,
        json!([{ "subject": "users-value", "version": 1 }])
    );
    assert_eq!(
        api.get("/schemas/ids/1/subjects").await,
        json!(["users-value"])
    );
    assert_eq!(api.get("/subjects").await, json!(["users-value"]));
    assert_eq!(api.get("/subjects/users-value/versions").await, json!([1]));
    let latest = api.get("/subjects/users-value/versions/latest").await;
    assert_eq!(
        latest,
        json!({ "subject": "users-value", "version": 1, "id": 1, "guid": guid,
                "schemaType": "AVRO", "schema": USER, "ts": 5000 })
    );
    assert_eq!(api.get("/subjects/users-value/versions/-1").await, latest);
    assert_eq!(api.get("/schemas?latestOnly=true").await, json!([latest]));
    let (status, found) = api
        .call(
            "POST",
            "/subjects/users-value",
            Some(json!({ "schema": USER })),
        )
        .await;
    assert_eq!((status, found), (200, latest));
}

#[tokio::test]
async fn what_is_not_there_has_confluents_codes() {
    let api = Api::new();
    api.put("a", USER).await;
    for (path, expected) in [
        ("/schemas/ids/9", (404, 40403)),
        ("/schemas/ids/9/schema", (404, 40403)),
        ("/schemas/ids/9/versions", (404, 40403)),
        ("/schemas/guids/nonsense", (404, 40403)),
        ("/subjects/b/versions", (404, 40401)),
        ("/subjects/b/versions/1", (404, 40401)),
        ("/subjects/a/versions/9", (404, 40402)),
        ("/subjects/a/versions/0", (422, 42202)),
        ("/subjects/a/versions/first", (422, 42202)),
        ("/config/a", (404, 40408)),
        ("/mode/a", (404, 40409)),
    ] {
        assert_eq!(api.refusal("GET", path, None).await, expected, "{path}");
    }
    let body = |schema: &str| Some(json!({ "schema": schema }));
    assert_eq!(
        api.refusal("POST", "/subjects/b", body(USER)).await,
        (404, 40401)
    );
    assert_eq!(
        api.refusal("POST", "/subjects/a", body("\"int\"")).await,
        (404, 40403)
    );
    assert_eq!(
        api.refusal("POST", "/subjects/a", body("{")).await,
        (422, 42201)
    );
    let register = "/subjects/a/versions";
    assert_eq!(api.refusal("POST", register, body("{")).await, (422, 42201));
    assert_eq!(
        api.refusal("POST", register, body(USER_WITH_AGE)).await,
        (409, 409)
    );
    let huge = format!("\"{}\"", "x".repeat(2_000_000));
    assert_eq!(
        api.refusal("POST", register, body(&huge)).await,
        (422, 42209)
    );
    let unknown = Some(json!({ "schema": USER, "schemaType": "THRIFT" }));
    assert_eq!(api.refusal("POST", register, unknown).await, (422, 42201));
    let rules = json!({ "domainRules": [{ "name": "no type" }] });
    let ruled = Some(json!({ "schema": USER, "ruleSet": rules }));
    assert_eq!(api.refusal("POST", register, ruled).await, (422, 42210));
    let invalid = "/subjects/__GLOBAL/versions";
    assert_eq!(api.refusal("POST", invalid, body(USER)).await, (422, 42208));
}

#[tokio::test]
async fn json_and_protobuf_schemas_register_with_references() {
    let api = Api::new();
    let inner = r#"{"$id":"http://x/inner.json","type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}"#;
    let body = json!({ "schema": inner, "schemaType": "JSON" });
    let (status, _) = api
        .call("POST", "/subjects/inner/versions", Some(body))
        .await;
    assert_eq!(status, 200);
    let outer = r#"{"type":"object","properties":{"inner":{"$ref":"inner.json"}}}"#;
    let references = json!([{ "name": "inner.json", "subject": "inner", "version": 1 }]);
    let body = json!({ "schema": outer, "schemaType": "JSON", "references": references });
    let (status, registered) = api
        .call("POST", "/subjects/outer/versions", Some(body))
        .await;
    assert_eq!(
        (status, &registered["references"]),
        (200, &references),
        "{registered}"
    );
    assert_eq!(
        api.get("/subjects/inner/versions/1/referencedby").await,
        json!([2])
    );
    assert_eq!(
        api.refusal("DELETE", "/subjects/inner", None).await,
        (422, 42206)
    );

    let proto = "syntax = \"proto3\"; message M { string a = 1; }";
    let body = json!({ "schema": proto, "schemaType": "PROTOBUF" });
    let (status, registered) = api.call("POST", "/subjects/p/versions", Some(body)).await;
    assert_eq!(status, 200, "{registered}");
    let text = "syntax = \"proto3\";\n\nmessage M {\n  string a = 1;\n}\n";
    assert_eq!(registered["schema"], text);
    let path = format!("/schemas/ids/{}?format=serialized", registered["id"]);
    let serialized = api.get(&path).await;
    let body = json!({ "schema": serialized["schema"], "schemaType": "PROTOBUF" });
    let (status, again) = api.call("POST", "/subjects/p", Some(body)).await;
    assert_eq!((status, &again["id"]), (200, &registered["id"]), "{again}");
}

#[tokio::test]
async fn metadata_and_rules_come_back_as_they_were_given() {
    let api = Api::new();
    let metadata = json!({ "tags": { "User.id": ["PII"] }, "properties": { "owner": "ops" }, "sensitive": ["owner"] });
    let rule = json!({
        "name": "check", "doc": "d", "kind": "CONDITION", "mode": "WRITE", "type": "CEL",
        "tags": ["PII"], "params": { "a": "b" }, "expr": "message.id > 0",
        "onSuccess": "NONE", "onFailure": "DLQ", "disabled": false
    });
    let rules = json!({ "domainRules": [rule] });
    let body = json!({ "schema": USER, "metadata": metadata, "ruleSet": rules });
    api.call("POST", "/subjects/a/versions", Some(body)).await;
    let read = api.get("/subjects/a/versions/1").await;
    assert_eq!((&read["metadata"], &read["ruleSet"]), (&metadata, &rules));
    let found = api.get("/subjects/a/metadata?key=owner&value=ops").await;
    assert_eq!(found["version"], 1);
    let other = "/subjects/a/metadata?key=owner&value=dev";
    assert_eq!(api.refusal("GET", other, None).await, (404, 40403));
    assert_eq!(
        api.get("/schemas?ruleType=CEL")
            .await
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(api.get("/schemas?ruleType=ENCRYPT").await, json!([]));
}
