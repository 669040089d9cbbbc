#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several teachers answer for one stream of events."""

import json
import math
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main  # noqa: E402
from stream import StreamCase, sample_lines  # noqa: E402

BATCH = 64


class TeacherCase(StreamCase):
    def configure_teacher(self):
        """A train role on the events: it makes versions of a teacher."""
        self.configure(
            "taught", roles=["train"], train={"input": "events"},
            teacher={"kind": "none", "learn": None, "checkpoint": None},
            baseline=False, student={"hidden": [16]},
            checkpoint={"every": 0}, publish={"keep": 50})

    def teach(self, versions):
        """Versions 1 to `versions` in taught/models, each from 600 events
        more."""
        self.configure_teacher()
        for i in range(versions):
            self.write_events(sample_lines(600 * (i + 1)))
            self.run_all(name="taught")
        self.assertEqual(self.versions("taught", "models"),
                         list(range(1, versions + 1)))

    def annotate(self, name="run", **more):
        """Configures an annotator; a None takes a setting away."""
        teacher = {"learn": None, "checkpoint": None, "batch": BATCH,
                   "path": self.path("taught", "models")}
        teacher.update(more.pop("teacher", {}))
        return self.configure(name, roles=["annotate"], teacher=teacher,
                              **more)

    def labels(self, name="run"):
        with open(self.path(name, "labels.ndjson"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def assert_complete(self, lines, labels):
        """Each event has its label, in the order of the events."""
        starts, at = [], 0
        for line in lines:
            starts.append(at)
            at += len(line)
        self.assertEqual([r["source"]["offset"] for r in labels], starts)
        self.assertTrue(all(r["soft_label"] for r in labels))


class TestFrozen(TeacherCase):
    def test_file_logs_are_not_followed_unless_told(self):
        self.annotate()
        shown = self.run_daemon("config", "show", "-c", self.path("run.yaml"))
        self.assertIn("  poll: 0ms\n", shown.stdout)
        self.annotate(teacher={"poll": "2s"})
        shown = self.run_daemon("config", "show", "-c", self.path("run.yaml"))
        self.assertIn("  poll: 2s\n", shown.stdout)


class TestSeveral(TeacherCase):
    """Versions 1 and 3 of one teacher stand for two."""

    def setUp(self):
        super().setUp()
        self.teach(3)
        self.write_events(sample_lines(2000))
        self.first = self.path("taught", "models", "1")
        self.second = self.path("taught", "models", "3")

    def single(self, name, path):
        self.annotate(name, teacher={"path": path})
        self.run_all(name=name)
        return [r["soft_label"]["liked"][0] for r in self.labels(name)]

    def several(self, first, second, **teacher):
        self.annotate(
            teacher={"kind": None, "path": None, **teacher},
            teachers={"large": {"kind": "checkpoint", "path": self.first,
                                **first},
                      "small": {"kind": "checkpoint", "path": self.second,
                                **second}})
        self.run_all()
        return self.labels()

    def test_mean_of_two(self):
        a = self.single("a", self.first)
        b = self.single("b", self.second)
        self.assertNotEqual(a, b)
        labels = self.several({"weight": 3}, {}, combine="mean")
        for x, y, r in zip(a, b, labels):
            self.assertEqual(r["teacher"], {"name": "large+small",
                                            "version": "1+3"})
            self.assertTrue(math.isclose(r["soft_label"]["liked"][0],
                                         (3 * x + y) / 4, abs_tol=1e-5))

    def test_gate_by_feature(self):
        a = self.single("a", self.first)
        b = self.single("b", self.second)
        years = {str(r["event"]["year"]) for r in self.labels("a")}
        some = sorted(years)[-3:]
        labels = self.several({"when": some}, {}, combine="gate", gate="year")
        asked = {"large": 0, "small": 0}
        for x, y, r in zip(a, b, labels):
            is_large = str(r["event"]["year"]) in some
            name = "large" if is_large else "small"
            asked[name] += 1
            self.assertEqual(r["teacher"]["name"], name)
            self.assertEqual(r["soft_label"]["liked"][0],
                             x if is_large else y)
        self.assertGreater(min(asked.values()), 100)

    def test_another_answers_for_a_server_that_is_away(self):
        b = self.single("b", self.second)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            labels = self.several(
                {"kind": "http", "path": "",
                 "url": f"http://127.0.0.1:{port}", "model_name": "m",
                 "inputs": {"user": "BYTES user"}, "on_failure": "fallback",
                 "deadline": "300ms", "fallback": "small"}, {})
        self.assert_complete(sample_lines(2000), labels)
        for y, r in zip(b, labels):
            self.assertEqual(r["teacher"]["name"], "small")
            self.assertEqual(r["soft_label"]["liked"][0], y)


if __name__ == "__main__":
    main()
