#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment and started again, a run ends with the same bytes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"),
                os.path.join(HERE, "..", "chaos")]
import points  # noqa: E402
from integration import ROOT, main  # noqa: E402
from stream import (FEATURES, SAMPLE, StreamCase, sample_lines,  # noqa: E402
                    with_sides)

KILLS = 20


class KilledCase(StreamCase):
    def kill_at_random(self, kills, whole, seconds, rng):
        """Kills a run so often, by turns soon after its start and when the
        labels log has grown some more, so that each start gets further.
        whole: bytes that the labels log ends with; seconds: of a run."""
        done, ended = 0, 0
        while done < kills:
            process = self.start_all()
            now = self.size("run", "labels.ndjson")
            step = (whole - now) / ((kills - done) / 2 + 1)
            until = now + step * rng.uniform(0.2, 1.5)
            wait = rng.uniform(0.01, seconds / 10)

            def is_time(since, done=done, until=until, wait=wait):
                if done % 2 == 0:
                    return since >= wait
                return self.size("run", "labels.ndjson") >= until

            if self.kill(process, is_time):
                done += 1
                continue
            # This machine was too busy to be in time: another run.
            ended += 1
            self.assertLess(ended, 4, "runs end before they can be killed")
            self.forget()

    def undisturbed(self, **options):
        """Runs once to the end; gives the outcome, seconds and bytes of
        labels, and leaves nothing behind."""
        started = time.monotonic()
        self.run_all(**options)
        seconds = time.monotonic() - started
        self.assert_sound()
        whole = self.size("run", "labels.ndjson")
        outcome = self.outcome()
        self.forget()
        return outcome, seconds, whole


    def lines(self, *parts):
        with open(self.path(*parts), "rb") as f:
            return f.read().splitlines()

    def sightings(self, name, feature):
        """What the newest version says of a feature's ids."""
        return self.run_daemon("inspect", self.path(name, "checkpoints"),
                               "--ids", feature).stdout


class TestKill(KilledCase):
    def test_whole_sample_killed_20_times_ends_with_same_bytes(self):
        self.configure(events={"path": SAMPLE},
                       teacher={"checkpoint": {"every": 15000}},
                       checkpoint={"every": 10000},
                       publish={"every": 50000})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(KILLS, whole, seconds, random.Random(20))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()

    def test_frozen_teacher_answers_the_same_after_kills(self):
        self.write_events(sample_lines(20000))
        self.configure("taught", teacher={"kind": "none", "learn": None,
                                          "checkpoint": None},
                       train={"input": "events"}, roles=["train"],
                       baseline=False, student={"hidden": [64, 32]})
        self.run_all(name="taught")
        self.configure(teacher={"learn": None, "checkpoint": None,
                                "path": self.path("taught", "models"),
                                "batch": 100})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, random.Random(8))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)


    def test_imagined_events_are_the_same_after_kills(self):
        """They come and go with the label of their event."""
        self.write_events(sample_lines(20000))
        self.configure(features=with_sides(FEATURES),
                       teacher={"recombine": 2, "batch": 100},
                       train={"batch": 70})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, random.Random(3))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()
        counts = [len(json.loads(line).get("imagined", ()))
                  for line in self.lines("run", "labels.ndjson")]
        self.assertEqual(len(counts), 20000)
        self.assertEqual(counts[:5], [0, 1, 2, 2, 2])
        self.assertEqual(counts[100:103], [0, 1, 2])
        # An imagined event is no example, and nothing of it was seen.
        self.configure("plain", teacher={"batch": 100}, train={"batch": 70})
        self.run_all(name="plain")
        for feature in FEATURES:
            with self.subTest(feature=feature):
                self.assertEqual(self.sightings("run", feature),
                                 self.sightings("plain", feature))


    def test_students_side_by_side_are_the_same_after_kills(self):
        """Six of them, one of which learns from imagined events."""
        self.write_events(sample_lines(20000))
        self.configure(features=with_sides(FEATURES),
                       teacher={"recombine": 2, "batch": 100},
                       objective={"soft_weight": "auto"})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, random.Random(5))
        said = self.run_all().stdout
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()
        self.assertIn("1 hard + 1 soft, imagined", said)

    def test_choices_are_the_same_after_kills(self):
        """Also those that depend on what was seen before."""
        self.write_events(sample_lines(20000))
        self.configure(features=with_sides(FEATURES),
                       teacher={"recombine": 1, "batch": 100,
                                "sample": {"by": "novelty", "rate": 0.1,
                                           "ids": ["user", "movie"]}})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, random.Random(4))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()


# Each with how often it is passed at least, however slow the disk is.
POINTS = {
    "emit_between_dead_letters_and_labels": 2,
    "emit_after_labels": 2,
    "log_torn_line": 2,
    "train_after_dead_letters": 2,
    "train_before_checkpoint": 2,
    "checkpoint_while_writing": 2,
    "checkpoint_before_manifest": 2,
    "checkpoint_before_rename": 2,
    "checkpoint_before_latest": 2,
    "pointer_before_rename": 2,
    "checkpoint_after_latest": 2,
    "checkpoint_while_pruning": 1,
    "publish_before_manifest": 1,
    "publish_before_rename": 1,
}


