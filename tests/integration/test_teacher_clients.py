#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""distilld serve to Triton's own client, in JSON and in the binary extension:
`make check-teachers`."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from cache import TRITONCLIENT_PACKAGES, package_folder  # noqa: E402
from integration import main  # noqa: E402
from serving import ServeCase, shop_inputs  # noqa: E402

CLOSE = 1e-5


class TestTritonClient(ServeCase):
    def setUp(self):
        super().setUp()
        sys.path.insert(0, package_folder(TRITONCLIENT_PACKAGES))
        self.addCleanup(sys.path.pop, 0)
        import numpy
        import tritonclient.http
        self.numpy, self.library = numpy, tritonclient.http
        self.train()
        self.server = self.serve("-m", self.teacher, "--batch-max", "64")
        self.client = tritonclient.http.InferenceServerClient(
            f"127.0.0.1:{self.server.port}", concurrency=8)
        self.addCleanup(self.client.close)

    def tensors(self, events, is_binary):
        """The inputs as the client's own."""
        types = {"BYTES": self.numpy.object_, "INT64": self.numpy.int64,
                 "FP64": self.numpy.float64}
        made = []
        for one in shop_inputs(events):
            datatype = one["datatype"]
            data = one["data"]
            if datatype == "FP64":  # JSON has no NaN: such a row is left out
                data = [[float("nan") if v is None else v for v in
                         (row if isinstance(row, list) else [row])]
                        for row in data]
            array = self.numpy.array(data, dtype=types[datatype]).reshape(
                one["shape"])
            tensor = self.library.InferInput(one["name"], one["shape"],
                                             datatype)
            tensor.set_data_from_numpy(array, binary_data=is_binary)
            made.append(tensor)
        return made

    def whole_events(self):
        """Events, with labels, of which no number is missing."""
        return [(e, label) for e, label in zip(self.events, self.labels)
                if "look" in e["offer"] and e["customer"].get("since")
                is not None and e["customer"].get("orders") is not None
                and e["offer"]["price"].get("amount") is not None]

    def check(self, result, labels):
        for task in ("bought", "happy", "stars"):
            name = task if task == "stars" else task + "_logit"
            got = result.as_numpy(name).flatten()
            want = [label["soft_label"][task][0] for label in labels]
            self.assertEqual(len(got), len(want))
            self.assertLess(float(abs(got - self.numpy.array(want)).max()),
                            CLOSE)

    def test_describes_itself(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("shop-teacher", "1"))
        self.assertFalse(self.client.is_model_ready("other"))
        self.assertIn("binary_tensor_data",
                      self.client.get_server_metadata()["extensions"])
        model = self.client.get_model_metadata("shop-teacher")
        self.assertEqual(model["platform"], "distilld")
        config = self.client.get_model_config("shop-teacher", "1")
        self.assertEqual(config["max_batch_size"], 64)

    def test_answers(self):
        for is_binary in (False, True):
            for rows in (1, 64):
                pairs = (list(zip(self.events, self.labels)) if is_binary
                         else self.whole_events())[:rows]
                events = [e for e, _ in pairs]
                labels = [label for _, label in pairs]
                result = self.client.infer(
                    "shop-teacher", self.tensors(events, is_binary),
                    request_id="r7")
                self.assertEqual(result.get_response()["id"], "r7")
                self.assertEqual(result.get_response()["model_version"], "1")
                self.check(result, labels)
                wanted = [self.library.InferRequestedOutput(
                    n, binary_data=not is_binary)
                    for n in ("stars", "happy_logit", "bought_logit")]
                result = self.client.infer(
                    "shop-teacher", self.tensors(events, is_binary),
                    outputs=wanted)
                self.check(result, labels)
                self.assertIsNone(result.as_numpy("happy"))

    def test_many_at_once(self):
        events, labels = self.events[:32], self.labels[:32]
        waiting = [self.client.async_infer("shop-teacher",
                                           self.tensors(events, True))
                   for _ in range(40)]
        for one in waiting:
            self.check(one.get_result(), labels)

    def test_errors_are_read(self):
        error = self.library.InferInput("sku", [1, 1], "INT64")
        error.set_data_from_numpy(
            self.numpy.zeros([1, 1], dtype=self.numpy.int64))
        wrong = self.library.InferInput("nothing", [1, 1], "INT64")
        wrong.set_data_from_numpy(
            self.numpy.zeros([1, 1], dtype=self.numpy.int64))
        from tritonclient.utils import InferenceServerException
        with self.assertRaisesRegex(InferenceServerException,
                                    "unexpected inference input"):
            self.client.infer("shop-teacher", [error, wrong])
        with self.assertRaisesRegex(InferenceServerException, "no model"):
            self.client.infer("other", [error])


if __name__ == "__main__":
    main()
