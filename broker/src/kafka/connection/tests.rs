use std::time::Duration;

use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::Decodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::kafka::error::ErrorCode;
use crate::kafka::frame::FIRST_STEP_BYTES;
use crate::kafka::test_rig::*;

#[tokio::test]
async fn requests_start_in_order_and_are_answered_in_order() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.send(SLOW, 0, 1, &heartbeat()).await;
    client.send(ECHO, 0, 2, &empty_array()).await;
    client
        .send(SILENT, 3, 3, &[0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        .await;
    client.send(SLOW, 0, 4, &heartbeat()).await;
    client.send(ECHO, 0, 5, &empty_array()).await;
    rig.wait_started(&[1, 2, 3, 4, 5]).await;
    rig.let_through(2);
    for expected in [1, 2, 4, 5] {
        assert_eq!(client.receive().await.correlation_id, expected);
    }
    drop(client);
    rig.check_unharmed().await;
}

#[tokio::test]
async fn many_requests_in_one_segment_are_each_answered() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    let bytes: Vec<u8> = (0..5000)
        .flat_map(|id| request(ECHO as i16, 0, id, false, &empty_array()))
        .collect();
    let (mut read, mut write) = client.stream.into_split();
    let writing = tokio::spawn(async move { write.write_all(&bytes).await.map(|()| write) });
    for expected in 0..5000 {
        assert_eq!(read.read_i32().await.unwrap(), 8);
        assert_eq!(read.read_i32().await.unwrap(), expected);
        assert_eq!(read.read_i32().await.unwrap(), 0);
    }
    client = Client {
        stream: read.reunite(writing.await.unwrap().unwrap()).unwrap(),
    };
    drop(client);
    rig.check_unharmed().await;
}

#[tokio::test]
async fn a_client_that_is_held_back_has_its_answer_at_once_and_waits_for_the_next() {
    let rig = Rig::start().await;
    let (mut held, mut other) = (rig.client().await, rig.client().await);
    let started = Instant::now();
    // No transactional id, and a timeout.
    held.send(HOLDS, 0, 1, &[0xff, 0xff, 0, 0, 0, 0]).await;
    assert_eq!(held.receive().await.correlation_id, 1);
    assert!(started.elapsed() < HOLD, "the answer itself does not wait");
    held.send(ECHO, 0, 2, &empty_array()).await;
    other.send(ECHO, 0, 3, &empty_array()).await;
    assert_eq!(other.receive().await.correlation_id, 3);
    assert!(started.elapsed() < HOLD, "others do not wait");
    assert_eq!(held.receive().await.correlation_id, 2);
    assert!(started.elapsed() >= HOLD, "the next request waits");
    drop((held, other));
    rig.check_unharmed().await;
}

#[tokio::test]
async fn a_client_that_is_held_back_does_not_hold_up_the_stop() {
    let rig = Rig::start().await;
    let mut held = rig.client().await;
    held.send(HOLDS, 0, 1, &[0xff, 0xff, 0, 0, 0, 0]).await;
    assert_eq!(held.receive().await.correlation_id, 1);
    let started = Instant::now();
    rig.shutdown.cancel();
    rig.serving.await.unwrap();
    assert!(started.elapsed() < HOLD, "took {:?}", started.elapsed());
}

/// Sends `bytes`; that connection ends without an answer, and no other.
async fn check_closes(what: &str, bytes: &[u8]) {
    let rig = Rig::start().await;
    let mut other = rig.client().await;
    other.send(SLOW, 0, 7, &heartbeat()).await;
    rig.wait_started(&[7]).await;

    let mut client = rig.client().await;
    client.send_bytes(bytes).await;
    println!("{what}");
    client.expect_closed().await;

    rig.let_through(1);
    assert_eq!(other.receive().await.correlation_id, 7);
    drop(other);
    rig.check_unharmed().await;
}

