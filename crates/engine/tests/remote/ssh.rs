//! SSH.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::{HostOptions, SshOptions};
use futures_util::StreamExt;
use model::ContainerId;
use pipeline::ports::{EngineApi, EngineFailure};
use test_support::{Dockerd, Line, Place, Proxy, Sshd, unique, wait_until, wait_until_async};

use crate::{SOON, everything_works, host, patient, refusal, soon};

fn with(ssh: SshOptions) -> HostOptions {
    HostOptions { ssh, ..patient() }
}

/// The key that opens `sshd`, and the file that knows it.
fn invited(sshd: &Sshd) -> SshOptions {
    SshOptions { identity: Some(sshd.key()), known_hosts: vec![sshd.known_hosts()], ..SshOptions::default() }
}

/// A new key pair; its private file.
fn keygen(folder: &Path, name: &str, kind: &str) -> std::path::PathBuf {
    let file = folder.join(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&file).status().unwrap();
    assert!(made.success());
    file
}

fn public(file: &Path) -> String {
    std::fs::read_to_string(file.with_extension("pub")).unwrap()
}

#[tokio::test]
async fn an_engine_behind_ssh_is_watched_whole_over_one_session() {
    let (docker, sshd) = (Dockerd::shared(), Sshd::start());
    let host = host(&sshd.url(docker.socket()), &with(invited(&sshd)));
    everything_works(&host, docker).await;

    // More streams than a server's MaxSessions (10).
    let name = unique("watched");
    let id: ContainerId = docker.run(&name, &[], "sleep 600").parse().unwrap();
    let mut feeds = Vec::new();
    for _ in 0..60 {
        feeds.push(soon(host.stats(&id)).await.unwrap());
    }
    for feed in &mut feeds {
        soon(feed.next()).await.unwrap().unwrap();
    }
    docker.remove(&name);
    for mut feed in feeds {
        soon(async { while feed.next().await.transpose().unwrap().is_some() {} }).await;
    }
    assert_eq!(logins(&sshd), 1);
    drop(host);
    // What the server says of the end depends on what it had still to send: closed, or a broken pipe.
    let ended = async || log(&sshd).split("Accepted publickey").nth(1).is_some_and(|rest| rest.lines().count() > 1);
    wait_until_async(SOON, "the session ends with the host", ended).await;
}

fn log(sshd: &Sshd) -> String {
    std::fs::read_to_string(sshd.folder().join("server.log")).unwrap()
}

fn logins(sshd: &Sshd) -> usize {
    log(sshd).matches("Accepted publickey").count()
}

