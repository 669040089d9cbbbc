#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What teacher.kind http takes for granted about model servers: asked without
the daemon, so that a new version of one that behaves otherwise is found here.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "support"))
import teacher_model  # noqa: E402
from integration import Case, main  # noqa: E402
from teachers import (KServe, MLServer, TFServing, Triton,  # noqa: E402
                      ask)

ROWS = [("u1", 5, [0.5, 0.25]), ("ünï", 2**53 - 1, [1.0, 0.0]),
        ("u3", 77, [0.0, 0.0])]


def tensors(rows):
    return {"user": ("BYTES", [r[0] for r in rows]),
            "item_id": ("INT64", [r[1] for r in rows]),
            "numbers": ("FP32", [n for r in rows for n in r[2]])}


def infer(server, rows):
    """Asks about the rows, in the protocol's JSON."""
    body = {"id": "x1", "outputs": [{"name": "logit"}], "inputs": [
        {"name": name, "datatype": datatype, "data": data,
         "shape": [len(rows), len(data) // len(rows)]}
        for name, (datatype, data) in tensors(rows).items()]}
    code, text = server.get(f"/v2/models/{server.model}/infer",
                            json.dumps(body).encode())
    return code, json.loads(text) if code == 200 else text


class TestServers(Case):
    def check_answer(self, server, version=None):
        code, answer = infer(server, ROWS)
        self.assertEqual(code, 200, answer)
        self.assertEqual(answer["id"], "x1")
        self.assertEqual(answer["model_version"], version or server.version)
        logit, = [o for o in answer["outputs"] if o["name"] == "logit"]
        self.assertEqual(logit["data"],
                         [teacher_model.answer(*row) for row in ROWS])

    def check_poison(self, server):
        """A row that the model trips over is a 500, not a 400: only in that
        others are answered can it be told from a server that is broken."""
        code, _ = infer(server, [ROWS[0], ("poison-7", 1, [0.0, 0.0])])
        self.assertEqual(code, 500)
        self.check_answer(server)

    def test_triton(self):
        with Triton(self.dir, max_batch=4) as server:
            self.check_answer(server)
            self.check_poison(server)
            code, text = infer(server, ROWS * 2)
            self.assertEqual(code, 400)
            self.assertIn(b"batch-size must be <= 4", text)
            server.add("8")
            server.load()
            self.check_answer(server, "8")
            server.unload()
            self.assertEqual(infer(server, ROWS)[0], 404)

    def test_mlserver(self):
        with MLServer(self.dir) as server:
            self.check_answer(server)
            self.check_poison(server)

    def test_kserve(self):
        with KServe(self.dir) as server:
            self.check_answer(server)
            self.check_poison(server)

    def test_tf_serving(self):
        with TFServing() as server:
            url = f"{server.url}/v1/models/{server.model}"
            code, text = ask(url)
            self.assertEqual(code, 200)
            self.assertEqual(json.loads(text)["model_version_status"][0][
                "version"], server.version)
            rows = [{"user": u, "item_id": i, "numbers": n}
                    for u, i, n in ROWS]
            wanted = [[teacher_model.answer(*row)] for row in ROWS]
            code, text = ask(url + ":predict", json.dumps(
                {"instances": rows}).encode())
            self.assertEqual(code, 200, text)
            self.assertEqual([p["logit"] for p in
                              json.loads(text)["predictions"]], wanted)
            code, text = ask(url + ":predict", json.dumps({"inputs": {
                name: [r[name] for r in rows] for name in rows[0]}}).encode())
            self.assertEqual(code, 200, text)
            self.assertEqual(json.loads(text)["outputs"]["logit"], wanted)


if __name__ == "__main__":
    main()
