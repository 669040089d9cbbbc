#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`distilld config schema` accepts the reference and refuses slips; needs the
Python packages jsonschema and yaml."""

import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import ROOT, Case, binary, main  # noqa: E402

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

LEAST = """
features: {user: {kind: categorical, rows_max: 1_000_000}}
tasks: {clicked: {kind: binary, threshold: 0.5}}
"""


@unittest.skipIf(jsonschema is None, "no jsonschema or yaml")
class TestSchema(Case):
    def config(self, what):
        return subprocess.run([binary(), "config", what], check=True,
                              capture_output=True, text=True).stdout

    def setUp(self):
        super().setUp()
        schema = json.loads(self.config("schema"))
        jsonschema.Draft202012Validator.check_schema(schema)
        self.schema = jsonschema.Draft202012Validator(schema)

    def errors(self, text):
        return [f"{e.json_path}: {e.message}"
                for e in self.schema.iter_errors(yaml.safe_load(text))]

    def test_accepts_the_reference(self):
        self.assertEqual(self.errors(self.config("reference")), [])

    def test_accepts_each_way_to_write_a_value(self):
        for line in ("train: {batch: 1e3}", "train: {batch: 1_000}",
                     "train: {batch: '${env:BATCH:-64}'}",
                     "shutdown_timeout: 1.5s", "shutdown_timeout: 0",
                     "events: {record_bytes_max: 1 MiB}",
                     "train: {start: '2026-11-23T12:00:00Z'}",
                     "metrics: {from: 1362062307}", "train:",
                     "kafka: {bootstrap.servers: 'k:1', linger.ms: 5, "
                     "producer: {enable.x: true}, consumer: }",
                     "train: {deterministic: 'on'}", "kafka:"):
            with self.subTest(line):
                self.assertEqual(self.errors(LEAST + line), [])

    def test_refuses_slips(self):
        for line in ("trian: {batch: 64}", "train: {bacth: 64}",
                     "train: {batch: 0}", "train: {batch: many}",
                     "shutdown_timeout: 30", "log: {level: loud}",
                     "roles: train", "student: {hidden: [0]}",
                     "kafka: {a: [b]}", "kafka: {a: {b: c}}",
                     "kafka: {'a b': c}", "kafka: {consumer: 5}",
                     "kafka: {producer: {a: }}", "events: {log: kakfa}",
                     "events: {topic: 'a b'}"):
            with self.subTest(line):
                self.assertNotEqual(self.errors(LEAST + line), [])

    def test_refuses_a_feature_without_a_kind(self):
        self.assertNotEqual(self.errors("features: {user: {}}"), [])



class TestReadme(Case):
    @staticmethod
    def complete(block):
        """A block that is a piece of a configuration, in one."""
        if re.search(r"^features:", block, re.M):
            return block
        with open(os.path.join(ROOT, "conf/examples/shop-http.yaml"),
                  encoding="utf-8") as f:
            sections = re.split(r"^(?=[a-z_]+:)", f.read(), flags=re.M)
        own = re.findall(r"^([a-z_]+):", block, re.M)
        if "teachers" in own:
            own.append("teacher")
        return "".join(s for s in sections
                       if s.split(":")[0] not in own) + block

    def test_its_configuration_is_good(self):
        """Every YAML block, with the secrets that it names."""
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
            blocks = re.findall(r"```yaml\n(.*?)```", f.read(), re.DOTALL)
        self.assertTrue(blocks)
        self.write("secret", b"x\n")
        for text in blocks:
            self.write("readme.yaml", self.complete(text).replace(
                "/run/secrets/kafka", self.path("secret")).encode())
            done = subprocess.run(
                [binary(), "validate", "-c", self.path("readme.yaml")],
                check=False, capture_output=True, text=True, cwd=ROOT,
                env={**os.environ, "TEACHER_TOKEN": "x"})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    main()
