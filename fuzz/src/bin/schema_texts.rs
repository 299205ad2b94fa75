//! Schemas as clients send them, in all three languages: parsed, brought to canonical form, compared, compiled.
//!
//! Input: the language (u8), switches (u8), then three texts behind u16 lengths: one that the others may reference by
//! the name `ref`, an older and a newer one.
#![no_main]

use weir_fuzz::{Bounds, Input, piece};
use weir_schema::SchemaType;
use weir_schema::codec::compile;
use weir_schema::framing::Indexes;
use weir_schema::registry::{
    Answer, Command, Reference, RegisterRequest, Registered, Registry, RegistryError, Subject,
    decide,
};

weir_fuzz::target!(Bounds::new(16 << 20, 2048, 5000), seeds, run);

const NORMALIZE: u8 = 1;
const REFERENCE: u8 = 2;

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let schema_type = *input.pick(&SchemaType::ALL);
    let switches = input.u8();
    let pieces = [input.piece(), input.piece(), input.piece()];
    let [Ok(reference), Ok(old), Ok(new)] = pieces.map(str::from_utf8) else {
        return;
    };
    let mut fixture = Fixture {
        schema_type,
        normalize: switches & NORMALIZE != 0,
        referenced: false,
        registry: Registry::new(),
    };
    fixture.apply(
        r#"{"keytype":"CONFIG","magic":0}"#,
        r#"{"compatibilityLevel":"FULL_TRANSITIVE"}"#,
    );
    if switches & REFERENCE != 0 {
        fixture.referenced = fixture.register("ref", reference).is_ok();
    }
    let references = [("ref", reference)];
    let references = if fixture.referenced {
        &references[..]
    } else {
        &[]
    };
    for text in [old, new] {
        if let Ok(codec) = compile(schema_type, text, references) {
            let _ = codec.columns(Indexes::FIRST, "value");
            let _ = codec.key_columns(Indexes::FIRST);
            codec.record_name(Indexes::FIRST);
        }
        fixture.looked_at(text);
        if let Ok(registered) = fixture.register("s", text) {
            fixture.stored(text, &registered);
        }
    }
    fixture.registry.validate();
}

struct Fixture {
    schema_type: SchemaType,
    normalize: bool,
    referenced: bool,
    registry: Registry,
}

impl Fixture {
    fn request(&self, text: &str) -> RegisterRequest {
        let reference = Reference {
            name: "ref".into(),
            subject: "ref".into(),
            version: 1,
        };
        RegisterRequest {
            schema: text.into(),
            schema_type: Some(self.schema_type.as_str().into()),
            references: if self.referenced {
                vec![reference]
            } else {
                Vec::new()
            },
            ..RegisterRequest::default()
        }
    }

    fn register(&mut self, subject: &str, text: &str) -> Result<Registered, RegistryError> {
        let command = Command::Register {
            subject: Subject::parse(subject),
            request: Box::new(self.request(text)),
            normalize: self.normalize,
            force: false,
        };
        let decision = decide(&self.registry, command)?;
        for record in decision.records {
            self.apply(&record.key, &record.value.expect("nothing is deleted"));
        }
        match decision.answer {
            Answer::Registered(registered) => Ok(registered),
            other => panic!("registering answers {other:?}"),
        }
    }

    fn apply(&mut self, key: &str, value: &str) {
        let applied = self
            .registry
            .apply(key.as_bytes(), Some(value.as_bytes()), 1, 1);
        applied.expect("our own is read");
    }

    fn looked_at(&self, text: &str) {
        let subject = Subject::parse("s");
        let request = self.request(text);
        let _ = self
            .registry
            .test_compatibility(&subject, &request, None, self.normalize);
        let _ = self
            .registry
            .lookup(&subject, &request, self.normalize, false);
    }

