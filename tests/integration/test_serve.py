#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""distilld serve: what it answers, to whom it says no, newer versions, many
clients, and its end."""

import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import main, wait_until  # noqa: E402
from serving import (HEADER, ServeCase, publish, shop_inputs,  # noqa: E402
                     tensor, to_binary)

CLOSE = 1e-5
INFER = "/v2/models/shop-teacher/infer"


def outputs_of(answer):
    """{name: rows of values} of an answer in JSON."""
    found = {}
    for one in answer["outputs"]:
        rows, width = one["shape"]
        assert len(one["data"]) == rows * width, one
        found[one["name"]] = [one["data"][i * width:(i + 1) * width]
                              for i in range(rows)]
    return found


def outputs_in_bytes(headers, body):
    """The same of an answer in the binary extension."""
    end = int(headers[HEADER])
    answer, found = json.loads(body[:end]), {}
    for one in answer["outputs"]:
        rows, width = one["shape"]
        size = one["parameters"]["binary_data_size"]
        values = struct.unpack(f"<{rows * width}f", body[end:end + size])
        end += size
        found[one["name"]] = [list(values[i * width:(i + 1) * width])
                              for i in range(rows)]
    assert end == len(body)
    return found


class TestServe(ServeCase):
    def check_against_labels(self, found, labels):
        for i, label in enumerate(labels):
            soft = label["soft_label"]
            for task in ("bought", "happy"):
                logit = soft[task][0]
                self.assertAlmostEqual(found[task + "_logit"][i][0], logit,
                                       delta=CLOSE)
                self.assertAlmostEqual(found[task][i][0],
                                       1 / (1 + math.exp(-logit)),
                                       delta=CLOSE)
            self.assertAlmostEqual(found["stars"][i][0], soft["stars"][0],
                                   delta=CLOSE)

    def test_answers_as_the_teacher_in_process(self):
        self.train()
        server = self.serve("-m", self.teacher, "-m",
                            "student=" + self.student)
        for rows in (1, 64, len(self.events)):
            inputs = shop_inputs(self.events[:rows])
            status, answer = server.infer("shop-teacher",
                                          {"id": "x\"1", "inputs": inputs})
            self.assertEqual(status, 200, answer)
            self.assertEqual(answer["model_name"], "shop-teacher")
            self.assertEqual(answer["model_version"], "1")
            self.assertEqual(answer["id"], "x\"1")
            self.check_against_labels(outputs_of(answer), self.labels[:rows])
            body, headers = to_binary(inputs)
            status, headers, data = server.ask(INFER, body, headers)
            self.assertEqual(status, 200, data)
            self.check_against_labels(outputs_in_bytes(headers, data),
                                      self.labels[:rows])
        # The student reads a number as a bucket; missing inputs are missing.
        status, answer = server.infer("student", {"inputs": [
            tensor("price_level", "FP64", [2], [50, 49])]}, version=99)
        self.assertEqual(status, 404)
        version = server.get("/v2/models/student")["versions"][0]
        status, answer = server.infer("student", {
            "inputs": [tensor("price_level", "FP64", [3], [50, 99.9, 49])],
            "outputs": [{"name": "stars"}]}, version=version)
        self.assertEqual(status, 200, answer)
        stars = outputs_of(answer)["stars"]
        self.assertEqual(stars[0], stars[1])
        self.assertNotEqual(stars[1], stars[2])

    def test_ids_are_as_the_values_that_they_are_of(self):
        self.train()
        server = self.serve("-m", self.teacher)
        with open(os.path.join(self.teacher, "latest", "manifest.json"),
                  encoding="utf-8") as f:
            features = json.load(f)["feature_spec"]["features"]
        vectors = {f["name"]: f.get("test_vectors") for f in features}
        for name in ("customer", "groups"):
            values = [v["value"] for v in vectors[name]]
            ids = [v["id"] for v in vectors[name]]
            shape = [len(ids), 1]
            status, raw = server.infer("shop-teacher", {"inputs": [
                tensor(name, "BYTES", shape, values)]})
            self.assertEqual(status, 200, raw)
            status, hashed = server.infer("shop-teacher", {"inputs": [
                tensor(name + ":id", "UINT64", shape, ids)]})
            self.assertEqual(status, 200, hashed)
            self.assertEqual(raw, hashed)

    def test_describes_itself(self):
        self.train()
        server = self.serve("-m", self.teacher, "--batch-max", "8",
                            "--batch-delay", "3")
        self.assertIn("binary_tensor_data", server.get("/v2")["extensions"])
        model = server.get("/v2/models/shop-teacher")
        self.assertEqual(model["versions"], ["1"])
        inputs = {i["name"]: (i["datatype"], i["shape"])
                  for i in model["inputs"]}
        self.assertEqual(inputs["customer"], ("BYTES", [-1, 1]))
        self.assertEqual(inputs["groups"], ("BYTES", [-1, -1]))
        self.assertEqual(inputs["price"], ("FP64", [-1, 1]))
        self.assertEqual(inputs["look"], ("FP32", [-1, 3]))
        self.assertEqual([o["name"] for o in model["outputs"]],
                         ["bought", "bought_logit", "happy", "happy_logit",
                          "stars"])
        config = server.get("/v2/models/shop-teacher/versions/1/config")
        self.assertEqual(config["max_batch_size"], 8)
        self.assertEqual(config["dynamic_batching"],
                         {"max_queue_delay_microseconds": 3000})
        self.assertEqual(len(config["input"]), len(inputs))
        for path in ("/v2/health/live", "/v2/health/ready",
                     "/v2/models/shop-teacher/ready",
                     "/v2/models/shop-teacher/versions/1/ready"):
            server.get(path)
        status, answer = server.infer("shop-teacher", {"inputs": [
            tensor("sku", "BYTES", [9], ["a"] * 9)]})
        self.assertEqual(status, 400)
        self.assertIn("batch-size must be <= 8", answer["error"])
        status, answer = server.infer("shop-teacher", {"inputs": [
            tensor("sku", "BYTES", [8], ["a"] * 8)]})
        self.assertEqual(status, 200)
        metrics = server.metrics()
        self.assertEqual(
            metrics['distilld_serve_rows_total{model="shop-teacher"}'], 8)
        self.assertEqual(metrics['distilld_serve_requests_total{'
                                 'model="shop-teacher",outcome="refused"}'], 1)

    def test_is_a_teacher(self):
        """teacher.kind: http gets what a teacher in process says."""
        self.train()
        server = self.serve("-m", self.teacher, "--batch-max", "50")
        with open(self.path("conf/examples/shop.yaml"),
                  encoding="utf-8") as f:
            text = f.read().replace("build/examples/shop/", "build/http/")
        head, rest = text.split("teacher:\n  kind: checkpoint\n")
        rest = rest[rest.index("student:"):]
        # An id as the event has it, or as the models see it.
        for protocol, device in (("oip", "device: BYTES context.device"),
                                 ("oip_binary",
                                  "device:id: INT64 column device")):
            shutil.rmtree(self.path("build/http"), ignore_errors=True)
            self.run_daemon("run", "-c", self.write("http.yaml", head + f"""
