//! A broker whose file descriptors clients use up. Invariant: Q2.

use std::net::TcpStream;
use std::time::Duration;

use compat_tests::weir::{Weir, find_binary};
use compat_tests::{clock, http};

use crate::client::Client;

const TOPIC: &str = "undisturbed";
const FILES: u32 = 256;

/// The broker under a limit on open files, with a small log so that it needs new files all the time.
fn start_limited() -> Weir {
    let binary = find_binary().expect("a binary");
    let limited = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
    let binary = binary.display().to_string();
    let command = ["-c", &limited, &binary, "dev", "--wal-budget-mb", "64"];
    Weir::start_with("/bin/sh".as_ref(), &command).expect("weir starts")
}

/// Processor time of the process so far.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<u64> = fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // In hundredths of a second: the 14th and 15th field, of which two are gone with the name.
    (fields[11] + fields[12]) * 10
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0; 1];
    stream.set_nonblocking(true).expect("non-blocking");
    match stream.peek(&mut byte) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn clients_beyond_the_limit_are_closed_and_those_that_are_there_go_on() {
    let weir = start_limited();
    let mut producer = Client::open(weir.kafka);
    producer.create_topic(TOPIC, 1, &[]);
    let crowd: Vec<TcpStream> = (0..FILES * 2)
        .map(|n| {
            let address = if n % 2 == 0 { weir.kafka } else { weir.http };
            TcpStream::connect(address).expect("the backlog takes it")
        })
        .collect();
    let settled = clock::wait_for(Duration::from_secs(10), Duration::from_millis(100), || {
        let open = crowd.iter().filter(|stream| is_open(stream)).count();
        (open > 0 && open < FILES as usize).then_some(open)
    });
    let open = settled.expect("those beyond the limit are closed");
    assert!(open > FILES as usize / 4, "only {open} clients fit");

    // New files of the log are made meanwhile.
    let value = "x".repeat(512 << 10);
    for offset in 0..60 {
        let produced = producer.produce(TOPIC, "k", &value);
        assert_eq!(produced.partition.error_code, 0, "at offset {offset}");
        assert_eq!(produced.partition.base_offset, offset);
    }
    let pid = weir.pid().expect("it runs");
    let before = cpu_ms(pid);
    clock::pause(Duration::from_secs(1));
    let used = cpu_ms(pid) - before;
    assert!(used < 300, "{used} ms of processor time in an idle second");
    assert!(weir.output().contains("ulimit -n"), "{}", weir.output());

    drop(crowd);
    let served = clock::wait_for(Duration::from_secs(10), Duration::from_millis(100), || {
        http::get(weir.http, "/readyz")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    assert!(served.is_some(), "there is room again");
    assert_eq!(
        Client::open(weir.kafka)
            .produce(TOPIC, "k", "v")
            .partition
            .error_code,
        0
    );
}

#[test]
fn max_connections_is_a_limit_that_can_be_changed_while_the_broker_runs() {
    use kafka_protocol::messages::IncrementalAlterConfigsRequest;
    use kafka_protocol::messages::incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig,
    };
    let weir = Weir::start().expect("weir starts");
    let mut admin = Client::open(weir.kafka);
    let limit = |value: &str| {
        let config = AlterableConfig::default()
            .with_name(crate::client::text("max.connections"))
            .with_value(Some(crate::client::text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(crate::client::text("0"))
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };
    let answer = admin.ask(1, &limit("1"));
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
    assert!(Client::open(weir.kafka).is_closed(Duration::from_secs(5)));
    assert!(weir.output().contains("max.connections"));
    let answer = admin.ask(1, &limit("1000"));
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
    Client::open(weir.kafka).create_topic(TOPIC, 1, &[]);
}
