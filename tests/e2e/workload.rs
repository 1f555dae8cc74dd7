//! Containers that burn, allocate, write and talk, on a real engine.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use test_support::Dockerd;

/// Starts one container of each kind; full ids by name.
///
/// Each does a little of its own, so that the machine stays usable: a core's third of CPU, 24 MiB that come and go, a
/// mebibyte a second straight to the disk, a datagram every tenth of a second.
pub fn start(engine: &Dockerd) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    let mut run = |name: &str, options: &[&str], script: &str| {
        ids.insert(name.to_owned(), engine.run(name, options, script));
    };
    run("burner", &["--cpus", "0.3", "--pids-limit", "50"], "while :; do :; done");
    let allocate = "while :; do dd if=/dev/zero of=/hoard/a bs=1M count=24; sleep 1; rm /hoard/a; sleep 1; done";
    run("hoarder", &["--memory", "64m", "--tmpfs", "/hoard"], allocate);
    let write = "while :; do dd if=/dev/zero of=/disk/a bs=256k count=4 oflag=direct; sleep 1; done";
    let limit = disk_under(engine.folder()).map(|disk| format!("--device-write-bps={disk}:1gb"));
    let options: Vec<&str> = ["--volume", "/disk"].into_iter().chain(limit.as_deref()).collect();
    run("writer", &options, write);
    run(
        "listener",
        &["--label", "com.docker.compose.project=talk", "--label", "com.docker.compose.service=ear"],
        "sleep 1000",
    );
    let address = engine.docker(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "listener"]);
    run("talker", &[], &format!("while :; do ping -c 1 -s 1000 {address}; sleep 0.1; done"));
    for network in ["left", "right"] {
        engine.docker(&["network", "create", network]);
    }
    run("traveller", &["--network", "left"], &format!("while :; do ping -c 1 -s 1000 {address}; sleep 0.1; done"));
    for network in ["right", "bridge"] {
        engine.docker(&["network", "connect", network, "traveller"]);
    }
    run("guest", &["--network", "container:talker"], "sleep 1000");
    run("hosted", &["--network", "host"], "sleep 1000");
    run("hermit", &["--network", "none"], "sleep 1000");
    ids
}

/// The disk that holds a folder. Under cgroup v1 the kernel counts only what it limits, so the writer gets a limit on it
/// that it never reaches.
fn disk_under(folder: &Path) -> Option<String> {
    let device = folder.metadata().expect("the engine's folder is there").dev();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let mut place = Path::new(&format!("/sys/dev/block/{major}:{minor}")).canonicalize().ok()?;
    if place.join("partition").exists() {
        place.pop();
    }
    Some(format!("/dev/{}", place.file_name()?.to_str()?))
}
