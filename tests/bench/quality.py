#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much a student should listen to its teacher, by the stream:
quality.py --out build/none [--seeds 5] [--streams steady,...] [--quick]

Each stream is labeled once a seed, and each way of training reads the same
labels; each prediction is by the version that could be published when its
event came. Streams of MovieTweetings, judged on the second half: `new`
(students begin there) and `steady` (they were there from the first event),
with the demo's teacher and with what is made of its labels log:

  shuffled    its answers, to other events
  inverted    its answers, with the other sign
  constant    its mean answer to everything
  frozen      the teacher learned the first tenth and nothing since
  half_users  its answers to one half of the users, inverted to the others

Planted streams, judged whole: users and items have biases and two factors
each, the outcome is drawn from the sum of biases and the product of factors;
the teacher answers the true logit of another, unrelated world (planted_zero:
the best weight is 0), or of this one until half-way, when the world is drawn
anew and the teacher stays with the old one (planted_change).

Ways: untaught, fixed weights, auto, and the one that auto was compared with:
one student at weight 1 behind the student adapter, which learns by gradient
how much the teacher's answers say about outcomes. --quick: one seed, and the
exit status says whether auto does harm where answers are worthless.
"""

import argparse
import collections
import concurrent.futures
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
HALF = "2013-07-14T11:29:11Z"
FIXED = {"0.5": (1, 0.5), "1": (1, 1), "4": (1, 4), "0.2+0.8": (0.2, 0.8)}
MADE = ("true", "shuffled", "inverted", "constant", "frozen", "half_users")
PLANTED = ("planted_zero", "planted_change")
STREAMS = tuple(f"{setting}_{made}" for setting in ("new", "steady")
                for made in MADE) + PLANTED
QUICK = ("new_shuffled", "new_inverted")
LABEL = re.compile(r'"soft_label":\{"liked":\[([^\]]*)\]\}')
USER = re.compile(r'"user":"?(\d+)')
PLANTED_EVENTS, USERS, ITEMS = 60000, 400, 200
NOISE = 0.0005  # of a mean over seeds


def demo(name, **replace):
    """conf/demo's settings, with other text in the place of some lines."""
    with open(os.path.join(ROOT, f"conf/demo/{name}.yaml"),
              encoding="utf-8") as f:
        text = f.read()
    for key, value in replace.items():
        text, count = re.subn(rf"^{key}:.*$(\n +.*$)*", f"{key}: {value}",
                              text, flags=re.M)
        if count == 0:
            text += f"{key}: {value}\n"
    return text


class Seed:
    """One seed's folder: labels once, then the runs of each way."""

    def __init__(self, seed, out):
        self.seed = seed
        self.program = os.path.abspath(os.path.join(out, "distilld"))
        self.dir = os.path.join(ROOT, f"build/quality/{seed}")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        os.symlink(os.path.join(ROOT, "tests"), self.path("tests"))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def run(self, name, text):
        with open(self.path(f"{name}.yaml"), "w", encoding="utf-8") as f:
            f.write(text)
        subprocess.run([self.program, "run", "-c", f"{name}.yaml"],
                       cwd=self.dir, check=True, text=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       env={**os.environ, "SEED": str(self.seed)})

    def annotate(self, name, **replace):
        """Labels a stream; gives the lines."""
        self.run(name, demo("steady", roles="[annotate]",
                            labels=f"{{path: {name}.ndjson}}",
                            dead_letters=f"{{path: {name}.dead}}", **replace))
        with open(self.path(f"{name}.ndjson"), encoding="utf-8") as f:
            return f.readlines()

    def frozen(self, lines):
        """The labels of a teacher that learned the first tenth alone."""
        tenth = len(lines) // 10
        with open(self.path("tenth.ndjson"), "w", encoding="utf-8") as f:
            for line in lines[:tenth]:
                f.write(json.dumps(json.loads(line)["event"]) + "\n")
        model = ("model: {embedding_width: 20, cross_layers: 2, "
                 "hidden: [128, 64]}")
        self.annotate("learned", events="{path: tenth.ndjson}",
                      teacher="{kind: checkpoint, learn: true, "
                      f"checkpoint: {{path: frozen}}, {model}}}")
        after = self.annotate("asked", teacher="{kind: checkpoint, "
                              f"path: frozen, {model}}}")
        return lines[:tenth] + after[tenth:]

    def make(self, wanted):
        """Writes the labels log of each stream that is wanted."""
        made = {s.split("_", 1)[1] for s in wanted if s not in PLANTED}
        if made:
            lines = self.annotate("true")
            answers = [float(LABEL.search(x).group(1)) for x in lines]
            shuffled = list(answers)
            random.Random(self.seed).shuffle(shuffled)
            mean = statistics.fmean(answers)
            texts = {
                "shuffled": shuffled,
                "inverted": [-a for a in answers],
                "constant": [mean] * len(answers),
                "half_users": [
                    a if int(USER.search(x).group(1)) % 2 else -a
                    for a, x in zip(answers, lines)]}
            for name in made & set(texts):
                self.write(name, (
                    LABEL.sub(f'"soft_label":{{"liked":[{a:.9g}]}}', x, 1)
                    for a, x in zip(texts[name], lines)))
            if "frozen" in made:
                self.write("frozen", self.frozen(lines))
        for name in set(wanted) & set(PLANTED):
            self.write(name, self.planted(name == "planted_change"))

    def write(self, name, lines):
        with open(self.path(f"{name}.ndjson"), "w", encoding="utf-8") as f:
            f.writelines(lines)

    def planted(self, changes):
        rng = random.Random(1000 + self.seed)

        def world():
            return [[[rng.gauss(0, 1) for _ in range(3)] for _ in range(n)]
                    for n in (USERS, ITEMS)]

        def logit(w, u, i):
            a, b = w[0][u], w[1][i]
            return a[0] + b[0] + a[1] * b[1] + a[2] * b[2]
        truth, other = world(), world()
        told = truth if changes else other
        for n in range(PLANTED_EVENTS):
            if changes and n == PLANTED_EVENTS // 2:
                truth = other
            u, i = rng.randrange(USERS), rng.randrange(ITEMS)
            liked = rng.random() < 1 / (1 + math.exp(-logit(truth, u, i)))
            yield json.dumps({
                "schema": "distilld.label/1",
                "source": {"topic": "planted", "partition": 0, "offset": n,
                           "generation": 0},
                "teacher": {"name": "teacher", "version": "1"},
                "soft_label": {"liked": [round(logit(told, u, i), 6)]},
                "event": {"event_id": f"p{n}", "timestamp": 1362062307 + n,
                          "user": str(u), "movie": str(i), "year": 2000,
                          "genres": ["g"], "rating": 9 if liked else 5}},
                separators=(",", ":")) + "\n"

    def judge(self, stream, way, objective):
        """Trains one way; gives what student and baseline came to."""
        name = f"{stream}-{way}"
        labels = stream if stream in PLANTED else stream.split("_", 1)[1]
        more = {}
        if stream in PLANTED:
            more["metrics"] = "{window: 5000}"
        text = demo("new_student" if stream.startswith("new") else "steady",
                    roles="[train]", objective=objective,
                    labels=f"{{path: {labels}.ndjson}}",
                    dead_letters=f"{{path: {name}.dead}}",
                    checkpoint=f"{{path: {name}.run, every: 0}}",
                    publish="{path: \"\"}", **more)
        self.run(name, text)
        with open(self.path(f"{name}.run/latest/manifest.json"),
                  encoding="utf-8") as f:
            result = json.load(f)["metrics"]["liked"]
        shutil.rmtree(self.path(f"{name}.run"))
        return result


