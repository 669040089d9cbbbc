#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run writes is as the schemas say: every label, dead letter and
manifest of the examples; needs the Python package jsonschema."""

import glob
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from integration import ROOT, Case, main  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None


@unittest.skipIf(jsonschema is None, "no jsonschema")
class TestRecords(Case):
    def setUp(self):
        super().setUp()
        for name in ("conf", "tests"):
            os.symlink(os.path.join(ROOT, name), self.path(name))
        for name in ("news", "shop-teacher", "shop"):
            self.run_daemon("run", "-c", f"conf/examples/{name}.yaml")

    def validator(self, kind):
        path = os.path.join(ROOT, "schemas", kind + ".schema.json")
        with open(path, encoding="utf-8") as f:
            return jsonschema.Draft202012Validator(json.load(f))

    def assert_valid(self, kind, texts, least):
        validator = self.validator(kind)
        for text in texts:
            problems = [f"{e.json_path}: {e.message}"
                        for e in validator.iter_errors(json.loads(text))]
            self.assertEqual(problems, [], text)
        self.assertGreaterEqual(len(texts), least)

    def files(self, *parts):
        paths = glob.glob(self.path("build/examples", *parts), recursive=True)
        return [open_text(p) for p in paths]

    def lines(self, *parts):
        return [line for text in self.files(*parts)
                for line in text.splitlines()]

    def test_labels(self):
        self.assert_valid("label", self.lines("*/labels.ndjson"), 900)

    def test_dead_letters(self):
        self.assert_valid("dead_letter",
                          self.lines("*/dead-letters/events.ndjson"), 1)

    def test_manifests(self):
        texts = self.files("**/manifest.json")
        self.assert_valid("manifest", texts, 6)
        # Every member that is written is described, two levels down.
        known = self.validator("manifest").schema["properties"]
        for manifest in map(json.loads, texts):
            self.assertEqual(set(manifest) - set(known), set())
            for part in ("producer", "teacher", "training"):
                self.assertEqual(set(manifest[part])
                                 - set(known[part]["properties"]), set())


def open_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


if __name__ == "__main__":
    main()
