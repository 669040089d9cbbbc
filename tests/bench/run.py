#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed beside its floor: run.py --out build/none --json FILE [NAME...]

The product (bench), its floor and its peer (the same model in PyTorch, which
is fetched once into the cache) take turns, one short sample each, so that a
noisy machine disturbs them alike; the medians are compared. Then the same
through Kafka, beside a peer (through_kafka.py; NAME kafka: that alone), and
distilld serve beside other model servers (serve.py; NAME serve), as a teacher
too (label.py; NAME label), and the demo's student beside its teacher (the same
file; NAME compression). Prints tables and writes a list of {name, value, unit,
floor, peer}.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
import cache  # noqa: E402

TORCH = "torch==2.15.0"
GIB = 1 << 30
RING_SAMPLES = 8  # of BATCHES steps, as floor.c and bench_model.c take them
US_EXAMPLE, US_EVENT, PER_S = "us/example", "us/event", "events/s"

# name, unit, samples, memory wanted, floor's kind
BENCHES = [
    ("decode", PER_S, 9, 0),
    ("decode.event", US_EVENT, 9, 0),
    ("decode.label", US_EVENT, 9, 0),
    ("decode.event.8", US_EVENT, 9, 0),
    ("decode.label.8", US_EVENT, 9, 0),
    ("train.uniform.1e6", US_EXAMPLE, 21, 0),
    ("train.uniform.1e6.t2", US_EXAMPLE, 21, 0),
    ("train.zipf.1e6", US_EXAMPLE, 21, 0),
    ("train.zipf.1e6.t2", US_EXAMPLE, 21, 0),
    ("infer.1", US_EVENT, 9, 0),
    ("infer.16", US_EVENT, 9, 0),
    ("infer.256", US_EVENT, 9, 0),
    ("checkpoint.pause_ms", "ms", 3, 4 * GIB),
    ("grow.pause_ms", "ms", 9, 4 * GIB),
    ("e2e.file", PER_S, 3, 0),
    ("train.uniform.1e8", US_EXAMPLE, 9, 18 * GIB),
    ("train.uniform.1e8.t2", US_EXAMPLE, 9, 18 * GIB),
]

# What through_kafka.py measures; it wants packages that others do not.
THROUGH_KAFKA = ("kafka.consume", "e2e.kafka.field", "e2e.kafka.teacher",
                 "annotate.kafka", "train.kafka", "latency.event_to_label",
                 "latency.event_to_trained", "rss_mib", "cpu.kafka")


class Sampler:
    """A program that prints one number for each line it reads."""

    def __init__(self, *command, env=None):
        self.program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=env)
        if self.program.stdout.readline().strip() != "ready":
            self.close()
            raise RuntimeError(" ".join(command) + ": did not get ready")

    def sample(self):
        try:
            self.program.stdin.write("\n")
            self.program.stdin.flush()
            return float(self.program.stdout.readline())
        except (ValueError, BrokenPipeError):
            raise RuntimeError("a benchmark ended early") from None

    def close(self):
        try:
            self.program.stdin.close()
        except BrokenPipeError:
            pass
        self.program.wait()


def memory_free():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def write_events(path, count=100000):
    """Events of about 262 bytes, the same every time."""
    draw = random.Random(1)
    genres = ["drama", "comedy", "action", "horror", "sci-fi", "family"]
    with open(path, "w", encoding="ascii") as f:
        for i in range(count):
            event = {
                "id": f"{i:08x}",
                "session": f"s{draw.randrange(10 ** 9)}",
                "time": 1700000000000 + 250 * i,
                "user": {"id": f"u{draw.randrange(50000)}",
                         "mean": round(draw.random(), 4),
                         "country": draw.choice(["de", "fr", "us", "in"])},
                "item": {"id": f"m{draw.randrange(20000)}",
                         "genres": draw.sample(genres, draw.randint(1, 3)),
                         "price": round(draw.uniform(1, 40), 2)},
                "context": {"device": draw.choice(["phone", "tv", "web"]),
                            "hour": draw.randrange(24),
                            "referrer": "home/recommended/row-3"},
                "clicked": draw.randrange(2),
            }
            f.write(json.dumps(event, separators=(",", ":")) + "\n")


def measure_alone(name, samples, out, events):
    """The median of what has no floor of its own."""
    bench = Sampler(f"{out}/tests/bench/bench", name, events)
    try:
        bench.sample()
        return statistics.median(bench.sample() for _ in range(samples))
    finally:
        bench.close()


def peer_env(wanted):
    """The environment in which the peer finds PyTorch; None: no peer."""
    def install(folder):
        print(f"fetching {TORCH} for the peer", flush=True)
        cache.call(sys.executable, "-m", "pip", "install", "-q",
                   "--no-compile", "--only-binary", ":all:",
                   "--disable-pip-version-check", "--target",
                   os.path.join(folder, "packages"), TORCH)
    if not wanted:
        return None
    version = "{}.{}".format(*sys.version_info)
    try:
        path = cache.make_once(
            f"python{version}-{TORCH.replace('==', '-')}", install)
    except unittest.SkipTest:
        print("no peer: PyTorch cannot be installed", flush=True)
        return None
    return {**os.environ, "PYTHONPATH": os.path.join(path, "packages")}


