//! The command line as people and scripts use it: what it prints, how it ends, what its errors say to do.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use compat_tests::weir::{Weir, find_binary};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

/// How a command ended.
struct Ended {
    ok: bool,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(mut command: Command, input: impl AsRef<[u8]>) -> Ended {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        // A command that has failed reads nothing.
        let _ = child.stdin.take().expect("piped").write_all(input.as_ref());
        let output = child.wait_with_output().expect("its end");
        Ended {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// One JSON value a line.
    fn lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A broker, and the command line that talks to it.
struct Cli(Weir);

impl Cli {
    fn start() -> Cli {
        Cli(Weir::start().expect("a broker"))
    }

    fn fed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ended {
        let mut command = Command::new(find_binary().expect("the binary"));
        command
            .args(arguments)
            .current_dir(self.0.dir())
            .env("WEIR_BOOTSTRAP", self.0.kafka.to_string())
            .env("WEIR_REGISTRY", format!("http://{}", self.0.registry))
            .env("WEIR_HTTP", format!("http://{}", self.0.http));
        Ended::of(command, input)
    }

    /// Runs a command that must succeed.
    #[track_caller]
    fn good(&self, arguments: &[&str], input: &str) -> Ended {
        let ended = self.fed(arguments, input);
        assert!(ended.ok, "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// Runs a command that must fail and say all of this.
    #[track_caller]
    fn bad(&self, arguments: &[&str], input: &str, said: &[&str]) {
        let ended = self.fed(arguments, input);
        assert!(!ended.ok, "{arguments:?}: {}", ended.stdout);
        for text in said {
            assert!(
                ended.stderr.contains(text),
                "{arguments:?} without {text:?}: {}",
                ended.stderr
            );
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.dir().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"item","type":"string"},{"name":"cents","type":"int"}]}"#;

#[test]
fn json_is_encoded_by_the_subjects_schema_and_decoded_by_the_records() {
    let weir = Cli::start();
    let avro = weir.file("order.avsc", ORDER);
    let proto = weir.file(
        "m.proto",
        "syntax = \"proto3\"; message M { string item = 1; int64 cents = 2; }",
    );
    let schema = weir.file(
        "j.json",
        r#"{"type":"object","properties":{"cents":{"type":"integer"}}}"#,
    );
    for (topic, file) in [("avro", avro), ("proto", proto), ("json", schema)] {
        weir.good(
            &["schema", "register", &format!("{topic}-value"), &file],
            "",
        );
        weir.good(&["topic", "create", topic], "");
        let lines = "{\"item\":\"apple\",\"cents\":120}\n{\"item\":\"pear\",\"cents\":80}\n";
        let wrote = weir.good(&["topic", "produce", topic, "--key-field", "item"], lines);
        assert_eq!(wrote.stdout, format!("wrote 2 records to {topic}\n"));
        let read = weir
            .good(&["topic", "consume", topic, "--format", "json"], "")
            .lines();
        assert_eq!(read.len(), 2, "{topic}");
        assert_eq!(
            read[0]["value"],
            json!({"item": "apple", "cents": 120}),
            "{topic}"
        );
        assert_eq!(
            (&read[0]["key"], &read[1]["offset"]),
            (&json!("apple"), &json!(1))
        );
        let people = weir.good(&["topic", "consume", topic, "-n", "1", "--keys"], "");
        assert!(people.stdout.starts_with("apple\t{"), "{}", people.stdout);
        let bytes = weir.good(&["topic", "consume", topic, "-n", "1", "--raw"], "");
        assert!(!bytes.stdout.starts_with('{'), "{}", bytes.stdout);
    }
    let open = "{\"cents\":1,\"note\":\"the schema says nothing about it\"}\n";
    weir.good(&["topic", "produce", "json"], open);
    let read = weir.good(&["topic", "consume", "json"], "").stdout;
    assert!(read.ends_with(open), "{read}");
    weir.bad(
        &["topic", "produce", "json"],
        "{\"cents\":\"many\"}\n",
        &["line 1", "cents"],
    );
    let wrong = "{\"item\":\"fig\",\"cents\":1}\n{\"item\":\"fig\",\"cents\":\"many\"}\n";
    weir.bad(
        &["topic", "produce", "avro"],
        wrong,
        &["line 2", "field cents", "\"many\""],
    );
    weir.bad(
        &["topic", "produce", "avro"],
        "fig\n",
        &["line 1", "not JSON"],
    );
    weir.bad(
        &["topic", "produce", "avro", "--key-field", "id"],
        "{}\n",
        &["no member \"id\""],
    );
}

#[test]
fn text_and_bytes_come_back_as_they_went() {
    let weir = Cli::start();
    weir.good(&["topic", "create", "t", "--partitions", "3"], "");
    weir.good(
        &["topic", "produce", "t", "--key-separator", "\\t"],
        "en\thello\nde\thallo\n",
    );
    let mut read = weir.good(&["topic", "consume", "t", "--keys"], "").stdout;
    assert_eq!(read.lines().count(), 2);
    assert!(
        read.contains("en\thello\n") && read.contains("de\thallo\n"),
        "{read}"
    );
    weir.good(
        &["topic", "produce", "t", "--partition", "2", "--raw"],
        "a\nb\nc\n",
    );
    read = weir
        .good(
            &["topic", "consume", "t", "-p", "2", "-n", "2", "--from", "1"],
            "",
        )
        .stdout;
    assert_eq!(read.lines().count(), 2, "{read}");
    let bytes = weir.fed(&["topic", "produce", "t", "-p", "1"], b"\xff\xfe\n");
    assert!(bytes.ok, "{}", bytes.stderr);
    let read = weir.good(
        &["topic", "consume", "t", "-p", "1", "--format", "json"],
        "",
    );
    assert!(
        read.stdout.contains(r#""value":{"base64":"//4="}"#),
        "{}",
        read.stdout
    );
    let empty = weir.good(&["topic", "consume", "t", "--from", "100"], "");
    assert!(
        empty.stdout.is_empty() && empty.stderr.contains("--follow"),
        "{}",
        empty.stderr
    );
    weir.bad(
        &["topic", "produce", "t", "-p", "9"],
        "x\n",
        &["no partition 9", "it has 3"],
    );
    weir.bad(
        &["topic", "consume", "t", "-p", "9"],
        "",
        &["no partition 9", "it has 3"],
    );
    weir.bad(
        &["topic", "consume", "no"],
        "",
        &["topic no does not exist", "weir topic create no"],
    );
    weir.bad(
        &["topic", "produce", "no"],
        "x\n",
        &["topic no does not exist"],
    );
}

#[test]
fn topics_are_made_shown_changed_and_deleted() {
    let weir = Cli::start();
    let none = weir.good(&["topic", "list"], "");
    assert!(none.stdout.contains("weir topic create"), "{}", none.stdout);
    weir.good(
        &[
            "topic",
            "create",
            "t",
            "-p",
            "2",
            "--set",
            "retention.ms=1000",
        ],
        "",
    );
    let topics = weir.good(&["topic", "list", "--format", "json"], "").json();
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["partitions"]),
        (&json!("t"), &json!(2))
    );
    weir.good(
        &[
            "topic",
            "alter",
            "t",
            "--partitions",
            "3",
            "--set",
            "max.message.bytes=2000",
        ],
        "",
    );
    weir.good(&["topic", "alter", "t", "--unset", "retention.ms"], "");
    let shown = weir
        .good(&["topic", "describe", "t", "--format", "json"], "")
        .json();
    assert_eq!(shown["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown["settings"], json!({"max.message.bytes": "2000"}));
    weir.bad(&["topic", "create", "t"], "", &["TOPIC_ALREADY_EXISTS"]);
    weir.bad(
        &["topic", "create", "a b"],
        "",
        &["INVALID_TOPIC_EXCEPTION", "`a b`"],
    );
    weir.bad(
        &["topic", "create", "u", "--set", "retention.mss=1"],
        "",
        &["did you mean `retention.ms`"],
    );
    weir.bad(
        &["topic", "create", "u", "--set", "retention.ms"],
        "",
        &["NAME=VALUE"],
    );
    weir.bad(
        &["topic", "alter", "t", "--partitions", "2"],
        "",
        &["INVALID_PARTITIONS"],
    );
    weir.bad(
        &["topic", "alter", "t"],
        "",
        &["nothing to change", "--set"],
    );
    weir.good(&["topic", "delete", "t"], "");
    weir.bad(&["topic", "describe", "t"], "", &["topic t does not exist"]);
    weir.bad(&["topic", "delete", "t"], "", &["topic t does not exist"]);
}

#[test]
fn a_group_is_shown_with_its_lag_and_deleted() {
    let weir = Cli::start();
    weir.good(&["topic", "create", "t"], "");
    weir.good(&["topic", "produce", "t"], "a\nb\nc\n");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", weir.0.kafka.to_string())
        .set("group.id", "readers")
        .create()
        .expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(1))
        .expect("legal");
    consumer
        .commit(&offsets, CommitMode::Sync)
        .expect("a commit");
    let groups = weir.good(&["group", "list", "--format", "json"], "").json();
    assert_eq!(groups[0]["group"], "readers");
    let shown = weir
        .good(&["group", "describe", "readers", "--format", "json"], "")
        .json();
    assert_eq!(
        shown["offsets"],
        json!([{"topic": "t", "partition": 0, "committed_offset": 1, "end_offset": 3, "lag": 2}])
    );
    let people = weir.good(&["group", "describe", "readers"], "");
    assert!(people.stdout.contains("lag 2"), "{}", people.stdout);
    weir.good(&["group", "delete", "readers"], "");
    weir.bad(
        &["group", "describe", "readers"],
        "",
        &["group readers does not exist", "weir group list"],
    );
    weir.bad(
        &["group", "delete", "readers"],
        "",
        &["group readers does not exist"],
    );
}

#[test]
fn schemas_are_registered_checked_shown_and_deleted() {
    let weir = Cli::start();
    let order = weir.file("order.avsc", ORDER);
    let wider = weir.file(
        "wider.avsc",
        &ORDER.replace("]}", r#",{"name":"note","type":"string","default":""}]}"#),
    );
    let other = weir.file("other.avsc", &ORDER.replace("\"int\"", "\"string\""));
    weir.bad(
        &["schema", "check", "orders-value", &order],
        "",
        &["orders-value has no schema yet"],
    );
    let first = weir
        .good(
            &[
                "schema",
                "register",
                "orders-value",
                &order,
                "--format",
                "json",
            ],
            "",
        )
        .json();
    weir.good(&["schema", "check", "orders-value", &wider], "");
    weir.bad(
        &["schema", "check", "orders-value", &other],
        "",
        &["may not follow"],
    );
    weir.bad(
        &["schema", "register", "orders-value", &other],
        "",
        &["incompatible"],
    );
    weir.good(
        &["schema", "register", "orders-value", "-"],
        &fs::read_to_string(&wider).expect("a file"),
    );
    let id = first["id"].to_string();
    let by_id = weir
        .good(&["schema", "show", "--id", &id, "--format", "json"], "")
        .json();
    assert_eq!(by_id["type"], "AVRO");
    let latest = weir.good(&["schema", "show", "orders-value"], "").json();
    assert_eq!(latest["fields"][2]["name"], "note");
    let list = weir
        .good(&["schema", "list", "--format", "json"], "")
        .json();
    assert_eq!(list[0]["versions"], json!([1, 2]));
    weir.bad(
        &["schema", "show", "orders-value", "--version", "9"],
        "",
        &["Version 9 not found"],
    );
    weir.bad(&["schema", "show", "no"], "", &["'no' not found"]);
    weir.bad(
        &["schema", "register", "x-value", "no.avsc"],
        "",
        &["cannot read no.avsc"],
    );
    weir.bad(
        &["schema", "register", "x-value", "-"],
        "not a schema",
        &["Invalid schema"],
    );
    let deleted = weir.good(&["schema", "delete", "orders-value"], "");
    assert_eq!(deleted.stdout, "deleted orders-value, version 1, 2\n");
    weir.bad(&["schema", "show", "orders-value"], "", &["not found"]);
}

#[test]
fn rows_are_put_looked_up_scanned_and_deleted() {
    let weir = Cli::start();
    let order = weir.file("order.avsc", ORDER);
    let create = [
        "table",
        "create",
        "orders",
        "-p",
        "3",
        "--key-format",
        "int64",
        "--value-schema",
        &order,
    ];
    weir.good(&create, "");
    for key in 1..=12 {
        let row = json!({"item": "apple", "cents": key * 10}).to_string();
        weir.good(&["table", "put", "orders", &key.to_string(), &row], "");
    }
    let rows = weir.good(&["table", "get", "orders", "7", "2"], "").lines();
    assert_eq!(rows[0], json!({"key": 7, "item": "apple", "cents": 70}));
    assert_eq!(rows[1]["cents"], 20);
    weir.bad(
        &["table", "get", "orders", "99"],
        "",
        &["orders has no row 99"],
    );
    let scanned = weir
        .good(
            &["table", "scan", "orders", "-n", "5", "--format", "json"],
            "",
        )
        .lines();
    let keys: Vec<_> = scanned
        .iter()
        .filter_map(|row| row["key"].as_i64())
        .collect();
    assert_eq!(keys, [1, 2, 3, 4, 5]);
    let people = weir.good(&["table", "scan", "orders", "-n", "5"], "");
    assert!(
        people.stdout.contains("there are more"),
        "{}",
        people.stdout
    );
    weir.good(&["table", "delete", "orders", "1", "2"], "");
    let list = weir.good(&["table", "list", "--format", "json"], "").json();
    assert_eq!(
        (&list[0]["name"], &list[0]["row_count"]),
        (&json!("orders"), &json!(10))
    );
    let shown = weir.good(&["table", "describe", "orders"], "");
    assert!(
        shown.stdout.starts_with("table orders: 10 rows, key int64"),
        "{}",
        shown.stdout
    );
    let row = "{\"item\":\"fig\",\"cents\":5}\n";
    weir.good(&["topic", "produce", "orders", "--key", "7"], row);
    let rows = weir.good(&["table", "get", "orders", "7"], "").lines();
    assert_eq!(rows[0], json!({"key": 7, "item": "fig", "cents": 5}));
    let read = weir
        .good(&["topic", "consume", "orders", "--keys"], "")
        .stdout;
    assert!(read.contains(&format!("7\t{row}")), "{read}");
    let typed = ["topic", "produce", "orders", "--key", "x"];
    weir.bad(&typed, row, &["line 1", "\"x\" is not a 64-bit"]);
    weir.bad(
        &["table", "get", "orders", ""],
        "",
        &["empty key", "lookup"],
    );
    weir.bad(
        &["table", "put", "orders", "x", "{}"],
        "",
        &["`x` is not a 64-bit integer"],
    );
    weir.bad(
        &["table", "put", "orders", "1", r#"{"item":"fig"}"#],
        "",
        &["field cents"],
    );
    weir.bad(
        &[
            "table",
            "put",
            "orders",
            "1",
            r#"{"item":"fig","cents":"z"}"#,
        ],
        "",
        &["field cents"],
    );
    weir.bad(
        &["table", "put", "orders", "1", "fig"],
        "",
        &["not JSON", "for example"],
    );
    weir.bad(
        &["table", "get", "no", "1"],
        "",
        &["no table `no`", "weir table create"],
    );
    weir.good(&["topic", "create", "plain"], "");
    weir.bad(
        &["table", "get", "plain", "1"],
        "",
        &["`plain` is not a table", "table.mode"],
    );
}

#[test]
fn keys_are_placed_as_a_tables_other_producers_do() {
    let weir = Cli::start();
    weir.good(
        &[
            "table",
            "create",
            "prices",
            "-p",
            "3",
            "--value-format",
            "string",
        ],
        "",
    );
    let rows: String = (0..30).map(|n| format!("k{n}:1\n")).collect();
    let mut kcat = Command::new("kcat");
    // By its own default, which is not Java's.
    kcat.args(["-b", &weir.0.kafka.to_string(), "-P", "-t", "prices", "-K:"]);
    let written = Ended::of(kcat, &rows);
    assert!(written.ok, "{}", written.stderr);
    let again = rows.replace(":1", ":2");
    weir.good(
        &["topic", "produce", "prices", "--key-separator", ":"],
        &again,
    );
    let scanned = weir
        .good(&["table", "scan", "prices", "--format", "json"], "")
        .lines();
    assert_eq!(scanned.len(), 30);
    assert!(scanned.iter().all(|row| row["value"] == "2"), "{scanned:?}");
    weir.bad(
        &["topic", "produce", "prices"],
        "no key\n",
        &["INVALID_RECORD", "key"],
    );
}

#[test]
fn a_refused_record_is_told_with_its_line_and_found_again() {
    let weir = Cli::start();
    let order = weir.file("order.avsc", ORDER);
    weir.good(&["schema", "register", "orders-value", &order], "");
    weir.good(
        &[
            "topic",
            "create",
            "orders",
            "--set",
            "schema.validation.value=full",
        ],
        "",
    );
    let quiet = weir.good(&["topic", "rejects", "orders"], "");
    assert!(
        quiet.stdout.contains("has refused nothing"),
        "{}",
        quiet.stdout
    );
    let said = [
        "line 1",
        "INVALID_RECORD",
        "schema id",
        "0 were written, 2 not",
    ];
    weir.bad(
        &["topic", "produce", "orders", "--raw"],
        "no order\nnor this\n",
        &said,
    );
    let rejects = weir
        .good(
            &["topic", "rejects", "orders", "-n", "1", "--format", "json"],
            "",
        )
        .json();
    let newest = &rejects["rejects"][0];
    assert_eq!(
        (&newest["subject"], &newest["client_id"]),
        (&json!("orders-value"), &json!("weir-cli"))
    );
    let people = weir.good(&["topic", "rejects", "orders"], "");
    assert!(people.stdout.contains("fix: "), "{}", people.stdout);
    weir.bad(
        &["topic", "rejects", "no"],
        "",
        &["no topic no", "weir topic list"],
    );
    let metrics = weir.good(&["metrics", "weir_schema_rejected"], "");
    assert!(
        metrics.stdout.contains("topic=\"orders\""),
        "{}",
        metrics.stdout
    );
    weir.bad(&["metrics", "no_such"], "", &["no metric contains no_such"]);
}

fn alone(arguments: &[&str]) -> Ended {
    let mut command = Command::new(find_binary().expect("the binary"));
    command.args(arguments);
    Ended::of(command, "")
}

#[test]
fn without_a_broker_errors_say_how_to_reach_one() {
    for (arguments, flag) in [
        (
            ["topic", "list", "--bootstrap", "localhost:1"],
            "--bootstrap",
        ),
        (
            ["schema", "list", "--registry", "http://localhost:1"],
            "--registry",
        ),
        (["table", "list", "--http", "http://localhost:1"], "--http"),
    ] {
        let ended = alone(&arguments);
        assert!(!ended.ok);
        for text in ["localhost:1", "weir dev", flag] {
            assert!(
                ended.stderr.contains(text),
                "{arguments:?}: {}",
                ended.stderr
            );
        }
    }
    let ended = alone(&["topic", "list", "--bootstrap", "localhost"]);
    assert!(
        ended.stderr.contains("is not HOST:PORT"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_wrong_port_is_said_to_be_wrong() {
    let weir = Cli::start();
    let http = weir.0.http.to_string();
    weir.bad(
        &["topic", "list", "--bootstrap", &http],
        "",
        &["is that the Kafka port?"],
    );
    let kafka = format!("http://{}", weir.0.kafka);
    weir.bad(
        &["schema", "list", "--registry", &kafka],
        "",
        &["--registry"],
    );
}

/// Starts a node that must not come up, and returns what it said.
fn refused_start(arguments: &[&str]) -> String {
    let ended = alone(arguments);
    assert!(!ended.ok, "{arguments:?} ended well");
    ended.stderr
}

#[test]
fn a_node_that_cannot_start_says_what_to_change() {
    let weir = Cli::start();
    let data = weir.0.dir().join("data").display().to_string();
    let mine = weir.0.dir().join("mine").display().to_string();
    let free = [
        "--registry-listen",
        "localhost:0",
        "--http-listen",
        "localhost:0",
    ];
    let taken = weir.0.kafka.to_string();
    let said = refused_start(
        &[
            &["dev", "--data-dir", &mine, "--kafka-listen", &taken],
            &free[..],
        ]
        .concat(),
    );
    assert!(
        said.contains("is taken") && said.contains("--kafka-listen"),
        "{said}"
    );
    let kafka = ["--kafka-listen", "localhost:0"];
    let said = refused_start(&[&["dev", "--data-dir", &data], &kafka[..], &free[..]].concat());
    assert!(
        said.contains("in use by another weir") && said.contains("--data-dir"),
        "{said}"
    );
    let said = refused_start(&["dev", "--data-dir", &mine, "--kafka-listen", "localhost"]);
    assert!(said.contains("not HOST:PORT"), "{said}");
    let typo = weir.file("typo.toml", "kafka-lissen = 'x'");
    let said = refused_start(&["serve", "-c", &typo]);
    assert!(
        said.contains("kafka-lissen") && said.contains("kafka-listen"),
        "{said}"
    );
    let typo = weir.file("setting.toml", "[settings]\n'num.partitionz' = 3");
    let said = refused_start(&["serve", "-c", &typo, "--data-dir", &mine]);
    assert!(said.contains("did you mean `num.partitions`"), "{said}");
    assert!(refused_start(&["serve", "-c", "no.toml"]).contains("cannot read no.toml"));
}

/// A node that was started with other words than the fixture's, and what it has printed.
struct Node(std::process::Child, PathBuf);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    /// The address behind a label of the greeting.
    fn address(&self, label: &str) -> String {
        let found = compat_tests::clock::wait_for(
            std::time::Duration::from_secs(30),
            std::time::Duration::from_millis(20),
            || {
                let text = fs::read_to_string(&self.1).ok()?;
                let line = text
                    .lines()
                    .find(|line| line.trim_start().starts_with(label))?;
                line.split_whitespace().nth(1).map(str::to_owned)
            },
        );
        found.unwrap_or_else(|| panic!("no {label}: {:?}", fs::read_to_string(&self.1)))
    }
}

#[test]
fn options_come_from_flag_variable_and_file_and_port_0_is_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("weir.toml");
    let data = dir.path().join("data");
    let text = format!(
        "data-dir = '{}'\nkafka-listen = '127.0.0.1:0'\nkafka-advertise = 'file:1'\n\
         registry-listen = '127.0.0.1:0'\nhttp-listen = 'no:where'\n[settings]\n'num.partitions' = 4\n",
        data.display()
    );
    fs::write(&config, text).expect("a file");
    let printed = dir.path().join("out");
    let mut command = Command::new(find_binary().expect("the binary"));
    command
        .args(["serve", "-c"])
        .arg(&config)
        .args(["--http-listen", "127.0.0.1:0"])
        .env("WEIR_KAFKA_ADVERTISE", "variable:2")
        .current_dir(dir.path());
    let output = fs::File::create(&printed).expect("a file");
    let child = compat_tests::process::spawn_bound(&command, output).expect("a node");
    let node = Node(child, printed);
    let kafka = node.address("kafka");
    assert!(
        !kafka.ends_with(":0") && kafka.starts_with("127.0.0.1:"),
        "{kafka}"
    );
    let http = node.address("http");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka)
        .create()
        .expect("a client");
    let limit = std::time::Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(None, limit).expect("metadata");
    let broker = &metadata.brokers()[0];
    assert_eq!((broker.host(), broker.port()), ("variable", 2));
    let ended = alone(&["topic", "create", "t", "--bootstrap", &kafka]);
    assert_eq!(
        ended.stdout, "created topic t with 4 partitions\n",
        "{}",
        ended.stderr
    );
    let ended = alone(&["metrics", "kafka_brokers", "--http", &http]);
    assert!(ended.ok, "{}", ended.stderr);
    assert!(
        data.join("wal").exists() || data.is_dir(),
        "no data in {}",
        data.display()
    );
}

#[test]
fn every_verb_has_examples_in_its_help() {
    let nouns = [
        (
            "topic",
            "list create describe delete alter consume produce rejects",
        ),
        ("group", "list describe delete"),
        ("schema", "list show register check delete"),
        ("table", "list create describe get scan put delete"),
    ];
    for (noun, verbs) in nouns {
        for verb in verbs.split(' ') {
            let help = alone(&[noun, verb, "--help"]);
            assert!(
                help.ok && help.stdout.contains("Examples:"),
                "{noun} {verb}: {}",
                help.stdout
            );
            assert!(
                help.stdout.contains(&format!("weir {noun} {verb}")),
                "{noun} {verb}"
            );
        }
    }
    for verb in ["dev", "serve", "metrics"] {
        let help = alone(&[verb, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{verb}: {}", help.stdout);
    }
}
