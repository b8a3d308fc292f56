//! Sockets of a server that is made up.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::*;

/// As a server writes it.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x80 | frames::TEXT, text.len() as u8];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Reads until it has come; what came.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Who asks for `{ times3 }` is told three times.
async fn serve(mut stream: TcpStream) {
    read_until(&mut stream, "\r\n\r\n").await;
    let mut said = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
    said.extend(frame("{\"type\":\"connection_ack\"}"));
    stream.write_all(&said).await.unwrap();
    let asked = read_until(&mut stream, " }").await;
    let (_, times) = asked.split_once("times").unwrap();
    let times: usize = times[..1].parse().unwrap();
    // The first to be opened are the last to be told.
    sleep(Duration::from_millis(50 - 10 * times as u64)).await;
    let next = frame("{\"type\":\"next\",\"id\":\"1\"}").repeat(times);
    stream.write_all(&next).await.unwrap();
    sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn each_socket_is_counted_by_its_number_from_the_beginning_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let order = Order {
        address: listener.local_addr().unwrap().to_string(),
        path: "/graphql".to_owned(),
        tokens: Vec::new(),
        queries: (0..4).map(|n| format!("{{ times{n} }}")).collect(),
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let swarm = Swarm::open(order, 8).await.unwrap();
    let told = async {
        while swarm.deliveries() < 12 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), told).await.unwrap();
    assert_eq!(swarm.each(<[u64]>::to_vec), [0, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(swarm.reached(), 6);

    swarm.begin(Keep::Count);
    assert_eq!(swarm.each(<[u64]>::to_vec), [0; 8]);
    assert_eq!((swarm.deliveries(), swarm.reached()), (0, 6));
    swarm.check().unwrap();
}
