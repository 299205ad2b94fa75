use super::*;

#[tokio::test]
async fn port_0_on_localhost_picks_one_port_for_both_families() {
    let listeners = bind("localhost:0", "--kafka-listen").await.unwrap();
    let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    assert!(addresses[0].is_ipv4());
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert!(
        addresses
            .iter()
            .all(|address| address.port() == addresses[0].port())
    );
    for address in addresses {
        TcpStream::connect(address).await.unwrap();
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_and_the_way_out() {
    let held = bind("127.0.0.1:0", "--kafka-listen").await.unwrap();
    let port = held[0].local_addr().unwrap().port();
    let error = bind(&format!("127.0.0.1:{port}"), "--kafka-listen")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, BindError::Taken { .. }));
    for part in [&format!("port {port}"), "--kafka-listen", "port 0"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn an_address_without_a_port_is_refused_with_an_example() {
    for address in [
        "9092",
        "localhost",
        "localhost:",
        "localhost:99999",
        "127.0.0.1:x",
    ] {
        let error = bind(address, "--http-listen").await.unwrap_err();
        assert!(
            matches!(error, BindError::Address { .. }),
            "{address}: {error}"
        );
        assert!(error.to_string().contains("--http-listen"));
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused() {
    let error = bind("192.0.2.1:0", "--kafka-listen").await.unwrap_err();
    assert!(matches!(error, BindError::Other { .. }), "{error}");
}
