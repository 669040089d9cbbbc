#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which events the teacher is asked about, and that every label says it."""

import json
import os
import random
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support")]
from integration import main  # noqa: E402
from stream import FEATURES, StreamCase, sample_lines, with_sides  # noqa: E402

COUNT = 6000


class TestSample(StreamCase):
    def annotate(self, sample, **more):
        """Labels of the sample's beginning, as objects, and as bytes."""
        self.write_events(sample_lines(COUNT))
        teacher = {"batch": 100, "sample": sample, **more.pop("teacher", {})}
        self.configure(roles=["annotate"], teacher=teacher, **more)
        shutil.rmtree(self.path("run"), ignore_errors=True)
        self.run_all()
        with open(self.path("run", "labels.ndjson"), "rb") as f:
            lines = f.read()
        labels = [json.loads(line) for line in lines.splitlines()]
        self.assertEqual(len(labels), COUNT)
        for label in labels:
            self.assertEqual(bool(label["soft_label"]),
                             label["sample"]["chosen"])
            self.assertEqual("teacher" in label, label["sample"]["chosen"])
            self.assertEqual(label["sample"]["by"], sample["by"])
            self.assertIn("rating", label["event"])
        return labels, lines

    def assert_share(self, labels, most=4.0):
        """As many were chosen as their rates say, within most deviations."""
        rates = [label["sample"]["rate"] for label in labels]
        chosen = sum(label["sample"]["chosen"] for label in labels)
        deviation = sum(p * (1 - p) for p in rates) ** 0.5
        self.assertLess(abs(chosen - sum(rates)), most * deviation + 1e-9)

    def test_rate(self):
        labels, first = self.annotate({"by": "rate", "rate": 0.3})
        self.assertEqual({x["sample"]["rate"] for x in labels}, {0.300000012})
        self.assert_share(labels)
        _, again = self.annotate({"by": "rate", "rate": 0.3})
        self.assertEqual(first, again)
        other, _ = self.annotate({"by": "rate", "rate": 0.3},
                                 teacher={"seed": 2})
        self.assert_share(other)
        both = sum(a["sample"]["chosen"] and b["sample"]["chosen"]
                   for a, b in zip(labels, other))
        self.assertLess(abs(both - COUNT * 0.09), 4 * (COUNT * 0.09) ** 0.5)

    def test_choices_of_a_lower_rate_are_among_those_of_a_higher_one(self):
        low, _ = self.annotate({"by": "rate", "rate": 0.1})
        high, _ = self.annotate({"by": "rate", "rate": 0.3})
        for a, b in zip(low, high):
            self.assertLessEqual(a["sample"]["chosen"], b["sample"]["chosen"])

    def test_segments_have_rates_of_their_own(self):
        labels, _ = self.annotate({"by": "segment", "feature": "year",
                                   "rate": 0.05,
                                   "rates": {"2012": 0.5, "2013": "1"}})
        wanted = {2012: 0.5, 2013: 1.0}
        years = set()
        for label in labels:
            year = label["event"]["year"]
            years.add(year)
            self.assertAlmostEqual(label["sample"]["rate"],
                                   wanted.get(year, 0.05), places=6)
        self.assertGreater(len(years), 10)
        self.assert_share(labels)

    def test_novel_ids_are_asked_about(self):
        sample = {"by": "novelty", "rate": 0.1, "rate_high": 0.9,
                  "ids": ["user", "movie"]}
        labels, _ = self.annotate(sample)
        seen = {}
        for label in labels:
            ids = [("user", label["event"]["user"]),
                   ("movie", label["event"]["movie"])]
            n = min(seen.get(i, 0) for i in ids)
            self.assertAlmostEqual(label["sample"]["rate"],
                                   0.1 + 0.8 / (1 + n), places=5)
            for i in ids:
                seen[i] = seen.get(i, 0) + 1
        self.assert_share(labels)

    def train_student(self):
        """A student that has learned the events; the directory of versions."""
        self.write_events(sample_lines(COUNT))
        self.configure("taught", teacher={"kind": "none", "learn": None,
                                          "checkpoint": None},
                       train={"input": "events"}, roles=["train"],
                       baseline=False)
        self.run_all(name="taught")
        return self.path("taught", "models")

    def test_an_unsure_student_asks(self):
        models = self.train_student()
        version = os.path.realpath(os.path.join(models, "latest"))
        sample = {"by": "uncertainty", "rate": 0.05, "rate_high": 0.8,
                  "student": version}
        labels, first = self.annotate(sample)
        rates = [x["sample"]["rate"] for x in labels]
        self.assertGreater(max(rates), 0.75)
        self.assertLess(min(rates), 0.5)
        self.assertGreaterEqual(min(rates), 0.05)
        self.assert_share(labels)
        _, again = self.annotate(sample)
        self.assertEqual(first, again)

    def test_what_a_replay_could_not_repeat_is_refused(self):
        models = self.train_student()
        done = self.refused({"by": "uncertainty", "student": models})
        self.assertIn("holds versions, expected one of them", done.stderr)
        done = self.refused({"by": "rate", "per_second": 5})
        self.assertIn("teacher.sample.per_second", done.stderr)

    def refused(self, sample):
        self.configure(roles=["annotate"], teacher={"sample": sample})
        return self.run_all(status=78)

    def test_settings_that_make_no_sense_are_refused(self):
        for sample, why in (
                ({"by": "segment"}, "teacher.sample.feature"),
                ({"by": "segment", "feature": "year"}, "teacher.sample.rates"),
                ({"by": "segment", "feature": "year",
                  "rates": {"2012": "much"}}, "expected a rate"),
                ({"by": "novelty", "ids": ["nobody"]}, "no feature with ids"),
                ({"by": "uncertainty"}, "teacher.sample.student"),
                ({"by": "novelty", "rate": 0.5, "rate_high": 0.1},
                 "teacher.sample.rate_high")):
            with self.subTest(sample=sample):
                self.assertIn(why, self.refused(sample).stderr)

    def test_imagined_events_come_of_chosen_ones_alone(self):
        labels, _ = self.annotate({"by": "rate", "rate": 0.5},
                                  teacher={"recombine": 3},
                                  features=with_sides(FEATURES))
        for i, label in enumerate(labels):
            count = min(i % 100, 3) if label["sample"]["chosen"] else 0
            self.assertEqual(len(label.get("imagined", ())), count)
            for event in label.get("imagined", ()):
                self.assertEqual(event["event"]["user"],
                                 label["event"]["user"])
                self.assertEqual(set(event["event"]), set(FEATURES))
                self.assertIn("liked", event["soft_label"])

    def test_partners_are_earlier_events_of_the_batch(self):
        labels, _ = self.annotate({"by": "rate", "rate": 1},
                                  teacher={"recombine": 2},
                                  features=with_sides(FEATURES))
        item = ("movie", "year", "genres")
        for i in random.Random(5).sample(range(COUNT), 500):
            batch = labels[i - i % 100:i]
            sides = [{k: x["event"][k] for k in item if k in x["event"]}
                     for x in batch]
            for event in labels[i].get("imagined", ()):
                self.assertIn({k: v for k, v in event["event"].items()
                               if k in item}, sides)


if __name__ == "__main__":
    main()
