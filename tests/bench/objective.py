#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the options of the objective are worth where they should help:
objective.py --out build/none [--seeds 5] [--streams frozen,...]

Each stream is labeled once a seed, and each way of training reads the same
labels. Every prediction is made before its event is learned from; all are
judged on the second half. The untaught student (soft weight 0) stands beside
them: options that do not beat it are of no use.

  good          MovieTweetings, "rating is 8 or more"; the teacher learns in
                line and sees more than the student, as in the demo
  frozen        the same teacher learned the first tenth and nothing since;
                the student starts behind it
  frozen_ids    the same, but the teacher sees ids alone, as the student does:
                most of those that come later it does not know
  inverted      the good teacher's answers with the other sign
  shuffled      the good teacher's answers, to other events
  sampled       MovieTweetings, "rating is 10"; of the negatives one in
                SAMPLED is kept; the teacher learns in line and is corrected
                for it, as the student is
  uncorrected   the same; but nobody told the teacher that it was a sample
  rare          made up: one in a hundred is yes, of the negatives one in a
                hundred is kept; the teacher knows the odds but for some noise
"""

import argparse
import datetime
import gzip
import hashlib
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SAMPLE = os.path.join(
    ROOT, "tests/data/movietweetings/movietweetings.ndjson.gz")
SAMPLED = 10
RARE_EVENTS, RARE_USERS, RARE_ITEMS, RARE_KEPT = 6_000_000, 3000, 1000, 100

FEATURES = {
    "user": {"kind": "categorical"},
    "movie": {"kind": "categorical"},
    "year": {"kind": "categorical"},
    "genres": {"kind": "bag"},
    **{name: {"kind": "number", "path": f"past.{name}",
              "transform": transform, "seen_by": "teacher"}
       for name, transform in (
           ("user_count", ["log", "standardize"]),
           ("user_mean", ["standardize"]), ("user_bias", ["standardize"]),
           ("user_taste", ["standardize"]),
           ("movie_count", ["log", "standardize"]),
           ("movie_mean", ["standardize"]),
           ("movie_bias", ["standardize"]))},
}
LARGE = {"embedding_width": 20, "cross_layers": 2, "hidden": [128, 64]}
SMALL = {"embedding_width": 4, "hidden": [16]}

UNTAUGHT = {"soft_weight": 0}
TAUGHT = {"soft_weight": 1}
ADAPTER = {"adapter": 16}
SEEING = {"adapter": 16, "adapter_sees_student": True}
ADAPTED = {
    "untaught": UNTAUGHT,
    "soft 1": TAUGHT,
    "soft 1, adapter": {**TAUGHT, **ADAPTER},
    "soft 1, adapter that sees the student": {**TAUGHT, **SEEING},
}
AGES = {
    "soft 1, up to 30 days": {**TAUGHT, "teacher_age_max": "30d"},
    "soft 1, fades in 60 days": {**TAUGHT, "teacher_age_max": "60d",
                                 "old_labels": "fade"},
}
WAYS = {
    "good": ADAPTED,
    "frozen": {**ADAPTED, **AGES},
    "frozen_ids": {**ADAPTED, **AGES},
    "inverted": ADAPTED,
    "shuffled": ADAPTED,
    "sampled": {
        "untaught": UNTAUGHT,
        "soft 1": TAUGHT,
        "soft 1, cross_debias": {**TAUGHT, "cross_debias": True},
    },
    "uncorrected": {
        "untaught": UNTAUGHT,
        "soft 1": TAUGHT,
        "soft 1, adapter": {**TAUGHT, **ADAPTER},
        "soft 1, teacher_negative_rate":
            {**TAUGHT, "teacher_negative_rate": 1 / SAMPLED},
        "soft 1, teacher_negative_rate, cross_debias":
            {**TAUGHT, "teacher_negative_rate": 1 / SAMPLED,
             "cross_debias": True},
    },
    "rare": {
        "untaught": UNTAUGHT,
        "soft 1": TAUGHT,
        "soft 1, cross_debias": {**TAUGHT, "cross_debias": True},
    },
}


def sample():
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as f:
        return f.readlines()


def share(text):
    """A number in [0, 1) that depends on the text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2 ** 32


