//! The proxy spoils the line as it is told, and in no other way.
#![expect(clippy::unwrap_used, reason = "a test may end where something is missing, outside of its function too")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use test_support::{Line, Place, Proxy, wait_until};

/// A busy machine does everything slowly.
const SOON: Duration = Duration::from_secs(90);

/// Long enough to see that nothing comes: only what should not come could make such a test pass or fail by chance.
const A_WHILE: Duration = Duration::from_millis(100);

/// Says back what it hears, to everyone.
fn echo() -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut back = connection.try_clone().unwrap();
                let _ = std::io::copy(&mut connection, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    Place::Tcp(address)
}

fn proxied() -> Proxy {
    let proxy = Proxy::tcp();
    proxy.lead_to(echo());
    proxy
}

fn connected(proxy: &Proxy) -> TcpStream {
    let connection = TcpStream::connect(proxy.address()).unwrap();
    connection.set_read_timeout(Some(SOON)).unwrap();
    connection
}

fn says(mut connection: &TcpStream, words: &[u8]) {
    connection.write_all(words).unwrap();
}

fn hears(mut connection: &TcpStream, words: &[u8]) {
    let mut heard = vec![0; words.len()];
    connection.read_exact(&mut heard).unwrap();
    assert_eq!(heard, words);
}

fn hears_nothing(mut connection: &TcpStream) {
    connection.set_read_timeout(Some(A_WHILE)).unwrap();
    let heard = connection.read(&mut [0]);
    assert!(heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{heard:?}");
    connection.set_read_timeout(Some(SOON)).unwrap();
}

fn is_reset(mut connection: &TcpStream) {
    let mut rest = Vec::new();
    let ended = connection.read_to_end(&mut rest);
    assert!(ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{ended:?}");
}

#[test]
fn a_clear_line_carries_everything_both_ways_to_the_orderly_end() {
    let proxy = proxied();
    let connection = connected(&proxy);
    let much: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    let (mut speaker, spoken) = (connection.try_clone().unwrap(), much.clone());
    let speaking = std::thread::spawn(move || {
        speaker.write_all(&spoken).unwrap();
        speaker.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    (&connection).read_to_end(&mut heard).unwrap();
    speaking.join().unwrap();
    assert!(heard == much, "{} of {} bytes", heard.len(), much.len());
}

#[test]
fn a_cut_line_resets_and_refuses_and_the_port_stays() {
    let proxy = proxied();
    let connection = connected(&proxy);
    says(&connection, b"a");
    hears(&connection, b"a");
    proxy.set(Line::Cut);
    is_reset(&connection);
    for _ in 0..3 {
        assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    proxy.set(Line::Clear);
    let again = connected(&proxy);
    says(&again, b"b");
    hears(&again, b"b");
}

#[test]
fn a_silent_line_keeps_connections_and_carries_later_what_was_said() {
    let proxy = proxied();
    let connection = connected(&proxy);
    proxy.set(Line::Silent);
    says(&connection, b"late");
    hears_nothing(&connection);
    let new = connected(&proxy);
    says(&new, b"new");
    hears_nothing(&new);
    proxy.set(Line::Clear);
    hears(&connection, b"late");
    hears(&new, b"new");
}

#[test]
fn a_deaf_line_carries_requests_and_no_answers() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::Tcp(server.local_addr().unwrap()));
    let connection = connected(&proxy);
    let (served, _) = server.accept().unwrap();
    proxy.set(Line::Deaf);
    says(&connection, b"request");
    hears(&served, b"request");
    says(&served, b"answer");
    hears_nothing(&connection);
    proxy.reset();
    is_reset(&connection);
}

#[test]
fn an_abandoned_connection_stays_and_carries_nothing_while_new_ones_do() {
    let proxy = proxied();
    let connection = connected(&proxy);
    says(&connection, b"a");
    hears(&connection, b"a");
    proxy.abandon();
    says(&connection, b"b");
    let new = connected(&proxy);
    says(&new, b"c");
    hears(&new, b"c");
    hears_nothing(&connection);
}

#[test]
fn a_brittle_line_resets_in_the_middle_after_so_many_bytes() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::Tcp(server.local_addr().unwrap()));
    proxy.set(Line::Brittle { after: 5 });
    let connection = connected(&proxy);
    let (mut served, _) = server.accept().unwrap();
    says(&connection, b"request");
    let mut heard = Vec::new();
    // What arrived before the reset may be thrown away with it: no more than that is certain.
    let _ = served.read_to_end(&mut heard);
    assert!(b"reque".starts_with(&heard), "{heard:?}");
    is_reset(&connection);
}

#[test]
fn a_slow_line_carries_everything_and_takes_its_time() {
    let proxy = proxied();
    proxy.set(Line::Slow { delay: Duration::from_millis(50), rate: 100_000 });
    let connection = connected(&proxy);
    let since = Instant::now();
    says(&connection, &[7; 10_000]);
    hears(&connection, &[7; 10_000]);
    // A tenth of a second and a delay, each way.
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
}

#[test]
fn a_proxy_that_leads_nowhere_or_to_nobody_ends_connections() {
    let proxy = Proxy::tcp();
    is_reset(&connected(&proxy));
    proxy.lead_to(Place::at("127.0.0.1:1"));
    is_reset(&connected(&proxy));
}

#[test]
fn a_unix_socket_is_carried_cut_and_opened_again_and_gone_in_the_end() {
    let folder = std::env::temp_dir().join(test_support::unique("dockstream-proxy"));
    std::fs::create_dir(&folder).unwrap();
    let (front, back) = (folder.join("front.sock"), folder.join("back.sock"));
    let server = UnixListener::bind(&back).unwrap();
    let proxy = Proxy::unix(&front, &back);
    let talks = || {
        let mut connection = UnixStream::connect(proxy.socket()).unwrap();
        let (mut served, _) = server.accept().unwrap();
        connection.write_all(b"x").unwrap();
        served.read_exact(&mut [0]).unwrap();
        connection
    };
    let mut connection = talks();
    proxy.set(Line::Cut);
    assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(UnixStream::connect(&front).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.set(Line::Clear);
    drop(talks());
    drop(proxy);
    wait_until(SOON, "the socket is gone", || !front.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
