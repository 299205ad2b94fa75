"""kcat, as its command line is used."""

import json
import os
import re
import signal
import subprocess
import tempfile
import threading

import scenarios
from scenarios import BOOTSTRAP, NO_SERIALIZERS, PARTITIONS, WAIT_SECONDS, Refused, Seen

KCAT = ["kcat", "-b", BOOTSTRAP]


def run(command, **options):
    """Output of a command that must end well."""
    done = subprocess.run(command, capture_output=True, timeout=2 * WAIT_SECONDS, check=False, **options)
    if done.returncode != 0:
        raise Refused(done.stderr.decode())
    return done.stdout


class Member:
    """`kcat -G`; it commits by itself, and once more when it is asked to end."""

    def __init__(self, topic, group):
        self.seen = []
        self.owned = set()
        settings = {
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 100,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
        }
        command = [*KCAT, "-u", "-J", "-G", group]
        for name, value in settings.items():
            command += ["-X", f"{name}={value}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([*command, topic], **pipes)
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.read, self.watch)]
        for thread in self.threads:
            thread.start()

    def read(self):
        for line in self.process.stdout:
            self.seen.append(seen(line))

    def watch(self):
        for line in self.process.stderr:
            rebalanced = re.search(rb"rebalanced .*: (assigned|revoked): (.*)", line)
            if rebalanced:
                owned = re.findall(rb"\[(\d+)\]", rebalanced[2]) if rebalanced[1] == b"assigned" else []
                self.owned = {int(partition) for partition in owned}

    def assigned(self):
        return self.owned

    def leave(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT_SECONDS)
        for thread in self.threads:
            thread.join(WAIT_SECONDS)


def seen(line):
    record = json.loads(line)
    names = record.get("headers", [])
    headers = tuple((name, value.encode()) for name, value in zip(names[::2], names[1::2]))
    key, value = (part.encode() if part is not None else None for part in (record["key"], record["payload"]))
    return Seen(record["partition"], record["offset"], key, value, headers)


def version():
    return re.search(r"Version ([\d.]+)", run([*KCAT, "-V"]).decode())[1]


class Client:
    name = "kcat"
    version = version()
    # librdkafka's sentence for INVALID_RECORD.
    says_invalid_record = "Broker failed to validate record"
    lacks = {
        "create-topic": "it has no admin calls",
        "describe-configs": "it has no admin calls",
        "delete-topic": "it has no admin calls",
        **NO_SERIALIZERS,
    }

    def create_topic(self, topic, config):
        command = [os.environ["WEIR_BIN"], "topic", "create", topic, "--bootstrap", BOOTSTRAP]
        for name, value in config.items():
            command += ["--set", f"{name}={value}"]
        run([*command, "--partitions", str(PARTITIONS)])

    def offset(self, topic, partition, at):
        times = {"earliest": -2, "latest": -1}
        answer = run([*KCAT, "-Q", "-t", f"{topic}:{partition}:{times.get(at, at)}"]).decode()
        return int(re.search(r"offset (-?\d+)", answer)[1])

    def produce(self, topic, records, codec="none", idempotent=False):
        """One kcat for each partition; a record that is no line is the content of a file."""
        command = [*KCAT, "-P", "-t", topic, "-X", "linger.ms=20", "-X", f"enable.idempotence={str(idempotent).lower()}"]
        if codec != "none":
            command += ["-z", codec]
        for partition in {record.partition for record in records}:
            mine = [record for record in records if record.partition == partition]
            options = [] if partition is None else ["-p", str(partition)]
            for name, value in mine[0].headers:
                options += ["-H", f"{name}={value.decode()}"]
            if mine[0].value is not None and mine[0].value.startswith(b"\0"):
                self.produce_file(command + options, mine)
            elif mine[0].key is None:
                run(command + options, input=b"".join(record.value + b"\n" for record in mine))
            else:
                lines = [record.key + b"|" + (record.value or b"") + b"\n" for record in mine]
                run([*command, *options, "-Z", "-K", "|"], input=b"".join(lines))

    def produce_file(self, command, records):
        for record in records:
            with tempfile.NamedTemporaryFile() as file:
                file.write(record.value)
                file.flush()
                run([*command, file.name])

    def read(self, topic, count):
        lines = run([*KCAT, "-C", "-J", "-e", "-o", "beginning", "-t", topic]).splitlines()
        return [seen(line) for line in lines]

    def join(self, topic, group):
        return Member(topic, group)


scenarios.main(Client())