def sampled_lines():
    """Who rated 10, and one in SAMPLED of the others."""
    lines = []
    for line in sample():
        event = json.loads(line)
        if event["rating"] == 10 or share(event["event_id"]) < 1 / SAMPLED:
            event["rate"] = 1 / SAMPLED
            lines.append(json.dumps(event, separators=(",", ":")) + "\n")
    return lines


def rare_lines():
    rng = random.Random(11)
    taste = [rng.gauss(0, 1) for _ in range(RARE_USERS)]
    charm = [rng.gauss(0, 1) for _ in range(RARE_ITEMS)]
    lines = []
    for i in range(RARE_EVENTS):
        user = int(rng.random() ** 2 * RARE_USERS)
        item = int(rng.random() ** 2 * RARE_ITEMS)
        z = taste[user] + charm[item] - 5.4
        done = rng.random() < 1 / (1 + math.exp(-z))
        if not done and rng.random() >= 1 / RARE_KEPT:
            continue
        lines.append(json.dumps({
            "event_id": str(i), "timestamp": 1_700_000_000 + i,
            "user": f"u{user}", "movie": f"i{item}", "rating": int(done),
            "rate": 1 / RARE_KEPT, "answer": z + rng.gauss(0, 0.5)}) + "\n")
    return lines


class Stream:
    """A folder with events, labels, and what came of each way."""

    def __init__(self, name, seed, root, program):
        self.folder = os.path.join(root, f"build/objective/{name}-{seed}")
        self.name, self.seed, self.program = name, seed, program
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, lines):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.writelines(lines)

    def run(self, name, settings):
        base = {
            "name": "bench", "features": FEATURES,
            "tasks": {"liked": {"kind": "binary", "path": "rating",
                                "threshold": 8}},
            "events": {"path": self.path("events.ndjson")},
            "labels": {"path": self.path("labels.ndjson")},
            "dead_letters": {"path": self.path("dead")},
            "student": {**SMALL, "seed": self.seed},
            "checkpoint": {"path": self.path(name, "checkpoints")},
            "publish": {"path": self.path(name, "models")},
            "log": {"level": "warn"},
        }
        with open(self.path(name + ".yaml"), "w", encoding="utf-8") as f:
            json.dump({**base, **settings}, f, indent=1)
        subprocess.run([self.program, "run", "-c", f.name], check=True,
                       stdout=subprocess.DEVNULL)

    def annotate(self, teacher, **more):
        """Labels the events."""
        self.run("annotate", {"roles": ["annotate"], "teacher": teacher,
                              **more})

    def train(self, name, objective, judged_from, **more):
        """Trains on the labels; gives progressive AUC and log-loss."""
        self.run(name, {
            "roles": ["train"], "baseline": False, "objective": objective,
            # Only says that there was one: the labels are made.
            "teacher": {"kind": "checkpoint", "path": self.path("none")},
            "metrics": {"from": judged_from}, **more})
        with open(self.path(name, "checkpoints/latest/manifest.json"),
                  encoding="utf-8") as f:
            got = json.load(f)["metrics"]["liked"]
        return {who: (got[who]["score"], got[who]["loss"])
                for who in ("student", "teacher")}


