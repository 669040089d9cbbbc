#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quality against the share of events that the teacher is asked about.

budget.py --out build/none [--seeds 2]

A new student on the second half of MovieTweetings (conf/demo/new_student),
with teacher.sample choosing by each way at 100, 30, 10 and 3 % of the events.
What is judged is every event with an outcome, asked about or not: the student
beside the untaught baseline, which is the same in all rows. The rates of a way
are set so that it asks about as many events as the others; `asked` is what it
came to. uncertainty asks a student that learned the first half untaught.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

SHARES = (0.3, 0.1, 0.03)
HALF = 1373801351  # the time at which conf/demo/new_student begins
YEARS = ("2012", "2013")  # segment: films that are new, asked about more
MORE = 3.0


class Bench:
    def __init__(self, root, out, seed):
        self.program = os.path.abspath(os.path.join(out, "distilld"))
        self.folder = os.path.join(root, f"build/budget/{seed}")
        self.env = {**os.environ, "SEED": str(seed)}
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        os.symlink(os.path.join(root, "tests"),
                   os.path.join(self.folder, "tests"))
        with open(os.path.join(root, "conf/demo/new_student.yaml"),
                  encoding="utf-8") as f:
            self.text = f.read().replace("build/demo/new_student/", "run/")
        self.teacher = re.search(r"(?ms)^teacher:\n.*?\n\n", self.text)[0]

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run(self, text):
        with open(self.path("run.yaml"), "w", encoding="utf-8") as f:
            f.write(text)
        subprocess.run([self.program, "run", "-c", "run.yaml"],
                       cwd=self.folder, check=True, env=self.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       text=True)

    def annotate(self, sample):
        """Labels a fresh log; gives the rates of the second half's events and
        the share that was asked about."""
        shutil.rmtree(self.path("run"), ignore_errors=True)
        extra = "".join(f"\n    {k}: {json.dumps(v)}"
                        for k, v in (sample or {"by": "none"}).items())
        self.run("roles: [annotate]\n" + self.text.replace(
            self.teacher, self.teacher.rstrip("\n")
            + "\n  sample:" + extra + "\n\n"))
        rates, chosen = [], 0
        with open(self.path("run/labels.ndjson"), "rb") as f:
            for line in f:
                label = json.loads(line)
                if label["event"]["timestamp"] < HALF:
                    continue
                choice = label.get("sample", {"rate": 1.0, "chosen": True})
                rates.append((choice["rate"], str(label["event"]["year"])))
                chosen += choice["chosen"]
        return rates, chosen / len(rates)

    def train(self):
        """Quality of the student and the baseline, over all events."""
        for name in ("checkpoints", "models"):
            shutil.rmtree(self.path("run", name), ignore_errors=True)
        self.run("roles: [train]\n" + self.text.replace(
            self.teacher, "teacher: {kind: none}\n\n"))
        with open(self.path("run/checkpoints/latest/manifest.json"),
                  encoding="utf-8") as f:
            return json.load(f)["metrics"]["liked"]

    def untaught(self):
        """A student of the first half; the directory of its version."""
        source = self.path("tests/data/movietweetings/"
                           "movietweetings.ndjson.gz")
        with gzip.open(source, "rb") as f:
            lines = [x for x in f if json.loads(x)["timestamp"] < HALF]
        with open(self.path("half.ndjson"), "wb") as f:
            f.writelines(lines)
        text = re.sub(r"(?m)^train: .*$", "train: {input: events}", self.text)
        text = text.replace(self.teacher, "teacher: {kind: none}\n\n")
        text = text.replace("run/", "untaught/")
        text = re.sub(r"(?m)^  path: tests/.*$", "  path: half.ndjson", text)
        self.run("roles: [train]\nbaseline: false\n" + text)
        return os.path.realpath(self.path("untaught/models/latest"))


def spread(mean, share):
    """(rate, rate_high) that ask about that share, where what deserves a
    question is `mean` on average."""
    low = share / 4
    high = low + (share - low) / mean
    if high <= 1:
        return low, high
    return max((share - mean) / (1 - mean), 1e-6), 1.0


def ways(bench):
    """For each way: a function from a share to teacher.sample."""
    student = bench.untaught()
    sure = {"by": "uncertainty", "student": student}
    new = {"by": "novelty", "ids": ["user", "movie"]}
    means = {}
    for sample in (sure, new):
        rates, _ = bench.annotate({**sample, "rate": 1e-6, "rate_high": 1})
        means[sample["by"]] = statistics.fmean(r for r, _ in rates)
    recent = statistics.fmean(year in YEARS for _, year in rates)

    def by_rate(share):
        return {"by": "rate", "rate": share}

    def by_segment(share):
        more = min(1.0, MORE * share / (1 + (MORE - 1) * recent))
        return {"by": "segment", "feature": "year", "rate":
                max((share - recent * more) / (1 - recent), 1e-6),
                "rates": {year: str(more) for year in YEARS}}

    def by_span(sample):
        def of(share):
            low, high = spread(means[sample["by"]], share)
            return {**sample, "rate": low, "rate_high": high}
        return of

    return {"rate": by_rate, "segment": by_segment, "novelty": by_span(new),
            "uncertainty": by_span(sure)}


def measure(bench, way, share, sample):
    _, asked = bench.annotate(sample)
    row = {"way": way, "share": share, "asked": asked}
    quality = bench.train()
    for name, model in (("taught", "student"), ("untaught", "baseline")):
        row[name] = {"auc": quality[model]["score"],
                     "log_loss": quality[model]["loss"]}
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def run_seed(root, out, seed):
    bench = Bench(root, out, seed)
    rows = [measure(bench, "all", 1.0, None)]
    for way, of in ways(bench).items():
        rows += [measure(bench, way, share, of(share)) for share in SHARES]
    shutil.rmtree(bench.folder)
    return rows


def mean_of(rows):
    """One row of the same row of all seeds."""
    mean = {key: rows[0][key] for key in ("way", "share")}
    mean["asked"] = statistics.fmean(r["asked"] for r in rows)
    for name in ("taught", "untaught"):
        mean[name] = {m: statistics.fmean(r[name][m] for r in rows)
                      for m in ("auc", "log_loss")}
    return mean


def show(rows):
    untaught = rows[0]["untaught"]
    print(f"untaught: AUC {untaught['auc']:.4f}, log-loss "
          f"{untaught['log_loss']:.4f}\n")
    print("| way | asked | AUC gain | log-loss gain |\n|---|---|---|---|")
    for r in rows:
        auc = r["taught"]["auc"] - untaught["auc"]
        loss = untaught["log_loss"] - r["taught"]["log_loss"]
        print(f"| {r['way']} | {100 * r['asked']:.1f} % | {auc:+.4f} | "
              f"{loss:+.4f} |")


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/none")
    parser.add_argument("--json", default="build/budget.json")
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    seeds = []
    for seed in range(1, args.seeds + 1):
        try:
            seeds.append(run_seed(root, args.out, seed))
        except subprocess.CalledProcessError as problem:
            sys.exit(f"{problem}\n{problem.stderr}")
    rows = [mean_of(rows) for rows in zip(*seeds)]
    show(rows)
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump({"seeds": seeds, "mean": rows}, f, indent=1)


if __name__ == "__main__":
    main()