def ways():
    found = {way: f"{{hard_weight: {h}, soft_weight: {s}, temperature: 2}}"
             for way, (h, s) in FIXED.items()}
    found["auto"] = "{soft_weight: auto, temperature: 2}"
    found["adapter"] = "{soft_weight: 1, temperature: 2, adapter: 16}"
    return found


def run_seed(seed, out, streams):
    """Every stream and way of one seed: {(stream, way): (auc, log_loss)}."""
    work = Seed(seed, out)
    work.make(streams)
    found = {}
    for stream in streams:
        for way, objective in ways().items():
            r = work.judge(stream, way, objective)
            for name, model in ((way, "student"), ("untaught", "baseline")):
                if name != "untaught" or way == "1":
                    found[stream, name] = (r[model]["score"],
                                           r[model]["loss"])
        print(f"seed {seed}: {stream}", file=sys.stderr, flush=True)
    shutil.rmtree(work.dir)
    return found


def summarize(results, streams):
    """The list that is written: means over seeds, and each seed."""
    rows = []
    for stream in streams:
        for way in ("untaught", *ways()):
            seeds = [r[stream, way] for r in results]
            rows.append({
                "stream": stream, "way": way,
                "auc": statistics.fmean(s[0] for s in seeds),
                "log_loss": statistics.fmean(s[1] for s in seeds),
                "seeds": [{"auc": s[0], "log_loss": s[1]} for s in seeds]})
    return rows


def show(rows):
    """AUC of the untaught; of each way minus it; auto minus the best fixed."""
    table = collections.defaultdict(dict)
    for row in rows:
        table[row["stream"]][row["way"]] = row
    others = [w for w in ways()]
    print(f"{'AUC':18}{'untaught':>9}" + "".join(f"{w:>9}" for w in others)
          + f"{'auto-best':>11}{'(s.e.)':>9}{'log-loss':>10}")
    for stream, by in table.items():
        base, auto = by["untaught"], by["auto"]
        best = max((by[w] for w in ("untaught", *FIXED)),
                   key=lambda r: r["auc"])
        paired = [a["auc"] - b["auc"]
                  for a, b in zip(auto["seeds"], best["seeds"])]
        error = (statistics.stdev(paired) / math.sqrt(len(paired))
                 if len(paired) > 1 else math.nan)
        print(f"{stream:18}{base['auc']:9.4f}"
              + "".join(f"{by[w]['auc'] - base['auc']:+9.4f}" for w in others)
              + f"{auto['auc'] - best['auc']:+11.4f}{error:9.4f}"
              + f"{auto['log_loss'] - base['log_loss']:+10.4f}")
    print("log-loss: auto minus untaught, below 0 better")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/none")
    parser.add_argument("--json", default="build/quality.json")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    streams = QUICK if args.quick else tuple(args.streams.split(","))
    count = 1 if args.quick else args.seeds
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run_seed, seed, args.out, streams)
                for seed in range(1, count + 1)]
        results = [j.result() for j in jobs]
    rows = summarize(results, streams)
    show(rows)
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
    print(f"written: {args.json}")
    if args.quick:
        by = {(r["stream"], r["way"]): r for r in rows}
        harm = max(by[s, "untaught"]["auc"] - by[s, "auto"]["auc"]
                   for s in streams)
        sys.exit(0 if harm <= 4 * NOISE else f"auto loses {harm:.4f} AUC")


if __name__ == "__main__":
    main()
