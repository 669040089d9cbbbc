#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""soft_weight: auto: the stream chooses how much the student listens."""

import json
import os
import random
import re
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support")]
from integration import main  # noqa: E402
from stream import StreamCase, made_events  # noqa: E402

MADE = {
    "events": {"id": "id", "time": "at"},
    "features": {"who": {"kind": "categorical", "path": "who.key"},
                 "what": {"kind": "categorical", "path": "what.key"},
                 "user": None, "movie": None, "year": None, "genres": None},
    "tasks": {"liked": None,
              "done": {"kind": "binary", "teacher_path": "answer"}},
    "teacher": {"kind": "field", "learn": None, "checkpoint": None},
    "student": {"hidden": [8]},
    "objective": {"soft_weight": "auto"},
}
EVENTS = 12000


def in_force(text):
    """Every arm that took over, in the order of a log."""
    return re.findall(r'arm_in_force arm="([^"]*)"', text)


class TestAuto(StreamCase):
    def configure_made(self, answer, name="run", count=EVENTS, **more):
        """Events whose teacher says answer(event, place)."""
        events = made_events(EVENTS)[:count]
        for i, e in enumerate(events):
            e["answer"] = answer(e, i)
        self.write_events(events)
        options = {**MADE, **more}
        options["events"] = {"path": self.path("events.ndjson"),
                             **MADE["events"]}
        return self.configure(name, **options)

    def inspected(self, name="run"):
        """What the last checkpoint says of its models."""
        text = self.run_daemon("inspect",
                               self.path(name, "checkpoints")).stdout
        lines = re.findall(r"^(in force|also holds) +(\S+)$", text, re.M)
        return ([v for k, v in lines if k == "in force"],
                sorted(v for k, v in lines if k == "also holds"))

    def losses(self, name="run"):
        done = self.manifest(name, "checkpoints")["metrics"]["done"]
        return {m: done[m]["loss"] for m in ("student", "baseline")}

    def test_good_teacher_is_heard_and_bad_one_is_not(self):
        self.configure_made(lambda e, i: 3 * e["answer"])
        log = self.run_all().stderr
        arms = in_force(log)
        self.assertTrue(arms and arms[-1] != "untaught", arms)
        loss = self.losses()
        self.assertLess(loss["student"], loss["baseline"] - 0.005)
        self.forget()
        for answer in (lambda e, i: -3 * e["answer"],
                       lambda e, i, r=random.Random(1): r.gauss(0, 3)):
            self.configure_made(answer)
            self.run_all()
            loss = self.losses()
            self.assertLess(loss["student"], loss["baseline"] + 0.002)
            self.forget()

    def test_teacher_that_turns_is_left(self):
        self.configure_made(
            lambda e, i: (3 if i < EVENTS / 2 else -3) * e["answer"])
        arms = in_force(self.run_all().stderr)
        self.assertNotIn(arms[0], ("untaught",))
        self.assertEqual(arms[-1], "untaught")
        self.assertEqual(self.inspected()[0], ["baseline/"])
        # What is asked for by name is found, also where it is in force.
        path = self.path("run", "checkpoints")
        both = json.loads(self.run_daemon(
            "eval", "-m", path, "-m", path + ":baseline", "-i",
            self.path("events.ndjson"), "-c", self.path("run.yaml"),
            "--json").stdout)
        first, second = both["tasks"][0]["models"]
        self.assertEqual(first["auc"]["value"], second["auc"]["value"])

    def test_report_says_who_is_in_force(self):
        config = self.configure_made(
            lambda e, i: (3 if i < EVENTS / 2 else -3) * e["answer"])
        run = self.run_all()
        said = self.run_daemon("report", config, "-o",
                               self.path("report")).stdout
        with open(self.path("report", "report.json"), encoding="utf-8") as f:
            (weight,) = [v["soft_weight"] for v in json.load(f).values()
                         if isinstance(v, dict)]
        last = in_force(run.stderr)[-1]
        losses = {a["name"]: a["loss"] for a in weight["arms"]}
        self.assertEqual(weight["in_force"], last)
        self.assertEqual(weight["switches"], len(in_force(run.stderr)))
        self.assertEqual(weight["ahead"], min(losses, key=losses.get))
        self.assertEqual(len(losses), 5)
        with open(self.path("report", "report.html"), encoding="utf-8") as f:
            page = f.read()
        for text in (run.stdout, said, page):
            self.assertIn("soft_weight auto: the student is", text)
            for name, loss in losses.items():
                self.assertRegex(
                    text, re.escape(name) + rf"\D*{loss:.4f}\b")
        self.forget()
        config = self.configure_made(lambda e, i: e["answer"], count=2000,
                                     objective={"soft_weight": 1})
        for text in (self.run_all().stdout,
                     self.run_daemon("report", config).stdout):
            self.assertNotIn("soft_weight", text)

    def test_published_is_the_arm_in_force(self):
        self.configure_made(lambda e, i: 3 * e["answer"])
        self.run_all()
        self.assertEqual(
            self.digest("run", "checkpoints/latest/model.safetensors"),
            self.digest("run", "models/latest/model.safetensors"))
        (arm,), others = self.inspected()
        self.assertEqual(len(others), 4)
        self.assertIn("baseline/", others)
        self.assertNotIn(arm, others)

    def test_fixed_weight_turns_into_auto_only_when_asked(self):
        def answer(e, _):
            return 3 * e["answer"]
        self.configure_made(answer, count=4000, objective={"soft_weight": 1})
        self.run_all()
        self.assertEqual(self.inspected(), ([], ["baseline/"]))
        self.configure_made(answer, count=8000)
        refused = self.run_all(status=65).stderr
        self.assertIn("calibration", refused)
        self.assertIn("--migrate", refused)
        migrated = self.run_all("--migrate").stderr
        self.assertIn("model_added model=arm-4/", migrated)
        self.assertEqual(len(self.inspected()[1]), 4)
        # And back: what was in force goes on.
        self.configure_made(answer, objective={"soft_weight": 1})
        self.run_all(status=65)
        self.run_all("--migrate")
        self.assertEqual(self.inspected(), ([], ["baseline/"]))

    def test_settings_that_contradict_are_named(self):
        for more, key in (({"baseline": False}, "baseline"),
                          ({"objective": {"soft_weight": "auto",
                                          "hard_weight": 0}},
                           "objective.hard_weight"),
                          ({"objective": {"soft_weight": "much"}},
                           "objective.soft_weight")):
            path = self.configure_made(lambda e, i: 0, **more)
            text = self.run_daemon("validate", "-c", path, status=78)
            self.assertIn(key, text.stdout + text.stderr)

    def test_without_a_teacher_there_is_no_contest(self):
        self.configure_made(
            lambda e, i: 0, roles=["train"], train={"input": "events"},
            teacher={"kind": "none", "learn": None, "checkpoint": None})
        self.assertEqual(in_force(self.run_all().stderr), [])
        self.assertEqual(self.inspected(), ([], ["baseline/"]))


    def test_same_bytes_after_kills_and_with_threads(self):
        def turning(e, i):
            return (3 if i < EVENTS / 2 else -3) * e["answer"]
        options = {"checkpoint": {"every": 2000}, "publish": {"every": 4000}}
        self.configure_made(turning, **options)
        log = self.run_all(crash=True).stderr
        self.assertGreater(len(in_force(log)), 1)
        wanted = self.outcome()
        for point in ("train_before_checkpoint:30", "checkpoint_while_writing:1",
                      "checkpoint_after_latest:1", "publish_before_rename:1"):
            self.forget()
            self.run_all(crash=True, status=-signal.SIGKILL,
                         env={"DISTILLD_CRASHPOINT": point})
            self.run_all()
            self.assertEqual(self.outcome(), wanted, point)
            self.assert_sound()
        # Arms on threads of their own: each is computed as it was.
        self.forget()
        self.configure_made(turning, **options, train={"threads": 5})
        self.run_all()
        self.assertEqual(self.outcome(), wanted)


if __name__ == "__main__":
    main()