#[tokio::test]
async fn bad_input_ends_its_connection_and_no_other() {
    let bomb = [0x7f, 0xff, 0xff, 0xff];
    check_closes("an empty frame", &[0, 0, 0, 0]).await;
    check_closes("a frame of two bytes", &[0, 0, 0, 2, 0, 3]).await;
    check_closes(
        "a header that is cut",
        &[0, 0, 0, 10, 0, 3, 0, 0, 0, 0, 0, 1, 0, 9],
    )
    .await;
    check_closes("an array bomb", &request(3, 0, 1, false, &bomb)).await;
    check_closes(
        "an array bomb in varints",
        &request(3, 9, 1, true, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    )
    .await;
    check_closes(
        "tags in the header that are not there",
        &request(3, 9, 1, false, &[0xff, 0xff]),
    )
    .await;
    check_closes("another protocol", b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n").await;
    check_closes("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    check_closes("a negative length", &[0xff; 16]).await;
    check_closes(
        "a frame above the limit",
        &(100 * 1024 * 1024 + 1i32).to_be_bytes(),
    )
    .await;
    check_closes("an unknown key", &request(9999, 0, 1, false, &[])).await;
    check_closes("a negative key", &request(-1, 0, 1, false, &[])).await;
    check_closes(
        "a key that is not registered",
        &request(ApiKey::Vote as i16, 0, 1, true, &[]),
    )
    .await;
    check_closes("a version too new", &request(3, 99, 1, true, &[1, 0])).await;
    check_closes(
        "produce below its first version",
        &request(0, 2, 1, false, &[0; 16]),
    )
    .await;
    check_closes(
        "a handler that panics",
        &request(PANICS as i16, 0, 1, true, &[0, 0]),
    )
    .await;
    check_closes(
        "a handler that panics later",
        &request(PANICS_LATER as i16, 0, 1, false, &[]),
    )
    .await;
}

#[tokio::test]
async fn random_bytes_end_their_connection_and_no_other() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let garbage: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(4096)
    .collect();
    for start in (0..4096).step_by(512) {
        let mut framed = 512u32.to_be_bytes().to_vec();
        framed.extend_from_slice(&garbage[start..start + 512]);
        check_closes("a frame of random bytes", &framed).await;
    }
}

#[tokio::test]
async fn what_came_before_bad_input_is_answered() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.send(SLOW, 0, 1, &heartbeat()).await;
    client.send(ECHO, 0, 2, &empty_array()).await;
    client.send(ECHO, 99, 3, &empty_array()).await;
    client.send(ECHO, 0, 4, &empty_array()).await;
    rig.wait_started(&[1, 2]).await;
    rig.let_through(1);
    assert_eq!(client.receive().await.correlation_id, 1);
    assert_eq!(client.receive().await.correlation_id, 2);
    client.expect_closed().await;
    assert_eq!(*rig.stage.started.lock(), [1, 2], "nothing starts after it");
}

#[tokio::test]
async fn half_a_frame_then_a_close_leaves_nothing_behind() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.send_bytes(&(50i32 << 20).to_be_bytes()).await;
    client.send_bytes(&[0; 1000]).await;
    wait_until(|| rig.server.request_bytes() > 0, "the frame to begin").await;
    assert_eq!(
        rig.server.request_bytes(),
        FIRST_STEP_BYTES,
        "what is declared is not allocated"
    );
    drop(client);
    rig.check_unharmed().await;
}

#[tokio::test]
async fn a_client_that_half_closes_still_gets_its_answers() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    client.send(ECHO, 0, 1, &empty_array()).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.receive().await.correlation_id, 1);
    client.expect_closed().await;
}

#[tokio::test]
async fn a_reply_of_many_pieces_arrives_whole_at_a_slow_reader() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    let body = vec![0; 4 + 4 + 4 + 4 + 1 + 4];
    for id in 1..=3 {
        client.send(BIG, 4, id, &body).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    for id in 1..=3 {
        let response = client.receive().await;
        assert_eq!(response.correlation_id, id);
        assert_eq!(response.body.len(), BIG_PIECES * BIG_PIECE_BYTES);
        assert!(response.body.iter().all(|byte| *byte == 7));
    }
}

#[tokio::test]
async fn requests_past_the_bound_start_when_earlier_ones_are_answered() {
    let limits = Limits {
        max_in_flight: 4,
        ..Limits::default()
    };
    let rig = Rig::with(limits, 64 << 20).await;
    let mut client = rig.client().await;
    for id in 1..=10 {
        client.send(SLOW, 0, id, &heartbeat()).await;
    }
    rig.wait_started(&[1, 2, 3, 4]).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    rig.wait_started(&[1, 2, 3, 4]).await;
    rig.let_through(1);
    rig.wait_started(&[1, 2, 3, 4, 5]).await;
    rig.let_through(9);
    for id in 1..=10 {
        assert_eq!(client.receive().await.correlation_id, id);
    }
}

#[tokio::test]
async fn frames_that_fill_the_byte_budget_together_all_get_through() {
    const FRAME_BYTES: usize = 1 << 20;
    let rig = Rig::with(Limits::default(), FRAME_BYTES).await;
    let grown = FRAME_BYTES * 4 / 5;
    let mut body = vec![0; FRAME_BYTES];
    body[..6].copy_from_slice(&[0, 0, 0, 0, 0, 0]);
    let frame = request(ECHO as i16, 0, 1, false, &body);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = rig.client().await;
        client.send_bytes(&frame[..FRAME_BYTES * 2 / 3]).await;
        clients.push(client);
    }
    wait_until(
        || rig.server.request_bytes() >= grown,
        "the budget to be spent",
    )
    .await;
    let waiting = clients.into_iter().map(|mut client| {
        let rest = frame[FRAME_BYTES * 2 / 3..].to_vec();
        tokio::spawn(async move {
            client.send_bytes(&rest).await;
            client.receive().await.correlation_id
        })
    });
    for answered in waiting.collect::<Vec<_>>() {
        assert_eq!(answered.await.unwrap(), 1);
    }
    rig.check_unharmed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_that_waits_for_an_answer_is_not() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::with(limits, 64 << 20).await;
    let mut waiting = rig.client().await;
    waiting.send(SLOW, 0, 1, &heartbeat()).await;
    let mut idle = rig.client().await;
    idle.send(ECHO, 0, 2, &empty_array()).await;
    assert_eq!(idle.receive().await.correlation_id, 2);
    idle.expect_closed().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.let_through(1);
    assert_eq!(waiting.receive().await.correlation_id, 1);
}

