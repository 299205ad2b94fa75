//! Schemas that are small to send and large to think about.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use compat_tests::clock;
use compat_tests::differential::batches::{batch, record};
use compat_tests::differential::wire::Connection;
use serde_json::json;

use crate::http::{get, post, send};
use crate::scene::Scene;
use crate::wire::produce;

/// A registration is answered within this time, whatever it says.
const ANSWER_MS: i64 = if cfg!(debug_assertions) {
    20_000
} else {
    4_000
};

pub fn attacks(scene: &mut Scene) {
    let deep = 100_000;
    scene.attack("Avro: arrays of arrays", 64, |scene| {
        let nested = |depth: usize| {
            format!(
                "{}\"int\"{}",
                r#"{"type":"array","items":"#.repeat(depth),
                "}".repeat(depth)
            )
        };
        refused(scene, "avro-deep", "AVRO", &nested(deep))?;
        answered(scene, "avro-deep", "AVRO", &nested(1_000))
    });
    scene.attack("Avro: each record twice in the next", 64, |scene| {
        answered(scene, "avro-laughs", "AVRO", &laughing_avro(60))
    });
    scene.attack("Avro: a record of itself", 64, |scene| {
        let own = r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#;
        answered(scene, "avro-own", "AVRO", own)
    });
    scene.attack("Avro: a union of tens of thousands", 128, |scene| {
        let branch = |at| format!(r#"{{"type":"fixed","name":"F{at}","size":{at}}}"#);
        let branches: Vec<String> = (1..20_000).map(branch).collect();
        let union = format!("[{}]", branches.join(","));
        answered(scene, "avro-union", "AVRO", &union)?;
        // The second is compared with the first.
        answered(scene, "avro-union", "AVRO", &union.replace("F1", "G1"))
    });
    scene.attack("JSON Schema: deep, and around in circles", 64, |scene| {
        let nested = format!("{}{{}}{}", r#"{"items":"#.repeat(deep), "}".repeat(deep));
        refused(scene, "json-deep", "JSON", &nested)?;
        let circle =
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##;
        answered(scene, "json-circle", "JSON", circle)?;
        answered(scene, "json-laughs", "JSON", &laughing_json(60))
    });
    scene.attack("JSON Schema: regular expressions", 128, regular_expressions);
    scene.attack("JSON Schema: addresses elsewhere", 32, |scene| {
        for address in ["http://127.0.0.1:9/s", "file:///etc/passwd"] {
            let schema = json!({ "$ref": address }).to_string();
            refused(scene, "json-elsewhere", "JSON", &schema)?;
        }
        Ok(())
    });
    scene.attack("Protobuf: messages in messages", 64, |scene| {
        let nested = |depth: usize| {
            format!(
                "syntax = \"proto3\"; {}{}",
                "message M { ".repeat(depth),
                "}".repeat(depth)
            )
        };
        refused(scene, "proto-deep", "PROTOBUF", &nested(deep))?;
        answered(scene, "proto-deep", "PROTOBUF", &nested(500))
    });
    scene.attack("the registry still answers", 32, |scene| {
        let good = r#"{"type":"record","name":"Good","fields":[]}"#;
        let status = register(scene, "good", "AVRO", good)?;
        ensure!(status == 200, "{status}");
        ensure!(get(scene.weir().registry, "/subjects")? == 200);
        Ok(())
    });
}

/// Patterns that a backtracking engine never comes back from, enforced on what is produced.
fn regular_expressions(scene: &Scene) -> Result<()> {
    let topic = scene.topic("patterns", &[("schema.validation.value", "full")])?;
    let subject = format!("{}-value", topic.name);
    let patterns = [
        "^(a+)+$",
        "^(a|a)*$",
        r"^(?=(a+)+$)\1b",
        "(a{1000}){1000}{1000}",
        "((((a{100}){100}){100}){100}){100}",
    ];
    let mut connection = Connection::open(scene.weir().kafka)?;
    let mut enforced = 0;
    for pattern in patterns {
        let schema = json!({ "type": "string", "pattern": pattern }).to_string();
        // A pattern that is refused already enforces nothing.
        let Some(id) = registered(scene, &subject, &schema)? else {
            continue;
        };
        enforced += 1;
        let mut value = vec![0];
        value.extend_from_slice(&id.to_be_bytes());
        value.extend_from_slice(format!("\"{}!\"", "a".repeat(50_000)).as_bytes());
        let mut bad = record("k", "");
        bad.value = Some(Bytes::from(value));
        let began = clock::now_ms();
        let answer = produce(&mut connection, &topic, batch(vec![bad]).bytes())?;
        let took = clock::now_ms() - began;
        ensure!(answer.error_code != 0, "{pattern} is fulfilled");
        ensure!(took < ANSWER_MS, "{pattern} took {took} ms");
    }
    ensure!(enforced >= 2, "{enforced} patterns were enforced");
    Ok(())
}

/// The id of a JSON Schema under a subject that takes every one; `None` where it is refused.
fn registered(scene: &Scene, subject: &str, schema: &str) -> Result<Option<i32>> {
    let registry = scene.weir().registry;
    let any = json!({ "compatibility": "NONE" }).to_string();
    let level = send(
        registry,
        "PUT",
        &format!("/config/{subject}"),
        any.as_bytes(),
    )?;
    ensure!(level.status == 200, "{level:?}");
    let body = json!({ "schema": schema, "schemaType": "JSON" }).to_string();
    let path = format!("/subjects/{subject}/versions");
    let answer = send(registry, "POST", &path, body.as_bytes())?;
    if (400..500).contains(&answer.status) {
        return Ok(None);
    }
    let answer: serde_json::Value = serde_json::from_str(&answer.body)?;
    let id = answer["id"].as_i64().with_context(|| format!("{answer}"))?;
    Ok(Some(i32::try_from(id)?))
}

fn refused(scene: &Scene, subject: &str, kind: &str, schema: &str) -> Result<()> {
    let status = register(scene, subject, kind, schema)?;
    ensure!((400..500).contains(&status), "{status}");
    Ok(())
}

/// Taken or refused, but in time and not by a broken server.
fn answered(scene: &Scene, subject: &str, kind: &str, schema: &str) -> Result<()> {
    let status = register(scene, subject, kind, schema)?;
    ensure!((200..500).contains(&status), "{status}");
    Ok(())
}

fn register(scene: &Scene, subject: &str, kind: &str, schema: &str) -> Result<u16> {
    let body = json!({ "schema": schema, "schemaType": kind }).to_string();
    let began = clock::now_ms();
    let path = format!("/subjects/{subject}/versions");
    let status = post(scene.weir().registry, &path, body.as_bytes())?;
    let took = clock::now_ms() - began;
    ensure!(took < ANSWER_MS, "the answer took {took} ms");
    Ok(status)
}

/// Records each of which holds the one before twice: 2^depth values, if they were spelled out.
fn laughing_avro(depth: usize) -> String {
    let mut schema =
        r#"{"type":"record","name":"R0","fields":[{"name":"a","type":"int"}]}"#.to_string();
    for level in 1..depth {
        let below = level - 1;
        schema = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"a","type":{schema}}},{{"name":"b","type":"R{below}"}}]}}"#
        );
    }
    schema
}

fn laughing_json(depth: usize) -> String {
    let mut definitions = serde_json::Map::new();
    definitions.insert("d0".into(), json!({ "type": "integer" }));
    for level in 1..depth {
        let below = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
        let both = json!({ "properties": { "a": below, "b": below }, "allOf": [below, below] });
        definitions.insert(format!("d{level}"), both);
    }
    json!({ "$defs": definitions, "$ref": format!("#/$defs/d{}", depth - 1) }).to_string()
}
