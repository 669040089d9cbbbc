# SPDX-License-Identifier: Apache-2.0
"""The demo's teacher asked over HTTP by the annotate role: distilld serve
beside Triton (Python backend, the same model in numpy), in turns, and what the
role does without asking (the floor). And the demo's student beside its
teacher.

Triton gets ids, so that Python need not hash; distilld serve gets the texts
and hashes them. Before anything is measured, all must give the logits of the
teacher in process.
"""

import datetime
import gzip
import json
import math
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
from cache import TRITON_PACKAGES, package_folder  # noqa: E402
from integration import ROOT, binary  # noqa: E402
from kafka import free_ports  # noqa: E402
from serve import BenchTriton, train  # noqa: E402
from serving import Server  # noqa: E402

COPIES, ROUNDS, TIMINGS = 4, 3, 3
CLOSE = 1e-4
WIDTHS = {"user": 1, "movie": 1, "year": 1, "genres": 8}
NUMBERS = ("user_count", "user_mean", "user_bias", "user_taste",
           "movie_count", "movie_mean", "movie_bias")
DEMO = os.path.join(ROOT, "conf/demo/steady.yaml")
SAMPLE = os.path.join(ROOT,
                      "tests/data/movietweetings/movietweetings.ndjson.gz")
CALLS = "distilld_teacher_http_request_duration_seconds_bucket"

TRITON_MODEL = """
import sys
sys.path[:0] = [{packages!r}, {here!r}]
import triton_python_backend_utils as pb_utils
from serve_model import FEATURES, NUMBERS, Teacher

class TritonPythonModel:
    def initialize(self, args):
        self.teacher = Teacher({model!r})

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor(
            "liked_logit", self.teacher.answer(
                {{n: pb_utils.get_input_tensor_by_name(r, n).as_numpy()
                 for n in FEATURES + NUMBERS}}))]) for r in requests]
"""

TRITON_CONFIG = "\n".join(
    ['name: "ranker"', 'backend: "python"', "max_batch_size: 1024",
     "dynamic_batching { }"]
    + [f'input {{ name: "{name}" data_type: TYPE_INT64 dims: [ {width} ] }}'
       for name, width in WIDTHS.items()]
    + [f'input {{ name: "{name}" data_type: TYPE_FP64 dims: [ 1 ] }}'
       for name in NUMBERS]
    + ['output { name: "liked_logit" data_type: TYPE_FP32 dims: [ 1 ] }'])


def ask_over_http(url, protocol, inputs):
    """The teacher's settings; inputs: what a tensor of ids is filled with."""
    return "\n".join(
        ["  kind: http", f"  url: {url}", f"  protocol: {protocol}",
         "  model_name: ranker", "  inputs:"]
        + [f"    {name}: " + inputs.format(width=width, name=name)
           for name, width in WIDTHS.items()]
        + [f"    {name}: FP64 past.{name}" for name in NUMBERS]
        + ["  outputs:", "    liked: logit liked_logit"])


def write_config(folder, name, teacher):
    """A configuration of the annotate role, whose teacher is that text."""
    with open(DEMO, encoding="utf-8") as f:
        text = f.read()
    features = text[text.index("features:"):
                    text.index("# Answers each event first")]
    port, = free_ports(1)
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"name: {name}\nroles: [annotate]\n"
                f"events: {{path: {folder}/events.ndjson}}\n{features}\n"
                f"teacher:\n{teacher}\n"
                f"labels: {{path: {folder}/{name}/labels.ndjson}}\n"
                f"dead_letters: {{path: {folder}/{name}/dead-letters}}\n"
                f"admin: {{listen: '127.0.0.1:{port}'}}\n")
    return path, port


