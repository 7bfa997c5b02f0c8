//! Which folders stand for the control groups that a process is in.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What a line of `/proc/self/cgroup` says of memory: `4:memory,cpu:/path` or `0::/path`.
pub(super) fn membership(line: &str) -> Option<(Version, &str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    if controllers.is_empty() {
        return Some((Version::Two, path));
    }
    let limits = controllers.split(',').any(|name| name == "memory");
    limits.then_some((Version::One, path))
}

/// A hierarchy of groups as it is mounted here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    version: Version,
    /// The group that is seen at `point`: in a container often its own, by the host's name.
    top: String,
    point: PathBuf,
}

impl Mount {
    pub(super) fn all(root: &Path) -> Vec<Self> {
        let list = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        list.lines()
            .filter_map(Self::parse)
            .map(|mount| Self {
                point: below(root, &mount.point),
                ..mount
            })
            .collect()
    }

    /// `35 31 0:32 /top /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`
    fn parse(line: &str) -> Option<Self> {
        let (before, behind) = line.split_once(" - ")?;
        let mut behind = behind.split(' ');
        let version = match behind.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if behind.nth(1)?.split(',').any(|name| name == "memory") => Version::One,
            _ => return None,
        };
        let mut before = before.split(' ').skip(3);
        Some(Self {
            version,
            top: unescape(before.next()?),
            point: unescape(before.next()?).into(),
        })
    }

    /// The folders of the group at `path` and of those above it, as far as they are mounted.
    pub(super) fn folders(mounts: &[Self], version: Version, path: &str) -> Vec<PathBuf> {
        let of_version = || mounts.iter().filter(move |mount| mount.version == version);
        let inside = |mount: &Self| -> Option<PathBuf> {
            let path = Path::new(path).strip_prefix(&mount.top).ok()?;
            // Without the slash that joining nothing would leave.
            Some(mount.point.join(path).components().collect())
        };
        // Of several mounts the one that shows most of the way up.
        let best = of_version()
            .filter_map(|mount| Some((mount, inside(mount)?)))
            .min_by_key(|(mount, _)| mount.top.len());
        let (point, folder) = match best {
            Some((mount, folder)) => (&mount.point, folder),
            // The path is another namespace's; what is mounted here is what this process is in.
            None => match of_version().next() {
                Some(mount) => (&mount.point, mount.point.clone()),
                None => return Vec::new(),
            },
        };
        folder
            .ancestors()
            .take_while(|folder| folder.starts_with(point))
            .map(Path::to_path_buf)
            .collect()
    }
}

/// `path` seen from the root, put below another one.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(code.into());
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Option<(Version, String, String)> {
        let mount = Mount::parse(line)?;
        let point = mount.point.to_str().unwrap().to_owned();
        Some((mount.version, mount.top, point))
    }

    #[test]
    fn lines_of_mountinfo() {
        let one = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
        let (point, two) = ("/sys/fs/cgroup/memory".into(), "/sys/fs/cgroup".into());
        assert_eq!(mount(one), Some((Version::One, "/".into(), point)));
        let unified = "41 31 0:38 /a /sys/fs/cgroup ro shared:9 master:1 - cgroup2 cgroup2 rw";
        assert_eq!(mount(unified), Some((Version::Two, "/a".into(), two)));
        let joint = r"1 2 0:3 / /my\040groups\134 rw - cgroup cgroup rw,cpu,memory";
        let (_, _, point) = mount(joint).unwrap();
        assert_eq!(point, r"/my groups\");
        for other in [
            "34 31 0:31 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu",
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
            "1 2 0:3 / /x rw - cgroup cgroup",
            "1 2 0:3 / /x rw cgroup2",
            "1 2 - cgroup2 cgroup2 rw",
            "",
        ] {
            assert_eq!(mount(other), None, "{other}");
        }
    }

    #[test]
    fn lines_of_membership() {
        assert_eq!(membership("0::/a/b:c"), Some((Version::Two, "/a/b:c")));
        assert_eq!(membership("4:memory:/a"), Some((Version::One, "/a")));
        assert_eq!(membership("4:cpu,memory:/"), Some((Version::One, "/")));
        for other in ["4:cpu:/a", "9:name=memory:/", "4:memory", "4", ""] {
            assert_eq!(membership(other), None, "{other}");
        }
    }

    fn folders(tops: &[&str], path: &str) -> Vec<String> {
        let mounts: Vec<_> = tops
            .iter()
            .enumerate()
            .map(|(number, top)| Mount {
                version: Version::Two,
                top: (*top).into(),
                point: format!("/m{number}").into(),
            })
            .collect();
        assert!(Mount::folders(&mounts, Version::One, path).is_empty());
        let folders = Mount::folders(&mounts, Version::Two, path);
        folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect()
    }

    #[test]
    fn groups_are_followed_to_the_top_of_what_is_mounted() {
        assert_eq!(folders(&["/"], "/a/b"), ["/m0/a/b", "/m0/a", "/m0"]);
        assert_eq!(folders(&["/"], "/"), ["/m0"]);
        // A container without a namespace of groups sees its own at the top, by the host's path.
        assert_eq!(folders(&["/docker/1"], "/docker/1"), ["/m0"]);
        assert_eq!(folders(&["/docker/1"], "/docker/1/x"), ["/m0/x", "/m0"]);
        // The mount that shows more of the way up.
        assert_eq!(folders(&["/a", "/"], "/a"), ["/m1/a", "/m1"]);
        // Neither is above the process, by name; it was put into one of them all the same.
        assert_eq!(folders(&["/docker/12"], "/docker/1"), ["/m0"]);
        assert_eq!(folders(&["/a"], "/../b"), ["/m0"]);
        assert!(folders(&[], "/a").is_empty());
    }
}
