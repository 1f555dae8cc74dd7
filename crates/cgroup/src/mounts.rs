//! Where a container's control groups are: what is mounted, and where its processes are in it.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::ContainerId;

use crate::flat::{lines, words};

/// Controllers of version 1 that are read; without the first there is nothing to show.
pub(crate) const CONTROLLERS: [&str; 5] = ["cpuacct", "cpu", "memory", "blkio", "pids"];

/// The hierarchies mounted here.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    version1: BTreeMap<&'static str, Mount>,
    version2: Option<Mount>,
}

/// One hierarchy, or the part of it under `root`.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mounts {
    /// Reads `/proc/self/mountinfo`: `36 35 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`.
    pub fn parse(mountinfo: &[u8]) -> Self {
        let mut mounts = Self::default();
        for line in lines(mountinfo) {
            let fields: Vec<&[u8]> = words(line).collect();
            let Some(dash) = fields.iter().position(|field| *field == b"-").filter(|dash| *dash >= 5) else { continue };
            let (root, point) = (unescaped(fields[3]), unescaped(fields[4]));
            let (kind, options) = (fields.get(dash + 1).copied(), fields.get(dash + 3).copied().unwrap_or_default());
            match kind {
                // What is mounted later, over it, is what is seen.
                Some(b"cgroup2") => mounts.version2 = Some(Mount { root, point }),
                Some(b"cgroup") => {
                    for option in options.split(|byte| *byte == b',') {
                        if let Some(name) = CONTROLLERS.iter().find(|name| name.as_bytes() == option) {
                            let mount = Mount { root: root.clone(), point: point.clone() };
                            mounts.version1.insert(name, mount);
                        }
                    }
                }
                _ => {}
            }
        }
        mounts
    }

    pub fn is_empty(&self) -> bool {
        self.version1.is_empty() && self.version2.is_none()
    }

    /// The folder of the container in the one hierarchy of version 2; `None` where version 1 has the controllers.
    pub fn version2(&self, groups: &Groups) -> Option<PathBuf> {
        if !self.version1.is_empty() {
            return None;
        }
        self.version2.as_ref()?.folder(groups.version2.as_deref()?)
    }

    /// The container's folder where its processes are listed.
    pub fn folder(&self, groups: &Groups) -> Option<PathBuf> {
        self.version2(groups).or_else(|| self.version1(groups, CONTROLLERS[0]))
    }

    /// The container's folder in the hierarchy of a controller of version 1; `None` where that is not mounted.
    pub fn version1(&self, groups: &Groups, controller: &str) -> Option<PathBuf> {
        self.version1.get(controller)?.folder(groups.version1.get(controller)?)
    }
}

impl Mounts {
    /// Every group that is named after a container, by the id.
    pub fn containers(&self) -> BTreeMap<ContainerId, PathBuf> {
        let mount = self.version1.get(CONTROLLERS[0]).or(self.version2.as_ref());
        let mut found = BTreeMap::new();
        let mut folders: VecDeque<(PathBuf, u32)> = mount.iter().map(|mount| (mount.point.clone(), 0)).collect();
        let mut looked_at = 0;
        while let (Some((folder, depth)), Some(mount)) = (folders.pop_front(), mount) {
            looked_at += 1;
            if depth > DEEPEST || looked_at > MOST_FOLDERS {
                break;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                match (id_in(entry.file_name().as_bytes()), entry.path().strip_prefix(&mount.point)) {
                    (Some(id), Ok(below)) => drop(found.insert(id, mount.root.join(below))),
                    _ => folders.push_back((entry.path(), depth + 1)),
                }
            }
        }
        found
    }
}

/// Groups of containers are rarely more than two below the root.
const DEEPEST: u32 = 6;

/// A machine has some hundred.
const MOST_FOLDERS: u32 = 20_000;

impl Mount {
    /// Where a path of the hierarchy is found; `None` where it lies outside of what is mounted.
    fn folder(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(|below| self.point.join(below))
    }
}

/// Where a container's processes are, by hierarchy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    version1: BTreeMap<&'static str, PathBuf>,
    version2: Option<PathBuf>,
}

impl Groups {
    /// The same group in each hierarchy: engines put a container so.
    pub fn at(path: &Path) -> Self {
        let version1 = CONTROLLERS.iter().map(|name| (*name, path.to_owned())).collect();
        Self { version1, version2: Some(path.to_owned()) }
    }

