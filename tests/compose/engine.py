# SPDX-License-Identifier: Apache-2.0
"""A Docker engine with Compose to test with.

Where one answers already it is used as it is, and nothing in it is faked:
images come from the registry. Elsewhere, as root, the engine of the
distribution is installed and started by hand with a folder and socket of its
own; what no registry gives is then built from packages of Debian and the jars
of Kafka; and at the end the machine is as it was.
"""

import atexit
import glob
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

# pylint: disable=wrong-import-position
from cache import kafka_jars, make_once  # noqa: E402
from machine import Machine, forward  # noqa: E402

START_S = 120
PULL_S = 600
BUILD_S = 1200
KAFKA = "apache/kafka"


def say(text):
    print(f"# {text}", flush=True)


def file_text(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as f:
        return f.read()


def base_image():
    """The image that ours stands on."""
    return re.findall(r"^FROM (\S+)$", file_text("Dockerfile"), re.M)[-1]


def kafka_image():
    return re.search(rf"image: ({KAFKA}:\S+)",
                     file_text("docker-compose.yml"))[1]


def debian_mirror():
    """Where this machine gets Debian from: none or one argument."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        origin, _, uri = line.partition(" ")
        if origin == "Debian" and "security" not in uri:
            return [uri]
    return []


def remove(folder):
    """rm -rf, which takes a tenth of the time that Python needs."""
    subprocess.run(["rm", "-rf", "--one-file-system", folder],
                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)


def sweep():
    """Ends engines whose test was killed, and restores the machine."""
    for folder in glob.glob("/var/tmp/distilld-engine-*"):
        owner = re.search(r"engine-(\d+)-", folder)
        if not owner or os.path.exists(f"/proc/{owner[1]}"):
            continue
        try:
            with open(folder + "/pidfile", encoding="ascii") as f:
                pid = int(f.read())
            with open(f"/proc/{pid}/cmdline", encoding="ascii") as f:
                if folder in f.read():
                    os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + START_S
            while (os.path.exists(f"/proc/{pid}") and
                   time.monotonic() < end):
                time.sleep(0.1)
        except (OSError, ValueError):
            pass  # it has ended
        if os.path.exists(folder + "/machine.json"):
            Machine(folder).restore()
        remove(folder)


class Engine:
    """Lends docker() and compose(); close() leaves nothing behind."""

    def __init__(self):
        self.env = dict(os.environ)
        self.process = None
        self.machine = None
        self.folder = tempfile.mkdtemp(
            prefix=f"distilld-engine-{os.getpid()}-", dir="/var/tmp")
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    def open(self):
        sweep()
        if not self.answers():
            self.install()
        if not self.answers():
            self.start()
        for image, build in ((base_image(), self.build_base),
                             (kafka_image(), self.build_kafka)):
            self.provide(image, build)
        if self.call("docker", "compose", "version").returncode != 0:
            self.fetch_plugins()

    @property
    def is_private(self):
        return self.process is not None

    # ---- commands ----

    def call(self, *command, seconds=BUILD_S, **options):
        return subprocess.run(command, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=seconds,
                              env=self.env, check=False, **options)

    def docker(self, *args, seconds=BUILD_S):
        """Runs docker and gives its output, or fails with it."""
        done = self.call("docker", *args, seconds=seconds, text=True)
        if done.returncode != 0:
            raise AssertionError(f"docker {' '.join(args)}: {done.stderr}"
                                 f"{done.stdout}")
        return done.stdout

    def answers(self):
        return (shutil.which("docker") is not None and
                self.call("docker", "info").returncode == 0)

    # ---- an engine of our own ----

    def install(self):
        if os.getuid() != 0:
            raise AssertionError("no Docker engine answers; to start one of "
                                 "its own, this test must be root")
        subprocess.run([os.path.join(ROOT, ".ci", "deps"), "compose", "kafka"],
                       stdin=subprocess.DEVNULL, check=True)

    def start(self):
        self.machine = Machine(self.folder)
        forward("1")  # before the engine does it, and drops all the rest
        socket = "unix://" + os.path.join(self.folder, "socket")
        self.env.update(DOCKER_HOST=socket, DOCKER_CONFIG=os.path.join(
            self.folder, "config"))
        for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
            self.env.pop(name, None)
        command = ["setpriv", "--pdeathsig", "TERM", "dockerd", "--host",
                   socket]
        for option in ("data-root", "exec-root", "pidfile"):
            command += ["--" + option, os.path.join(self.folder, option)]
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        end = time.monotonic() + START_S
        while not self.answers():
            if (self.process.poll() is not None or
                    time.monotonic() > end):
                raise AssertionError("dockerd: " + self.log())
            time.sleep(0.1)
        say("a Docker engine was started for the test")

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()[-3000:]

    def close(self):
        """Ends what was started; again does nothing."""
        atexit.unregister(self.close)
        if self.process:
            self.remove_containers()
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None
        if self.machine:
            self.machine.restore()
        remove(self.folder)

    def remove_containers(self):
        try:
            ids = self.docker("ps", "-aq", seconds=60).split()
            if ids:
                self.docker("rm", "-fv", *ids, seconds=120)
        except (AssertionError, subprocess.TimeoutExpired) as e:
            say(f"containers remain: {e}")

    def remains(self):
        """What is not as it was before, after close(); empty when all is."""
        return self.machine.differences() if self.machine else {}

    # ---- images and plugins ----

    def provide(self, image, build):
        """Makes sure that the image is there."""
        if self.call("docker", "image", "inspect", image).returncode == 0:
            return
        done = self.call("docker", "pull", "-q", image, seconds=PULL_S,
                         text=True)
        if done.returncode == 0:
            say(f"{image} is the registry's")
            return
        if not self.is_private:
            # In an engine that others use, too, no image may pretend.
            raise AssertionError(f"{image}: {done.stderr}")
        start = time.monotonic()
        build(image)
        say(f"{image} is a stand-in: no registry answered "
            f"({time.monotonic() - start:.0f} s)")

    def build_base(self, image):
        def make(folder):
            tree = os.path.join(folder, "tree")
            try:
                done = self.call("debootstrap", "--variant=minbase", "trixie",
                                 tree, *debian_mirror(), text=True)
                if done.returncode != 0:
                    raise AssertionError("debootstrap: " + done.stdout[-2000:])
                for path in (glob.glob(tree + "/var/cache/apt/archives/*.deb")
                             + glob.glob(tree + "/var/lib/apt/lists/*_*")):
                    os.remove(path)
                subprocess.run(["tar", "-C", tree, "-cf", folder + "/image.tar",
                                "."], check=True)
            finally:
                shutil.rmtree(tree, ignore_errors=True)
        self.docker("import", os.path.join(
            make_once(f"debian-13-{os.uname().machine}", make), "image.tar"),
            image)

    def build_kafka(self, image):
        folder = os.path.join(self.folder, "kafka")
        shutil.copytree(os.path.join(HERE, "kafka"), folder)
        shutil.copytree(kafka_jars(image.partition(":")[2]),
                        os.path.join(folder, "lib"))
        self.docker("build", "-q", "-t", image, folder)
        shutil.rmtree(folder)

    def fetch_plugins(self):
        """Compose and buildx of Debian 13, whatever this machine runs."""
        def make(folder):
            done = self.call(
                "docker", "run", "--rm", base_image(), "sh", "-ec",
                "exec 3>&1 >&2; cd /tmp; apt-get -q update; apt-get -q "
                "download docker-compose docker-buildx; for f in *.deb; do "
                "dpkg -x $f x; done; tar -C x/usr/libexec/docker/cli-plugins "
                "-c . >&3")
            if done.returncode != 0:
                raise AssertionError("Compose: " + done.stderr.decode()[-2000:])
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
                tar.extractall(folder)
        plugins = make_once(f"compose-{os.uname().machine}", make)
        folder = os.path.join(self.folder, "config")
        own = self.env.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        if os.path.isdir(own) and own != folder:
            shutil.copytree(own, folder, symlinks=True)
        self.env["DOCKER_CONFIG"] = folder
        os.makedirs(os.path.join(folder, "cli-plugins"), exist_ok=True)
        for name in os.listdir(plugins):
            shutil.copy2(os.path.join(plugins, name),
                         os.path.join(folder, "cli-plugins", name))
