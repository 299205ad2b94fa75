use super::*;

#[tokio::test]
async fn contexts_number_for_themselves_by_path_and_by_name() {
    let api = Api::new();
    assert_eq!(api.get("/contexts").await, json!(["."]));
    assert_eq!(api.put("a", USER).await, 1);
    assert_eq!(api.put(":.lab:a", "\"int\"").await, 1);
    let body = Some(json!({ "schema": "\"int\"" }));
    let (status, found) = api.call("POST", "/contexts/.lab/subjects/a", body).await;
    assert_eq!((status, &found["subject"]), (200, &json!(":.lab:a")));
    assert_eq!(
        api.get("/contexts/:.lab:/subjects/a/versions/1").await["schema"],
        "\"int\""
    );
    assert_eq!(api.get("/contexts").await, json!([".", ".lab"]));
    assert_eq!(api.get("/contexts?contextPrefix=.l").await, json!([".lab"]));
    assert_eq!(api.get("/subjects").await, json!([":.lab:a", "a"]));
    assert_eq!(api.get("/contexts/.lab/subjects").await, json!([":.lab:a"]));
    assert_eq!(api.get("/subjects?subjectPrefix=a").await, json!(["a"]));
    assert_eq!(
        api.get("/subjects?subjectPrefix=:.lab:").await,
        json!([":.lab:a"])
    );
    assert_eq!(api.get("/schemas/ids/1").await["schema"], USER);
    assert_eq!(
        api.get("/contexts/.lab/schemas/ids/1").await["schema"],
        "\"int\""
    );
    assert_eq!(
        api.get("/schemas/ids/1?subject=:.lab:").await["schema"],
        "\"int\""
    );
    assert_eq!(
        api.get("/schemas/ids/1?subject=:.lab:other").await["schema"],
        "\"int\""
    );
    api.call(
        "PUT",
        "/contexts/.lab/config",
        Some(json!({ "compatibility": "NONE" })),
    )
    .await;
    let level = api.get("/config/:.lab:a?defaultToGlobal=true").await;
    assert_eq!(level["compatibilityLevel"], "NONE");
    assert_eq!(api.get("/config").await["compatibilityLevel"], "BACKWARD");
    assert_eq!(
        api.refusal("DELETE", "/contexts/.lab", None).await,
        (422, 42211)
    );
    api.call("DELETE", "/contexts/.lab/subjects/a", None).await;
    api.call("DELETE", "/contexts/.lab/subjects/a?permanent=true", None)
        .await;
    assert_eq!(
        api.call("DELETE", "/contexts/.lab", None).await,
        (204, Value::Null)
    );
    assert_eq!(api.get("/contexts").await, json!(["."]));
}

#[tokio::test]
async fn a_plain_subject_is_also_looked_for_in_other_contexts() {
    let api = Api::new();
    api.put(":.lab:only-there", USER).await;
    let found = api.get("/subjects/only-there/versions/latest").await;
    assert_eq!(found["subject"], ":.lab:only-there");
    assert_eq!(
        api.get("/schemas/ids/1?subject=only-there").await["schema"],
        USER
    );
    assert_eq!(
        api.refusal("GET", "/schemas/ids/1", None).await,
        (404, 40403)
    );
}