    /// Reads `/proc/<pid>/cgroup`: `4:memory:/docker/<id>`, `0::/system.slice/docker-<id>.scope`. `None` where the process
    /// is not in a group of `container`. What runs in a group below the container's own (an init that makes such)
    /// is counted in that, too.
    pub fn of(listed: &[u8], container: &ContainerId) -> Option<Self> {
        let mut groups = Self::default();
        for line in lines(listed) {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let (Some(_), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let Some(path) = up_to(path, container) else { continue };
            if names.is_empty() {
                groups.version2 = Some(path);
                continue;
            }
            for name in names.split(|byte| *byte == b',') {
                if let Some(name) = CONTROLLERS.iter().find(|known| known.as_bytes() == name) {
                    groups.version1.insert(name, path.clone());
                }
            }
        }
        (groups != Self::default()).then_some(groups)
    }
}

/// The path up to the group that is named after the container.
fn up_to(path: &[u8], container: &ContainerId) -> Option<PathBuf> {
    let id = container.as_str().as_bytes();
    let mut end = 0;
    for part in path.split_inclusive(|byte| *byte == b'/') {
        end += part.len();
        if part.windows(id.len()).any(|window| window == id) {
            let whole = &path[..end];
            let whole = whole.strip_suffix(b"/").unwrap_or(whole);
            return Some(PathBuf::from(std::ffi::OsStr::from_bytes(whole)));
        }
    }
    None
}

/// The id in a name like `<id>`, `docker-<id>.scope`, `libpod-<id>`; none in that of a monitor beside the container.
fn id_in(name: &[u8]) -> Option<ContainerId> {
    let name = std::str::from_utf8(name).ok()?;
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = bare.split_at_checked(bare.len().checked_sub(64)?)?;
    let is_a_containers = matches!(prefix, "" | "docker-" | "libpod-");
    ContainerId::try_new(id).ok().filter(|_| is_a_containers)
}

/// Space, tab, newline and backslash are written as `\040` and so on.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let code = others.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match code {
            Some(byte) => {
                text.push(byte);
                rest = &others[3..];
            }
            None => {
                text.push(*first);
                rest = others;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a9f7b24b1fb3c693b88fb10fc2017f1922d35c7fb368c9fd73507c32758b00b4";

    fn id() -> ContainerId {
        ContainerId::try_new(ID).unwrap()
    }

    fn groups(listed: &str) -> Option<Groups> {
        Groups::of(listed.replace("<id>", ID).as_bytes(), &id())
    }

    #[test]
    fn controllers_of_version_1_are_found_where_each_is_mounted() {
        let mounts = Mounts::parse(
            b"24 20 0:21 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:5 - cgroup cgroup rw,cpu,cpuacct\n\
              25 20 0:22 / /sys/fs/cgroup/memory rw shared:6 master:1 - cgroup cgroup rw,memory\n\
              26 20 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
              27 20 0:24 / /proc rw - proc proc rw\n",
        );
        let groups =
            groups("12:cpu,cpuacct:/docker/<id>\n4:memory:/docker/<id>\n3:pids:/docker/<id>\n0::/docker/<id>\n")
                .unwrap();
        let folder = |name| mounts.version1(&groups, name);
        assert_eq!(folder("cpuacct"), Some(format!("/sys/fs/cgroup/cpu,cpuacct/docker/{ID}").into()));
        assert_eq!(folder("memory"), Some(format!("/sys/fs/cgroup/memory/docker/{ID}").into()));
        assert_eq!(folder("pids"), None, "it is not mounted");
        assert_eq!(mounts.version2(&groups), None, "the controllers are with version 1");
    }

    #[test]
    fn a_group_of_version_2_is_the_containers_own_also_where_its_processes_are_below() {
        let mounts = Mounts::parse(b"30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
        let groups = groups("0::/system.slice/docker-<id>.scope/init.scope\n").unwrap();
        assert_eq!(mounts.version2(&groups), Some(format!("/sys/fs/cgroup/system.slice/docker-{ID}.scope").into()));
    }

    #[test]
    fn a_part_of_a_hierarchy_holds_what_is_below_it_only() {
        let mounts = Mounts::parse(b"30 20 0:26 /docker /groups\\040here rw - cgroup2 cgroup2 rw\n");
        let of = |listed| mounts.version2(&groups(listed).unwrap());
        assert_eq!(of("0::/docker/<id>\n"), Some(format!("/groups here/{ID}").into()));
        assert_eq!(of("0::/elsewhere/<id>\n"), None);
    }

    #[test]
    fn a_process_of_something_else_is_in_no_group_of_the_container() {
        assert_eq!(groups("0::/user.slice/user-0.slice\n4:memory:/docker/0123\n"), None);
        assert_eq!(groups(""), None);
        assert_eq!(groups("nonsense\n4:memory\n"), None);
    }

    #[test]
    fn groups_of_containers_are_found_by_their_names_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = ("1".repeat(64), "2".repeat(64), "3".repeat(64));
        let places = [
            format!("docker/{one}/init.scope"),
            format!("system.slice/docker-{two}.scope"),
            format!("machine.slice/libpod-{three}.scope/container"),
            format!("machine.slice/libpod-conmon-{}.scope", "4".repeat(64)),
            "user.slice".to_owned(),
        ];
        for place in places {
            std::fs::create_dir_all(folder.path().join(place)).unwrap();
        }
        let point = folder.path().display();
        let mounts = Mounts::parse(format!("30 20 0:26 /below {point} rw - cgroup2 cgroup2 rw\n").as_bytes());
        let found = mounts.containers();
        let id = |text: &str| ContainerId::try_new(text).unwrap();
        let expected = BTreeMap::from([
            (id(&one), format!("/below/docker/{one}").into()),
            (id(&two), format!("/below/system.slice/docker-{two}.scope").into()),
            (id(&three), format!("/below/machine.slice/libpod-{three}.scope").into()),
        ]);
        assert_eq!(found, expected);
        let groups = Groups::at(&found[&id(&one)]);
        assert_eq!(mounts.version2(&groups), Some(folder.path().join("docker").join(one)));
    }

    #[test]
    fn what_is_mounted_later_is_what_is_seen() {
        let mounts = Mounts::parse(
            b"30 20 0:26 / /old rw - cgroup2 cgroup2 rw\nbroken line\n31 20 0:26 / /new rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(mounts.version2(&groups("0::/<id>\n").unwrap()), Some(format!("/new/{ID}").into()));
        assert!(Mounts::parse(b"27 20 0:24 / /proc rw - proc proc rw\n").is_empty());
    }
}