class TestCrashPoints(KilledCase):
    def test_same_bytes_after_each_crash_point(self):
        lines = sample_lines(12000)
        lines[5000:5000] = [b"{\n", b"[1]\n", b"\xff\xfe\n"]
        self.write_events(lines)
        self.configure(checkpoint={"every": 2000, "keep": 1},
                       publish={"every": 4000, "keep": 1})
        self.run_all(crash=True)
        wanted = self.outcome()
        self.assertIn("dead/events.ndjson", wanted)
        for point, turns in POINTS.items():
            for turn in range(1, turns + 1):
                with self.subTest(point=point, turn=turn):
                    self.forget()
                    self.run_all(
                        crash=True, status=-signal.SIGKILL,
                        env={"DISTILLD_CRASHPOINT": f"{point}:{turn}"})
                    self.run_all()
                    self.assertEqual(self.outcome(), wanted)
                    self.assert_sound()

    def test_same_bytes_when_every_start_dies(self):
        """Each start crashes once somewhere, without an end in between."""
        self.write_events(sample_lines(12000))
        self.configure(checkpoint={"every": 1000}, publish={"every": 2000},
                       teacher={"checkpoint": {"every": 1000}})
        self.run_all(crash=True)
        wanted = self.outcome()
        self.forget()
        hits = 0
        for i, point in enumerate(list(POINTS) * 2):
            done = self.run_all(
                crash=True, status=None,
                env={"DISTILLD_CRASHPOINT": f"{point}:{2 + i // len(POINTS)}"})
            self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
            hits += done.returncode != 0
        self.assertGreaterEqual(hits, 8)
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        self.assert_sound()

    def test_every_point_of_the_code_is_tested(self):
        found = subprocess.run(
            ["grep", "-rhoE", r'^\s+crash_point\("[a-z_]+"\)', "daemon",
             "stages"], cwd=ROOT, capture_output=True, text=True, check=True)
        names = set(re.findall(r'"([a-z_]+)"', found.stdout))
        # Those of Kafka are chaos's.
        self.assertEqual(names - set(POINTS) - set(points.ANNOTATE)
                         - set(points.TRANSACTIONS),
                         {"file_before_rename"})


BROKEN = (
    b"{\"event_id\": \"x\",\n", b"\xff\xfe\xfd\n", b"not json\n", b"[]\n",
    b"{\"rating\": NaN}\n", b"\"" + b"long " * 20000 + b"\"\n",
    b"{\"rating\": 5, \"rating\": 6}\n", b"[" * 5000 + b"\n",
)


class TestDeadLetters(KilledCase):
    def offsets(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as f:
            return [json.loads(line)["source"]["offset"] for line in f]

    def assert_each_once(self, teacher):
        rng = random.Random(3)
        lines = []
        for line in sample_lines(15000):
            while rng.random() < 0.05:
                lines.append(rng.choice(BROKEN))
            lines.append(line)
        lines += BROKEN
        self.write_events(lines)
        self.configure(teacher=teacher)
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, rng)
        for point in ("emit_between_dead_letters_and_labels:9",
                      "log_torn_line:5"):
            self.run_all(crash=True, status=None,
                         env={"DISTILLD_CRASHPOINT": point})
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        labels = self.offsets("run", "labels.ndjson")
        dead = self.offsets("run", "dead", "events.ndjson")
        self.assertEqual(labels, sorted(labels))
        self.assertEqual(dead, sorted(dead))
        starts, at = [], 0
        for line in lines:
            starts.append(at)
            at += len(line)
        self.assertEqual(sorted(labels + dead), starts)
        self.assertEqual(len(labels), 15000)

    def test_each_record_is_a_label_or_a_dead_letter_once(self):
        self.assert_each_once({})

    def test_the_same_without_a_teacher(self):
        self.assert_each_once({"kind": "none", "learn": None,
                               "checkpoint": None})


class TestTrainedOnce(KilledCase):
    def test_every_event_is_seen_once_by_both_models(self):
        self.write_events(sample_lines(15000))
        self.configure(features={"event": {"kind": "categorical",
                                           "path": "event_id"}})
        wanted, seconds, whole = self.undisturbed()
        self.kill_at_random(8, whole, seconds, random.Random(5))
        self.run_all()
        self.assertEqual(self.outcome(), wanted)
        for part in ("checkpoints", "teacher"):
            shown = self.run_daemon("inspect", self.path("run", part),
                                    "--ids", "event").stdout.splitlines()
            sightings = [line.split("\t")[2] for line in shown[1:]]
            self.assertEqual(len(sightings), 15000, part)
            self.assertEqual(set(sightings), {"1"}, part)


if __name__ == "__main__":
    main()
