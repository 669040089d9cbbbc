#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A teacher that moves: a train role publishes its versions, an annotator
follows them between batches."""

import json
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from kafka_case import KafkaCase  # noqa: E402

BATCH = 64


class TestFollowing(KafkaCase):
    def setUp(self):
        super().setUp()
        self.service.create()
        self.service.configure(
            "taught", roles=["train"], teacher={"kind": "none"},
            train={"input": "events", "flush": "20ms"},
            checkpoint={"interval": "300ms"},
            publish={"every": 1, "keep": 100})
        self.book = self.service.book(answers=False)

    def versions(self):
        try:
            names = os.listdir(self.service.path("taught", "models"))
        except FileNotFoundError:
            return []
        return sorted(int(n) for n in names if n.isdigit())

    def annotate(self, path, **teacher):
        self.service.configure("run", roles=["annotate"], teacher=dict({
            "kind": "checkpoint", "path": path, "batch": BATCH,
            "teacher_path": None}, **teacher))
        return self.service.start("run")

    def issue_until(self, is_true, what):
        self.service.issue_until(self.book, is_true, what)

    def labels(self):
        """The labels of each partition, in order."""
        found = {}
        for message in self.oracle.read(self.service.labels):
            found.setdefault(message.partition(), []).append(
                json.loads(message.value()))
        return found

    def assert_rising(self):
        """Versions of each partition rise; gives all there are. A batch has
        events of several partitions, but one version: so two versions never
        take turns."""
        seen = set()
        for labels in self.labels().values():
            versions = [int(r["teacher"]["version"]) for r in labels]
            self.assertEqual(versions, sorted(versions))
            self.assertTrue(all(r["soft_label"] for r in labels))
            seen |= set(versions)
        return sorted(seen)

    def finish(self, *daemons):
        """Each event has one label, and each broken one a letter."""
        self.book.flush()
        self.service.await_consumed(self.book)
        for daemon in daemons:
            daemon.stop()
        self.assert_sound(self.book, None, duplicate_labels=0)

    def test_labels_carry_rising_versions(self):
        teacher = self.service.start("taught")
        self.issue_until(self.versions, "a first version")
        annotator = self.annotate(self.service.path("taught", "models"),
                                  poll="50ms")
        for _ in range(6):
            before = annotator.said().count("teacher_version ")
            self.issue_until(
                lambda n=before:
                annotator.said().count("teacher_version ") > n,
                "a newer version")
            wanted = self.service.label_count() + 3 * BATCH
            self.issue_until(
                lambda n=wanted: self.service.label_count() > n, "labels")
        self.finish(annotator, teacher)
        self.assertGreaterEqual(len(self.assert_rising()), 5)
        self.assertNotIn("teacher_version_refused", annotator.said())

    def put_version(self, number, corrupt=False):
        """Has other/latest name a copy of a version."""
        folder = self.service.path("other")
        os.makedirs(folder, exist_ok=True)
        shutil.copytree(self.service.path("taught", "models", str(number)),
                        os.path.join(folder, str(number)))
        if corrupt:
            path = os.path.join(folder, str(number), "model.safetensors")
            with open(path, "r+b") as f:
                f.seek(-3, os.SEEK_END)
                byte = f.read(1)[0]
                f.seek(-3, os.SEEK_END)
                f.write(bytes([byte ^ 1]))
        os.symlink(str(number), os.path.join(folder, "new"))
        os.replace(os.path.join(folder, "new"),
                   os.path.join(folder, "latest"))

    def test_version_that_is_corrupt_is_passed_over(self):
        teacher = self.service.start("taught")
        self.issue_until(lambda: len(self.versions()) >= 3, "three versions")
        first, second, third = self.versions()[:3]
        self.put_version(first)
        annotator = self.annotate(self.service.path("other"), poll="0")
        self.service.await_labels(BATCH)
        self.put_version(second, corrupt=True)
        annotator.send(signal.SIGHUP)
        annotator.await_said(
            f"teacher_version_refused teacher=teacher version={second} ")
        self.assertIn(f"version {first} goes on", annotator.said())
        count = self.service.label_count()
        self.issue_until(
            lambda: self.service.label_count() > count + 3 * BATCH, "labels")
        self.put_version(third)
        annotator.send(signal.SIGHUP)
        annotator.await_said(
            f"teacher_version teacher=teacher version={third}")
        count = self.service.label_count()
        self.issue_until(
            lambda: self.service.label_count() > count + 3 * BATCH, "labels")
        self.finish(annotator, teacher)
        self.assertEqual(self.assert_rising(), [first, third])


if __name__ == "__main__":
    main()
