# SPDX-License-Identifier: Apache-2.0
"""distilld as a service on Kafka: its topics, configurations and processes.
What a test and chaos both need, and no more than they can see from outside.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import uuid

import ledger
from integration import binary, wait_until
from kafka import end_well, pdeathsig
from stream import merge

SESSION_MS = 3000  # how long a dead member is waited for

# Quick to notice, quick to try again.
KAFKA = {
    "topic.metadata.refresh.interval.ms": 2000,
    "reconnect.backoff.max.ms": 500,
    "consumer": {"session.timeout.ms": SESSION_MS,
                 "heartbeat.interval.ms": 500},
}


def librdkafka_version():
    """Of the system's library, which the daemon uses: (2, 8, 0)."""
    number = ctypes.CDLL("librdkafka.so.1").rd_kafka_version()
    return number >> 24, number >> 16 & 255, number >> 8 & 255


class Daemon:
    """One distilld: started, asked, stopped, its words in a file."""

    def __init__(self, config, log, crash=False, env=None, args=()):
        self.log = log
        self.command = [binary(crash), "run", "-c", config, *args]
        self.start(env)

    def start(self, env=None):
        """Starts it, again where it has ended. From the main thread: the
        daemon dies with the thread that started it."""
        end_well()
        with open(self.log, "ab") as f:
            self.from_here = f.tell()
            self.process = subprocess.Popen(
                pdeathsig(self.command), stdin=subprocess.DEVNULL, stdout=f,
                stderr=f, env={**os.environ, **(env or {})},
                start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    @property
    def status(self):
        """Its exit status; None while it runs."""
        return self.process.poll()

    def said(self):
        """What it has said since its last start."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            f.seek(self.from_here)
            return f.read()

    def tail(self):
        return f"{self.log}, its end:\n" + self.said()[-3000:]

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, however it is. Gives its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()

    def wait(self, seconds=60):
        """Its exit status, when it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in {seconds} s; "
                                 + self.tail()) from None

    def stop(self, seconds=60):
        """SIGTERM, which must end it with status 0."""
        self.await_said("to=running")  # before, it has no handlers yet
        self.send(signal.SIGTERM)
        status = self.wait(seconds)
        assert status == 0, f"status {status}; " + self.tail()

    def await_said(self, text, seconds=60):
        """Waits until it has said a text."""
        def there():
            return text in self.said() or self.status is not None
        wait_until(there, seconds, f"{text!r}; {self.tail()}")
        assert text in self.said(), f"{text!r}; {self.tail()}"

    def metrics(self):
        """What /metrics shows: {"name{labels}": number}."""
        self.await_said("admin_listening")
        address = re.search(r"admin_listening address=(\S+)", self.said())[1]
        with urllib.request.urlopen(f"http://{address}/metrics",
                                    timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line[:1] != "#")
        return {name: float(value) for name, value in pairs}

    def rss(self):
        """Its resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Service:
    """Topics, a group and a folder of its own, and the daemons there.
    bootstrap: what the daemons are told, default: the oracle's."""

    def __init__(self, oracle, folder, bootstrap=None, copies=1, crash=False):
        prefix = f"t{uuid.uuid4().hex[:8]}"
        self.oracle = oracle
        self.dir = folder
        self.bootstrap = bootstrap or oracle.common["bootstrap.servers"]
        self.copies = copies
        self.crash = crash
        self.daemons = []
        self.events, self.labels, self.dead, self.group = (
            f"{prefix}-{part}" for part in ("events", "labels", "dead",
                                            "group"))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # ---- topics ----

    def create(self, partitions=4, labels=None, places=None, **config):
        """Makes the three topics; config: of the events topic; places:
        {topic: the broker that has it}."""
        places = places or {}
        self.oracle.create(self.events, partitions, self.copies,
                           places.get(self.events), **config)
        for topic in (self.labels, self.dead):
            self.oracle.create(topic, labels or partitions, self.copies,
                               places.get(topic),
                               message_timestamp_type="LogAppendTime")

    def book(self, **more):
        """A ledger of the events topic, which exists."""
        return ledger.Ledger(self.oracle, self.events, **more)

    def label_count(self):
        """Records in the labels topic, markers of transactions included."""
        if not self.oracle.partitions(self.labels):
            return 0
        return sum(self.oracle.ends(self.labels).values())

    # ---- configurations and daemons ----

    def settings(self, name="run", **more):
        """The whole configuration of a service that works in NAME/."""
        return merge({
            "name": "test",
            "kafka": merge(KAFKA, {"bootstrap.servers": self.bootstrap}),
            "create_topics": {"enabled": True, "partitions": 4,
                              "replication_factor": self.copies},
            "events": {"log": "kafka", "topic": self.events,
                       "group": self.group},
            "labels": {"log": "kafka", "topic": self.labels},
            "dead_letters": {"log": "kafka", "topic": self.dead},
            "features": ledger.FEATURES,
            "tasks": ledger.TASKS,
            "teacher": ledger.TEACHER,
            "student": ledger.STUDENT,
            "baseline": False,
            "train": {"flush": "50ms", "batch": 64},
            "checkpoint": {"path": self.path(name, "checkpoints"),
                           "every": 1000000, "interval": "500ms"},
            "publish": {"path": self.path(name, "models")},
            "admin": {"listen": "127.0.0.1:0"},
        }, more)

    def configure(self, name="run", **more):
        """Writes NAME.yaml (JSON is YAML)."""
        path = self.path(name + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.settings(name, **more), f, indent=1)
        return path

    def start(self, name="run", crash=None, env=None, args=(), log=None):
        """Starts NAME.yaml; its words go to LOG.log, default NAME.log."""
        daemon = Daemon(
            self.path(name + ".yaml"), self.path(f"{log or name}.log"),
            self.crash if crash is None else crash, env, args)
        self.daemons.append(daemon)
        return daemon

    def kill_all(self):
        for daemon in self.daemons:
            daemon.kill()

    def tails(self):
        return "\n".join(d.tail() for d in self.daemons)

    # ---- wait and judge ----

    def issue_until(self, book, is_true, what, seconds=90, rate=1000):
        """Issues events, so many a second, until is_true()."""
        begun, issued = time.monotonic(), 0
        while not is_true():
            self.assert_alive()
            since = time.monotonic() - begun
            assert since < seconds, (
                f"waited {seconds} s in vain for {what}\n{self.tails()}")
            book.issue(int(since * rate) - issued)
            issued = int(since * rate)
            time.sleep(0.02)

    def await_labels(self, count, seconds=90):
        """Waits until there are so many records in the labels topic."""
        def enough():
            self.assert_alive()
            return self.label_count() >= count
        wait_until(enough, seconds, f"{count} labels\n", pause=0.05)

    def await_consumed(self, book, seconds=120):
        """Waits until the group has committed everything: lag zero."""
        def caught_up():
            self.assert_alive()
            return self.oracle.lag(self.group, book.topic) == 0
        try:
            wait_until(caught_up, seconds, "lag zero", pause=0.1)
        except AssertionError as e:
            raise AssertionError(
                f"{e}: committed "
                f"{self.oracle.committed(self.group, book.topic)} of "
                f"{self.oracle.ends(book.topic)}\n{self.tails()}") from None

    def await_trained(self, book, name="run", seconds=120):
        """Waits until the trainer's checkpoint has every event that could
        be labelled."""
        where = self.path(name, "checkpoints")
        wanted = book.readable()

        def trained():
            self.assert_alive()
            return len(book.trained(where)) >= wanted
        try:
            wait_until(trained, seconds, f"{wanted} trained", pause=0.2)
        except AssertionError as e:
            raise AssertionError(f"{e}: has {len(book.trained(where))}\n"
                                 f"{self.tails()}") from None

    def assert_alive(self):
        """No daemon has ended but those that were stopped or killed."""
        for daemon in self.daemons:
            assert daemon.status in (None, 0, -signal.SIGKILL), (
                f"ended with status {daemon.status}; {daemon.tail()}")

    def judge(self, book, name="run"):
        """The Account of a ledger; name None: training is not judged."""
        dead = self.dead if self.oracle.partitions(self.dead) else None
        where = self.path(name, "checkpoints") if name else None
        return book.judge(self.labels, dead, where)
