#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real model servers as the teacher: the answers in the labels are those of
the model, whatever the protocol, and name the version that made them."""

import json
import math
import os
import random
import re
import struct
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "support"))
import serving  # noqa: E402
import teacher_model  # noqa: E402
from integration import ROOT, Case, main, wait_until  # noqa: E402
from kafka import free_ports  # noqa: E402
from teachers import KServe, MLServer, TFServing, Triton  # noqa: E402

CONFIG, UNAVAILABLE = 78, 69
DEADLINE_S = 120  # generous: other tests may have the machine


def as_floats(numbers):
    """As single precision: a label has nine digits of each."""
    return list(struct.unpack(f"{len(numbers)}f",
                              struct.pack(f"{len(numbers)}f", *numbers)))


class TeacherCase(Case):
    def events(self, count, poison=()):
        """Events whose item is where no feature looks. Some lack numbers."""
        rng = random.Random(7)
        self.rows = []
        for i in range(count):
            user = f"poison-{i}" if i in poison else f"u\"{i % 50}\u00e9"
            row = {"id": f"e{i}", "user": user,
                   "hidden": {"item": [{"key": rng.randrange(10 ** 6)}]},
                   "nums": [rng.randrange(64) / 64, rng.randrange(64) / 64],
                   "y": i % 2}
            if i % 10 == 3:
                del row["nums"]
            self.rows.append(row)
        self.write("events.ndjson",
                   "".join(json.dumps(r) + "\n" for r in self.rows))

    def configure(self, server, port=None, **teacher):
        settings = {
            "name": "t", "roles": ["annotate"],
            "events": {"path": self.path("events.ndjson")},
            "features": {"who": {"kind": "categorical", "path": "user"}},
            "tasks": {"clicked": {"kind": "binary", "path": "y"},
                      "sort": {"kind": "class", "classes": 3}},
            "labels": {"path": self.path("labels")},
            "dead_letters": {"path": self.path("dead")},
            "teacher": {
                "kind": "http", "url": server.url,
                "model_name": server.model, "batch": 50,
                "retry_min": "5ms", "retry_max": "200ms",
                "inputs": {"user": "BYTES who",
                           "item_id": "INT64 hidden.item[0].key",
                           "numbers": "FP32[2] nums default 0.25"},
                "outputs": {"clicked": "logit logit temperature 2",
                            "sort": "logit classes columns 2 0 1"},
                **teacher}}
        if port:
            settings["admin"] = {"listen": f"127.0.0.1:{port}"}
        self.config = self.write("run.yaml", json.dumps(settings))

    def run_it(self, status=0):
        return self.run_daemon("run", "-c", self.config, status=status,
                               seconds=DEADLINE_S)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def check_labels(self, versions, dead=()):
        """Each event has its label, in order, and the answer is the model's;
        gives the versions as they came."""
        labels = self.read("labels")
        rows = [r for i, r in enumerate(self.rows) if i not in dead]
        self.assertEqual([x["event"] for x in labels], rows)
        for x in labels:
            event, answer = x["event"], x["soft_label"]
            logit = teacher_model.answer(
                event["user"], event["hidden"]["item"][0]["key"],
                event.get("nums", [0.25, 0.25]))
            self.assertEqual(as_floats(answer["clicked"]), [logit / 2])
            self.assertEqual(as_floats(answer["sort"]), [0.5, logit, -logit])
        seen = [x["teacher"]["version"] for x in labels]
        self.assertEqual(set(seen), set(versions))
        if dead:
            letters = self.read("dead/events.ndjson")
            self.assertEqual(
                [json.loads(d["payload"])["id"] for d in letters],
                [f"e{i}" for i in sorted(dead)])
            os.remove(self.path("dead/events.ndjson"))
        os.remove(self.path("labels"))
        return seen

    def check_server(self, server, protocol, binary, dead=()):
        with self.subTest(server=type(server).__name__, protocol=protocol):
            self.configure(server, protocol=protocol)
            said = self.run_it().stderr
            self.check_labels({server.version}, dead)
            self.assertIn(f"binary={'true' if binary else 'false'}",
                          re.search("teacher_ready .*", said)[0])


class TestServers(TeacherCase):
    def test_triton(self):
        self.events(300)
        with Triton(self.path("triton"), max_batch=16) as server:
            self.check_server(server, "auto", True)
            self.check_server(server, "oip", False)
            self.check_server(server, "oip_binary", True)
            self.check_connect(server)

    def test_triton_takes_another_version(self):
        self.events(6000)
        with Triton(self.path("triton")) as server:
            # One event a request: the new version comes long before the end.
            self.configure(server, batch_max=1, in_flight_max=1)
            process = self.start_daemon("run", "-c", self.config)
            wait_until(lambda: os.path.exists(self.path("labels"))
                       and os.path.getsize(self.path("labels")) > 0,
                       DEADLINE_S, "the first labels")
            server.add("8")
            server.load()
            _, said = process.communicate(timeout=DEADLINE_S)
            self.assertEqual(process.returncode, 0, said)
            seen = self.check_labels({"7", "8"})
            self.assertEqual(seen, sorted(seen))

    def test_mlserver(self):
        self.events(300)
        with MLServer(self.path("mlserver")) as server:
            self.check_server(server, "auto", False)
            self.check_server(server, "oip", False)

    def test_kserve(self):
        self.events(300)
        with KServe(self.path("kserve")) as server:
            self.check_server(server, "auto", False)
            self.check_server(server, "oip_binary", True)

    def test_tf_serving(self):
        poison = {0, 17, 18, 299}
        self.events(300, poison)
        with TFServing() as server:
            for form in ("row", "column"):
                self.check_server(server, "tfserving_" + form, False, poison)
                self.assertEqual({f for f, _, _ in server.asked}, {form})
                server.asked.clear()
            self.configure(server, protocol="tfserving_row", signature="s")
            self.run_it()
            self.assertEqual({s for _, _, s in server.asked}, {"s"})
            self.check_labels({"123"}, poison)

    def check_connect(self, server):
        """validate --connect compares the tensors with what Triton says."""
        def connect(status, **inputs):
            self.configure(server)
            with open(self.config, encoding="utf-8") as f:
                settings = json.load(f)
            settings["teacher"]["inputs"].update(inputs)
            path = self.write("connect.yaml", json.dumps(settings))
            done = self.run_daemon("validate", "-c", path, "--connect",
                                   status=status)
            return done.stdout + done.stderr

        self.assertIn("3 inputs and 2 outputs fit", connect(0))
        self.assertIn("is INT32, expected INT64",
                      connect(CONFIG, item_id="INT32 hidden.item[0].key"))
        self.assertIn("has width 3, expected 2",
                      connect(CONFIG, numbers="FP32[3] nums"))
        self.assertIn("no input 'extra'", connect(CONFIG, extra="FP32 nums"))


class TestServe(Case):
    """The example, with distilld's own server."""

    def setUp(self):
        super().setUp()
        for name in ("conf", "tests"):
            os.symlink(os.path.join(ROOT, name), self.path(name))

    def run_example(self, server, protocol):
        """The labels of shop-http.yaml, asked in a protocol."""
        with open(self.path("conf/examples/shop-http.yaml"),
                  encoding="utf-8") as f:
            text = f.read()
        self.assertIn("url: http://127.0.0.1:8500\n", text)
        text = text.replace("url: http://127.0.0.1:8500\n",
                            f"url: http://127.0.0.1:{server.port}\n"
                            f"  protocol: {protocol}\n")
        text = text.replace("examples/shop-http", "examples/" + protocol)
        config = self.write(protocol + ".yaml", text)
        self.run_daemon("validate", "-c", config, "--connect")
        self.run_daemon("run", "-c", config, seconds=DEADLINE_S)
        with open(self.path("build/examples", protocol, "labels.ndjson"),
                  encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def test_the_example(self):
        self.run_daemon("run", "-c", "conf/examples/shop-teacher.yaml",
                        seconds=DEADLINE_S)
        server = serving.Server(
            self.path("serve.log"), "-m",
            "shop=build/examples/shop-teacher/models", cwd=self.dir)
        try:
            labels = self.run_example(server, "oip")
            self.assertEqual(self.run_example(server, "oip_binary"), labels)
            self.assertEqual(self.run_example(server, "auto"), labels)
            self.assertEqual(len(labels), 600)
            self.assertEqual({x["teacher"]["version"] for x in labels}, {"1"})
            for label in labels[::97]:
                self.check_label(server, label)
        finally:
            server.kill()

    def check_label(self, server, label):
        """The server says the same of an event that is asked about alone."""
        event = label["event"]
        given = {
            "customer": ("BYTES", [str(event["customer"]["no"])]),
            "sku": ("BYTES", [event["offer"]["sku"]]),
            "groups": ("BYTES", [g["id"] for g in event["offer"]["groups"]]),
            "device": ("BYTES", [event["context"].get("device") or ""]),
            "price": ("FP64", [event["offer"]["price"]["amount"]]),
            "since": ("FP64", [event["customer"].get("since") or 0]),
            "orders": ("FP64", [event["customer"].get("orders") or 0]),
            "look": ("FP32", event["offer"]["look"]),
        }
        body = {"inputs": [{"name": name, "datatype": kind, "data": data,
                            "shape": [1, len(data)]}
                           for name, (kind, data) in given.items()]}
        with urllib.request.urlopen(urllib.request.Request(
                f"http://127.0.0.1:{server.port}/v2/models/shop/infer",
                json.dumps(body).encode()), timeout=20) as answer:
            said = {o["name"]: o["data"][0]
                    for o in json.load(answer)["outputs"]}
        got = label["soft_label"]
        self.assertAlmostEqual(got["bought"][0], said["bought_logit"] / 1.5, 5)
        self.assertAlmostEqual(1 / (1 + math.exp(-got["happy"][0])),
                               said["happy"], 5)


class TestWaiting(TeacherCase):
    """No server, then one."""

    def ask(self, port, path):
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def test_waits_for_the_model_and_says_so(self):
        self.events(100)
        with TFServing() as server:
            server.state = "LOADING"
            port, = free_ports(1)
            self.configure(server, port, protocol="tfserving_row")
            process = self.start_daemon("run", "-c", self.config)
            code, text = wait_until(
                lambda: (lambda a: a if "no version" in a[1] else None)(
                    self.ask(port, "/readyz")), DEADLINE_S,
                "the teacher to be missed")
            self.assertEqual(code, 503)
            self.assertIn("teacher teacher is not ready", text)
            self.assertEqual(self.ask(port, "/livez")[0], 200)
            page = self.ask(port, "/metrics")[1]
            self.assertIn(
                'distilld_teacher_http_requests_total{teacher="teacher"} 0',
                page)
            self.assertIn("distilld_teacher_http_breaker_open", page)
            server.state = "AVAILABLE"
            _, said = process.communicate(timeout=DEADLINE_S)
            self.assertEqual(process.returncode, 0, said)
            self.check_labels({"123"})

    def test_connect_says_that_nobody_answers(self):
        self.events(1)
        with TFServing() as server:
            self.configure(server, protocol="tfserving_row")
            done = self.run_daemon("validate", "-c", self.config, "--connect")
            self.assertIn("model ranker has version 123", done.stdout)
        done = self.run_daemon("validate", "-c", self.config, "--connect",
                               status=UNAVAILABLE)
        self.assertIn("teacher: ", done.stdout)


if __name__ == "__main__":
    main()
