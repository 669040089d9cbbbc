#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`labels.transactional: true`, against both lines of brokers.

Architecture 5.7: labels, dead letters and offsets share a transaction, so a
reader with read_committed sees each label exactly once, also under kills.
"""

import os
import random
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "chaos"))
import points  # noqa: E402
from integration import main  # noqa: E402
from kafka import NEWEST, OLDER  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from service import SESSION_MS  # noqa: E402


class Exact:
    """The tests, for each version of the broker."""

    def setUp(self):
        super().setUp()
        service = self.service
        service.create()
        service.configure("annotate", roles=["annotate"],
                          labels={"transactional": True})
        service.configure("train", roles=["train"])
        self.book = service.book()
        self.trainer = service.start("train")

    def finish(self, *annotators):
        """Rest; every label and dead letter is there once, and once only."""
        self.book.flush()
        self.service.await_consumed(self.book)
        self.service.await_trained(self.book, "train")
        for daemon in (*annotators, self.trainer):
            daemon.stop()
        for topic in (self.service.labels, self.service.dead):
            self.oracle.await_decided(topic)
        account = self.assert_sound(self.book, "train", duplicate_labels=0)
        letters = self.oracle.read(self.service.dead)
        self.assertEqual(len(letters), account.dead_lettered)

    def issue_some(self, labels=500):
        wanted = self.service.label_count() + labels
        self.service.issue_until(
            self.book, lambda: self.service.label_count() > wanted, "labels")

    def test_each_label_once_in_order(self):
        daemon = self.service.start("annotate")
        for _ in range(3):
            self.issue_some()
            daemon.stop()
            daemon.start()
        self.finish(daemon)

    def test_killed_annotators(self):
        rng = random.Random(7)
        annotators = [self.service.start("annotate", log=f"annotate{i}")
                      for i in range(2)]
        for _ in range(4):
            self.issue_some(rng.randrange(100, 1500))
            daemon = rng.choice(annotators)
            daemon.kill()
            daemon.start()
        self.finish(*annotators)

    def test_killed_at_each_point(self):
        """Between the last label and the end of its transaction, and so on.
        Not where offsets are committed, which transactions do here. With an
        id of its own a start ends at once what the one before left open."""
        self.service.configure(
            "annotate", roles=["annotate"],
            labels={"transactional": True, "transactional_id": "one"})
        daemon = self.service.start("annotate", crash=True)
        for point in points.TRANSACTIONS + points.ANNOTATE:
            if point.startswith("source_"):
                continue
            daemon.kill()
            daemon.start({"DISTILLD_CRASHPOINT": f"{point}:2"})
            self.service.issue_until(
                self.book, lambda: daemon.status is not None, point)
            daemon.start()
        self.finish(daemon)

    def test_frozen_annotator_is_fenced(self):
        """Frozen with a transaction open; another takes over meanwhile."""
        annotators = [self.service.start("annotate", log=f"annotate{i}")
                      for i in range(2)]
        self.issue_some()
        annotators[0].send(signal.SIGSTOP)
        self.service.issue_until(
            self.book, lambda: self.oracle.members(self.service.group) == 1,
            "the group to drop it", seconds=20 * SESSION_MS / 1000)
        self.issue_some()
        annotators[0].send(signal.SIGCONT)
        self.issue_some()
        self.finish(*annotators)


class TestNewest(Exact, KafkaCase):
    version = NEWEST


class TestOlder(Exact, KafkaCase):
    version = OLDER
    own = True


if __name__ == "__main__":
    main()
