#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A teacher that learns in line from Kafka.

Architecture 5.8: its checkpoint holds teacher and source offsets as one unit;
after a crash it learns again from there, without emitting, up to what was
already emitted or committed. It reads all partitions by hand, and a fixed
transactional id fences a second annotator off.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "chaos"))
import points  # noqa: E402
from integration import main  # noqa: E402
from kafka import OLDER  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402
from stream import merge  # noqa: E402


class TestLearning(KafkaCase):

    def setUp(self):
        super().setUp()
        self.service.create()
        self.configure("annotate")
        self.service.configure("train", roles=["train"])
        self.book = self.service.book(answers=False)
        self.trainer = self.service.start("train")

    def configure(self, name, **more):
        settings = {
            "roles": ["annotate"],
            "labels": {"transactional": True,
                       "transactional_id": self.service.group},
            "teacher": {"kind": "checkpoint", "learn": True, "batch": 32,
                        "model": {"embedding_width": 4, "hidden": [8]},
                        "checkpoint": {"path": self.service.path("teacher"),
                                       "every": 300}}}
        return self.service.configure(name, **merge(settings, more))

    def finish(self, annotator, teacher="teacher"):
        """Rest; each event has one label and was learned from once, by the
        teacher and by the student, and each broken one has one letter."""
        self.book.flush()
        self.service.await_consumed(self.book)
        self.service.await_trained(self.book, "train")
        annotator.stop()
        self.trainer.stop()
        self.oracle.await_decided(self.service.dead)
        account = self.assert_sound(self.book, "train", duplicate_labels=0)
        letters = self.oracle.read(self.service.dead)
        self.assertEqual(len(letters), account.dead_lettered)
        seen = self.book.trained(self.service.path(teacher))
        self.assertEqual(len(seen), self.book.readable())
        self.assertEqual(set(seen.values()), {1})

    def issue_some(self, labels=500):
        wanted = self.service.label_count() + labels
        self.service.issue_until(
            self.book, lambda: self.service.label_count() > wanted, "labels")

    def test_killed_at_random(self):
        rng = random.Random(11)
        daemon = self.service.start("annotate")
        for _ in range(4):
            self.issue_some(rng.randrange(200, 1500))
            daemon.kill()
            daemon.start()
        self.issue_some()
        self.finish(daemon)

    def test_killed_at_each_point(self):
        daemon = self.service.start("annotate", crash=True)
        kept = [p for p in points.TRAIN if not p.startswith("train_")]
        for point in points.TRANSACTIONS + points.ANNOTATE + tuple(kept):
            if point.startswith("source_"):
                continue
            daemon.kill()
            daemon.start({"DISTILLD_CRASHPOINT": f"{point}:2"})
            self.service.issue_until(
                self.book, lambda: daemon.status is not None, point)
            daemon.start()
        self.finish(daemon)

    def test_second_fences_first(self):
        """On another machine, without the first one's checkpoints: it learns
        all of it again, emits nothing twice, and the first one ends."""
        first = self.service.start("annotate")
        self.issue_some()
        self.configure("second", teacher={
            "checkpoint": {"path": self.service.path("another")}})
        second = self.service.start("second")
        self.service.daemons.remove(first)  # it ends with an error
        self.service.issue_until(
            self.book, lambda: first.status is not None, "the first to end")
        self.assertNotIn(first.status, (0, None), first.tail())
        self.issue_some()
        self.finish(second, "another")

    def test_same_checkpoints_twice(self):
        first = self.service.start("annotate")
        self.issue_some(100)
        second = self.service.start("annotate", log="second")
        self.assert_ends(second, 69, "teacher")
        self.finish(first)

    def test_ahead_of_its_group(self):
        """Offsets that were reset by hand are told, not passed over."""
        daemon = self.service.start("annotate")
        self.issue_some()
        daemon.stop()
        self.configure("reset", events={"group": self.service.group + "-new"})
        self.assert_ends(self.service.start("reset"), 65, "has committed 0")

    def test_needs_a_fence(self):
        path = self.configure("open", labels={"transactional_id": ""})
        done = self.run_daemon("validate", "-c", path, status=78)
        self.assertIn("labels.transactional_id", done.stdout + done.stderr)


class TestOlder(TestLearning):
    version = OLDER


if __name__ == "__main__":
    main()