def middle(lines):
    """The event time at the half, as a setting."""
    at = json.loads(lines[len(lines) // 2])["timestamp"]
    return datetime.datetime.fromtimestamp(
        at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def learns(stream, **more):
    return {"kind": "checkpoint", "learn": True,
            "checkpoint": {"path": stream.path("teacher")},
            "model": {**LARGE, "seed": stream.seed}, **more}


def good(stream):
    """Gives the events in order, and what all ways of training share."""
    lines = sample()
    stream.write("events.ndjson", lines)
    stream.annotate(learns(stream))
    return lines, {}


def changed(stream, change):
    """A good teacher's answers, changed as a list."""
    lines, more = good(stream)
    with open(stream.path("labels.ndjson"), encoding="utf-8") as f:
        labels = [json.loads(line) for line in f]
    answers = change([label["soft_label"]["liked"][0] for label in labels])
    for label, answer in zip(labels, answers):
        label["soft_label"]["liked"] = [answer]
    stream.write("labels.ndjson",
                 [json.dumps(label, separators=(",", ":")) + "\n"
                  for label in labels])
    return lines, more


def inverted(stream):
    return changed(stream, lambda answers: [-a for a in answers])


def shuffled(stream):
    def change(answers):
        random.Random(stream.seed).shuffle(answers)
        return answers
    return changed(stream, change)


def of_first_tenth(stream, features):
    lines = sample()
    tenth = len(lines) // 10
    seen_by_all = {n: {k: v for k, v in f.items() if k != "seen_by"}
                   for n, f in features.items()}
    stream.write("first.ndjson", lines[:tenth])
    stream.run("taught", {
        "roles": ["train"], "train": {"input": "events"}, "baseline": False,
        "events": {"path": stream.path("first.ndjson")},
        "features": seen_by_all, "student": {**LARGE, "seed": stream.seed}})
    stream.write("events.ndjson", lines[tenth:])
    stream.annotate({"kind": "checkpoint",
                     "path": stream.path("taught/models")},
                    features=features)
    return lines, {"features": features}


def frozen(stream):
    return of_first_tenth(stream, FEATURES)


def frozen_ids(stream):
    return of_first_tenth(stream, {n: f for n, f in FEATURES.items()
                                   if "seen_by" not in f})


def of_rating_10(stream, corrected):
    lines = sampled_lines()
    tasks = {"liked": {"kind": "binary", "path": "rating", "threshold": 10}}
    events = {"path": stream.path("events.ndjson")}
    rated = {**events, "sample_rate": "rate"}
    stream.write("events.ndjson", lines)
    stream.annotate(learns(stream), tasks=tasks,
                    events=rated if corrected else events)
    return lines, {"tasks": tasks, "events": rated}


def sampled(stream):
    return of_rating_10(stream, True)


def uncorrected(stream):
    return of_rating_10(stream, False)


RARE = []


def rare(stream):
    if not RARE:
        RARE.extend(rare_lines())
    tasks = {"liked": {"kind": "binary", "path": "rating",
                       "teacher_path": "answer"}}
    features = {n: FEATURES[n] for n in ("user", "movie")}
    more = {"tasks": tasks, "features": features,
            "events": {"path": stream.path("events.ndjson"),
                       "sample_rate": "rate"}}
    stream.write("events.ndjson", RARE)
    stream.annotate({"kind": "field"}, **more)
    return RARE, more


def run_stream(name, seed, root, program):
    stream = Stream(name, seed, root, program)
    lines, more = globals()[name](stream)
    got = {}
    for i, (way, objective) in enumerate(WAYS[name].items()):
        result = stream.train(f"way{i}", objective, middle(lines), **more)
        got[way] = result["student"]
        got["(the teacher itself)"] = result["teacher"]
    shutil.rmtree(stream.folder)
    return got


def show(name, runs):
    first = runs[0]
    print(f"\n{name}: mean of {len(runs)} seeds; difference to untaught, "
          "worst seed in brackets; above 0 is better")
    print(f"{'':46}{'AUC':>8}{'':18}{'log-loss':>9}")
    rows = []
    for way in first:
        row = {"stream": name, "way": way}
        text = f"{way:44}"
        for m, (metric, sign) in enumerate((("auc", 1), ("log_loss", -1))):
            values = [r[way][m] for r in runs]
            gains = [sign * (r[way][m] - r["untaught"][m]) for r in runs]
            row[metric] = statistics.fmean(values)
            row[metric + "_gain"] = statistics.fmean(gains)
            row[metric + "_worst"] = min(gains)
            text += (f"{row[metric]:9.4f}{row[metric + '_gain']:+9.4f} "
                     f"({min(gains):+.4f})")
        rows.append(row)
        print(text)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/none")
    parser.add_argument("--json", default="build/objective.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--streams", default=",".join(WAYS))
    args = parser.parse_args()
    program = os.path.abspath(os.path.join(args.out, "distilld"))
    rows = []
    for name in args.streams.split(","):
        runs = []
        for seed in range(1, args.seeds + 1):
            print(f"{name}, seed {seed} of {args.seeds}", file=sys.stderr,
                  flush=True)
            runs.append(run_stream(name, seed, ROOT, program))
        rows += show(name, runs)
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
    print(f"\nwritten: {args.json}")


if __name__ == "__main__":
    main()
