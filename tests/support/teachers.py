# SPDX-License-Identifier: Apache-2.0
"""Real model servers for tests, all with the model of teacher_model.py.

    with Triton(folder) as server:
        server.url       http://127.0.0.1:PORT
        server.model     its name
        server.version   what answers first

Triton       Open Inference Protocol, JSON and binary; versions load and unload
MLServer     JSON only; errors of the model are plain text
KServe       JSON and binary, which it does not tell; listens on all addresses
TFServing    scripted, from TensorFlow Serving's documentation: there is no
             package of the real one

Each needs the packages of cache.py and ends with the process that started it.
"""

import base64
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import teacher_model
from cache import (KSERVE_PACKAGES, MLSERVER_PACKAGES, TRITON_PACKAGES,
                   package_folder, wants_python_below)
from kafka import end_well, free_ports, pdeathsig

START_S = 120  # generous: other tests may have the machine
STOP_S = 15
SUPPORT = os.path.dirname(os.path.abspath(__file__))

TRITON_MODEL = """
import sys
sys.path[:0] = [{packages!r}, {support!r}]
import numpy
import teacher_model
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(r) for r in requests]

    def answer(self, request):
        tensors = [pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                   for name, _, _ in teacher_model.INPUTS]
        logits = [teacher_model.answer(user[0].decode(), item[0], numbers)
                  for user, item, numbers in zip(*tensors)]
        classes = [teacher_model.classes(logit) for logit in logits]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("logit", numpy.array(
                logits, dtype=numpy.float32).reshape(-1, 1)),
            pb_utils.Tensor("classes", numpy.array(
                classes, dtype=numpy.float32).reshape(
                    -1, teacher_model.CLASSES))])
"""

MLSERVER_MODEL = """
import teacher_model
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Teacher(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        given = {i.name: list(i.data) for i in payload.inputs}
        users = [u.decode() if isinstance(u, bytes) else u
                 for u in given["user"]]
        numbers = given["numbers"]
        logits = [teacher_model.answer(user, item, numbers[2 * i:2 * i + 2])
                  for i, (user, item) in enumerate(zip(users,
                                                       given["item_id"]))]
        classes = [c for logit in logits for c in teacher_model.classes(logit)]
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version,
            outputs=[ResponseOutput(name="logit", shape=[len(logits), 1],
                                    datatype="FP32", data=logits),
                     ResponseOutput(name="classes",
                                    shape=[len(logits),
                                           teacher_model.CLASSES],
                                    datatype="FP32", data=classes)])
"""

KSERVE_SERVER = """
import sys
import numpy
import teacher_model
from kserve import InferOutput, InferResponse, Model, ModelServer


class Teacher(Model):
    def load(self):
        self.ready = True
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        given = {i.name: i.as_numpy() for i in payload.inputs}
        users = [u.decode() if isinstance(u, bytes) else str(u)
                 for u in given["user"].flatten()]
        logits = [teacher_model.answer(user, item, numbers)
                  for user, item, numbers in zip(
                      users, given["item_id"].flatten(),
                      given["numbers"].reshape(-1, 2))]
        outputs = []
        for name, rows in (("logit", [[x] for x in logits]),
                           ("classes", [teacher_model.classes(x)
                                        for x in logits])):
            tensor = InferOutput(name, [len(rows), len(rows[0])], "FP32")
            tensor.set_data_from_numpy(numpy.array(rows, numpy.float32))
            outputs.append(tensor)
        return InferResponse(payload.id, self.name, outputs,
                             model_version="7",
                             use_binary_outputs=payload.use_binary_outputs,
                             requested_outputs=payload.request_outputs)


model = Teacher(teacher_model.NAME)
model.load()
ModelServer(http_port=int(sys.argv[1]), enable_grpc=False,
            workers=1).start([model])
"""


