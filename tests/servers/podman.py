#!/usr/bin/env python3
"""Runs a Podman engine of its own, which speaks Docker's API: own processes, network, mounts, storage and cgroups.

The socket is DIR/podman.sock. Containers go into the cgroup that is named when it is ready (`docker run --cgroup-parent`),
and have no network.
"""

import os

import contained
import dockerd
import supervise


def main():
    args = supervise.arguments(__doc__).parse_args()
    contained.need("a Podman engine", ("podman", "conmon", "runc", "busybox", "setpriv"))
    args.dir = supervise.folder(args, "podman")
    contained.run(args, lambda cgroup: serve(args, cgroup))


def serve(args, cgroup):
    """The first process of the new pid namespace."""
    folder = args.dir
    (folder / "containers.conf").write_text(
        # Its own limits are above what a machine without CAP_SYS_RESOURCE may set; runc knows hybrid cgroups, crun does not.
        '[containers]\ndefault_ulimits = []\ncgroups = "no-conmon"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    os.environ["CONTAINERS_CONF"] = str(folder / "containers.conf")
    os.environ["TMPDIR"] = str(folder)
    path = folder / "podman.sock"
    command = ["podman", "--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs",
               "system", "service", "--time=0", f"unix://{path}"]
    addresses = {"socket": path, "cgroup": f"/{cgroup}"}
    supervise.Server(args, folder, command, lambda: dockerd.answers(path), addresses).run()


if __name__ == "__main__":
    main()
