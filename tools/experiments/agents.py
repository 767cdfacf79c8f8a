"""Agents as processes over a broker, through whatever happens to them, beside the same clients in one process.

Five agents learn over mosquitto, each with images of its own. One is killed after a round and started again, the broker is
killed and started again with an empty memory, and a tenth of the packets are delayed on their way.
"""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

from tests.parity.common import fail

BROKER = "/usr/sbin/mosquitto"
CLIENTS = ["0", "1", "2", "3", "4"]
PUBLIC_SHARE, IMAGES, SEED = 0.1, 5_000, 1
LEARNING = ["--heads", 2, "--rounds", 30, "--augment", "crop", "--resolution", 32, "--lr", 0.003, "--seed", SEED]
DELAYED, DELAY = 0.1, (0.2, 2.0)  # share of the packets, and seconds from and to


def divide(source, folder, images):
    """Archives of the clients, whose main classes are disjoint, and of public images; the labels. Each class gives as many."""
    with tarfile.open(source) as archive:
        members = [member for member in archive if member.isfile()]
        labels = sorted({member.name.split("/")[0] for member in members})
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
        shuffled = random.Random(SEED)
        shuffled.shuffle(members)
        writers = {name: tarfile.open(folder / f"{name}.tar", "w") for name in [*CLIENTS, "public"]}
        taken = dict.fromkeys(labels, 0)
        for member in members:
            label, file = member.name.split("/")
            if taken[label] >= images // len(labels):
                continue
            is_public = taken[label] < PUBLIC_SHARE * images / len(labels)
            taken[label] += 1
            owner = "public" if is_public else CLIENTS[labels.index(label) * len(CLIENTS) // len(labels)]
            content = archive.extractfile(member)
            member.name = f"all/{label}-{file}" if is_public else member.name
            writers[owner].addfile(member, content)
        for writer in writers.values():
            writer.close()
    return folder / "labels.txt"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    """mosquitto, which can be killed and started again."""

    def __init__(self, folder):
        self.port, self.settings = free_port(), folder / "mosquitto.conf"
        self.settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen([BROKER, "-c", self.settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restart(self):
        self.process.kill()
        self.process.wait()
        time.sleep(1)
        self.start()


class Delays:
    """A way to the broker on which some packets wait; those behind them on the same connection wait, too."""

    def __init__(self, port):
        self.port, self.target = free_port(), port
        self.packets = self.delayed = 0
        self.random = random.Random(1)
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()

    async def serve(self):
        server = await asyncio.start_server(self.connect, "127.0.0.1", self.port)
        await server.serve_forever()

    async def connect(self, reader, writer):
        try:
            to_broker = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.forward(reader, to_broker[1]), self.forward(to_broker[0], writer))

    async def forward(self, reader, writer):
        try:
            while packet := await reader.read(1400):
                self.packets += 1
                if self.random.random() < DELAYED:
                    self.delayed += 1
                    await asyncio.sleep(self.random.uniform(*DELAY))
                writer.write(packet)
                await writer.drain()
        except OSError:
            pass
        writer.close()


def start(bench, name, folder, port, labels, backbone):
    others = ",".join(other for other in CLIENTS if other != name)
    command = [bench.patchtool.binary, "agent", "--json", "--name", name, "--neighbours", others,
               "--broker", f"mqtt://127.0.0.1:{port}", "--backbone", backbone, "--data", folder / f"{name}.tar",
               "--public", folder / "public.tar", "--labels", labels, "--output", folder / "patches", "--threads", 1, *LEARNING]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=(folder / f"{name}.log").open("a"))


def run_agents(bench, folder, labels, backbone):
    """What the agents report, and what was done to them."""
    broker = Broker(folder)
    delays = Delays(broker.port)
    time.sleep(1)
    running = {name: start(bench, name, folder, delays.port, labels, backbone) for name in CLIENTS}
    saved = folder / "patches" / "0.main.patch.checkpoint"
    while not saved.exists() and running["0"].poll() is None:
        time.sleep(0.1)
    running["0"].kill()
    running["0"].wait()
    time.sleep(2)
    running["0"] = start(bench, "0", folder, delays.port, labels, backbone)
    time.sleep(5)
    broker.restart()
    reports = {}
    for name, process in running.items():
        output, _ = process.communicate()
        if process.returncode != 0:
            fail(f"agent {name}: {(folder / f'{name}.log').read_text()[-500:]}")
        report = json.loads(output)
        reports[name] = {of: report[of] for of in ("messages", "rounds_skipped")}
    broker.process.kill()
    return {"reports": reports, "packets": delays.packets, "delayed": delays.delayed}


def measure(bench, backbone, images=IMAGES):
    """Accuracies by head of the agents' patches, and of the same clients in one process."""
    if not os.path.exists(BROKER):
        fail(f"no {BROKER}; hint: apt-get install mosquitto")
    print("agents over mosquitto", file=sys.stderr, flush=True)
    folder = Path(bench.work) / "agents"
    (folder / "patches").mkdir(parents=True, exist_ok=True)
    for old in (folder / "patches").iterdir():
        old.unlink()
    one_process = folder / "together"
    labels = divide(bench.archive("fashion", "train"), folder, images)
    test = bench.archive("fashion", "test")
    clients = [flag for name in CLIENTS for flag in ("--client", f"{name}={folder / name}.tar")]
    together = bench.patchtool("federate", "--backbone", backbone, *clients, "--public", folder / "public.tar",
                               "--labels", labels, "--test", test, "--output", one_process, "--force", *LEARNING)
    found = run_agents(bench, folder, labels, backbone)
    accuracy = lambda name, role: bench.patchtool("eval", "--backbone", backbone, "--patch", folder / "patches" / f"{name}.{role}.patch",
                                                  "--data", test)["accuracy"]
    mean = lambda role: sum(accuracy(name, role) for name in CLIENTS) / len(CLIENTS)
    patches = sorted((folder / "patches").glob("*.patch"))
    same = sum(patch.read_bytes() == (one_process / patch.name).read_bytes() for patch in patches)
    return {"patches": len(patches), "same": same,
            "agents": {role: mean(role) for role in ("main", "shared")},
            "together": {"main": together["shared"][0], "shared": together["shared"][-1]}, **found}


def render(found):
    """Its part of the section of RESULTS.md."""
    reports = found["reports"].values()
    count = lambda *reasons: sum(report["messages"][reason] for report in reports for reason in reasons)
    percent = lambda values: f"{100 * values['main']:.1f} % by the main head, {100 * values['shared']:.1f} % by the last"
    return ["### Processes over a broker\n",
            f"Five agents over mosquitto, disjoint classes, {IMAGES:,} images, {LEARNING[3]} rounds; one was killed and started again, the broker was "
            f"killed and started again, {found['delayed']:,} of {found['packets']:,} packets were delayed by {DELAY[0]} to {DELAY[1]} s. Shared accuracy, mean of "
            f"the five: {percent(found['agents'])}; of the same clients in one process {percent(found['together'])}: {found['same']} of "
            f"{found['patches']} patches are the same, byte for byte. "
            f"{count('taken')} messages were taken, {count('replayed')} dropped as they were said again, "
            f"{count('malformed', 'oversized', 'foreign')} for other reasons, "
            f"{sum(report['rounds_skipped'] for report in reports)} rounds skipped.\n"]