def ask(url, body=None):
    """GETs, or POSTs a JSON body; gives the status and what came."""
    request = urllib.request.Request(
        url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read()
    except OSError:
        return 0, b""


class Server:
    """A server that runs as a process of its own."""

    model = teacher_model.NAME
    version = "7"
    ready = f"/v2/models/{teacher_model.NAME}/ready"

    def __init__(self, folder):
        self.dir = folder
        self.process = None
        os.makedirs(folder, exist_ok=True)
        self.prepare()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def prepare(self):
        """Writes the files, sets self.port, self.command and self.env."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8",
                  errors="replace") as f:
            return "".join(f.readlines()[-30:])

    def get(self, path, body=None):
        """The status and the body of what the server answers; (0, b"")
        without an answer."""
        return ask(self.url + path, body)

    def start(self):
        """Starts it, again at the same port, and waits until it answers."""
        end_well()
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                pdeathsig(self.command), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.dir, start_new_session=True,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1",
                     **self.env})
        end = time.monotonic() + START_S
        while self.get(self.ready)[0] != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(
                    f"{type(self).__name__} does not start:\n{self.log()}")
            time.sleep(0.05)

    def signal(self, number):
        """Sends a signal to the server and what it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        self.kill()
        self.process = None


class Triton(Server):
    """Triton 2.51 with its Python backend; takes max_batch rows a request."""

    def __init__(self, folder, max_batch=64, versions=("7",)):
        self.max_batch = max_batch
        self.version = versions[-1]
        self.versions = versions
        super().__init__(folder)

    def prepare(self):
        wants_python_below((3, 13), "Triton")
        packages = package_folder(TRITON_PACKAGES)
        triton = os.path.join(packages, "pytriton", "tritonserver")
        stub = os.path.join(triton, "python_backend_stubs",
                            "%d.%d" % sys.version_info[:2],
                            "triton_python_backend_stub")
        backend = os.path.join(self.dir, "backends", "python")
        if not os.path.isdir(backend):
            shutil.copytree(os.path.join(triton, "backends", "python"),
                            backend)
            shutil.copy(stub, backend)
        self.port, metrics = free_ports(2)
        self.model_text = TRITON_MODEL.format(packages=packages,
                                              support=SUPPORT)
        types = {"BYTES": "STRING"}
        self.write(f"repository/{self.model}/config.pbtxt", "\n".join(
            [f'name: "{self.model}"', 'backend: "python"',
             f"max_batch_size: {self.max_batch}",
             "version_policy: { latest: { num_versions: 1 } }"]
            + [f'input {{ name: "{n}" data_type: TYPE_{types.get(t, t)} '
               f'dims: [ {w} ] }}' for n, t, w in teacher_model.INPUTS]
            + [f'output {{ name: "{n}" data_type: TYPE_{t} '
               f'dims: [ {w} ] }}' for n, t, w in teacher_model.OUTPUTS]))
        for version in self.versions:
            self.add(version)
        self.command = [
            os.path.join(triton, "bin", "tritonserver"),
            "--model-repository=" + os.path.join(self.dir, "repository"),
            "--backend-directory=" + os.path.join(self.dir, "backends"),
            "--model-control-mode=explicit", "--load-model=" + self.model,
            "--http-address=127.0.0.1", f"--http-port={self.port}",
            "--allow-grpc=false", "--allow-metrics=true",
            "--metrics-address=127.0.0.1", f"--metrics-port={metrics}",
            "--allow-gpu-metrics=false", "--disable-auto-complete-config"]
        # Without it, it hangs for 22 s and its backend does not start.
        self.env = {"LD_LIBRARY_PATH":
                    os.path.join(packages, "nvidia_pytriton.libs")}

    def add(self, version):
        """Puts another version beside those there are; load() serves it."""
        self.write(f"repository/{self.model}/{version}/model.py",
                   self.model_text)

    def load(self):
        """Serves the newest version, and that alone."""
        code, text = self.get(f"/v2/repository/models/{self.model}/load",
                              b"{}")
        assert code == 200, text

    def unload(self):
        code, text = self.get(f"/v2/repository/models/{self.model}/unload",
                              b"{}")
        assert code == 200, text


def python_path(packages):
    return {"PYTHONPATH": os.pathsep.join([SUPPORT, packages])}


class MLServer(Server):
    """MLServer 1.7, JSON alone."""

    def prepare(self):
        wants_python_below((3, 13), "MLServer")
        packages = package_folder(MLSERVER_PACKAGES)
        self.port, grpc, metrics = free_ports(3)
        self.write("settings.json", json.dumps({
            "host": "127.0.0.1", "http_port": self.port, "grpc_port": grpc,
            "metrics_port": metrics, "parallel_workers": 0}))
        self.write(f"{self.model}/model-settings.json", json.dumps({
            "name": self.model, "implementation": "rt.Teacher",
            "parameters": {"version": self.version}}))
        self.write("rt.py", MLSERVER_MODEL)
        self.command = [sys.executable, "-c",
                        "from mlserver.cli import main; main()", "start", "."]
        self.env = python_path(packages)
        self.env["PYTHONPATH"] += os.pathsep + self.dir


class KServe(Server):
    """The server of KServe's Python package 0.21."""

    def prepare(self):
        packages = package_folder(KSERVE_PACKAGES)
        self.port, = free_ports(1)
        self.write("serve.py", KSERVE_SERVER)
        self.command = [sys.executable, "serve.py", str(self.port)]
        self.env = python_path(packages)


class TFServing:
    """What TensorFlow Serving's REST interface is documented to do: predict in
    row and in column form, the status call, errors as {"error": text}."""

    model = teacher_model.NAME
    PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict)?")

    def __init__(self, version="123"):
        self.version = version
        self.state = "AVAILABLE"
        self.asked = []  # (form, rows, signature) of each predict
        self.statuses = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.say(*outer.on_get(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.say(*outer.on_post(self.path, body))

            def say(self, code, document):
                text = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.05})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def find(self, path):
        """The match of a path to the model, or an error's answer."""
        match = self.PATH.fullmatch(path)
        if match is None:
            return None, (404, {"error": "Malformed request: " + path})
        if match[1] != self.model or match[2] not in (None, self.version):
            return None, (404, {"error": f"Servable not found for request: "
                                         f"{match[1]}"})
        return match, None

    def on_get(self, path):
        match, wrong = self.find(path)
        if wrong:
            return wrong
        self.statuses += 1
        return 200, {"model_version_status": [
            {"version": self.version, "state": self.state,
             "status": {"error_code": "OK", "error_message": ""}}]}

    def on_post(self, path, body):
        match, wrong = self.find(path)
        if wrong:
            return wrong
        if match[3] is None:
            return 404, {"error": "Malformed request: POST " + path}
        if self.state != "AVAILABLE":
            return 404, {"error": "Servable not found for request: Latest"}
        try:
            return self.predict(json.loads(body))
        except (KeyError, TypeError, ValueError) as e:
            return 400, {"error": f"{type(e).__name__}: {e}"}

    def predict(self, document):
        if ("instances" in document) == ("inputs" in document):
            raise ValueError("expected one of instances and inputs")
        names = [name for name, _, _ in teacher_model.INPUTS]
        is_rows = "instances" in document
        if is_rows:
            rows = [[i[n] for n in names] for i in document["instances"]]
        else:
            columns = [document["inputs"][n] for n in names]
            if len({len(c) for c in columns}) != 1:
                raise ValueError("inputs of different lengths")
            rows = list(zip(*columns))
        self.asked.append(("row" if is_rows else "column", len(rows),
                           document.get("signature_name")))
        logits = [teacher_model.answer(text(user), one(item), numbers)
                  for user, item, numbers in rows]
        if is_rows:
            return 200, {"predictions": [
                {"logit": [x], "classes": teacher_model.classes(x)}
                for x in logits]}
        return 200, {"outputs": {
            "logit": [[x] for x in logits],
            "classes": [teacher_model.classes(x) for x in logits]}}


def one(value):
    """The value of a tensor of shape [1] or []."""
    return value[0] if isinstance(value, list) else value


def text(value):
    """A string, or one that is written {"b64": ...}."""
    value = one(value)
    if isinstance(value, dict):
        return base64.b64decode(value["b64"]).decode()
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return value