    /// A schema that is stored keeps its id however it is sent again.
    fn stored(&mut self, text: &str, registered: &Registered) {
        let subject = Subject::parse("s");
        // An empty text asks for the version before to be registered again, and is looked up as what it is.
        let texts = [text, &registered.schema.text].into_iter();
        for text in texts.filter(|text| !text.trim().is_empty()) {
            let request = self.request(text);
            let found = self
                .registry
                .lookup(&subject, &request, self.normalize, false);
            assert_eq!(found.expect("it is registered").id, registered.id, "{text}");
            let again = self.register("s", text).expect("it is registered");
            assert_eq!(
                (again.id, again.version),
                (registered.id, registered.version),
                "{text}"
            );
        }
        for format in ["resolved", "serialized", "ignore_extensions", ""] {
            let shown = self
                .registry
                .formatted(&subject, &registered.schema, format);
            shown.expect("a stored schema parses");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |language: u8, switches: u8, texts: [&str; 3]| {
        let texts = texts.map(|text| piece(text.as_bytes())).concat();
        [&[language, switches], &texts[..]].concat()
    };
    const JSON: u8 = 0;
    const PROTOBUF: u8 = 1;
    const AVRO: u8 = 2;
    let deep_json = r#"{"items":"#.repeat(120) + "{}" + &"}".repeat(120);
    let deep_avro = r#"{"type":"array","items":"#.repeat(120) + r#""int""# + &"}".repeat(120);
    let deep_proto = "message M{".repeat(110) + &"}".repeat(110);
    vec![
        seed(AVRO, 0, ["", r#""int""#, r#"["null","long"]"#]),
        seed(
            AVRO,
            1,
            [
                "",
                r#"{"type":"record","name":"a.R","aliases":["Q"],"doc":"d","fields":[{"name":"f","type":"int","default":1,"order":"ignore"}]}"#,
                r#"{"type":"record","name":"a.R","fields":[{"name":"g","aliases":["f"],"type":["null","long"],"default":null}]}"#,
            ],
        ),
        seed(
            AVRO,
            2,
            [
                r#"{"type":"enum","name":"ref","symbols":["A","B"],"default":"A"}"#,
                r#"{"type":"record","name":"R","fields":[{"name":"e","type":"ref"},{"name":"next","type":["null","R"]}]}"#,
                r#"{"type":"record","name":"R","fields":[{"name":"e","type":"ref","default":"B"},{"name":"m","type":{"type":"map","values":{"type":"fixed","name":"F","size":4}},"default":{"a":"\u0000\u0001\u0002\u0003"}}]}"#,
            ],
        ),
        seed(
            AVRO,
            0,
            [
                "",
                r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
                r#"{"type":"int","logicalType":"date"}"#,
            ],
        ),
        seed(
            AVRO,
            0,
            [
                "",
                &deep_avro,
                r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#,
            ],
        ),
        seed(
            JSON,
            0,
            [
                "",
                r#"{"type":"object","properties":{"a":{"type":"integer","minimum":1}},"required":["a"],"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"a":{"type":["number","null"]},"b":{"enum":[1,"x"]}},"patternProperties":{"^z":{"type":"string","maxLength":5}}}"#,
            ],
        ),
        seed(
            JSON,
            2,
            [
                r#"{"$id":"ref","type":"string"}"#,
                r##"{"$ref":"ref","definitions":{"a":{"$ref":"#/definitions/a"}}}"##,
                r##"{"oneOf":[{"$ref":"ref"},{"$ref":"#/$defs/b"}],"$defs":{"b":{"anyOf":[{"$ref":"#"},{"not":{"const":1}}]}}}"##,
            ],
        ),
        seed(
            JSON,
            1,
            [
                "",
                r#"{"allOf":[{"type":"array","items":[{"type":"string"}],"additionalItems":true},{"uniqueItems":true}],"dependencies":{"a":["b"]}}"#,
                "true",
            ],
        ),
        seed(JSON, 0, ["", &deep_json, r##"{"$ref":"#"}"##]),
        seed(
            PROTOBUF,
            0,
            [
                "",
                "syntax = \"proto3\"; package p; message M { int32 a = 1; repeated string b = 2; map<string, M> c = 3; oneof o { bool d = 4; bytes e = 5; } reserved 9; }",
                "syntax = \"proto3\"; package p; message M { int64 a = 1; optional string b = 2; enum E { X = 0; Y = 1; } E f = 6; }",
            ],
        ),
        seed(
            PROTOBUF,
            2,
            [
                "syntax = \"proto3\"; message Other { string x = 1; }",
                "syntax = \"proto3\"; import \"ref\"; message M { Other o = 1; }",
                "syntax = \"proto2\"; import \"ref\"; message M { required Other o = 1 [deprecated = true]; extensions 100 to 200; }",
            ],
        ),
        seed(
            PROTOBUF,
            1,
            [
                "",
                "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; message M { google.protobuf.Timestamp t = 1; } service S { rpc F(M) returns (stream M); }",
                "edition = \"2023\"; message M { M m = 1; }",
            ],
        ),
        seed(
            PROTOBUF,
            0,
            [
                "",
                &deep_proto,
                "syntax = \"proto3\"; message A { B b = 1; } message B { A a = 1; }",
            ],
        ),
    ]
}
