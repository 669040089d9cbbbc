# SPDX-License-Identifier: Apache-2.0
"""The stack of docker-compose.yml under test, as a project of its own, with
one thing added: the trainer has the event's id as a feature, so that its table
tells how often each event was learned from."""

import json
import os
import shutil
import signal
import socket
import tempfile
import time
import uuid

from engine import ROOT, file_text

DEADLINE_S = 600  # generous: other tests may have the machine
FEATURES = "features:\n"
LEDGER = "  event_id: {kind: categorical, seen_by: student}\n"
STUDENT = "/var/lib/distilld/student/checkpoints"


def wait_until(is_true, what, seconds=DEADLINE_S):
    """Polls until is_true() and returns its value; fails at the deadline."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = is_true()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stack:
    """Runs compose() on the project; close() removes all of it."""

    def __init__(self, engine, rate):
        self.engine = engine
        self.project = "distilld-check-" + uuid.uuid4().hex[:8]
        self.folder = tempfile.mkdtemp(prefix="distilld-compose-",
                                       dir="/var/tmp")
        self.kafka_port = free_port()
        engine.env.update(PORT=str(free_port()), RATE=str(rate),
                          KAFKA_PORT=str(self.kafka_port), WERROR="1")
        self.files = ["docker-compose.yml", self.write_ledger()]

    def write_ledger(self):
        conf = os.path.join(self.folder, "conf")
        shutil.copytree(os.path.join(ROOT, "conf", "compose"), conf)
        train = file_text("conf", "compose", "train.yaml")
        if train.count(FEATURES) != 1:
            raise AssertionError("train.yaml has not one place for features")
        with open(os.path.join(conf, "train.yaml"), "w",
                  encoding="utf-8") as f:
            f.write(train.replace(FEATURES, FEATURES + LEDGER))
        for folder, _, files in os.walk(self.folder):
            os.chmod(folder, 0o755)
            for name in files:
                os.chmod(os.path.join(folder, name), 0o644)
        path = os.path.join(self.folder, "ledger.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"services": {"train": {"volumes": [
                f"{conf}:/etc/distilld:ro"]}}}, f)
        return path

    def compose(self, *args, seconds=DEADLINE_S):
        files = [word for name in self.files
                 for word in ("-f", os.path.join(ROOT, name))]
        return self.engine.docker(
            "compose", "--project-directory", ROOT, "-p", self.project,
            *files, *args, seconds=seconds)

    def close(self):
        """Again does nothing."""
        if self.files:
            self.compose("down", "-v", "--remove-orphans", "-t", "5")
            shutil.rmtree(self.folder, ignore_errors=True)
            self.files = []

    def containers(self, service):
        return self.compose("ps", "-aq", service).split()

    def inspect(self, service):
        ids = self.containers(service)
        return json.loads(self.engine.docker("inspect", *ids)) if ids else []

    def state(self, service):
        """Of its containers: running, exited, ... with the health."""
        return [(c["State"]["Status"],
                 c["State"].get("Health", {}).get("Status"),
                 c["State"]["ExitCode"]) for c in self.inspect(service)]

    def is_healthy(self, service, count=1):
        states = self.state(service)
        return len(states) == count and all(
            s[:2] == ("running", "healthy") for s in states)

    def has_finished(self, service):
        return [s[0] + str(s[2]) for s in self.state(service)] == ["exited0"]

    def execute(self, service, *command):
        return self.compose("exec", "-T", service, *command)

    def crash(self, service):
        """Kills the service's process as a fault would. The restart policy
        brings it back where the test sees the engine's processes; elsewhere
        the engine takes the kill for a wish, and is told to start it again."""
        before = self.inspect(service)[0]
        pid = before["State"]["Pid"]
        if self.engine.is_private:
            os.kill(pid, signal.SIGKILL)
        else:
            self.engine.docker("kill", before["Id"])
            self.engine.docker("start", before["Id"])

        def is_back():
            after = self.inspect(service)[0]["State"]
            return after["Pid"] != pid and after["Status"] == "running"
        wait_until(is_back, f"{service} to be started again")

    def sightings(self):
        """{id: how often the last checkpoint has seen it} of event_id."""
        try:
            text = self.execute("train", "distilld", "inspect", STUDENT,
                                "--ids", "event_id")
        except AssertionError:
            return {}  # no checkpoint yet, or it is just being replaced
        rows = (line.split("\t") for line in text.splitlines())
        return {int(row[0]): int(row[2]) for row in rows
                if len(row) > 2 and row[0].isdigit()}

    def dump(self):
        """The ends of the logs, for whom a test has failed."""
        return self.compose("ps", "-a") + self.compose(
            "logs", "--tail=25", "--no-color").replace("\x1b[2K", "")
