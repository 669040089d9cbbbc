# SPDX-License-Identifier: Apache-2.0
"""Real Apache Kafka for tests: one broker or several, in KRaft mode.

    with Cluster(version=NEWEST) as cluster:
        cluster.bootstrap            plain
        cluster.secure_bootstrap     SASL over TLS, of Cluster(secure=True)
        cluster.proxied_bootstrap    through cluster.nodes[i].proxy, of
                                     Cluster(proxied=True)
        cluster.nodes[0].kill(), stop(), freeze(), thaw(), start()

Ports and data are each cluster's own and gone after it. A broker dies with
the process that started it, however that ends. No log line is ever waited
for: a broker is there when its port answers.
"""

import atexit
import base64
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from cache import kafka_jars, missing
from proxy import Proxy

OLDER, NEWEST = "3.9.2", "4.4.0"
VERSIONS = (OLDER, NEWEST)
USER, PASSWORD = "distilld", "a-Secret-0f-the-tests"
START_S = 90  # generous: other tests may have the machine

# What one broker alone needs so that groups and transactions start, and
# what makes a broker quick to start, to notice, and to forget.
SETTINGS = {
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "400",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "500",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "controlled.shutdown.enable": "true",
}


def free_ports(count):
    """Ports that nobody listens on, below those that the kernel lends to
    connections, so that a broker finds its own again when it restarts."""
    found = []
    while len(found) < count:
        port = random.randrange(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def sweep():
    """Removes the data of clusters whose process was killed."""
    for name in os.listdir(tempfile.gettempdir()):
        owner = re.fullmatch(r"distilld-kafka-(\d+)-\w+", name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), name),
                          ignore_errors=True)