def scrape(port):
    """{bound in s: calls that took at most that long}, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                    timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return {float(bound): float(count) for bound, count in re.findall(
        CALLS + r'{.*le="([^"]+)"} (\S+)', text)}


def quantile(buckets, share):
    """In ms, between two bounds in proportion."""
    wanted, low, below = share * max(buckets.values()), 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= wanted and not math.isinf(bound):
            return 1e3 * (low + (bound - low) * (wanted - below)
                          / max(count - below, 1))
        low, below = bound, count
    raise RuntimeError("calls took longer than the last bound")


def moment(said, event):
    return datetime.datetime.fromisoformat(
        re.search(r"(\S+)Z info life " + event, said)[1]).timestamp()


def annotate(folder, name, config, port):
    """Labels/s of one run, and the buckets of its calls, as they are shortly
    before it ends."""
    shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    log = os.path.join(folder, name + ".log")
    buckets = None
    with open(log, "wb") as f:
        process = subprocess.Popen([binary(), "run", "-c", config],
                                   stdout=f, stderr=f)
        try:
            while process.poll() is None:
                buckets = scrape(port) or buckets
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    with open(log, encoding="utf-8") as f:
        said = f.read()
    if process.returncode != 0:
        raise RuntimeError(said)
    labels = int(re.search(r"([\d,]+) labels, 0 dead letters",
                           said)[1].replace(",", ""))
    return labels / (moment(said, "from=running")
                     - moment(said, "from=starting")), buckets


def read_logits(folder, name):
    with open(os.path.join(folder, name, "labels.ndjson"),
              encoding="utf-8") as f:
        return [json.loads(line)["soft_label"]["liked"][0] for line in f]


def write_events(folder, copies):
    with gzip.open(SAMPLE) as f:
        data = f.read()
    with open(os.path.join(folder, "events.ndjson"), "wb") as f:
        for _ in range(copies):
            f.write(data)


def check_equal(folder, sides):
    """All sides with a teacher must say what the one in process says."""
    for name, (config, port) in sides.items():
        annotate(folder, name, config, port)
    wanted = read_logits(folder, "process")
    for name in sides:
        if name in ("process", "none"):
            continue
        got = read_logits(folder, name)
        worst = max(abs(a - b) for a, b in zip(got, wanted))
        if len(got) != len(wanted) or not worst < CLOSE:
            raise RuntimeError(f"{name}: logits are up to {worst} away from "
                               "those of the teacher in process")


def measure_sides(folder, sides):
    """{side: (labels/s, p50 and p99 of a call in ms, or None)}, medians."""
    write_events(folder, 1)
    check_equal(folder, sides)
    write_events(folder, COPIES)
    rounds = [{name: annotate(folder, name, *side)
               for name, side in sides.items()} for _ in range(ROUNDS)]
    medians = {}
    for name in sides:
        rate = statistics.median(r[name][0] for r in rounds)
        times = [None, None]
        if name not in ("process", "none"):
            times = [statistics.median(quantile(r[name][1], share)
                                       for r in rounds)
                     for share in (0.5, 0.99)]
        medians[name] = (rate, *times)
    return medians


def prepare(out, name):
    """A folder in which the demo has run, and the student's and the teacher's
    directory."""
    os.environ["OUT"] = out
    folder = os.path.join(ROOT, out, "bench", name)
    shutil.rmtree(folder, ignore_errors=True)
    student = train(folder)
    return folder, student, os.path.realpath(
        os.path.join(folder, "build/demo/steady/teacher/latest"))


def measure_labels(out, show):
    """What run.py writes; prints by show."""
    package_folder(TRITON_PACKAGES)
    folder, _, teacher = prepare(out, "label")
    server = Server(os.path.join(folder, "serve.log"), "-m",
                    "ranker=" + teacher)
    try:
        with BenchTriton(os.path.join(folder, "triton"), teacher,
                         TRITON_MODEL, TRITON_CONFIG) as triton:
            sides = {"none": "  kind: none",
                     "process": f"  kind: checkpoint\n  path: {teacher}"}
            for form, protocol in (("binary", "oip_binary"), ("json", "oip")):
                sides["serve." + form] = ask_over_http(
                    f"http://127.0.0.1:{server.port}", protocol,
                    "BYTES[{width}] {name}")
                sides["triton." + form] = ask_over_http(
                    triton.url, protocol, "INT64[{width}] column {name}")
            medians = measure_sides(folder, {
                name: write_config(folder, name, text)
                for name, text in sides.items()})
        if server.stop() != 0:
            raise RuntimeError(server.said())
    finally:
        server.kill()
    floor = medians["none"][0]
    results = [{"name": "label.process", "value": medians["process"][0],
                "unit": "labels/s", "floor": floor, "peer": None}]
    for form in ("binary", "json"):
        ours, theirs = medians["serve." + form], medians["triton." + form]
        for k, (suffix, unit) in enumerate(
                (("", "labels/s"), (".p50_ms", "ms"), (".p99_ms", "ms"))):
            results.append({"name": f"label.serve.{form}{suffix}",
                            "value": ours[k], "unit": unit,
                            "floor": None if k else floor, "peer": theirs[k]})
    for result in results:
        show(result)
    return results


def count_dense(model):
    """Parameters of a checkpoint that are no embeddings."""
    with open(os.path.join(model, "model.safetensors"), "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    return sum(math.prod(t["shape"]) for name, t in head.items()
               if name != "__metadata__" and t["dtype"] == "F32"
               and not name.endswith("/embedding"))


def measure_compression(out, show):
    """The student, and as its peer the teacher. Their AUC is that of the run,
    where each event is judged before it is learned from."""
    folder, student, teacher = prepare(out, "compression")
    models = (student, teacher)
    timings = []
    for _ in range(TIMINGS):
        done = subprocess.run(
            [binary(), "eval", "-m", student, "-m", teacher, "-c", DEMO, "-i",
             os.path.join(folder, "build/demo/steady/labels.ndjson"),
             "--json"], check=True, stdout=subprocess.PIPE)
        timings.append(json.loads(done.stdout)["models"])
    with open(os.path.join(student, "manifest.json"), encoding="utf-8") as f:
        judged = json.load(f)["metrics"]["liked"]
    rows = [(f"latency.{batch}", "us/event",
             [statistics.median(t[i][f"us_per_event_batch_{batch}"]
                                for t in timings) for i in (0, 1)])
            for batch in (1, 256)]
    rows += [("dense", "parameters", [count_dense(m) for m in models]),
             ("parameters", "parameters",
              [m["parameters"] for m in timings[0]]),
             ("bytes", "bytes", [os.path.getsize(
                 os.path.join(m, "model.safetensors")) for m in models]),
             ("auc", "AUC", [judged[who]["score"]
                             for who in ("student", "teacher")])]
    results = [{"name": "compression." + name, "value": values[0],
                "unit": unit, "floor": None, "peer": values[1]}
               for name, unit, values in rows]
    for result in results:
        show(result)
    return results