teacher:
  kind: http
  protocol: {protocol}
  url: http://127.0.0.1:{server.port}
  model_name: shop-teacher
  inputs:
    customer: INT64 customer.no
    sku: BYTES offer.sku
    groups: BYTES[8] offer.groups[].id
    {device}
    price: FP64 offer.price.amount
    since: FP64 customer.since
    orders: FP64 customer.orders
    look: FP64[3] offer.look
  outputs:
    bought: logit bought_logit
    happy: logit happy_logit
    stars: logit stars
""" + rest))
            with open(self.path("build/http/labels.ndjson"),
                      encoding="utf-8") as f:
                labels = [json.loads(line) for line in f]
            self.assertEqual(len(labels), len(self.labels))
            compared = 0
            for got, want in zip(labels, self.labels):
                self.assertEqual(got["event"], want["event"])
                self.assertEqual(got["teacher"]["version"], "1")
                # This client has no way to say that a number is missing.
                if (want["event"]["customer"].get("since") is None
                        or "look" not in want["event"]["offer"]):
                    continue
                compared += 1
                for task, values in want["soft_label"].items():
                    self.assertAlmostEqual(got["soft_label"][task][0],
                                           values[0], delta=CLOSE, msg=got)
            self.assertGreater(compared, 100)

    def test_curl(self):
        self.train(student=False)
        server = self.serve("-m", self.teacher)
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "--data",
             '{"inputs": [{"name": "sku", "shape": [1], "datatype": "BYTES",'
             ' "data": ["A-100"]}]}',
             f"http://127.0.0.1:{server.port}{INFER}"],
            capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(len(json.loads(done.stdout)["outputs"]), 5)

    def test_what_is_wrong_is_said(self):
        self.train(student=False)
        server = self.serve("-m", self.teacher, "--body-max", "65536")
        good = json.dumps({"inputs": [tensor("sku", "BYTES", [1],
                                             ["a"])]}).encode()
        cases = [
            # path, body, headers, method, status, what the error says
            ("/", None, {}, "GET", 404, "no such path"),
            ("/v2/models/x", None, {}, "GET", 404, "there is shop-teacher"),
            ("/v2/models/x/infer", good, {}, "POST", 404, "no model"),
            ("/v2/models/shop-teacher/versions/7/infer", good, {}, "POST",
             404, "no version 7"),
            ("/v2/models/shop-teacher/x", None, {}, "GET", 404, "/infer"),
            (INFER, None, {}, "GET", 405, "method"),
            ("/v2", b"x", {}, "POST", 405, "method"),
            (INFER, b"", {}, "POST", 400, "byte 0"),
            (INFER, b"<html>", {}, "POST", 400, "byte 0"),
            (INFER, good[:-1], {}, "POST", 400, "expected"),
            (INFER, good, {HEADER: "-1"}, "POST", 400, HEADER),
            (INFER, good, {HEADER: "x"}, "POST", 400, HEADER),
            (INFER, good, {HEADER: str(len(good) + 1)}, "POST", 400, HEADER),
            (INFER, good + b"\0", {HEADER: str(len(good))}, "POST", 400,
             "1 bytes behind"),
            (INFER, good, {"Content-Encoding": "gzip"}, "POST", 415, "gzip"),
            (INFER, b" " * 65537, {}, "POST", 413, "too long"),
        ]
        for path, body, headers, method, status, why in cases:
            with self.subTest(f"{method} {path} {body} {headers}"):
                got, _, data = server.ask(path, body, headers, method)
                self.assertEqual(got, status, data)
                self.assertIn(why, json.loads(data)["error"])
        self.assertEqual(server.infer("shop-teacher",
                                      json.loads(good))[0], 200)

    def test_a_newer_version_takes_over(self):
        """Under load: no request fails, and no answer is of two versions."""
        self.train()
        models = self.path("models")
        os.mkdir(models)
        shutil.copytree(os.path.join(self.teacher, "latest"), self.path("a"))
        with open(self.path("conf/examples/shop-teacher.yaml"),
                  encoding="utf-8") as f:
            text = f.read().replace("passes: 3", "passes: 1")
        other = self.write("other.yaml", text.replace(
            "build/examples/shop-teacher", "build/other"))
        self.run_daemon("run", "-c", other)
        sources = [self.path("build/other/models/latest"), self.path("a")]
        publish(sources[1], models, 1)
        server = self.serve("-m", "m=" + models)
        request = json.dumps({"inputs": shop_inputs(self.events[:7])})
        expected = {}
        for version in (1, 2):
            one = self.serve("-m", "m=" + sources[version % 2])
            expected[version % 2] = outputs_of(
                one.infer("m", json.loads(request))[1])
            self.assertEqual(one.stop(), 0)
        self.assertNotEqual(expected[0], expected[1])
        is_over = threading.Event()
        seen, wrong = set(), []

        def load():
            connection = server.connect()
            while not is_over.is_set() and not wrong:
                connection.request("POST", "/v2/models/m/infer", request)
                answer = connection.getresponse()
                data = answer.read()
                if answer.status != 200:
                    wrong.append((answer.status, data))
                    break
                data = json.loads(data)
                version = int(data["model_version"])
                seen.add(version)
                if any(abs(x[0] - y[0]) > CLOSE
                       for name, rows in outputs_of(data).items()
                       for x, y in zip(rows, expected[version % 2][name])):
                    wrong.append(data)
            connection.close()
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3, 4):
                publish(sources[version % 2], models, version)
                wait_until(lambda v=version: v in seen or wrong, 60,
                           f"version {version} to be served")
            shutil.rmtree(os.path.join(models, "1"))
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(seen, {1, 2, 3, 4})
        # A version that cannot be used changes nothing.
        shutil.copytree(sources[0], self.path("broken"))
        path = self.path("broken", "model.safetensors")
        with open(path, "rb") as f:
            data = f.read()
        os.remove(path)
        with open(path, "wb") as f:
            f.write(data[:-1] + bytes([data[-1] ^ 1]))
        publish(self.path("broken"), models, 5)
        wait_until(lambda: "version_refused" in server.said(), 60,
                   "the broken version to be refused")
        self.assertEqual(
            server.infer("m", json.loads(request))[1]["model_version"], "4")
        publish(sources[0], models, 6)
        wait_until(lambda: server.get("/v2/models/m")["versions"] == ["6"],
                   60, "the version behind the broken one")

    def test_thousands_of_connections(self):
        self.train(student=False)
        server = self.serve("-m", self.teacher, "--connections", "100")
        good = {"inputs": [tensor("sku", "BYTES", [1], ["a"])]}
        clients = []
        try:
            for i in range(2500):
                client = socket.create_connection(("127.0.0.1", server.port),
                                                  timeout=60)
                clients.append(client)
                if i % 2:
                    client.sendall(b"POST " + INFER.encode()
                                   + b" HTTP/1.1\r\nHost: x\r\n")
                if i % 250 == 249:
                    self.assertEqual(server.infer("shop-teacher", good)[0],
                                     200)
            self.assertLessEqual(
                server.metrics()["distilld_serve_connections"], 108)
            fds = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            self.assertLess(fds, 150)
        finally:
            for client in clients:
                client.close()
        self.assertEqual(server.infer("shop-teacher", good)[0], 200)

    def test_the_end_answers_what_has_come(self):
        self.train()
        server = self.serve("-m", self.teacher, "--batch-delay", "1500")
        request = json.dumps({"inputs": shop_inputs(self.events[:3])})
        answers = []

        def ask():
            answers.append(server.ask(INFER, request.encode()))
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        waiting = 'distilld_serve_waiting{model="shop-teacher"}'
        wait_until(lambda: server.metrics()[waiting] == 8, 60,
                   "eight requests to wait")
        self.assertEqual(server.stop(), 0)
        for thread in threads:
            thread.join()
        self.assertEqual([a[0] for a in answers], [200] * 8)
        self.assertEqual({a[1]["Connection"] for a in answers}, {"close"})
        self.assertIn("serve_stopped", server.said())

    def test_a_full_queue_is_said(self):
        self.train(student=False)
        server = self.serve("-m", self.teacher, "--batch-delay", "3000",
                            "--waiting-max", "3")
        good = json.dumps({"inputs": [tensor("sku", "BYTES", [1], ["a"])]})
        answers = []

        def ask():
            answers.append(server.ask(INFER, good.encode()))
        threads = [threading.Thread(target=ask) for _ in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        full = [a for a in answers if a[0] == 503]
        self.assertGreater(len(full), 0)
        self.assertEqual(len(full) + sum(a[0] == 200 for a in answers), 7)
        for _, headers, data in full:
            self.assertEqual(headers["Retry-After"], "1")
            self.assertIn("waiting already", json.loads(data)["error"])
        self.assertEqual(server.metrics()[
            'distilld_serve_requests_total{model="shop-teacher",'
            'outcome="full"}'], len(full))

    def test_classes(self):
        """A class task: as many probabilities and logits as classes."""
        self.run_daemon("run", "-c", "conf/examples/news.yaml")
        server = self.serve("-m", "news=build/examples/news/models")
        status, answer = server.infer("news", {"inputs": [
            tensor("reader", "BYTES", [2], ["a", "b"]),
            tensor("topics", "BYTES", [2, 1], ["x|y", ""])]})
        self.assertEqual(status, 200, answer)
        found = outputs_of(answer)
        model = server.get("/v2/models/news")
        wide = [o["name"] for o in model["outputs"] if o["shape"][1] > 1]
        self.assertEqual(len(wide), 2)
        for row, logits in zip(found[wide[0]], found[wide[1]]):
            total = sum(math.exp(v) for v in logits)
            self.assertGreater(len(row), 2)
            for p, v in zip(row, logits):
                self.assertAlmostEqual(p, math.exp(v) / total, delta=CLOSE)

    def test_wrong_command_lines(self):
        done = self.run_daemon("serve", status=64)
        self.assertIn("-m CHECKPOINT is missing", done.stderr)
        done = self.run_daemon("serve", "-m", "nowhere", status=66)
        self.assertIn("nowhere: no checkpoint", done.stderr)
        self.run_daemon("serve", "-m", "x", "--listen", "localhost", status=64)
        self.run_daemon("serve", "-m", "x", "--batch-max", "0", status=64)
        self.train(student=False)
        done = self.run_daemon("serve", "-m", self.teacher, "-m",
                               self.teacher, status=78)
        self.assertIn("two models are called shop-teacher", done.stderr)
        done = self.run_daemon("serve", "-m", "a b=" + self.teacher,
                               status=78)
        self.assertIn('model name "a b"', done.stderr)
        done = self.run_daemon("serve", "--help")
        self.assertIn("Usage: distilld serve", done.stdout)


if __name__ == "__main__":
    main()
