#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rude clients of the admin port: slow, many, long, broken, gone."""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from admin import TOKEN, AdminCase, read_to_end  # noqa: E402
from integration import main, wait_until  # noqa: E402

ASK = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def reset(sock):
    """Closes a socket so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


class ClientCase(AdminCase):
    timeout = "600s"  # far longer than a test waits for an answer

    def setUp(self):
        super().setUp()
        self.process = self.start_service(
            admin={"client_timeout": self.timeout})
        self.post("/pause")

    def tearDown(self):
        self.assert_serves()
        self.stop_service(self.process)
        super().tearDown()

    def assert_serves(self):
        """The port answers somebody else."""
        self.assertEqual(self.ask("GET", "/livez").code, 200)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class TestSlow(ClientCase):
    timeout = "1s"

    def test_a_client_that_trickles_is_cut(self):
        """One byte now and then is never silence, and no request either."""
        link = self.connect()
        link.settimeout(0.1)
        started = time.monotonic()
        head = b"GET /livez HTTP/1.1\r\nX-Slow: " + b"a" * 100000
        was_cut = False
        for i in range(len(head)):
            try:
                link.sendall(head[i:i + 1])
                if link.recv(1000) == b"":
                    was_cut = True
            except TimeoutError:
                self.assert_serves()
            except (ConnectionResetError, BrokenPipeError):
                was_cut = True
            if was_cut:
                break
            self.assertLess(time.monotonic() - started, 60, "never cut")
        self.assertGreater(time.monotonic() - started, 0.9)

    def test_a_client_that_says_nothing_is_cut(self):
        link = self.connect()
        self.assertEqual(read_to_end(link), b"")

    def test_a_client_that_does_not_read_is_cut(self):
        before = self.descriptors()
        links = []
        for _ in range(8):
            link = socket.socket()
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            link.connect(("127.0.0.1", self.port))
            links.append(link)
            link.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assert_serves()
        wait_until(lambda: self.descriptors() <= before, seconds=60,
                   what="the clients to be cut")
        for link in links:
            link.close()


class TestRude(ClientCase):
    def test_many_idle_connections_do_not_lock_others_out(self):
        idle = [self.connect() for _ in range(200)]
        idle[0].sendall(b"GET ")
        self.assert_serves()
        self.assertLess(self.descriptors(), 100)
        for link in idle:
            link.close()

    def test_a_thousand_short_connections_leave_nothing_behind(self):
        self.assert_serves()
        before = self.descriptors()
        for i in range(1000):
            link = self.connect()
            if i % 4 == 0:
                reset(link)
            elif i % 4 == 1:
                link.sendall(ASK)
                reset(link)
            elif i % 4 == 2:
                link.sendall(ASK)
                self.assertIn(b"200 OK", read_to_end(link))
                link.close()
            else:
                link.sendall(ASK[:20])
                link.close()
        wait_until(lambda: self.descriptors() <= before,
                   what="closed descriptors")

    def answer_to(self, request):
        link = self.connect()
        try:
            link.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            pass
        return read_to_end(link)

    def test_a_head_that_is_too_long(self):
        for request in (
                b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /livez HTTP/1.1\r\nX: " + b"a" * 200000 + b"\r\n\r\n",
                b"GET /livez HTTP/1.1\r\n" + b"X: a\r\n" * 50000 + b"\r\n",
                b"GET /livez?" + b"a=b&" * 50000 + b" HTTP/1.1\r\n\r\n"):
            answer = self.answer_to(request)
            self.assertNotIn(b" 200 ", answer[:20])
            self.assert_serves()

    def test_a_body_that_is_too_long(self):
        head = (b"POST /resume HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                TOKEN.encode() + b"\r\n")
        for request in (
                head + b"Content-Length: 1000000000000\r\n\r\n",
                head + b"Content-Length: 99999999999999999999999\r\n\r\n",
                head + b"Content-Length: 100000\r\n\r\n" + b"a" * 100000,
                head + b"Transfer-Encoding: chunked\r\n\r\n" +
                b"1000\r\n" + b"a" * 4096 + b"\r\n" +
                b"1000\r\n" + b"a" * 4096 + b"\r\n0\r\n\r\n"):
            self.assertNotIn(b" 200 ", self.answer_to(request)[:20])
            self.assertEqual(self.status()["state"], "paused")
        self.assertIn(b" 200 ", self.answer_to(
            head + b"Content-Length: 100\r\n\r\n" + b"a" * 100)[:20])
        self.post("/pause")

    def test_what_is_no_http(self):
        for request in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                        b"\0" * 1000, b"\r\n" * 5000, b"GET\r\n\r\n",
                        b"hello\r\n\r\n", b"GET /livez HTTP/9.9\r\n\r\n",
                        b"GET http://[::1 HTTP/1.1\r\n\r\n",
                        b"POST /pause HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                        b"GET /%00livez HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /../livez HTTP/1.1\r\nHost: x\r\n\r\n"):
            link = self.connect()
            link.sendall(request)
            link.shutdown(socket.SHUT_WR)
            self.assertNotIn(b" 200 ", read_to_end(link)[:20], request)
        self.assert_serves()

    def test_a_request_in_small_pieces_is_answered(self):
        link = self.connect()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(ASK), 3):
            link.sendall(ASK[i:i + 3])
            time.sleep(0.01)
        self.assertIn(b"\r\n\r\nok\n", read_to_end(link))

    def test_the_loop_goes_on_beside_them(self):
        """Rude clients cost the stream nothing that can be seen."""
        links = [self.connect() for _ in range(40)]
        for link in links:
            link.sendall(b"GET /status HTTP/1.1\r\nX: ")
        self.post("/resume")
        before = self.status()["roles"]["annotate"]["counts"]["records"]
        self.wait_status(
            lambda s: s["roles"]["annotate"]["counts"]["records"] >
            before + 2000, "progress")
        self.post("/pause")


if __name__ == "__main__":
    main()
