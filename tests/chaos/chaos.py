#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""chaos.py [--kinds A,B] [--rounds N] [--json FILE] ...: kills, freezes and
starves a service on a real broker, and judges by a ledger what came of it.

CHAOS_ROUNDS=N: so many kills (default 60), shared out to the kinds of kills;
each other kind gets a twentieth, 3 at least. Ends with status 1 when anything
was lost, trained twice or out of order.
"""

import argparse
import json
import os
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from faults import KILLS, KINDS  # noqa: E402
from kafka import NEWEST, VERSIONS, Cluster  # noqa: E402
from oracle import Oracle  # noqa: E402

COUNTS = ("rounds", "kills", "issued", "labelled", "dead_lettered", "lost",
          "trained_twice", "duplicate_labels", "out_of_order", "damaged",
          "expired")


class World:
    """Brokers that are started when they are needed, luck, and progress.
    tick: called once a round."""

    def __init__(self, version=NEWEST, seed=1, frozen_s=60, tick=None):
        self.version = version
        self.rng = random.Random(seed)
        self.frozen_s = frozen_s
        self.tick = tick or (lambda: None)
        self.clusters = {}

    def cluster(self, nodes=1):
        """The cluster of so many brokers; only one runs at a time."""
        if nodes not in self.clusters:
            self.close()
            cluster = Cluster(self.version, nodes, proxied=nodes == 1)
            self.clusters[nodes] = cluster.start(), Oracle(cluster.bootstrap)
        return self.clusters[nodes][0]

    def oracle(self, nodes=1):
        self.cluster(nodes)
        return self.clusters[nodes][1]

    def close(self):
        for cluster, _ in self.clusters.values():
            cluster.close()
        self.clusters.clear()


def try_kind(world, name, rounds):
    """Runs one kind of fault and gives its sums and what went wrong."""
    sums = dict.fromkeys(COUNTS, 0)
    began = time.monotonic()
    try:
        trials = KINDS[name](world, rounds)
    except Exception:  # of this kind; the others go on
        trials, failures = [], [traceback.format_exc()]
    failures = [f for t in trials for f in t.failures] if trials else failures
    sums["rounds"] = rounds
    for t in trials:
        sums["kills"] += t.kills
        for count in COUNTS[2:]:
            sums[count] += t.account.counts[count]
        sums["lost"] += t.account.untrained
        sums["damaged"] += t.account.alien
    sums["seconds"] = round(time.monotonic() - began, 1)
    sums["failures"] = failures
    return sums


def share_out(kinds, rounds):
    """{kind: rounds}"""
    of_kills = {f.__name__: share for f, share in KILLS.items()}
    total = sum(of_kills.get(k, 0) for k in kinds)
    return {k: max(1, round(rounds * of_kills[k] / total)) if k in of_kills
            else max(3, rounds // 20) for k in kinds}


def show(results):
    """The table."""
    shown = ("rounds", "kills", "issued", "labelled", "dead_lettered", "lost",
             "trained_twice", "duplicate_labels", "out_of_order", "expired",
             "seconds")
    heads = ("rounds", "kills", "issued", "labelled", "dead", "lost", "twice",
             "repeated", "order", "expired", "s")
    print(f"{'':18}" + "".join(f"{h:>9}" for h in heads))
    for name, sums in results.items():
        print(f"{name:18}" + "".join(f"{sums[c]:9}" for c in shown)
              + ("" if not sums["failures"] else "  FAILED"))


class Progress:
    """One line that changes, on a terminal; nothing elsewhere."""

    def __init__(self):
        self.is_shown = sys.stdout.isatty()
        self.name, self.done, self.rounds = "", 0, 0

    def begin(self, name, rounds):
        self.name, self.done, self.rounds = name, 0, rounds
        self.show()

    def tick(self):
        self.done += 1
        self.show()

    def show(self):
        if self.is_shown:
            print(f"\r{self.name}: {self.done} of {self.rounds}\033[K",
                  end="", flush=True)

    def end(self, sums):
        if self.is_shown:
            print("\r\033[K", end="")
        verdict = "FAILED" if sums["failures"] else "ok"
        print(f"{verdict:6} {self.name}: {sums['issued']} issued, "
              f"{sums['kills']} kills, {sums['seconds']} s", flush=True)
        for failure in sums["failures"]:
            print("      | " + failure.replace("\n", "\n      | "))


def write_json(path, results):
    total = {c: sum(s[c] for s in results.values()) for c in COUNTS}
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump({**total, "kinds": results}, f, indent=1)
        f.write("\n")
    os.rename(path + ".tmp", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int,
                        default=int(os.environ.get("CHAOS_ROUNDS", "60")))
    parser.add_argument("--frozen", type=float, default=60,
                        help="seconds that a zombie is frozen")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--version", default=NEWEST, choices=VERSIONS)
    parser.add_argument("--json", default="build/chaos.json")
    args = parser.parse_args()
    kinds = args.kinds.split(",")
    for kind in kinds:
        if kind not in KINDS:
            parser.error(f"no kind {kind!r}; {', '.join(KINDS)}")
    print(f"Kafka {args.version}, --seed {args.seed}", flush=True)
    progress, results = Progress(), {}
    world = World(args.version, args.seed, args.frozen, progress.tick)
    try:
        for name, rounds in share_out(kinds, args.rounds).items():
            progress.begin(name, rounds)
            results[name] = try_kind(world, name, rounds)
            progress.end(results[name])
            write_json(args.json, results)
    finally:
        world.close()
    show(results)
    sys.exit(any(s["failures"] for s in results.values()))


if __name__ == "__main__":
    main()
