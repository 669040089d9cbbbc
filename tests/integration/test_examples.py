#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every configuration in conf/ does what its first comment says.

The examples run in a folder that links to conf/ and tests/, by the commands in
their own comments, so that what stands there is what is tested.
"""

import glob
import json
import os
import re
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import ROOT, Case, main  # noqa: E402

STEPS = 100
CLOSE = 1e-5


def commands(path):
    """What a configuration's first comment says to run: pairs of
    (environment, arguments)."""
    found = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.startswith("#"):
                break
            match = re.fullmatch(r"#   ((?:[A-Z_]+=\S+ )*)distilld (.+)\n",
                                 line)
            if match:
                env = dict(w.split("=", 1) for w in match[1].split())
                found.append((env, shlex.split(match[2])))
    return found


class ExampleCase(Case):
    def setUp(self):
        super().setUp()
        for name in ("conf", "tests"):
            os.symlink(os.path.join(ROOT, name), self.path(name))

    def example(self, name):
        return os.path.join("conf/examples", name + ".yaml")

    def run_example(self, name, **env):
        """Runs the commands of an example; gives what each had to say."""
        told = commands(self.path(self.example(name)))
        self.assertGreater(len(told), 0, name)
        return [self.run_daemon(*args, env={**own, **env})
                for own, args in told]

    def manifest(self, *parts):
        path = self.path("build/examples", *parts, "latest/manifest.json")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def label_lines(self, *parts):
        path = self.path("build/examples", *parts, "labels.ndjson")
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]


class TestConfigurations(ExampleCase):
    def test_all_are_valid(self):
        files = glob.glob(os.path.join(ROOT, "conf", "**", "*.yaml"),
                          recursive=True)
        names = [os.path.relpath(f, ROOT) for f in files]
        self.assertIn("conf/distilld.yaml", names)
        self.assertGreater(len(names), 6)
        for name in names:
            with self.subTest(name):
                done = self.run_daemon("validate", "-c", name)
                self.assertIn("good", done.stdout + done.stderr)

    def test_all_examples_say_their_command(self):
        for path in glob.glob(os.path.join(ROOT, "conf/examples/*.yaml")):
            name = os.path.relpath(path, ROOT)
            with self.subTest(name):
                args = [args for _, args in commands(path)]
                self.assertIn(["run", "-c", name], args)


class TestDenseSoftmax(ExampleCase):
    """The textbook program, held against the same program in PyTorch."""

    def train_steps(self, done):
        """What was logged of each step, as numbers."""
        steps = []
        for line in done.stderr.splitlines():
            if " train_step " in line:
                pairs = (w.split("=", 1) for w in line.split() if "=" in w)
                steps.append({k: float(v) for k, v in pairs})
        return steps

    def assert_same_losses(self, got, run, parts):
        want = self.losses["runs"][run]
        self.assertEqual([s["step"] for s in got],
                         list(range(1, STEPS + 1)), run)
        for step, ours in zip(want, got):
            for theirs, name in parts.items():
                self.assertLessEqual(
                    abs(ours[name] - step[theirs]), CLOSE * step[theirs],
                    f"{run}: {name} of step {ours['step']:.0f}")

    def test_losses_of_teacher_and_student_equal_those_of_pytorch(self):
        with open(os.path.join(ROOT, "tests/data/dense-softmax/losses.json"),
                  encoding="utf-8") as f:
            self.losses = json.load(f)
        self.assertEqual(self.losses["passes"] * 640 // self.losses["batch"],
                         STEPS)
        teacher, answers, mixed, soft = [
            self.train_steps(done) for done in
            self.run_example("dense-softmax", LOG_LEVEL="debug")]
        both = {"total": "loss", "hard": "hard", "soft": "soft"}
        self.assert_same_losses(teacher, "teacher",
                                {"total": "loss", "hard": "hard"})
        self.assertEqual(answers, [])
        self.assert_same_losses(mixed, "taught_hard_and_half_soft", both)
        self.assert_same_losses(soft, "taught_soft_only", both)


class TestExamples(ExampleCase):
    def test_shop_is_taught_by_a_frozen_teacher_of_its_own(self):
        self.run_example("shop-teacher")
        before = self.manifest("shop-teacher", "models")
        self.run_example("shop")
        labels = self.label_lines("shop")
        self.assertEqual(len(labels), 600)
        self.assertEqual({(a["teacher"]["name"], a["teacher"]["version"])
                          for a in labels},
                         {("shop-teacher", str(before["version"]))})
        after = self.manifest("shop", "checkpoints")
        for task in ("bought", "happy"):
            quality = after["metrics"][task]
            self.assertGreater(quality["teacher"]["score"],
                               quality["student"]["score"], task)
            self.assertGreater(quality["student"]["score"],
                               quality["baseline"]["score"], task)
        self.assertLess(after["metrics"]["stars"]["student"]["loss"],
                        after["metrics"]["stars"]["baseline"]["loss"])

    def test_news_learns_from_answers_in_the_events(self):
        self.run_example("news")
        labels = self.label_lines("news")
        answered = [a["teacher"]["name"] for a in labels if "teacher" in a]
        self.assertEqual(set(answered), {"ranker"})
        self.assertLess(len(answered), len(labels))
        with open(self.path("build/examples/news/dead-letters/events.ndjson"),
                  encoding="utf-8") as f:
            self.assertEqual(len(f.readlines()), 1)
        quality = self.manifest("news", "checkpoints")["metrics"]
        for task in ("clicked", "read"):
            self.assertGreater(quality[task]["student"]["score"],
                               quality[task]["baseline"]["score"], task)
        self.assertGreater(quality["mood"]["student"]["score"], 0.4)


if __name__ == "__main__":
    main()
