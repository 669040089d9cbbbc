# SPDX-License-Identifier: Apache-2.0
"""What tests need from outside and the packages of the system lack.

Kafka's jars come through Maven, Python packages through pip, each of one
pinned version, into a folder outside of the tree that later runs use again:
DISTILLD_CACHE, or distilld in the user's cache folder.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
PACKAGES = ("confluent-kafka==2.16.1", "xxhash==3.5.0")
# What the peer of the benchmarks runs on. PyTorch's wheel brings libraries for
# GPUs that it does not start without: 5 GB.
PEER_PACKAGES = ("torch==2.15.0", "numpy==2.4.6", "orjson==3.13.0")
# Real servers of models, apart from each other: they want different versions.
TRITON_PACKAGES = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")
MLSERVER_PACKAGES = ("mlserver==1.7.1",)
KSERVE_PACKAGES = ("kserve==0.21.0",)
TRITONCLIENT_PACKAGES = ("tritonclient[http]==2.73.0",)
# HTTP/2 for the scripted one.
HTTP2_PACKAGES = ("hypercorn==0.18.0",)
SECONDS = 1200  # a download may take that long

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
 <modelVersion>4.0.0</modelVersion>
 <groupId>distilld.tests</groupId>
 <artifactId>broker</artifactId>
 <version>1</version>
 <dependencies>
  <dependency>
   <groupId>org.apache.kafka</groupId>
   <artifactId>kafka_2.13</artifactId>
   <version>{version}</version>
  </dependency>
  <dependency>
   <groupId>org.slf4j</groupId>
   <artifactId>slf4j-simple</artifactId>
   <version>1.7.36</version>
  </dependency>
 </dependencies>
</project>
"""


def missing(what):
    """Skips the test that asked, and says why; where nothing may be skipped
    (DISTILLD_NO_SKIP, as in .ci/run), it fails instead."""
    if os.environ.get("DISTILLD_NO_SKIP"):
        raise AssertionError(what)
    print(f"SKIPPED: {what}", file=sys.stderr, flush=True)
    raise unittest.SkipTest(what)


def wants_python_below(version, what):
    """Skips the test that asked, everywhere, where there is no package of
    `what` for a Python as new as this one."""
    if sys.version_info[:2] >= version:
        why = "%s has no package for Python %d.%d" % (
            what, *sys.version_info[:2])
        print(f"SKIPPED: {why}", file=sys.stderr, flush=True)
        raise unittest.SkipTest(why)


def cache_folder():
    """The folder of the cache; it exists."""
    path = os.environ.get("DISTILLD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
        "distilld")
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def only_one(name):
    """Two processes that want the same thing: the second waits."""
    with open(os.path.join(cache_folder(), name + ".lock"), "w",
              encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_once(name, make):
    """The path of a folder of the cache. What is not there is made by
    make(folder) beside it and moved there whole, so a folder that exists is
    complete."""
    path = os.path.join(cache_folder(), name)
    with only_one(name):
        if os.path.isdir(path):
            return path
        folder = tempfile.mkdtemp(prefix=name + ".tmp-", dir=cache_folder())
        try:
            make(folder)
            os.chmod(folder, 0o755)
            os.rename(folder, path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return path


def call(*command, cwd=None):
    """Runs a command; the test that needs it is skipped when it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS,
                              check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as e:
        missing(f"{command[0]}: {e}")
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        missing(f"{' '.join(command[:4])} failed:\n{tail}")


def kafka_jars(version):
    """The folder with the jars of a broker."""
    def fetch(folder):
        with open(os.path.join(folder, "pom.xml"), "w",
                  encoding="ascii") as f:
            f.write(POM.format(version=version))
        call("mvn", "-q", "-B", PLUGIN + ":copy-dependencies",
             "-DoutputDirectory=lib", "-DincludeScope=runtime", cwd=folder)
    return os.path.join(make_once("kafka-" + version, fetch), "lib")


def package_folder(packages):
    """The folder of Python packages, with what they depend on."""
    tag = "-".join(p.replace("==", "-") for p in packages)
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-{tag}"

    def install(folder):
        call(sys.executable, "-m", "pip", "install", "-q", "--no-compile",
             "--only-binary", ":all:", "--disable-pip-version-check",
             "--target", os.path.join(folder, "packages"), *packages)
    return os.path.join(make_once(name, install), "packages")


def python_packages():
    """Puts the tests' Python packages on the path: confluent_kafka, a client
    with a librdkafka of its own, and xxhash."""
    path = package_folder(PACKAGES)
    if path not in sys.path:
        sys.path.insert(0, path)


def peer_packages():
    """The folders that a benchmark's peer finds its packages in."""
    return [package_folder(PEER_PACKAGES), package_folder(PACKAGES)]
