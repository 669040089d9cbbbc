# SPDX-License-Identifier: Apache-2.0
"""What a Docker engine of our own would leave behind on the machine, and how
that is taken away again: chains of iptables, bridges, forwarding, mounts,
control groups, its key and folders."""

import json
import os
import re
import subprocess

FORWARD = "/proc/sys/net/ipv4/ip_forward"
KEY = "/etc/docker/key.json"
FOLDERS = ("/etc/docker", "/run/docker", "/run/containerd", KEY)
TABLES = ("filter", "nat", "mangle", "raw")
BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}|veth[0-9a-f]{7}")
# From a container back to itself.
HAIRPIN = re.compile(r"-s (\S+) -d \1 .*-j MASQUERADE")


def output(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def call(*command):
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rules(table):
    """Docker's chains and rules, and the policies, of both address families:
    (command, line)."""
    found = []
    for command in ("iptables", "ip6tables"):
        for line in output(command, "-t", table, "-S").splitlines():
            if (line.startswith("-P") or "DOCKER" in line or
                    HAIRPIN.search(line) or
                    any(BRIDGE.fullmatch(word) for word in line.split())):
                found.append([command, line])
    return found


def links():
    return sorted(name for name in os.listdir("/sys/class/net")
                  if BRIDGE.fullmatch(name))


def mounts(folder):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return [line.split()[1] for line in f
                if line.split()[1].startswith(folder + "/")]


def groups():
    """Control groups named docker."""
    found = []
    for root in ("/sys/fs/cgroup", *(
            os.path.join("/sys/fs/cgroup", name)
            for name in (os.listdir("/sys/fs/cgroup") if os.path.isdir(
                "/sys/fs/cgroup") else []))):
        path = os.path.join(root, "docker")
        if os.path.isdir(path):
            found.append(path)
    return sorted(found)


def forwarding():
    with open(FORWARD, encoding="ascii") as f:
        return f.read().strip()


def forward(value):
    with open(FORWARD, "w", encoding="ascii") as f:
        f.write(value)


class Machine:
    """The machine as it was when the engine's folder was new. restore() is
    for after the engine has ended, by this process or a later one."""

    def __init__(self, folder):
        self.folder = folder  # of the engine
        path = os.path.join(folder, "machine.json")
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as f:
                json.dump(self.state(), f)
        with open(path, encoding="ascii") as f:
            self.before = json.load(f)

    def state(self):
        return {"forwarding": forwarding(),
                "rules": {table: rules(table) for table in TABLES},
                "links": links(), "groups": groups(),
                "folders": [f for f in FOLDERS if os.path.exists(f)],
                "mounts": mounts(self.folder)}

    def restore(self):
        """Takes away what was not there."""
        for path in reversed(mounts(self.folder)):
            call("umount", "-l", path)
        for name in set(links()) - set(self.before["links"]):
            call("ip", "link", "delete", name)
        for table in TABLES:
            self.restore_rules(table)
        for path in set(groups()) - set(self.before["groups"]):
            for folder, _, _ in os.walk(path, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass  # somebody is in it: state() tells
        for path in FOLDERS:
            if path not in self.before["folders"]:
                call("rm", "-rf", "--one-file-system", path)
        if forwarding() != self.before["forwarding"]:
            forward(self.before["forwarding"])

    def restore_rules(self, table):
        new = [r for r in rules(table) if r not in self.before["rules"][table]]
        for command, line in new:  # rules first: they hold the chains
            if line.startswith("-A"):
                call(command, "-t", table, "-D", *line.split()[1:])
        for command, line in new:
            if line.startswith("-N"):
                call(command, "-t", table, "-F", line.split()[1])
        for command, line in new:
            if line.startswith("-N"):
                call(command, "-t", table, "-X", line.split()[1])
        for command, line in self.before["rules"][table]:
            if line.startswith("-P"):
                call(command, "-t", table, *line.split())

    def differences(self):
        """What is not as it was; empty when all is."""
        after = self.state()
        return {key: (self.before[key], after[key]) for key in after
                if after[key] != self.before[key]}
