//! HTTP as plain as it gets, over any connection: one request each, so that nothing lies between a test and the bytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No answer, and no frame of a stream, takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for `path` over TCP: the status and the whole body.
pub fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let (status, mut body) = ask(connection, &address.to_string(), path)?;
    let mut text = String::new();
    body.read_to_string(&mut text)?;
    Ok((status, text))
}

/// Asks for `path` over a unix socket: the body, to be read as it comes.
pub fn open(socket: &Path, path: &str) -> io::Result<impl BufRead + use<>> {
    let connection = UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    match ask(connection, "docker", path)? {
        (200, body) => Ok(body),
        (status, _) => Err(io::Error::other(format!("{path}: {status}"))),
    }
}

/// HTTP/1.0: no chunks, and the end of the connection is the end of the body.
fn ask<C: Read + Write>(mut connection: C, host: &str, path: &str) -> io::Result<(u16, BufReader<C>)> {
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = BufReader::new(connection);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
    while !matches!(line.as_str(), "\r\n" | "") {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok((status, answer))
}
