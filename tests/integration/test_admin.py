#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The admin port of a real daemon: pages, probes, commands, rude clients."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import TOKEN, AdminCase, read_to_end  # noqa: E402
from integration import main, wait_until  # noqa: E402


def samples(text):
    """The metrics of a page: {name and labels: value}."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, value = line.rsplit(" ", 1)
            assert key not in found, key
            found[key] = float(value)
    return found


class TestPages(AdminCase):
    def test_metrics_are_clean_and_true(self):
        process = self.start_service(checkpoint={"every": 1000})
        self.wait_status(
            lambda s: s["roles"]["train"].get("checkpoint", {}).get("version"),
            "a checkpoint")
        self.post("/pause")
        self.wait_quiet("annotate")
        page = self.get("/metrics")
        self.assertEqual(page.headers["Content-Type"],
                         "text/plain; version=0.0.4; charset=utf-8")
        m = samples(page.text)
        status = self.status()
        for role, name in (("annotate", "events_consumed_total"),
                           ("train", "labels_consumed_total")):
            self.assertEqual(m["distilld_" + name],
                             status["roles"][role]["counts"]["records"])
        self.assertEqual(m["distilld_labels_produced_total"] +
                         status["roles"]["annotate"]["in_flight"]["records"],
                         m["distilld_events_consumed_total"])
        self.assertEqual(m["distilld_train_examples_total"],
                         status["roles"]["train"]["counts"]["examples"])
        self.assertEqual(m['distilld_state{state="paused"}'], 1)
        self.assertEqual(m["distilld_ready"], 0)
        self.assertEqual(m['distilld_dead_letters_total{reason="malformed"}'],
                         0)
        self.assertGreater(m["distilld_process_resident_memory_bytes"], 1e7)
        self.assertGreater(m["distilld_process_cpu_seconds_total"], 0)
        self.assertLess(m["distilld_checkpoint_age_seconds"], 60)
        for name in ("teacher_request_duration", "train_step_duration",
                     "event_loop_lag", "event_loop_turn"):
            count = m[f"distilld_{name}_seconds_count"]
            self.assertGreater(count, 0, name)
            self.assertEqual(
                m[f'distilld_{name}_seconds_bucket{{le="+Inf"}}'], count)
        self.assertRegex(page.text, r'distilld_build_info\{version="[0-9.]+[^"]'
                                    r'*",librdkafka="[^"]+",openblas="[^"]+"}')
        self.stop_service(process)

    @unittest.skipIf(shutil.which("promtool") is None, "no promtool")
    def test_promtool_finds_nothing(self):
        process = self.start_service()
        self.wait_status(lambda s: s["roles"]["train"].get("quality", {})
                         .get("liked", {}).get("eta_score"), "quality")
        page = self.get("/metrics").text
        self.assertIn("distilld_transfer_ratio", page)
        done = subprocess.run(["promtool", "check", "metrics"], input=page,
                              capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, "", ""))
        self.stop_service(process)

    def test_quality_is_told_while_it_runs_and_agrees_with_the_end(self):
        process = self.start_service(metrics={"window": 1000})
        self.wait_trained(5000)
        self.post("/pause")

        def is_still(s):
            train = s["roles"]["train"]
            return (train["in_flight"]["records"] < 256 and
                    train["model"]["examples"] == train["counts"]["examples"])
        status = self.wait_status(is_still, "the trainer's word")
        quality = status["roles"]["train"]["quality"]["liked"]
        self.assertEqual(quality["examples"],
                         status["roles"]["train"]["counts"]["examples"])
        for model in ("teacher", "student", "baseline"):
            self.assertGreater(quality[model]["score"], 0.4)
            self.assertGreater(quality[model]["loss"], 0)
            self.assertGreater(quality[model]["window_score"], 0)
        m = samples(self.get("/metrics").text)
        self.assertAlmostEqual(
            m['distilld_quality_auc{task="liked",model="student",scope="all"}'],
            quality["student"]["score"], places=6)
        self.assertAlmostEqual(
            m['distilld_transfer_ratio{task="liked",by="score"}'],
            quality["eta_score"], places=6)
        self.stop_service(process)
        saved = self.manifest("run", "checkpoints")["metrics"]["liked"]
        self.assertEqual(saved["student"]["score"],
                         quality["student"]["score"])

    def test_who_is_in_force_is_told_where_the_weight_is_chosen(self):
        process = self.start_service(objective={"soft_weight": "auto"})
        status = self.wait_status(
            lambda s: s["roles"]["train"].get("soft_weight", {})
            .get("arms", [{}])[0].get("loss"), "losses of the arms")
        weight = status["roles"]["train"]["soft_weight"]
        names = [a["name"] for a in weight["arms"]]
        self.assertIn("untaught", names)
        self.assertIn(weight["in_force"], names)
        self.assertIn(weight["ahead"], names)
        m = samples(self.get("/metrics").text)
        force = [m[f'distilld_arm_in_force{{arm="{n}"}}'] for n in names]
        self.assertEqual(sum(force), 1)
        for name in names:
            self.assertGreater(m[f'distilld_arm_loss{{arm="{name}"}}'], 0)
        self.assertGreaterEqual(m["distilld_arm_switches_total"], 0)
        self.stop_service(process)

    def test_dead_letters_are_counted_by_reason(self):
        with open(self.events, "rb") as f:
            good = [next(f) for _ in range(400)]
        bad = [b'{"rating": \n', b"[]\n", b'{"user": "' + b"x" * 70000 +
               b'"}\n']
        path = self.write("mixed.ndjson", b"".join(
            good[:300] + bad + good[300:] * 500))
        process = self.start_service(events={"path": path})
        self.wait_status(lambda s: s["roles"]["annotate"]["counts"]
                         ["dead_letters"] == 3, "three dead letters")
        m = samples(self.get("/metrics").text)
        self.assertEqual(m['distilld_dead_letters_total{reason="malformed"}'],
                         2)
        self.assertEqual(m['distilld_dead_letters_total{reason="too_big"}'],
                         1)
        self.stop_service(process)

    def test_config_hides_the_token(self):
        process = self.start_service()
        page = self.get("/config")
        self.assertIn('listen: "127.0.0.1:0"', page.text)
        self.assertIn('token: "***"', page.text)
        for path in ("/config", "/status", "/metrics", "/readyz"):
            self.assertNotIn(TOKEN, self.get(path).text)
        self.stop_service(process)
        self.assertNotIn(TOKEN, self.read("run.log"))

    def test_unknown_pages_and_methods(self):
        process = self.start_service()
        self.assertIn("POST /checkpoint", self.get("/nope", 404).text)
        self.get("/", 404)
        self.get("/metrics/", 404)
        answer = self.ask("POST", "/metrics", TOKEN)
        self.assertEqual((answer.code, answer.headers["Allow"]), (405, "GET"))
        answer = self.ask("GET", "/pause", TOKEN)
        self.assertEqual((answer.code, answer.headers["Allow"]),
                         (405, "POST"))
        answer = self.ask("HEAD", "/livez")
        self.assertEqual((answer.code, answer.text), (200, ""))
        self.stop_service(process)

    def test_the_port_is_off_by_default_and_taken_ports_are_an_error(self):
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        self.configure("taken", events={"path": self.events},
                       admin={"listen": f"127.0.0.1:{port}"})
        done = self.run_daemon("run", "-c", self.path("taken.yaml"), status=69)
        self.assertIn(f"127.0.0.1:{port}: something else listens there",
                      done.stderr)
        for address in ("localhost:1", "127.0.0.1", "127.0.0.1:70000",
                        "[::1:80", "::1:80", "1.2.3:4"):
            self.configure("bad", admin={"listen": address})
            done = self.run_daemon("validate", "-c", self.path("bad.yaml"),
                                   status=78)
            self.assertIn("expected a numeric address and a port",
                          done.stderr)
        with open(self.events, "rb") as f:
            self.write("few.ndjson", b"".join(next(f) for _ in range(300)))
        self.configure("off", events={"path": self.path("few.ndjson")})
        done = self.run_daemon("run", "-c", self.path("off.yaml"))
        self.assertNotIn("admin_listening", done.stderr)


class TestProbes(AdminCase):
    def test_ready_while_running_not_while_paused_or_draining(self):
        process = self.start_stuck(shutdown_timeout="60s")
        self.assertEqual(self.get("/readyz").json(),
                         {"is_ready": True, "obstacles": []})
        self.post("/pause")
        self.assertEqual(self.get("/readyz", 503).json(),
                         {"is_ready": False, "obstacles": ["paused"]})
        self.get("/livez")
        self.post("/resume")
        self.get("/readyz")
        process.terminate()
        answer = wait_until(
            lambda: (lambda a: a if a.code == 503 else None)(
                self.ask("GET", "/readyz")), what="draining")
        self.assertEqual(answer.json()["obstacles"], ["draining"])
        self.get("/livez")
        self.assertEqual(self.status()["state"], "draining")
        self.post("/resume", 409)

    def test_a_loop_that_stood_still_is_told_and_forgiven(self):
        process = self.start_service(admin={"livez_timeout": "1s"})
        wait_until(lambda: self.ask("GET", "/livez").code == 200,
                   what="a loop that turns")
        process.send_signal(signal.SIGSTOP)
        link = self.connect()
        link.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        answer = read_to_end(link).decode()
        self.assertRegex(answer, r"^HTTP/1.1 503 ")
        self.assertRegex(answer, r"stood still for \d\.\d s")
        wait_until(lambda: self.ask("GET", "/livez").code == 200,
                   what="forgiveness")
        self.assertIn("loop_stalled", self.read("run.log"))
        self.stop_service(process)


class TestCommands(AdminCase):
    def test_without_a_token_they_are_off(self):
        process = self.start_service(admin={"token": ""})
        for path in ("/checkpoint", "/pause", "/resume", "/reload"):
            for token in (None, "", TOKEN):
                answer = self.ask("POST", path, token)
                self.assertEqual(answer.code, 403)
                self.assertIn("admin.token", answer.text)
        self.assertEqual(self.status()["state"], "running")
        self.stop_service(process)

    def test_a_wrong_token_is_refused(self):
        process = self.start_service()
        for headers in ({}, {"Authorization": TOKEN},
                        {"Authorization": "Bearer"},
                        {"Authorization": "Bearer "},
                        {"Authorization": "Basic " + TOKEN},
                        {"Authorization": "Bearer " + TOKEN[:-1]},
                        {"Authorization": "Bearer " + TOKEN + "x"},
                        {"Authorization": "Bearer " + TOKEN.upper()}):
            answer = self.ask("POST", "/pause", headers=headers)
            self.assertEqual(answer.code, 401, headers)
            self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")
        self.assertEqual(self.status()["state"], "running")
        self.stop_service(process)

    def test_pause_stops_reading_and_resume_goes_on(self):
        process = self.start_service()
        self.wait_trained(500)
        self.post("/pause")
        self.assertEqual(self.post("/pause").text, "paused already\n")
        before = self.wait_quiet("annotate")
        count = before["roles"]["annotate"]["counts"]["records"]
        partition = before["roles"]["annotate"]["partitions"][0]
        self.assertTrue(partition["is_paused"])
        self.assertGreater(partition["lag"], 0)
        time.sleep(0.5)
        self.assertEqual(
            self.status()["roles"]["annotate"]["counts"]["records"], count)
        self.post("/resume")
        self.wait_status(lambda s: s["roles"]["annotate"]["counts"]["records"]
                         > count, "more records")
        self.stop_service(process)

    def test_checkpoint_now(self):
        process = self.start_service(checkpoint={"every": 0})
        self.wait_trained(300)
        self.assertEqual(self.versions("run", "checkpoints"), [])
        self.post("/checkpoint", 202)
        wait_until(lambda: self.versions("run", "checkpoints") == [1],
                   what="a version")
        # And while nothing is read: the trainer is idle then.
        self.post("/pause")
        self.wait_quiet("train")
        self.post("/checkpoint", 202)
        status = self.wait_status(
            lambda s: s["roles"]["train"]["checkpoint"]["version"] == 2,
            "version 2")
        self.assertEqual(status["roles"]["train"]["checkpoint"]["examples"],
                         status["roles"]["train"]["counts"]["examples"])
        self.run_daemon("inspect", self.path("run", "checkpoints"),
                        "--verify")
        self.stop_service(process)

    def test_a_kill_after_an_asked_checkpoint_replays_from_there(self):
        with open(self.events, "rb") as f:
            self.write_events([next(f) for _ in range(20000)])
        calm = {"events": {"path": self.path("events.ndjson")},
                "checkpoint": {"every": 0},
                "teacher": {"kind": "none", "learn": None, "model": None,
                            "checkpoint": None},
                "student": {"hidden": [512, 512]}}
        self.configure(**calm)
        self.run_all()
        wanted = self.outcome()
        self.forget()
        process = self.start_service(**calm)
        self.wait_trained(300)
        self.post("/pause")
        self.post("/checkpoint", 202)
        wait_until(lambda: self.versions("run", "checkpoints"),
                   what="a version")
        process.kill()
        self.assertEqual(process.wait(), -signal.SIGKILL,
                         self.read("run.log"))
        self.assertEqual(self.versions("run", "checkpoints"), [1])
        done = self.run_all()
        self.assertIn("checkpoint_restored", done.stderr)
        self.assertEqual(self.outcome(), wanted)


class TestReload(AdminCase):
    def rewrite(self, **more):
        with open(self.path("run.yaml"), encoding="utf-8") as f:
            settings = json.load(f)
        for key, value in more.items():
            if isinstance(value, dict):
                settings.setdefault(key, {}).update(value)
            else:
                settings[key] = value
        self.write("run.yaml", json.dumps(settings))

    def test_reload_names_what_it_did_and_what_must_wait(self):
        process = self.start_service()
        self.assertEqual(self.post("/reload").text,
                         "changed: nothing; needs a restart: nothing\n")
        self.rewrite(shutdown_timeout="7s", log={"level": "debug"},
                     train={"batch": 128}, admin={"token": "another"},
                     labels={"generation": 3})
        text = self.post("/reload").text
        changed, waiting = text.split("; needs a restart: ")
        self.assertEqual(set(changed[len("changed: "):].split(", ")),
                         {"shutdown_timeout", "log.level"})
        self.assertEqual(set(waiting.strip().split(", ")),
                         {"train.batch", "admin.token", "labels.generation"})
        config = self.get("/config").text
        self.assertIn("shutdown_timeout: 7s", config)
        self.assertIn("level: debug", config)
        self.assertIn("batch: 256", config)
        wait_until(lambda: "debug " in self.read("run.log"),
                   what="a debug line")
        self.post("/pause")  # by the old token
        self.assertNotIn("another", self.read("run.log"))
        self.stop_service(process)

    def test_a_broken_file_changes_nothing_and_says_why(self):
        process = self.start_service()
        self.rewrite(shutdown_timeout="soon", log={"level": "debug"})
        answer = self.ask("POST", "/reload", TOKEN)
        self.assertEqual(answer.code, 422)
        self.assertIn("nothing changed", answer.text)
        self.assertIn("shutdown_timeout", answer.text)
        os.remove(self.path("run.yaml"))
        answer = self.ask("POST", "/reload", TOKEN)
        self.assertEqual(answer.code, 422)
        self.assertIn("run.yaml", answer.text)
        config = self.get("/config").text
        self.assertIn("shutdown_timeout: 30s", config)
        self.assertIn("level: info", config)
        self.assertEqual(self.status()["state"], "running")
        self.stop_service(process)

    def test_sighup_does_the_same(self):
        process = self.start_service()
        self.rewrite(log={"level": "error"}, name="other")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "level: error" in self.get("/config").text,
                   what="the reload")
        self.assertIn("name: test", self.get("/config").text)
        self.stop_service(process)


if __name__ == "__main__":
    main()
