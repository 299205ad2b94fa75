use super::*;

#[tokio::test]
async fn deletion_is_soft_first_then_permanent() {
    let api = Api::new();
    api.put("a", USER).await;
    api.put("a", USER_WITH_NAME).await;
    assert_eq!(
        api.refusal("DELETE", "/subjects/b", None).await,
        (404, 40401)
    );
    let permanent = "/subjects/a?permanent=true";
    assert_eq!(api.refusal("DELETE", permanent, None).await, (404, 40405));
    let version = "/subjects/a/versions/1";
    let permanent_version = "/subjects/a/versions/1?permanent=true";
    assert_eq!(
        api.refusal("DELETE", permanent_version, None).await,
        (404, 40407)
    );
    assert_eq!(api.call("DELETE", version, None).await, (200, json!(1)));
    assert_eq!(api.refusal("DELETE", version, None).await, (404, 40406));
    assert_eq!(api.refusal("GET", version, None).await, (404, 40402));
    assert_eq!(
        api.get("/subjects/a/versions/1?deleted=true").await["deleted"],
        true
    );
    assert_eq!(
        api.get("/subjects/a/versions?deleted=true").await,
        json!([1, 2])
    );
    assert_eq!(
        api.get("/subjects/a/versions?deletedOnly=true").await,
        json!([1])
    );
    assert_eq!(
        api.get("/subjects/a/versions?deletedAsNegative=true").await,
        json!([-1, 2])
    );
    assert_eq!(
        api.get("/schemas/ids/1").await["schema"],
        USER,
        "readers still need it"
    );
    assert_eq!(api.get("/schemas/ids/1/versions").await, json!([]));
    assert_eq!(
        api.call("DELETE", permanent_version, None).await,
        (200, json!(1))
    );
    assert_eq!(
        api.refusal("GET", "/schemas/ids/1", None).await,
        (404, 40403)
    );
    assert_eq!(
        api.call("DELETE", "/subjects/a", None).await,
        (200, json!([2]))
    );
    assert_eq!(
        api.refusal("DELETE", "/subjects/a", None).await,
        (404, 40404)
    );
    assert_eq!(api.get("/subjects").await, json!([]));
    assert_eq!(api.get("/subjects?deleted=true").await, json!(["a"]));
    assert_eq!(api.get("/subjects?deletedOnly=TRUE").await, json!(["a"]));
    assert_eq!(api.call("DELETE", permanent, None).await, (200, json!([2])));
    assert_eq!(api.get("/subjects?deleted=true").await, json!([]));
    assert_eq!(api.refusal("DELETE", permanent, None).await, (404, 40401));
}
