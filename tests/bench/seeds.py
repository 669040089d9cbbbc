#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo over several seeds: seeds.py --out build/none [--seeds 5]

One run says little: weights start elsewhere with another seed, and what
distillation adds may be chance. Each seed runs conf/demo in a folder of its
own, and what its report says goes into a table and a JSON file; the means and
the worst seed stand below.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

SETTINGS = ("steady", "new_student")
MODELS = ("teacher", "student", "baseline")
# metric, its name in the table, sign of what is better
METRICS = (("auc", "AUC", 1), ("log_loss", "log-loss", -1))


def run_seed(seed, root, out):
    """Runs the demo in a fresh folder; gives its report."""
    folder = os.path.join(root, f"build/seeds/{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in ("conf", "tests"):
        os.symlink(os.path.join(root, name), os.path.join(folder, name))
    program = os.path.abspath(os.path.join(out, "distilld"))
    files = [f"conf/demo/{name}.yaml" for name in SETTINGS]
    commands = [["run", "-c", f] for f in files]
    commands.append(["report", "-o", "build/demo", *files])
    for command in commands:
        subprocess.run([program, *command], cwd=folder, check=True,
                       env={**os.environ, "SEED": str(seed)},
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       text=True)
    with open(os.path.join(folder, "build/demo/report.json"),
              encoding="utf-8") as f:
        report = json.load(f)
    shutil.rmtree(folder)
    return report


def row_of(seed, setting):
    """What is kept of one setting's report; gains: above 0 is better."""
    row = {"seed": seed}
    for metric, _, sign in METRICS:
        values = {m: setting["models"][m][metric] for m in MODELS}
        row[metric] = values
        row[metric]["gain"] = sign * (values["student"] - values["baseline"])
        row[metric]["transfer_ratio"] = setting["transfer_ratio"][metric]
    return row


def mean_of(rows):
    return {"seed": "mean", **{
        metric: {key: statistics.fmean(r[metric][key] for r in rows)
                 for key in rows[0][metric]}
        for metric, _, _ in METRICS}}


def worst_of(rows, metric):
    return min(rows, key=lambda r: r[metric]["gain"])


def show_row(row):
    text = f"{row['seed']:>5}"
    for metric, _, _ in METRICS:
        v = row[metric]
        text += "".join(f"{v[m]:9.4f}" for m in MODELS)
        text += f"{v['gain']:+9.4f}{v['transfer_ratio']:7.3f} "
    print(text.rstrip())


def show(name, rows):
    print(f"\n{name}: gain is the student's over the baseline, above 0 "
          "better")
    head, under = "     ", " seed"
    for _, title, _ in METRICS:
        head += f"{title:>9}{'':35}"
        under += "".join(f"{m:>9}" for m in (*MODELS, "gain"))
        under += f"{'eta':>7} "
    print(head.rstrip())
    print(under.rstrip())
    for row in rows:
        show_row(row)
    show_row(mean_of(rows))
    worst = [f"{title} {worst_of(rows, metric)[metric]['gain']:+.4f} "
             f"(seed {worst_of(rows, metric)['seed']})"
             for metric, title, _ in METRICS]
    print("worst gain: " + ", ".join(worst))


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/none")
    parser.add_argument("--json", default="build/seeds.json")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    rows = {name: [] for name in SETTINGS}
    for seed in range(1, args.seeds + 1):
        print(f"seed {seed} of {args.seeds}", file=sys.stderr, flush=True)
        try:
            report = run_seed(seed, root, args.out)
        except subprocess.CalledProcessError as problem:
            sys.exit(f"{problem}\n{problem.stderr}")
        for name in SETTINGS:
            rows[name].append(row_of(seed, report[name]))
    results = {}
    for name in SETTINGS:
        show(name, rows[name])
        results[name] = {
            "seeds": rows[name], "mean": mean_of(rows[name]),
            "worst_gain": {metric: worst_of(rows[name], metric)[metric]["gain"]
                           for metric, _, _ in METRICS}}
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(f"\nwritten: {args.json}")


if __name__ == "__main__":
    main()