#[tokio::test]
async fn a_frame_that_trickles_in_ends_its_connection() {
    let limits = Limits {
        frame_grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::with(limits, 64 << 20).await;
    let mut prefix_only = rig.client().await;
    prefix_only.send_bytes(&[0, 0]).await;
    let mut trickle = rig.client().await;
    trickle.send_bytes(&[0, 0, 0, 40, 0, 3, 0, 0, 0]).await;
    prefix_only.expect_closed().await;
    trickle.expect_closed().await;
    rig.check_unharmed().await;
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_takes_nothing_new() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    let mut idle = rig.client().await;
    idle.send(ECHO, 0, 1, &empty_array()).await;
    idle.receive().await;
    client.send(SLOW, 0, 2, &heartbeat()).await;
    rig.wait_started(&[1, 2]).await;
    rig.shutdown.cancel();
    idle.expect_closed().await;
    client.send(ECHO, 0, 3, &empty_array()).await;
    rig.let_through(1);
    assert_eq!(client.receive().await.correlation_id, 2);
    client.expect_closed().await;
    tokio::time::timeout(SOON, rig.serving)
        .await
        .expect("serving ends")
        .unwrap();
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
    assert_eq!(*rig.stage.started.lock(), [1, 2]);
}

#[tokio::test]
async fn shutdown_waits_for_no_answer_longer_than_the_drain_time() {
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::with(limits, 64 << 20).await;
    let mut client = rig.client().await;
    client.send(SLOW, 0, 1, &heartbeat()).await;
    rig.wait_started(&[1]).await;
    rig.shutdown.cancel();
    client.expect_closed().await;
    tokio::time::timeout(SOON, rig.serving)
        .await
        .expect("serving ends")
        .unwrap();
}

#[tokio::test]
async fn api_versions_too_new_get_its_own_range_in_version_0_and_the_connection_lives() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    for version in [5, 127, -1] {
        client
            .send_bytes(&request(18, version, 8, true, b"\xff\xff\xff\xff\xff"))
            .await;
        let response = client.receive().await;
        assert_eq!(response.correlation_id, 8);
        let mut body = response.body;
        let decoded = ApiVersionsResponse::decode(&mut body, 0).unwrap();
        assert!(body.is_empty());
        assert_eq!(decoded.error_code, ErrorCode::UnsupportedVersion.code());
        let rows: Vec<_> = decoded
            .api_keys
            .iter()
            .map(|row| (row.api_key, row.min_version, row.max_version))
            .collect();
        assert_eq!(rows, [(18, 0, 4)]);
    }
    // The response header has no tags, whatever the version.
    client
        .send(ApiKey::ApiVersions, 3, 9, b"\x04kgo\x061.2.3\x00")
        .await;
    let mut body = client.receive().await.body;
    let decoded = ApiVersionsResponse::decode(&mut body, 3).unwrap();
    assert!(body.is_empty());
    assert_eq!(decoded.error_code, 0);
    let produce = &decoded.api_keys[0];
    assert_eq!(
        (produce.api_key, produce.min_version, produce.max_version),
        (0, 0, 13)
    );
    assert_eq!(decoded.api_keys.len(), STAND_INS.len());
}

#[tokio::test]
async fn each_answer_counts_in_its_apis_metrics() {
    use std::sync::atomic::Ordering::Relaxed;
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    for id in 0..3 {
        client.send(ECHO, 0, id, &empty_array()).await;
        client.receive().await;
    }
    let (name, metrics) = rig.server.dispatch().metrics().iter().nth(2).unwrap();
    assert_eq!(name, "Metadata");
    assert_eq!(metrics.requests.load(Relaxed), 3);
    assert_eq!(metrics.request_bytes.load(Relaxed), 3 * 18);
    assert_eq!(metrics.response_bytes.load(Relaxed), 3 * 12);
}

#[test]
fn an_idle_connection_costs_little_memory() {
    let bytes = size_of::<Connection<Stage>>();
    assert!(
        bytes <= 1024,
        "{bytes} bytes, and as much in the task that runs it"
    );
}
