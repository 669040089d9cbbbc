# SPDX-License-Identifier: Apache-2.0
"""distilld serve beside MLServer and Triton (Python backend): the same model,
the same requests, in turns, by wrk.

The model is the demo's student: in distilld's engine, and in numpy for the
others. All are sent ids, so that nobody hashes; before anything is measured,
all must give the same probabilities.
"""

import json
import os
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
from cache import missing  # noqa: E402
from integration import ROOT  # noqa: E402
from serving import HEADER, Server  # noqa: E402
from teachers import MLServer, Triton  # noqa: E402

CONNECTIONS, SECONDS, ROUNDS = 16, 2, 3
SIZES = (1, 64)
GENRES = 3
NAMES = ("serve.json.1", "serve.json.64", "serve.binary.1",
         "serve.binary.64")
CLOSE = 1e-5
HERE = os.path.dirname(os.path.abspath(__file__))

MLSERVER_MODEL = """
import sys
sys.path.insert(0, {here!r})
import numpy
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput
from serve_model import Student


class Teacher(MLModel):
    async def load(self):
        self.student = Student({model!r})
        return True

    async def predict(self, payload):
        given = {{i.name[:-3]: numpy.array(i.data.root).reshape(i.shape)
                 for i in payload.inputs}}
        answer = self.student.answer(given)
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version,
            outputs=[ResponseOutput(name="liked", shape=list(answer.shape),
                                    datatype="FP32",
                                    data=answer.flatten().tolist())])
"""

TRITON_MODEL = """
import sys
sys.path[:0] = [{packages!r}, {here!r}]
import triton_python_backend_utils as pb_utils
from serve_model import FEATURES, Student


class TritonPythonModel:
    def initialize(self, args):
        self.student = Student({model!r})

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor(
            "liked", self.student.answer(
                {{f: pb_utils.get_input_tensor_by_name(r, f + ":id").as_numpy()
                 for f in FEATURES}}))]) for r in requests]
"""

TRITON_CONFIG = "\n".join(
    ['name: "ranker"', 'backend: "python"', "max_batch_size: 1024",
     "dynamic_batching { }"]
    + [f'input {{ name: "{name}:id" data_type: TYPE_INT64 dims: [ {width} ] }}'
       for name, width in (("user", 1), ("movie", 1), ("year", 1),
                           ("genres", GENRES))]
    + ['output { name: "liked" data_type: TYPE_FP32 dims: [ 1 ] }'])


class BenchMLServer(MLServer):
    def __init__(self, folder, student):
        self.student = student
        super().__init__(folder)

    def prepare(self):
        super().prepare()
        self.write("rt.py", MLSERVER_MODEL.format(here=HERE,
                                                  model=self.student))


class BenchTriton(Triton):
    """Serves `student` as TRITON_MODEL does, or as other texts say."""

    def __init__(self, folder, student, text=TRITON_MODEL,
                 config=TRITON_CONFIG):
        self.student = student
        self.text, self.config = text, config
        super().__init__(folder)

    def prepare(self):
        super().prepare()
        packages = os.path.dirname(self.env["LD_LIBRARY_PATH"])
        self.model_text = self.text.format(packages=packages, here=HERE,
                                           model=self.student)
        self.add(self.version)
        self.write(f"repository/{self.model}/config.pbtxt", self.config)


def train(folder):
    """The directory of the demo's student."""
    os.makedirs(folder)
    for name in ("conf", "tests"):
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    subprocess.run(
        [os.path.join(ROOT, os.environ.get("OUT", "build/none"), "distilld"),
         "run", "-c", "conf/demo/steady.yaml"], cwd=folder, check=True,
        stdout=subprocess.DEVNULL)
    return os.path.realpath(
        os.path.join(folder, "build/demo/steady/models/latest"))


def draw_inputs(student, rows):
    """Ids of which the model knows most."""
    from serve_model import read_tensors
    draw = random.Random(rows)
    tensors = read_tensors(os.path.join(student, "model.safetensors"))
    inputs = []
    for name, width in (("user", 1), ("movie", 1), ("year", 1),
                        ("genres", GENRES)):
        known = tensors[name + "/ids"].tolist()
        ids = [draw.choice(known) if draw.random() < 0.9 else
               draw.randrange(1, 1 << 53) for _ in range(rows * width)]
        inputs.append({"name": name + ":id", "shape": [rows, width],
                       "datatype": "INT64", "data": ids})
    return inputs


