#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk ends a run cleanly, and with room it goes on to the same end."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main  # noqa: E402
from stream import StreamCase, sample_lines  # noqa: E402

IO_ERROR = 74


class TestFullDisk(StreamCase):
    def setUp(self):
        super().setUp()
        self.write_events(sample_lines(12000))
        self.configure(teacher={"checkpoint": {"every": 1000}},
                       checkpoint={"every": 1000}, publish={"every": 2000})
        self.run_all()
        self.wanted = self.outcome()
        self.forget()

    def mount(self, size, *parts):
        """Mounts a tmpfs at a folder of the test, or grows it."""
        folder = self.path(*parts)
        is_there = os.path.ismount(folder)
        os.makedirs(folder, exist_ok=True)
        options = ("remount," if is_there else "") + f"size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(
                f"cannot mount a small disk (root may): {done.stderr}")
        if not is_there:
            self.addCleanup(subprocess.run, ["umount", "-l", folder],
                            check=False)

    def assert_fails_and_goes_on(self, *parts, sizes, what):
        failed = 0
        for size in sizes:
            self.mount(size, *parts)
            done = self.run_all(status=None)
            if done.returncode == 0:
                break
            failed += 1
            self.assertEqual(done.returncode, IO_ERROR, done.stderr)
            last = done.stderr.splitlines()[-1]
            self.assertTrue(last.startswith("distilld: "), done.stderr)
            self.assertIn("No space left", last)
            self.assertIn(what, done.stderr)
            self.assert_whole()
        self.assertGreaterEqual(failed, 2)
        self.mount("128m", *parts)
        self.run_all()
        self.assertEqual(self.outcome(), self.wanted)
        self.assert_sound()

    def assert_whole(self):
        """What is on the full disk is whole, as far as it goes."""
        for part in ("checkpoints", "teacher", "models"):
            if self.versions("run", part):
                self.run_daemon("inspect", self.path("run", part), "--verify")
        if self.size("run", self.labels) > 0:
            with open(self.path("run", self.labels), "rb") as f:
                f.seek(-1, os.SEEK_END)
                self.assertEqual(f.read(), b"\n")

    def test_everything_on_one_disk(self):
        self.assert_fails_and_goes_on(
            "run", sizes=("600k", "1500k", "2500k", "4m", "6m"), what="log ")

    def test_labels(self):
        self.labels = "log/labels.ndjson"
        self.configure(teacher={"checkpoint": {"every": 1000}},
                       labels={"path": self.path("run", self.labels)},
                       checkpoint={"every": 1000}, publish={"every": 2000})
        self.assert_fails_and_goes_on(
            "run", "log", sizes=("100k", "1m", "2m", "3m"), what="log/labels")

    def test_no_label_behind_one_that_did_not_fit(self):
        """Batches of long and of short events by turns: a short one would
        still fit where a long one did not, and leave a gap."""
        events = []
        for i, line in enumerate(sample_lines(256 * 12)):
            event = json.loads(line)
            event["filler"] = "x" * (4000 if i // 256 % 2 else 10)
            events.append(event)
        self.write_events(events)
        self.labels = "log/labels.ndjson"
        self.configure(labels={"path": self.path("run", self.labels)})
        self.run_all()
        self.wanted = self.outcome()
        self.forget()
        self.assert_fails_and_goes_on(
            "run", "log", sizes=("1100k", "1600k", "2800k", "4m"),
            what="log/labels")

    def test_checkpoints_of_the_trainer(self):
        self.assert_fails_and_goes_on(
            "run", "checkpoints", sizes=("16k", "300k", "700k"),
            what="checkpoint_failed")

    def test_checkpoints_of_the_teacher(self):
        self.assert_fails_and_goes_on(
            "run", "teacher", sizes=("16k", "300k", "900k"),
            what="checkpoint_failed")

    def test_published_models(self):
        self.assert_fails_and_goes_on(
            "run", "models", sizes=("16k", "40k"), what="models")


if __name__ == "__main__":
    main()
