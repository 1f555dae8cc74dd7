//! Who answers: engine, versions, machine.

use std::cmp::{max, min};

use bollard::models::{SystemInfo, SystemVersion};
use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822;
use model::{CpuClock, OsFamily, Timestamp};
use pipeline::ports::EngineInfo;

/// Newest API version whose answers were seen and are understood. A newer engine is asked to speak this one.
const NEWEST: (u32, u32) = (1, 51);

/// What the head of `/_ping` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ping {
    /// `Api-Version`: the newest version the engine speaks.
    pub(crate) api_version: Option<(u32, u32)>,
    /// `Ostype`.
    pub(crate) os: Option<OsFamily>,
    /// `Date`, to the second.
    pub(crate) clock: Option<Timestamp>,
}

impl Ping {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            api_version: text("api-version").and_then(api_version),
            os: text("ostype").and_then(os_family),
            clock: text(DATE.as_str()).and_then(http_date),
        }
    }
}

/// The version to speak: the engine's newest, or ours where that is older, or the engine's oldest where ours is too old.
pub(crate) fn agree(engine: (u32, u32), oldest: Option<(u32, u32)>) -> (u32, u32) {
    max(min(engine, NEWEST), oldest.unwrap_or((0, 0)))
}

/// Puts together what the engine said; `info` may be missing where a proxy does not let it through.
pub(crate) fn info(ping: &Ping, version: &SystemVersion, info: Option<SystemInfo>) -> EngineInfo {
    let info = info.unwrap_or_default();
    let podman =
        version.components.iter().flatten().any(|component| component.name.to_ascii_lowercase().contains("podman"));
    let os = info.os_type.as_deref().or(version.os.as_deref()).and_then(os_family);
    EngineInfo {
        engine: if podman { "podman" } else { "docker" }.to_owned(),
        version: version.version.clone().unwrap_or_default(),
        api_version: newest(ping, version),
        os: ping.os.or(os).unwrap_or_default(),
        cpu_clock: if podman { CpuClock::Wall } else { CpuClock::System },
        kernel: info.kernel_version.or_else(|| version.kernel_version.clone()).filter(|kernel| !kernel.is_empty()),
        cgroup_version: info.cgroup_version.and_then(|version| version.to_string().parse().ok()),
        cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).filter(|cpus| *cpus > 0),
        memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0),
        clock: ping.clock,
    }
}

/// The newest API version the engine speaks, by either of its answers.
pub(crate) fn newest(ping: &Ping, version: &SystemVersion) -> (u32, u32) {
    ping.api_version.or_else(|| version.api_version.as_deref().and_then(api_version)).unwrap_or((0, 0))
}

/// The oldest API version the engine still speaks.
pub(crate) fn oldest(version: &SystemVersion) -> Option<(u32, u32)> {
    version.min_api_version.as_deref().and_then(api_version)
}

fn api_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn os_family(text: &str) -> Option<OsFamily> {
    match text.trim().to_ascii_lowercase().as_str() {
        "linux" => Some(OsFamily::Linux),
        "windows" => Some(OsFamily::Windows),
        _ => None,
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn recorded<T: serde::de::DeserializeOwned>(name: &str) -> T {
        let path = format!("{}/tests/frames/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn every_recorded_engine_is_recognised() {
        for (prefix, engine, version, api, clock, cgroup) in [
            ("d20v1", "docker", "20.10.24+dfsg1", (1, 41), CpuClock::System, 1),
            ("d26v2", "docker", "26.1.5+dfsg1", (1, 45), CpuClock::System, 2),
            ("d28v2", "docker", "28.5.2+dfsg4", (1, 51), CpuClock::System, 2),
            ("p43v1", "podman", "4.3.1", (1, 41), CpuClock::Wall, 1),
        ] {
            let told = info(
                &Ping::default(),
                &recorded(&format!("{prefix}_version.json")),
                Some(recorded(&format!("{prefix}_info.json"))),
            );
            assert_eq!((told.engine.as_str(), told.version.as_str()), (engine, version));
            assert_eq!((told.api_version, told.cpu_clock, told.cgroup_version), (api, clock, Some(cgroup)), "{prefix}");
            assert_eq!((told.os, told.cpus), (OsFamily::Linux, Some(2)), "{prefix}");
            assert!(told.kernel.is_some() && told.memory_bytes.is_some(), "{prefix}");
        }
    }

    #[test]
    fn without_info_the_rest_is_still_told() {
        let told = info(&Ping::default(), &recorded("d28v2_version.json"), None);
        assert_eq!(
            (told.engine.as_str(), told.cpus, told.memory_bytes, told.cgroup_version),
            ("docker", None, None, None)
        );
        assert_eq!(told.kernel.as_deref(), Some("6.12.107+deb13-cloud-amd64"));
    }

    #[test]
    fn the_head_of_a_ping_gives_version_system_and_clock() {
        let mut headers = HeaderMap::new();
        assert_eq!(Ping::read(&headers), Ping::default());
        headers.insert("Api-Version", HeaderValue::from_static("1.51"));
        headers.insert("Ostype", HeaderValue::from_static("windows"));
        headers.insert(DATE, HeaderValue::from_static("Fri, 20 Nov 2026 12:40:51 GMT"));
        let ping = Ping::read(&headers);
        assert_eq!((ping.api_version, ping.os), (Some((1, 51)), Some(OsFamily::Windows)));
        assert_eq!(ping.clock, "2026-11-20T12:40:51Z".parse().ok());
    }

    #[test]
    fn the_version_spoken_is_one_that_both_know() {
        assert_eq!(agree((1, 41), Some((1, 12))), (1, 41));
        assert_eq!(agree((1, 60), Some((1, 44))), NEWEST);
        assert_eq!(agree((1, 70), Some((1, 60))), (1, 60));
        assert_eq!(agree((1, 40), None), (1, 40));
    }
}