#[tokio::test]
async fn what_is_wrong_with_a_key_or_a_host_key_is_said_in_one_line_each() {
    let (docker, sshd, folder) = (Dockerd::shared(), Sshd::start(), tempfile::tempdir().unwrap());
    let url = sshd.url(docker.socket());
    let invited = invited(&sshd);
    let stranger = keygen(folder.path(), "stranger", "ed25519");
    let changed = folder.path().join("changed");
    std::fs::write(&changed, format!("[127.0.0.1]:{} {}", sshd.port(), public(&stranger))).unwrap();
    let nobody = folder.path().join("nobody");
    let encrypted = folder.path().join("encrypted");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "word", "-f"]).arg(&encrypted).status();
    assert!(made.unwrap().success());
    let rsa = keygen(folder.path(), "rsa", "rsa");
    let key = |file: &Path| SshOptions { identity: Some(file.to_owned()), ..invited.clone() };
    let hosts = |file: &Path| SshOptions { known_hosts: vec![file.to_owned()], ..invited.clone() };
    let changed_words = format!("another one is known ({}:1)", changed.display());
    for (options, words) in [
        (key(&stranger), "lets root in with none of our keys"),
        (key(&nobody), "nobody cannot be used: no such file"),
        (key(&encrypted), "it wants a passphrase: load it into an agent"),
        (key(&rsa), "an RSA key signs through an agent only"),
        (SshOptions { identity: None, ..invited.clone() }, "there is no key to log in with: name a file in `ssh_key`"),
        (hosts(&nobody), "the host key of 127.0.0.1 is unknown (ssh-ed25519 SHA256:"),
        (hosts(&changed), changed_words.as_str()),
    ] {
        let error = refusal(&url, &with(options)).await;
        assert_eq!(error.failure, EngineFailure::Refused, "{error}");
        assert!(error.message.contains(words) && error.message.starts_with("ssh://"), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_or_may_not_be_forwarded_is_told_from_a_host_that_is_not() {
    let (docker, sshd) = (Dockerd::shared(), Sshd::start());
    let error = refusal(&sshd.url(Path::new("/nowhere/docker.sock")), &with(invited(&sshd))).await;
    assert!(error.message.contains("no Docker engine at /nowhere/docker.sock there"), "{error}");

    let strict = Sshd::start_with(&["AllowStreamLocalForwarding no"]);
    let error = refusal(&strict.url(docker.socket()), &with(invited(&strict))).await;
    assert!(error.message.contains("does the server allow it (AllowStreamLocalForwarding)"), "{error}");

    let url = strict.url(docker.socket());
    strict.pause();
    let hasty = HostOptions { head_timeout: Duration::from_millis(500), ..with(invited(&strict)) };
    let error = refusal(&url, &hasty).await;
    assert_eq!(error.failure, EngineFailure::Timeout);
    assert!(error.message.contains("the SSH server has not let us in within 400ms: the host hangs"), "{error}");
    strict.stop();
    let error = refusal(&url, &with(invited(&strict))).await;
    assert_eq!(error.failure, EngineFailure::Unreachable);
    assert!(error.message.contains("nobody listens on port"), "{error}");

    let error = refusal(&docker_on(&sshd, "tcp"), &with(invited(&sshd))).await;
    assert!(error.message.contains("not understood") || error.message.contains("broke"), "{error}");
}

fn docker_on(sshd: &Sshd, scheme: &str) -> String {
    format!("{scheme}://127.0.0.1:{}", sshd.port())
}

/// An agent, which ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn an_agents_keys_open_the_door_rsa_keys_too() {
    let (docker, sshd, folder) = (Dockerd::shared(), Sshd::start(), tempfile::tempdir().unwrap());
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let socket = folder.path().join(format!("{kind}.sock"));
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let _agent = Agent(child);
        wait_until(SOON, "the agent", || socket.exists());
        let (other, key) = (keygen(folder.path(), &format!("{kind}-other"), kind), keygen(folder.path(), kind, kind));
        for file in [&other, &key] {
            let added = Command::new("ssh-add").arg("-q").arg(file).env("SSH_AUTH_SOCK", &socket).status().unwrap();
            assert!(added.success());
        }
        std::fs::write(sshd.folder().join("authorized_keys"), public(&key)).unwrap();
        let options = SshOptions { identity: None, agent: Some(socket.clone()), ..invited(&sshd) };
        soon(host(&sshd.url(docker.socket()), &with(options)).identify()).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_breaks_ends_its_streams_and_is_made_anew() {
    let (docker, sshd, folder) = (Dockerd::shared(), Sshd::start(), tempfile::tempdir().unwrap());
    let proxy = Proxy::tcp();
    proxy.lead_to(Place::at(&format!("127.0.0.1:{}", sshd.port())));
    let port = proxy.address().port();
    let known = folder.path().join("known_hosts");
    let line = std::fs::read_to_string(sshd.known_hosts()).unwrap();
    std::fs::write(&known, line.replace(&sshd.port().to_string(), &port.to_string())).unwrap();
    let url = sshd.url(docker.socket()).replace(&format!(":{}/", sshd.port()), &format!(":{port}/"));
    let host = host(&url, &with(SshOptions { known_hosts: vec![known], ..invited(&sshd) }));
    let mut events = soon(host.events(None)).await.unwrap();

    proxy.set(Line::Cut);
    let broken = soon(events.next()).await.unwrap().unwrap_err();
    assert_eq!(broken.failure, EngineFailure::Unreachable, "{broken}");
    let gone = soon(host.ping()).await.unwrap_err();
    assert!(gone.message.contains("nobody listens"), "{gone}");

    proxy.set(Line::Clear);
    everything_works(&host, docker).await;
    assert_eq!(logins(&sshd), 2);
}
