# SPDX-License-Identifier: Apache-2.0
"""Streams, configurations and digests for tests that run both roles.

`self.configure(...)` writes run.yaml, whose runs write below run/;
`self.run_all()` runs it to its end, and `self.outcome()` is what two runs are
compared by.
"""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

from integration import ROOT, Case, binary

SAMPLE = os.path.join(
    ROOT, "tests/data/movietweetings/movietweetings.ndjson.gz")

FEATURES = {
    "user": {"kind": "categorical"},
    "movie": {"kind": "categorical"},
    "year": {"kind": "categorical"},
    "genres": {"kind": "bag"},
}
TASKS = {"liked": {"kind": "binary", "path": "rating", "threshold": 8}}


def with_sides(features):
    """Those of the sample, with whose they are."""
    return {name: {**f, "side": "user" if name == "user" else "item"}
            for name, f in features.items()}


def sample_lines(count):
    """The first lines of the committed sample, as bytes."""
    with gzip.open(SAMPLE, "rb") as f:
        return [next(f) for _ in range(count)]


def merge(base, more):
    """base with the members of more, at every depth; None removes."""
    result = dict(base)
    for key, value in more.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def made_events(count, seed=7):
    """Events whose outcomes can be learned: what each person and item is
    like, and what was seen of it. Field names are not the defaults."""
    rng = random.Random(seed)
    taste = [rng.gauss(0, 1.5) for _ in range(50)]
    charm = [rng.gauss(0, 1.5) for _ in range(30)]
    events = []
    for i in range(count):
        user, item = rng.randrange(50), rng.randrange(30)
        z = taste[user] + charm[item] + rng.gauss(0, 0.3)
        events.append({
            "id": f"e{i}",
            "at": 1_700_000_000 + i,
            "who": {"key": f"u{user}"},
            "what": {"key": f"i{item}", "tags": f"t{item % 5}|t{item % 3}"},
            "price": round(abs(10 + 3 * charm[item]), 3),
            "shape": [round(charm[item], 3), round(taste[user], 3)],
            "done": z > 0,
            "stars": max(1, min(5, round(3 + z))),
            "group": "abc"[0 if z < -0.7 else 1 if z < 0.7 else 2],
            "spent": round(z * 2 + 1, 4),
            "answer": round(z, 4),
        })
    return events


def to_lines(events):
    return [json.dumps(e).encode() + b"\n" for e in events]


class StreamCase(Case):
    maxDiff = None
    labels = "labels.ndjson"  # below the run's folder

    """A test that runs the daemon on a stream, again and again."""

    def configure(self, name="run", **more):
        """Writes NAME.yaml (JSON is YAML) that works in NAME/; members given
        as None are left out. Gives its path."""
        def under(part):
            return self.path(name, part)
        settings = merge({
            "name": "test",
            "events": {"path": self.path("events.ndjson")},
            "features": FEATURES,
            "tasks": TASKS,
            "teacher": {"kind": "checkpoint", "learn": True,
                        "checkpoint": {"path": under("teacher"),
                                       "every": 2000}},
            "labels": {"path": under("labels.ndjson")},
            "dead_letters": {"path": under("dead")},
            "checkpoint": {"path": under("checkpoints"), "every": 2000},
            "publish": {"path": under("models")},
        }, more)
        return self.write(name + ".yaml", json.dumps(settings, indent=1))

    def write_events(self, lines, name="events.ndjson"):
        """Writes lines of bytes, or events, as the stream."""
        if lines and not isinstance(lines[0], bytes):
            lines = to_lines(lines)
        return self.write(name, b"".join(lines))

    def run_all(self, *args, name="run", **options):
        """Runs NAME.yaml to its end."""
        return self.run_daemon("run", "-c", self.path(name + ".yaml"), *args,
                               **options)

    def start_all(self, name="run", log="killed.log", crash=False, env=None):
        """Starts NAME.yaml with its output in a file: nobody reads a pipe."""
        with open(self.path(log), "ab") as f:
            process = subprocess.Popen(
                [binary(crash), "run", "-c", self.path(name + ".yaml")],
                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                env={**os.environ, **(env or {})})
        self.started.append(process)
        return process

    def kill(self, process, moment, seconds=60):
        """Kills a run when moment(seconds since now) is true; True unless it
        had ended by itself, which is then checked to be well."""
        started = time.monotonic()
        while process.poll() is None:
            since = time.monotonic() - started
            self.assertLess(since, seconds, "the moment never came")
            if moment(since):
                process.kill()
                break
            time.sleep(0.001)
        process.wait()
        if process.returncode == 0:
            return False
        self.assertEqual(process.returncode, -signal.SIGKILL,
                         self.read("killed.log")[-2000:])
        return True

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def size(self, *parts):
        try:
            return os.stat(self.path(*parts)).st_size
        except FileNotFoundError:
            return 0

    def versions(self, *parts):
        """The numbers of the versions in a directory, ascending."""
        try:
            names = os.listdir(self.path(*parts))
        except FileNotFoundError:
            return []
        return sorted(int(n) for n in names if n.isdigit())

    def manifest(self, *parts):
        return json.loads(self.read(*parts, "latest", "manifest.json"))

    def digest(self, *parts):
        with open(self.path(*parts), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def outcome(self, name="run"):
        """Digests of everything that must not depend on what happened on the
        way: logs, and what is in the last checkpoints."""
        files = ["checkpoints/latest/model.safetensors",
                 "checkpoints/latest/state.safetensors",
                 "models/latest/model.safetensors"]
        if os.path.isdir(self.path(name, "teacher")):
            files += ["teacher/latest/model.safetensors",
                      "teacher/latest/state.safetensors"]
        for dead in ("dead/events.ndjson", "dead/labels.ndjson"):
            if self.size(name, dead) > 0:
                files.append(dead)
        found = {f: self.digest(name, f) for f in files}
        found["labels"] = self.digest(name, self.labels)
        return found

    def assert_sound(self, name="run"):
        """Every checkpoint directory holds nothing half done, and verifies."""
        for part in ("checkpoints", "teacher", "models"):
            folder = self.path(name, part)
            if not os.path.isdir(folder):
                continue
            left = [n for n in os.listdir(folder) if ".tmp-" in n]
            self.assertEqual(left, [], folder)
            self.run_daemon("inspect", folder, "--verify")

    def forget(self, name="run"):
        """Removes what NAME.yaml wrote."""
        shutil.rmtree(self.path(name), ignore_errors=True)
