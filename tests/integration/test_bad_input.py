#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input: a clear message, a sysexits code, and nothing done is lost."""

import gzip
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import binary, main  # noqa: E402
from stream import (  # noqa: E402
    StreamCase, made_events, sample_lines, to_lines)

USAGE, BAD_DATA, NO_INPUT, CONFIG = 64, 65, 66, 78
NO_TEACHER = {"kind": "none", "learn": None, "checkpoint": None}
IN_EVENTS = {"kind": "field", "learn": None, "checkpoint": None}
REST = ("events: {path: e}\nlabels: {path: l}\ncheckpoint: {path: c}\n"
        "publish: {path: p}\n")


class BadCase(StreamCase):
    def assert_refused(self, *args, status, says, name="run"):
        done = self.run_all(*args, name=name, status=status)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, done.stderr)
        self.assertNotIn("ssertion", done.stderr)
        return done


class TestConfiguration(BadCase):
    def test_unknown_key_is_told_with_its_place(self):
        self.write("run.yaml", "name: x\nfeatures:\n  user: {kind: "
                   "categorical}\ntasks:\n  t: {kind: binary, path: t}\n"
                   "train:\n  bach: 16\n" + REST)
        self.assert_refused(status=CONFIG,
                            says=["run.yaml:7:3: ", "train.bach",
                                  "did you mean", "batch", "1 problem"])

    def test_every_problem_is_told_at_once(self):
        self.write("run.yaml", "names: x\nfeatures:\n  user: {kind: kat}\n"
                   "tasks:\n  t: {kind: binary, path: t}\n"
                   "train: {batch: 0}\n" + REST)
        self.assert_refused(status=CONFIG, says=[
            "run.yaml:1:", "run.yaml:3:", "run.yaml:6:", "3 problems"])

    def test_a_log_name_that_records_cannot_hold(self):
        for name in ("e" * 252, "a\"b"):
            self.write("run.yaml", "features:\n  user: {kind: categorical}\n"
                       "tasks:\n  t: {kind: binary}\n"
                       f"events.path: '{name}'\n"
                       + REST.split("\n", 1)[1])
            self.assert_refused(status=CONFIG, says=[
                "run.yaml:5:", "events.path", "249 bytes"])

    def test_missing_configuration(self):
        self.run_daemon("run", "-c", self.path("no.yaml"), status=NO_INPUT)

    def test_no_configuration_named(self):
        self.run_daemon("run", status=USAGE)

    def test_rate_beyond_range(self):
        self.configure(student={"optimizer": {"rate": 1e30}})
        self.assert_refused(status=CONFIG, says="student.optimizer.rate")


