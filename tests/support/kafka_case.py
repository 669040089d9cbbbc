# SPDX-License-Identifier: Apache-2.0
"""What tests of the service on Kafka share: a broker a class, topics and a
group a test, daemons that are started, watched and stopped.

DISTILLD_TEST_KAFKA=HOST:PORT names a broker that is there already; classes
that do things to their brokers start their own all the same.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest
import uuid

import ledger
from integration import binary, wait_until
from kafka import NEWEST, Cluster, end_well, pdeathsig
from oracle import Oracle
from stream import StreamCase, merge

SESSION_MS = 3000  # how long a dead member is waited for

# Quick to notice, quick to try again.
KAFKA = {
    "topic.metadata.refresh.interval.ms": 2000,
    "reconnect.backoff.max.ms": 500,
    "consumer": {"session.timeout.ms": SESSION_MS,
                 "heartbeat.interval.ms": 500},
}


class Daemon:
    """One distilld: started, asked, stopped, its words in a file."""

    def __init__(self, config, log, crash=False, env=None, args=()):
        self.log = log
        self.command = [binary(crash), "run", "-c", config, *args]
        self.start(env)

    def start(self, env=None):
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

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=60):
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in {seconds} s; "
                                 + self.tail()) from None

    def stop(self, seconds=60):
        """SIGTERM, which must end it with status 0."""
        self.send(signal.SIGTERM)
        status = self.wait(seconds)
        assert status == 0, f"status {status}; " + self.tail()

    def rss(self):
        """Its resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self):
        """However it is, it is gone afterwards."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class KafkaCase(StreamCase):
    """version, brokers: of the class's cluster; own: it is harmed, so it
    cannot be one that was there before; more: arguments of Cluster."""

    version = NEWEST
    brokers = 1
    own = False
    more = {}
    cluster = None

    @classmethod
    def setUpClass(cls):
        if cls is KafkaCase:
            raise unittest.SkipTest("not a test")
        there = os.environ.get("DISTILLD_TEST_KAFKA")
        if there and not cls.own:
            cls.bootstrap = there
        else:
            cls.cluster = Cluster(version=cls.version, nodes=cls.brokers,
                                  **cls.more).start()
            cls.addClassCleanup(cls.cluster.close)
            cls.bootstrap = cls.cluster.bootstrap
        cls.oracle = Oracle(cls.bootstrap)

    def setUp(self):
        super().setUp()
        self.daemons = []
        self.addCleanup(self.end_daemons)
        self.use_names(f"t{uuid.uuid4().hex[:8]}")

    def use_names(self, prefix):
        """The topics and the group of this test."""
        self.prefix = prefix
        self.events, self.labels, self.dead, self.group = (
            f"{prefix}-{part}" for part in ("events", "labels", "dead",
                                            "group"))

    def end_daemons(self):
        for daemon in self.daemons:
            daemon.end()

    def settings(self, name="run", **more):
        """The whole configuration of a service that works in NAME/."""
        return merge({
            "name": "test",
            "kafka": merge(KAFKA, {"bootstrap.servers": self.bootstrap}),
            "create_topics": {"enabled": True, "partitions": 4,
                              "replication_factor": min(3, self.brokers)},
            "events": {"log": "kafka", "topic": self.events,
                       "group": self.group},
            "labels": {"log": "kafka", "topic": self.labels},
            "dead_letters": {"log": "kafka", "topic": self.dead},
            "features": ledger.FEATURES,
            "tasks": ledger.TASKS,
            "teacher": ledger.TEACHER,
            "student": ledger.STUDENT,
            "baseline": False,
            "train": {"flush": "50ms"},
            "checkpoint": {"path": self.path(name, "checkpoints"),
                           "every": 2000},
            "publish": {"path": self.path(name, "models")},
            "admin": {"listen": ""},
        }, more)

    def configure(self, name="run", **more):
        return self.write(name + ".yaml", json.dumps(
            self.settings(name, **more), indent=1))

    def start(self, name="run", crash=False, env=None, args=(), log=None):
        """Starts NAME.yaml."""
        daemon = Daemon(self.path(name + ".yaml"),
                        self.path(f"{log or name}.log"), crash, env, args)
        self.daemons.append(daemon)
        return daemon

    def validate(self, name="run", status=0):
        return self.run_daemon("validate", "-c", self.path(name + ".yaml"),
                               status=status)

    def create(self, partitions=4, labels=None, **config):
        """Makes the topics as distilld would."""
        self.oracle.create(self.events, partitions, min(3, self.brokers),
                           **config)
        for topic in (self.labels, self.dead):
            self.oracle.create(topic, labels or partitions,
                               min(3, self.brokers),
                               message_timestamp_type="LogAppendTime")

    def new_ledger(self, **more):
        return ledger.Ledger(self.oracle, self.events, **more)

    def await_said(self, daemon, text, seconds=60):
        """Waits until the daemon has said a text."""
        wait_until(lambda: text in daemon.said() or daemon.status is not None,
                   seconds, f"{text!r}; {daemon.tail()}")
        self.assertIn(text, daemon.said())

    def await_end(self, daemon, status, seconds=60):
        """Waits until the daemon ends by itself, with that status."""
        self.assertEqual(daemon.wait(seconds), status, daemon.tail())

    def await_labels(self, book, count=None, seconds=120):
        """Waits until so many records lie in the labels topic (default: one
        for each event that has been issued and can be read)."""
        wanted = count or sum(not book.is_broken(n)
                              for n in range(book.next))
        wait_until(lambda: self.label_count() >= wanted, seconds,
                   f"{wanted} labels")

    def label_count(self):
        if not self.oracle.partitions(self.labels):
            return 0
        return sum(self.oracle.ends(self.labels).values())

    def await_trained(self, book, labelled, daemon, name="run", seconds=120):
        """Stops and restarts the trainer until its checkpoint has what it
        should have: how far it is cannot be seen from outside. Leaves it
        stopped."""
        end = time.monotonic() + seconds
        where = self.path(name, "checkpoints")
        while True:
            daemon.stop()
            trained = len(book.trained(where))
            if trained >= labelled:
                return
            assert time.monotonic() < end, (
                f"{trained} of {labelled} trained; " + daemon.tail())
            daemon.start()
            time.sleep(1)

    def assert_sound(self, book, name="run", trained=True, **wanted):
        """The account of a ledger is sound, and as wanted."""
        account = book.judge(
            self.labels, self.dead if self.oracle.partitions(self.dead)
            else None,
            self.path(name, "checkpoints") if trained else None)
        self.assertTrue(account.sound, str(account))
        for count, value in wanted.items():
            self.assertEqual(account.counts[count], value, str(account))
        return account

    def forget_run(self, name="run"):
        shutil.rmtree(self.path(name), ignore_errors=True)