def write_bodies(folder, student):
    """{name: (path of the body, headers)}."""
    bodies = {}
    for rows in SIZES:
        inputs = draw_inputs(student, rows)
        outputs = [{"name": "liked"}]
        plain = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        blobs = [struct.pack(f"<{len(i['data'])}q", *i["data"])
                 for i in inputs]
        head = json.dumps({
            "inputs": [{**{k: i[k] for k in ("name", "shape", "datatype")},
                        "parameters": {"binary_data_size": len(b)}}
                       for i, b in zip(inputs, blobs)],
            "outputs": [{"name": "liked",
                         "parameters": {"binary_data": True}}]}).encode()
        for form, body, headers in (
                ("json", plain, {"Content-Type": "application/json"}),
                ("binary", head + b"".join(blobs),
                 {"Content-Type": "application/octet-stream",
                  HEADER: str(len(head))})):
            path = os.path.join(folder, f"{form}.{rows}")
            with open(path, "wb") as f:
                f.write(body)
            script = path + ".lua"
            with open(script, "w", encoding="ascii") as f:
                f.write(f'local f = io.open("{path}", "rb")\n'
                        'wrk.body = f:read("*a")\nf:close()\n'
                        'wrk.method = "POST"\n')
                for name, value in headers.items():
                    f.write(f'wrk.headers["{name}"] = "{value}"\n')
            bodies[f"serve.{form}.{rows}"] = (path, script, headers)
    return bodies


def ask(url, path, headers):
    """The probabilities that a server answers with."""
    with open(path, "rb") as f:
        request = urllib.request.Request(url, f.read(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        head = answer.headers.get(HEADER)
        data = answer.read()
    if head is None:
        return json.loads(data)["outputs"][0]["data"]
    data = data[int(head):]
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def load(url, script):
    """Requests a second, and the 99th percentile in ms."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s",
         script, url], capture_output=True, text=True, check=True)
    if re.search(r"Non-2xx|Socket errors", done.stdout):
        raise RuntimeError(f"{url}: {done.stdout}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\n",
                             done.stdout).groups()
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),
            float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def compare(name, sides, body):
    """Medians of (requests/s, p99) for each url, which take turns."""
    path, script, headers = body
    answers = [ask(url, path, headers) for url in sides]
    for other in answers[1:]:
        if len(other) != len(answers[0]) or any(
                abs(a - b) > CLOSE for a, b in zip(answers[0], other)):
            raise RuntimeError(f"{name}: {answers[0][:4]} and {other[:4]} "
                               "are not the same")
    rounds = [[load(url, script) for url in sides] for _ in range(ROUNDS)]
    return [tuple(statistics.median(r[i][k] for r in rounds) for k in (0, 1))
            for i in range(len(sides))]


def measure(out, show):
    """What run.py writes. Prints by show, one result after the other."""
    from cache import TRITON_PACKAGES, package_folder
    os.environ["OUT"] = out
    if shutil.which("wrk") is None:
        missing("wrk is not installed: .ci/deps bench")
    sys.path.insert(0, package_folder(TRITON_PACKAGES))  # numpy
    folder = os.path.join(ROOT, out, "bench", "serve")
    shutil.rmtree(folder, ignore_errors=True)
    student = train(folder)
    bodies = write_bodies(folder, student)
    server = Server(os.path.join(folder, "serve.log"), "-m",
                    "ranker=" + student)
    results = []
    try:
        with BenchMLServer(os.path.join(folder, "mlserver"),
                           student) as mlserver, \
                BenchTriton(os.path.join(folder, "triton"),
                            student) as triton:
            for name in NAMES:
                peer = mlserver if "json" in name else triton
                ours, theirs = compare(
                    name, [f"{url}/v2/models/ranker/infer" for url in
                           (f"http://127.0.0.1:{server.port}", peer.url)],
                    bodies[name])
                for k, (suffix, unit) in enumerate(
                        (("", "requests/s"), (".p99", "ms"))):
                    results.append({"name": name + suffix, "value": ours[k],
                                    "unit": unit, "floor": None,
                                    "peer": theirs[k]})
                    show(results[-1])
        if server.stop() != 0:
            raise RuntimeError(server.said())
    finally:
        server.kill()
    return results