def pdeathsig(command):
    """The command, made to be killed when this process ends."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def end_well():
    """Lets SIGTERM (of `timeout`) end this process the way exit() does."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Node:
    """One broker, with its controller."""

    def __init__(self, cluster, number, ports):
        self.cluster = cluster
        self.number = number
        self.port, self.control, self.client = ports
        self.dir = os.path.join(cluster.dir, f"node{number}")
        self.process = None
        self.proxy = Proxy(self.client) if cluster.proxied else None
        os.makedirs(self.dir)

    @property
    def is_controller(self):
        return self.number <= self.cluster.controllers

    def listeners(self):
        """(listeners, advertised listeners, security of each)"""
        own = [f"PLAIN://127.0.0.1:{self.port}"]
        told = list(own)
        kinds = ["CONTROLLER:PLAINTEXT", "PLAIN:PLAINTEXT"]
        if self.cluster.secure or self.proxy:
            kind = "SASL_SSL" if self.cluster.secure else "PLAINTEXT"
            port = self.proxy.port if self.proxy else self.client
            own.append(f"CLIENT://127.0.0.1:{self.client}")
            told.append(f"CLIENT://127.0.0.1:{port}")
            kinds.append("CLIENT:" + kind)
        if self.is_controller:
            own.append(f"CONTROLLER://127.0.0.1:{self.control}")
        return own, told, kinds

    def write_settings(self):
        """Writes the broker's file and gives its path."""
        own, told, kinds = self.listeners()
        copies = str(self.cluster.copies)
        settings = {
            **SETTINGS,
            "process.roles": "broker,controller" if self.is_controller
            else "broker",
            "node.id": str(self.number),
            "log.dirs": os.path.join(self.dir, "data"),
            "listeners": ",".join(own),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(kinds),
            "controller.quorum.voters": ",".join(
                f"{n.number}@127.0.0.1:{n.control}"
                for n in self.cluster.nodes if n.is_controller),
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "share.coordinator.state.topic.replication.factor": copies,
            "default.replication.factor": copies,
            "transaction.state.log.min.isr": "1" if copies == "1" else "2",
            "min.insync.replicas": "1" if copies == "1" else "2",
            **(self.cluster.security() if self.cluster.secure else {}),
            **self.cluster.settings,
        }
        path = os.path.join(self.dir, "server.properties")
        with open(path, "w", encoding="ascii") as f:
            f.writelines(f"{k}={v}\n" for k, v in settings.items())
        return path

    def java(self, *args):
        return ["java", f"-Xmx{self.cluster.heap}m", "-Xms64m",
                "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger."
                "defaultLogLevel=warn", "-cp", self.cluster.jars + "/*",
                *args]

    def format(self):
        """Begins to make its folder of data; gives the process."""
        command = self.java("kafka.tools.StorageTool", "format", "-t",
                            self.cluster.id, "-c", self.write_settings())
        if self.cluster.secure:
            command += ["--add-scram", f"SCRAM-SHA-256=[name={USER},"
                        f"password={PASSWORD}]"]
        return subprocess.Popen(
            pdeathsig(command), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def launch(self):
        """Starts the broker on its data and does not wait."""
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(
                pdeathsig(self.java("kafka.Kafka", os.path.join(
                    self.dir, "server.properties"))),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.dir, start_new_session=True)

    def wait(self):
        """Waits until its port answers, which it does when it may serve."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"kafka ended: {self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"kafka did not answer: {self.log()}")

    def start(self):
        self.launch()
        self.wait()

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()[-4000:]

    def kill(self):
        """kill -9. Its data stays."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """An orderly end. Its data stays."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Cluster:
    """Brokers of one version that know each other. controllers: how many
    of them also vote, default: all; what brokers keep for themselves has
    as many copies, at most three."""

    def __init__(self, version=NEWEST, nodes=1, secure=False, proxied=False,
                 heap=None, settings=None, controllers=None):
        if shutil.which("java") is None:
            missing("a broker needs Java; make build/deps.kafka installs it")
        self.jars = kafka_jars(version)
        self.version = version
        self.secure = secure
        self.proxied = proxied
        self.controllers = controllers or nodes
        self.copies = min(3, self.controllers)
        self.heap = heap or (384 if nodes == 1 else 256)
        self.settings = settings or {}
        # An id that begins with a dash would be taken for an option.
        self.id = base64.urlsafe_b64encode(
            b"k" + os.urandom(15)).decode().rstrip("=")
        self.nodes = []
        self.dir = tempfile.mkdtemp(prefix=f"distilld-kafka-{os.getpid()}-")
        sweep()
        end_well()
        atexit.register(self.close)
        if secure:
            self.make_certificates()
        ports = free_ports(3 * nodes)
        for i in range(nodes):
            self.nodes.append(Node(self, i + 1, ports[3 * i:3 * i + 3]))

    def start(self, nodes=None):
        """Starts some nodes, default: all, on no data."""
        nodes = nodes or self.nodes
        try:
            for process in [node.format() for node in nodes]:
                said, _ = process.communicate(timeout=START_S)
                if process.returncode != 0:
                    raise AssertionError(f"kafka format: {said}")
            for node in nodes:
                node.launch()
            for node in nodes:
                node.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kills the brokers and removes their data; again does nothing."""
        atexit.unregister(self.close)
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.kill()
            if node.proxy:
                node.proxy.close()
                node.proxy = None
        shutil.rmtree(self.dir, ignore_errors=True)

    def addresses(self, ports):
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    @property
    def bootstrap(self):
        return self.addresses(n.port for n in self.nodes)

    @property
    def secure_bootstrap(self):
        return self.addresses(n.client for n in self.nodes)

    @property
    def proxied_bootstrap(self):
        return self.addresses(n.proxy.port for n in self.nodes)

    def node(self, number):
        """The node with a broker's id."""
        return self.nodes[number - 1]

    # ---- TLS and SASL ----

    def file(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)

    def make_certificates(self):
        """ca.pem, which clients trust, and server.pem, key and certificate
        of every broker."""
        if shutil.which("openssl") is None:
            missing("certificates need the openssl command")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes",
                     "-days", "2", "-subj", "/CN=distilld tests",
                     "-keyout", "ca.key", "-out", "ca.pem")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj",
                     "/CN=127.0.0.1", "-keyout", "server.key",
                     "-out", "server.csr")
        with open(self.file("names"), "w", encoding="ascii") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.openssl("x509", "-req", "-in", "server.csr", "-days", "2",
                     "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                     "-extfile", "names", "-out", "server.crt")
        with open(self.file("server.pem"), "wb") as out:
            for name in ("server.key", "server.crt"):
                with open(self.file(name), "rb") as f:
                    out.write(f.read())

    def security(self):
        """The settings of the listener CLIENT: TLS, SCRAM and PLAIN."""
        of = "listener.name.client."
        module = "org.apache.kafka.common.security."
        return {
            of + "ssl.keystore.type": "PEM",
            of + "ssl.keystore.location": self.file("server.pem"),
            of + "sasl.enabled.mechanisms": "SCRAM-SHA-256,PLAIN",
            of + "scram-sha-256.sasl.jaas.config":
                module + "scram.ScramLoginModule required;",
            of + "plain.sasl.jaas.config":
                module + "plain.PlainLoginModule required "
                f'user_{USER}="{PASSWORD}";',
        }


def main():
    """`python3 tests/support/kafka.py [VERSION]`: a broker to try things on,
    until it is interrupted."""
    version = sys.argv[1] if len(sys.argv) > 1 else NEWEST
    with Cluster(version=version) as cluster:
        print(f"Kafka {version} at {cluster.bootstrap}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
