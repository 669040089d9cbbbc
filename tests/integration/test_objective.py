#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Options of the objective: ages of labels, the student adapter, sampling."""

import json
import os
import random
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), HERE]
from admin import AdminCase  # noqa: E402
from integration import main  # noqa: E402
from stream import StreamCase, sample_lines  # noqa: E402
from test_crash import KilledCase  # noqa: E402

ALL = {"adapter": 8, "adapter_sees_student": True, "cross_debias": True,
       "teacher_negative_rate": 0.5, "teacher_age_max": "3d",
       "old_labels": "fade", "soft_weight": 1}


def sampled_lines(count):
    """Those of the sample, each with a rate."""
    lines = []
    for i, line in enumerate(sample_lines(count)):
        event = json.loads(line)
        event["rate"] = 0.5 if i % 3 else 1
        lines.append(json.dumps(event).encode() + b"\n")
    return lines


class FrozenCase(StreamCase):
    def teach(self, count=4000):
        """A teacher of the first events, in taught/."""
        self.write_events(sample_lines(count), "first.ndjson")
        self.configure("taught", teacher={"kind": "none", "learn": None,
                                          "checkpoint": None},
                       events={"path": self.path("first.ndjson")},
                       train={"input": "events"}, roles=["train"],
                       baseline=False, student={"hidden": [64, 32]})
        self.run_all(name="taught")
        return {"learn": None, "checkpoint": None,
                "path": self.path("taught", "models")}

    def ages(self, name="run"):
        """The clock, the last label's age, how many labels were refused, and
        the versions known: from a checkpoint."""
        with open(self.path(name, "checkpoints/latest/state.safetensors"),
                  "rb") as f:
            state = f.read()
        ages = re.search(rb'"ages":\[(\d+),(\d+),(\d+)\]', state)
        known = re.search(rb'"teachers":(\[(?:\[[^]]*\],?)*\])', state)
        if ages is None:
            return None
        return (*(int(g) for g in ages.groups()), len(json.loads(known[1])))

    def score(self, name="run", model="student"):
        return self.manifest(name, "checkpoints")["metrics"]["liked"][model]


class TestAges(FrozenCase):
    def test_a_frozen_teacher_is_refused_when_it_is_old(self):
        teacher = self.teach()
        self.write_events(sample_lines(40000)[4000:])
        for name, more in (("off", {}), ("on", {"teacher_age_max": "5d"}),
                           ("never", {"soft_weight": 0})):
            self.configure(name, teacher=teacher, baseline=False,
                           objective={"soft_weight": 4, **more})
            self.run_all(name=name)
        self.assertIsNone(self.ages("off"))
        _, age, refused, known = self.ages("on")
        self.assertEqual(known, 1)
        self.assertGreater(age, 5 * 86400 * 1000)
        self.assertGreater(refused, 20000)
        self.assertLess(refused, 36000)
        # What it no longer says does no harm: nearer to the untaught one.
        losses = {n: self.score(n)["loss"] for n in ("off", "on", "never")}
        self.assertLess(losses["on"], losses["off"])
        self.assertLess(abs(losses["on"] - losses["never"]),
                        abs(losses["off"] - losses["never"]))

    def test_a_teacher_that_learns_never_gets_old(self):
        self.write_events(sample_lines(20000))
        self.configure(objective={"teacher_age_max": "1d"})
        self.run_all()
        _, age, refused, known = self.ages()
        self.assertEqual((age, refused), (0, 0))
        self.assertEqual(known, 32)  # the last so many of its versions


class TestReplay(KilledCase, FrozenCase):
    def configure_all(self, teacher, **more):
        self.configure(teacher=teacher,
                       events={"path": self.path("events.ndjson"),
                               "sample_rate": "rate"},
                       objective=ALL, **more)

    def test_killed_at_random_ends_with_same_bytes(self):
        self.write_events(sampled_lines(20000))
        self.configure_all({}, train={"threads": 2})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(6, whole, seconds, random.Random(6))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()

    def test_crash_points_with_a_frozen_teacher_end_with_same_bytes(self):
        teacher = self.teach()
        self.write_events(sampled_lines(14000)[4000:])
        self.configure_all(teacher, checkpoint={"every": 1000})
        self.run_all(crash=True)
        wanted = self.outcome()
        ages = self.ages()
        self.assertGreater(ages[1], 0)
        for point in ("train_before_checkpoint:9", "checkpoint_while_writing:2",
                      "checkpoint_after_latest:2"):
            with self.subTest(point):
                self.forget()
                self.run_all(crash=True, status=-signal.SIGKILL,
                             env={"DISTILLD_CRASHPOINT": point})
                self.run_all()
                self.assertEqual(self.outcome(), wanted)
                self.assertEqual(self.ages(), ages)

    def test_an_adapter_is_part_of_the_shape(self):
        self.write_events(sampled_lines(6000))
        self.configure()
        self.run_all()
        self.write_events(sampled_lines(8000))
        self.configure(objective={"adapter": 8})
        done = self.run_all(status=65)
        self.assertIn("units of the adapter", done.stderr)
        self.run_all("--migrate")
        shown = self.run_daemon("inspect", self.path("run", "checkpoints"))
        self.assertIn("adapter of 8 units", shown.stdout)
        self.assertIn("adapter/liked/1/weight", shown.stdout)


class TestAdapter(FrozenCase):
    def test_one_that_sees_the_student_takes_the_harm_out(self):
        """The teacher says the opposite of what it thinks."""
        self.write_events(sample_lines(30000))
        self.configure("first", roles=["annotate"])
        self.run_all(name="first")
        with open(self.path("first", "labels.ndjson"), "rb") as f:
            labels = [json.loads(line) for line in f]
        for label in labels:
            label["soft_label"]["liked"][0] *= -1
        inverted = self.write("inverted.ndjson", b"".join(
            json.dumps(label, separators=(",", ":")).encode() + b"\n"
            for label in labels))
        for name, objective in (("plain", {}),
                                ("adapted", {"adapter": 8,
                                             "adapter_sees_student": True})):
            self.configure(name, roles=["train"], objective=objective,
                           labels={"path": inverted})
            self.run_all(name=name)
        untaught = self.score("plain", "baseline")["score"]
        self.assertLess(self.score("plain")["score"], untaught - 0.02)
        self.assertGreater(self.score("adapted")["score"], untaught - 0.001)


class TestStatus(AdminCase):
    def test_age_and_adapter_are_told(self):
        process = self.start_service(objective={
            "adapter": 4, "teacher_age_max": "30d"})
        self.wait_trained(2000)
        model = self.wait_status(
            lambda s: s["roles"]["train"].get("model", {}).get("adapters"),
            "the adapter's losses")["roles"]["train"]["model"]
        self.assertGreater(model["adapters"]["liked"]["teacher_loss"], 0)
        self.assertGreater(model["adapters"]["liked"]["adapted_loss"], 0)
        self.assertEqual(model["teacher_age_seconds"], 0)
        self.assertEqual(model["old_labels"], 0)
        page = self.get("/metrics").text
        for line in ('distilld_train_adapter_loss{task="liked",'
                     'model="teacher"} ',
                     'distilld_train_adapter_loss{task="liked",'
                     'model="adapter"} ',
                     "distilld_train_teacher_age_seconds 0\n",
                     "distilld_train_old_labels_total 0\n"):
            self.assertIn(line, page)
        self.stop_service(process)


if __name__ == "__main__":
    main()