def measure(name, samples, memory, out, events, torch):
    """Medians of the product, of the floor, and of the peer or None."""
    files = [events] if name == "decode" else []
    folder = f"{out}/bench/checkpoints"
    floors = ([f"{out}/tests/bench/floor", name, *files], None, [])
    values = ([f"{out}/tests/bench/bench", name, *files], None, [])
    peers = ([sys.executable, "tests/bench/peer.py", name], torch, [])
    sides = [floors, values]
    if name == "checkpoint.pause_ms":
        values[0].append(folder)
    if torch and name.startswith(("train.", "infer.")):
        sides.append(peers)
    if memory > GIB * 8:
        # All at once would not fit: one by one, floor before and after, once
        # round the ring of batches before it counts: pages met for the first
        # time since they were filled cost more on either side.
        for command, env, into in (*sides, floors):
            program = Sampler(*command, env=env)
            for _ in range(RING_SAMPLES):
                program.sample()
            into.extend(program.sample() for _ in range(samples))
            program.close()
    else:
        programs = []
        try:
            for command, env, _ in sides:
                programs.append(Sampler(*command, env=env))
                programs[-1].sample()
            for _ in range(samples):
                for program, (_, _, into) in zip(programs, sides):
                    into.append(program.sample())
        finally:
            for program in programs:
                program.close()
    if name == "checkpoint.pause_ms":
        shutil.rmtree(folder)
        return max(values[2]), max(floors[2]), None
    return (statistics.median(values[2]), statistics.median(floors[2]),
            statistics.median(peers[2]) if peers[2] else None)


def measure_end_to_end(samples, out, events):
    """Events a second through the binary, file to file, both roles."""
    rates = []
    work = f"{out}/bench"
    for _ in range(samples):
        shutil.rmtree(f"{work}/e2e", ignore_errors=True)
        start = time.monotonic()
        subprocess.run(
            [f"{out}/distilld", "run", "-c", "tests/bench/e2e.yaml"],
            check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "BENCH_DIR": work})
        with open(events, "rb") as f:
            count = sum(1 for _ in f)
        rates.append(count / (time.monotonic() - start))
    return statistics.median(rates)


def show(result):
    value, floor = result["value"], result["floor"]
    if floor:
        ratio = value / floor
        if result["unit"].endswith("/s"):
            ratio = 1 / ratio
        beside = f"{floor:12.4g}  {ratio:6.2f}x"
    else:
        beside = f"{'-':>12}  {'-':>7}"
    peer = f"{result['peer']:10.4g}" if result["peer"] else f"{'-':>10}"
    print(f"{result['name']:<22}{value:12.4g} {beside} {peer}  "
          f"{result['unit']}", flush=True)


def wants_kafka(names):
    """Whether anything through Kafka is asked for; kafka: all of it."""
    return not names or any(n == "kafka" or any(
        own.startswith(n) or n.startswith(own) for own in THROUGH_KAFKA)
        for n in names)


def wants(names, kind):
    """Whether what begins with kind is asked for."""
    return not names or any(n.startswith(kind) for n in names)


def measure_servers(names, out):
    """What distilld serve does, the teacher over HTTP and the compression:
    results, and how many of the three failed."""
    import label
    import serve
    results, failed = [], 0
    for kind, measure_kind in (("serve", serve.measure),
                               ("label", label.measure_labels),
                               ("compression", label.measure_compression)):
        if not wants(names, kind):
            continue
        try:
            results += measure_kind(out, show)
        except (AssertionError, OSError, RuntimeError,
                subprocess.SubprocessError, unittest.SkipTest) as problem:
            print(f"{kind}: FAILED: {problem}", flush=True)
            failed += 1
    return results, failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="build/none")
    parser.add_argument("--json", default="build/bench.json")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    os.makedirs(f"{args.out}/bench", exist_ok=True)
    events = f"{args.out}/bench/events.ndjson"
    write_events(events)
    results, failed = [], 0
    wanted = [b for b in BENCHES if not args.names or
              any(b[0].startswith(n) for n in args.names)]
    torch = peer_env(any(b[0].startswith(("train.", "infer."))
                         for b in wanted))
    print(f"{'name':<22}{'value':>12} {'floor':>12}  {'ratio':>7} "
          f"{'peer':>10}  unit")
    for name, unit, samples, memory in wanted:
        if memory_free() < memory:
            print(f"{name:<22}SKIPPED: wants {memory // GIB} GiB of free "
                  f"memory, {memory_free() // GIB} are there", flush=True)
            continue
        floor, peer = None, None
        try:
            if name == "e2e.file":
                value = measure_end_to_end(samples, args.out, events)
            elif name.startswith(("decode.", "grow.")):
                value = measure_alone(name, samples, args.out, events)
            else:
                value, floor, peer = measure(name, samples, memory, args.out,
                                             events, torch)
        except (RuntimeError, subprocess.CalledProcessError) as problem:
            print(f"{name:<22}FAILED: {problem}", flush=True)
            failed += 1
            continue
        results.append({"name": name, "value": value, "unit": unit,
                        "floor": floor, "peer": peer})
        show(results[-1])
    if wants_kafka(args.names):
        try:
            import through_kafka
            results += through_kafka.measure(args.out, args.names)
        except (AssertionError, OSError, subprocess.SubprocessError,
                unittest.SkipTest) as problem:
            print(f"through Kafka: FAILED: {problem}", flush=True)
            failed += 1
    more, worse = measure_servers(args.names, args.out)
    results += more
    failed += worse
    with open(args.json, "w", encoding="ascii") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(f"written: {args.json}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