class TestFiles(BadCase):
    def test_missing_events(self):
        self.configure()
        self.assert_refused(status=NO_INPUT, says="events.ndjson")
        for part in ("checkpoints", "teacher", "models"):
            self.assertEqual(self.versions("run", part), [])
        self.write_events(sample_lines(1000))
        self.run_all()

    def test_events_that_are_no_file(self):
        self.configure()
        os.makedirs(self.path("events.ndjson"))
        self.assert_refused(status=NO_INPUT, says="empty directory")

    def test_events_that_may_not_be_read(self):
        os.chmod(self.write_events(sample_lines(100)), 0)
        self.configure()
        command = [binary(), "run", "-c", self.path("run.yaml")]
        if os.getuid() == 0:  # who may read everything
            os.chmod(self.dir, 0o777)
            command[0] = shutil.copy(command[0], self.path("distilld"))
            command = ["setpriv", "--reuid=65534", "--clear-groups",
                       *command]
        done = subprocess.run(command, cwd=self.dir, capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("events.ndjson", done.stderr)
        self.assertIn("ermission denied", done.stderr)

    def test_empty_events(self):
        for text in (b"", b"\n\n \n"):
            with self.subTest(text=text):
                self.write("events.ndjson", text)
                self.configure()
                self.assert_refused(status=BAD_DATA,
                                    says=["empty", "events.ndjson"])
                self.assertEqual(self.versions("run", "checkpoints"), [])

    def test_truncated_gzip_keeps_what_came_before(self):
        self.configure(events={"path": self.path("events.gz")})
        whole = gzip.compress(b"".join(sample_lines(12000)))
        self.write("events.gz", whole)
        self.run_all()
        wanted = self.outcome()
        self.forget()
        self.write("events.gz", whole[:len(whole) // 2])
        for _ in range(2):
            self.assert_refused(status=BAD_DATA,
                                says=["truncated gzip", "events.gz"])
            examples = self.manifest(
                "run", "checkpoints")["training"]["examples"]
            with open(self.path("run", "labels.ndjson"), "rb") as f:
                labels = len(f.readlines())
            self.assertGreater(labels, 4000)
            self.assertGreater(examples, 0)
            self.assertLessEqual(examples, labels)
        self.write("events.gz", whole)
        self.run_all()
        self.assertEqual(self.outcome(), wanted)

    def test_labels_log_that_is_something_else(self):
        self.write_events(sample_lines(100))
        self.configure()
        self.write("run/labels.ndjson", "Dear diary,\n")
        self.assert_refused(status=BAD_DATA, says="no label record")
        self.assertEqual(self.read("run", "labels.ndjson"), "Dear diary,\n")

    def test_last_line_without_line_feed_is_read(self):
        lines = sample_lines(300)
        lines[-1] = lines[-1].rstrip(b"\n")
        self.write_events(lines)
        self.configure()
        self.run_all()
        self.assertEqual(
            self.manifest("run", "checkpoints")["training"]["examples"], 300)


class TestCheckpoints(BadCase):
    def setUp(self):
        super().setUp()
        self.write_events(sample_lines(3000))

    def test_other_shape_is_refused_and_migrates(self):
        self.configure(teacher=NO_TEACHER, student={"hidden": [16]})
        self.run_all()
        before = self.outcome()
        self.configure(teacher=NO_TEACHER, student={"hidden": [16, 8]})
        self.assert_refused(status=BAD_DATA, says=[
            "does not fit", "hidden layers 1 in the checkpoint, 2",
            "--migrate"])
        self.assertEqual(self.outcome(), before)
        self.write_events(sample_lines(6000))
        self.run_all("--migrate")
        manifest = self.manifest("run", "checkpoints")
        self.assertEqual(manifest["training"]["examples"], 6000)
        self.assertEqual(self.ids("user"), 6000)

    def ids(self, feature):
        """The sum of sightings of a feature's ids."""
        shown = self.run_daemon("inspect", self.path("run", "checkpoints"),
                                "--ids", feature).stdout.splitlines()
        return sum(int(line.split("\t")[2]) for line in shown[1:])

    def test_frozen_teacher_that_needs_other_features(self):
        self.configure("taught", teacher=NO_TEACHER, train={"input": "events"},
                       roles=["train"], baseline=False)
        self.run_all(name="taught")
        self.configure(features={"user": None, "who": {
            "kind": "categorical", "path": "user"}},
            teacher={"learn": None, "checkpoint": None,
                     "path": self.path("taught", "models")})
        self.assert_refused(status=CONFIG,
                            says=["needs feature user", "declare it"])
        self.configure(teacher={"learn": None, "checkpoint": None,
                                "path": self.path("nowhere")})
        self.assert_refused(status=NO_INPUT, says="nowhere")

    def test_changed_rate_goes_on(self):
        self.configure(teacher=NO_TEACHER)
        self.run_all()
        self.write_events(sample_lines(6000))
        self.configure(teacher=NO_TEACHER,
                       student={"optimizer": {"rate": 0.01}})
        self.run_all()
        self.assertEqual(
            self.manifest("run", "checkpoints")["training"]["examples"], 6000)


class TestOutcomes(BadCase):
    def test_no_positive_outcome_has_no_auc(self):
        lines = [line for line in sample_lines(4000)
                 if json.loads(line)["rating"] < 8]
        self.write_events(lines)
        self.configure()
        done = self.run_all()
        metrics = self.manifest("run", "checkpoints")["metrics"]["liked"]
        for model in ("teacher", "student", "baseline"):
            self.assertIsNone(metrics[model]["score"])
            self.assertGreater(metrics[model]["loss"], 0)
        self.assertIn("n/a", done.stdout)

    def test_nan_is_a_dead_letter(self):
        lines = sample_lines(300)
        lines.insert(7, b'{"user": "1", "rating": NaN}\n')
        lines.insert(9, b'{"user": "1", "rating": Infinity}\n')
        self.write_events(lines)
        self.configure()
        self.run_all()
        dead = self.read("run", "dead", "events.ndjson").splitlines()
        self.assertEqual(len(dead), 2)
        self.assertIn("expected a value", dead[0])
        self.assertEqual(
            self.manifest("run", "checkpoints")["training"]["examples"], 300)

    def test_nothing_but_dead_letters(self):
        self.write_events([b"no\n"] * 700)
        self.configure()
        self.assert_refused(status=BAD_DATA, says="labels.ndjson")
        self.assertEqual(
            len(self.read("run", "dead", "events.ndjson").splitlines()), 700)
        self.run_all(status=BAD_DATA)
        self.assertEqual(
            len(self.read("run", "dead", "events.ndjson").splitlines()), 700)

    def test_what_is_missing_is_legal(self):
        lines = []
        for i, line in enumerate(sample_lines(3000)):
            event = json.loads(line)
            for key in ("user", "movie", "year", "genres", "rating")[i % 7:]:
                event[key] = None
                if i % 2:
                    del event[key]
            lines.append(event)
        self.write_events(lines)
        self.configure()
        self.run_all()
        manifest = self.manifest("run", "checkpoints")
        self.assertEqual(manifest["training"]["examples"], 3000)
        self.assertIsNotNone(manifest["metrics"]["liked"]["student"]["score"])
        self.assertEqual(self.size("run", "dead", "events.ndjson"), 0)


MADE = {
    "events": {"id": "id", "time": "at"},
    "features": {
        "movie": None, "year": None, "genres": None,
        "user": {"kind": "categorical", "path": "who.key"},
        "item": {"kind": "categorical", "path": "what.key"},
        "tags": {"kind": "bag", "path": "what.tags", "separator": "|"},
        "price": {"kind": "number", "transform": ["log", "standardize"]},
        "level": {"kind": "number", "path": "price",
                  "transform": ["bucketize"], "boundaries": [8, 10, 12]},
        "shape": {"kind": "vector", "width": 2, "transform": ["standardize"]},
    },
    "tasks": {
        "liked": {"kind": "binary", "path": "stars", "threshold": 4},
        "done": {"kind": "binary"},
        "group": {"kind": "class", "classes": 3, "labels": ["a", "b", "c"]},
        "spent": {"kind": "regression"},
    },
    "metrics": {"window": 1000},
}


class TestEveryKind(BadCase):
    """Small streams in which there is something to learn."""

    def learn(self, events, half=True, **more):
        """Runs on the stream; gives metrics, judged on its second half."""
        settings = dict(MADE)
        settings.update(more)
        self.write_events(events)
        if half:
            settings["metrics"] = {
                "window": 1000,
                "from": "2023-11-14T22:%02d:00Z" % (13 + len(events) // 120)}
        self.configure(**settings)
        self.run_all()
        self.assertEqual(self.size("run", "dead", "events.ndjson"), 0)
        return self.manifest("run", "checkpoints")["metrics"]

    def assert_learned(self, metrics, model="student"):
        """Far better than the constant that is right most often."""
        self.assertGreater(metrics["liked"][model]["score"], 0.9)
        self.assertGreater(metrics["done"][model]["score"], 0.9)
        self.assertLess(metrics["done"][model]["loss"], 0.45)
        self.assertGreater(metrics["group"][model]["score"], 0.7)
        self.assertLess(metrics["spent"][model]["loss"], 5)

    def test_all_features_and_tasks_without_a_teacher(self):
        metrics = self.learn(made_events(5000), teacher=NO_TEACHER)
        self.assert_learned(metrics)
        self.assert_learned(metrics, "baseline")
        self.assertIsNone(metrics["done"]["teacher"]["score"])

    def test_all_features_and_tasks_with_one_that_learns(self):
        metrics = self.learn(made_events(5000))
        for model in ("teacher", "student", "baseline"):
            self.assert_learned(metrics, model)

    def test_answers_in_the_events(self):
        events = made_events(5000)
        for event in events:
            event["answer"] *= 6
        metrics = self.learn(
            events, teacher=IN_EVENTS,
            tasks={"liked": None, "group": None, "spent": None,
                   "done": {"kind": "binary", "teacher_path": "answer"}})
        self.assertGreater(metrics["done"]["teacher"]["score"], 0.99)
        self.assertLess(metrics["done"]["student"]["loss"],
                        metrics["done"]["baseline"]["loss"])

    def test_a_teacher_version_may_be_any_text(self):
        events = made_events(600)
        version = 'a "quoted" \\ one'
        self.learn(
            events, half=False, teacher={**IN_EVENTS, "version": version},
            tasks={"liked": None, "group": None, "spent": None,
                   "done": {"kind": "binary", "teacher_path": "answer"}})
        with open(self.path("run", "checkpoints", "latest",
                            "manifest.json"), encoding="utf-8") as f:
            self.assertEqual(json.load(f)["teacher"]["version"], version)

    def test_soft_labels_alone(self):
        events = made_events(5000)
        for event in events[:4000]:
            del event["done"]
        metrics = self.learn(
            events, half=False, teacher=IN_EVENTS,
            objective={"hard_weight": 0},
            tasks={"liked": None, "group": None, "spent": None,
                   "done": {"kind": "binary", "teacher_path": "answer"}})
        self.assertGreater(metrics["done"]["student"]["score"], 0.9)
        self.assertLess(metrics["done"]["baseline"]["score"], 0.7)

    def test_no_outcome_at_all(self):
        events = made_events(3000)
        for event in events:
            del event["done"]
        metrics = self.learn(
            events, half=False, teacher=IN_EVENTS,
            objective={"hard_weight": 0},
            tasks={"liked": None, "group": None, "spent": None,
                   "done": {"kind": "binary", "teacher_path": "answer"}})
        self.assertIsNone(metrics["done"]["student"]["score"])
        self.assertIsNone(metrics["done"]["student"]["loss"])

    def test_each_optimizer_learns(self):
        for kind, rate in (("sgd", 0.2), ("rowwise_adagrad", 0.05),
                           ("adam", 0.005)):
            with self.subTest(kind=kind):
                self.forget()
                metrics = self.learn(
                    made_events(5000), teacher=NO_TEACHER, baseline=False,
                    student={
                        "optimizer": {"kind": "adagrad" if "row" in kind
                                      else kind, "rate": rate},
                        "tables": {"kind": kind, "rate": rate}},
                    tasks={"liked": None, "group": None, "spent": None,
                           "done": {"kind": "binary"}})
                self.assertGreater(metrics["done"]["student"]["score"], 0.9)


class TestNotFinite(BadCase):
    def events(self, good, huge, more):
        """Good events, then some whose price is far too large, then good
        ones again."""
        events = made_events(good + huge + more)
        for event in events[good:good + huge]:
            event["price"] = 3e38
        return to_lines(events)

    def use(self, **more):
        settings = dict(MADE)
        settings["teacher"] = NO_TEACHER
        settings["features"] = {
            "movie": None, "year": None, "genres": None,
            "user": {"kind": "categorical", "path": "who.key"},
            "item": {"kind": "categorical", "path": "what.key"},
            "price": {"kind": "number"}}
        settings["tasks"] = {"liked": None, "done": {"kind": "binary"}}
        settings["train"] = {"batch": 100, "skips_max": 5}
        settings.update(more)
        self.configure(**settings)

    def training(self):
        return self.manifest("run", "checkpoints")["training"]

    def test_a_few_steps_are_skipped(self):
        self.write_events(self.events(3000, 300, 3000))
        self.use()
        self.run_all()
        self.assertEqual(self.training()["skipped_steps"], 3)
        self.assertEqual(self.training()["examples"], 6300)
        metrics = self.manifest("run", "models")["metrics"]["done"]
        self.assertGreater(metrics["student"]["score"], 0.8)

    def test_many_in_a_row_go_back_once(self):
        self.write_events(self.events(3000, 500, 3000))
        self.use(checkpoint={"every": 1000})
        done = self.run_all()
        self.assertIn("model_went_back", done.stderr)
        self.assertEqual(self.training()["examples"], 6500)
        self.assertEqual(self.training()["skipped_steps"], 5)

    def test_a_second_time_ends_the_run(self):
        self.write_events(self.events(3000, 1500, 3000))
        self.use(checkpoint={"every": 1000})
        self.assert_refused(status=BAD_DATA, says=["not finite again"])
        self.assert_sound()
        examples = self.training()["examples"]
        self.assertGreaterEqual(examples, 3500)
        # It says so again, from where it was, until the data is better.
        self.assert_refused(status=BAD_DATA, says=["not finite again"])
        self.assertGreaterEqual(self.training()["examples"], examples)

    def test_a_restart_forgets_neither_skips_nor_going_back(self):
        lines = self.events(3000, 1000, 1000)
        self.use(train={"batch": 100, "skips_max": 5, "rollback_gap": 1500})
        for count, goes_back in ((3300, False), (3500, True), (3700, False)):
            self.write_events(lines[:count])
            done = self.run_all()
            self.assertEqual("model_went_back" in done.stderr, goes_back,
                             count)
        self.write_events(lines)
        self.assert_refused(status=BAD_DATA, says="not finite again")

    def test_a_killed_run_goes_back_too(self):
        self.write_events(self.events(3000, 500, 3000))
        self.use(checkpoint={"every": 100, "keep": 50})
        for batch in (33, 34, 36):
            with self.subTest(batch=batch):
                self.forget()
                self.run_all(crash=True, status=-9, env={
                    "DISTILLD_CRASHPOINT": f"train_before_checkpoint:{batch}"})
                self.run_all()
                self.assertEqual(self.training()["examples"], 6500)
                self.assertEqual(self.training()["skipped_steps"], 5)
                self.assert_sound()


if __name__ == "__main__":
    main()
