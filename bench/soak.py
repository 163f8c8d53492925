#!/usr/bin/env python3
"""A long run of mixed protocols with faults, which must leave nothing behind.

Starts Ringway between origins and clients of `ringway-load`, on free ports of the loopback: HTTP/1.1,
HTTP/2, gRPC and WebSocket in plain and behind TLS, TCP and UDP. While they run at a modest rate,
origins die and come back, the configuration is reloaded, and hostile clients come and go. Then all
clients leave, and memory, descriptors and every gauge of what is active must be back where they
began, and circuit breakers must have units enough for the good clients to come again.

    bench/soak.py --seconds 600 target/release/ringway target/release/ringway-load

Prints one line each 30 seconds and a verdict; exits with 1 when something was left behind.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
UDP_PROXY = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig"
UDP_ROUTE = "envoy.extensions.filters.udp.udp_proxy.v3.Route"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"
TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
GROWTH_KIB = 24 << 10
"""What the heap may keep of a busy time: pools of buffers, storage of the allocator."""
UNITS = 400
"""Of each circuit breaker: twice what good clients need, so that units that never come back are missed."""


def any_of(name, **fields):
    return {"@type": f"type.googleapis.com/{name}", **fields}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def address(port, protocol="TCP"):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port, "protocol": protocol}}


def breakers():
    limits = ("max_connections", "max_pending_requests", "max_requests")
    return {limit: UNITS for limit in limits}


def cluster(name, port, http2=False):
    made = {
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [breakers()]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    }
    if http2:
        options = any_of(PROTOCOLS, explicit_http_config={"http2_protocol_options": {"allow_connect": True}})
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    return made


def http_chain(routes, tls=None):
    manager = any_of(
        HTTP_MANAGER,
        stat_prefix="soak",
        upgrade_configs=[{"upgrade_type": "websocket"}],
        http2_protocol_options={"allow_connect": True},
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "router", "typed_config": any_of(ROUTER)}],
    )
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": any_of(TLS, **tls)}
    return chain


class Soak:
    def __init__(self, arguments, folder):
        self.ringway, self.load = arguments.ringway, arguments.load
        self.folder, self.revision = folder, 0
        names = ["admin", "plain", "tls", "tcp", "udp", "origin", "origin2", "echo", "datagrams"]
        self.port = dict(zip(names, free_ports(len(names))))
        self.children, self.origins, self.answers = [], {}, {}
        self.random = random.Random(arguments.seed)
        self.make_certificate()

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            + ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")],
            check=True,
            capture_output=True,
        )

    def configuration(self):
        to = lambda prefix, name: {"match": {"prefix": prefix}, "route": {"cluster": name}}
        routes = [to("/two", "two"), to("/ringway.Load", "two"), to("/", "one")]
        # A name that changes: the reload has something to do, and the pools stay.
        routes[0]["name"] = f"revision-{self.revision}"
        pem = {
            "certificate_chain": {"filename": str(self.folder / "cert.pem")},
            "private_key": {"filename": str(self.folder / "key.pem")},
        }
        tls = {"common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pem]}}
        relay = any_of(TCP_PROXY, stat_prefix="relay", cluster="echo")
        chains = {
            "plain": http_chain(routes),
            "tls": http_chain(routes, tls),
            "tcp": {"filters": [{"name": "tcp", "typed_config": relay}]},
        }
        listeners = [
            {"name": name, "address": address(self.port[name]), "filter_chains": [chain]}
            for name, chain in chains.items()
        ]
        listeners.append(self.datagram_listener())
        clusters = [
            cluster("one", self.port["origin"]),
            cluster("two", self.port["origin2"], http2=True),
            cluster("echo", self.port["echo"]),
            cluster("datagrams", self.port["datagrams"]),
        ]
        return {
            "admin": {"address": address(self.port["admin"])},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        }

    def datagram_listener(self):
        route = {"name": "route", "typed_config": any_of(UDP_ROUTE, cluster="datagrams")}
        proxy = any_of(
            UDP_PROXY,
            stat_prefix="soak",
            # Sessions of clients that have left must end before the verdict.
            idle_timeout="1s",
            matcher={"on_no_match": {"action": route}},
        )
        return {
            "name": "udp",
            "address": address(self.port["udp"], "UDP"),
            "listener_filters": [{"name": "udp", "typed_config": proxy}],
        }

    def write_configuration(self):
        self.revision += 1
        path = self.folder / "ringway.json"
        path.with_suffix(".new").write_text(json.dumps(self.configuration()))
        path.with_suffix(".new").rename(path)
        return path

    def spawn(self, *command):
        log = open(self.folder / "log.txt", "ab")
        child = subprocess.Popen(command, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def start_origin(self, name):
        listen = f"127.0.0.1:{self.port[name]}"
        extra = {"echo": ["--tcp", "echo"], "datagrams": ["--udp"]}.get(name, [])
        self.origins[name] = self.spawn(self.load, "serve", "-l", listen, *extra)
        (self.wait_for_echo if name == "datagrams" else self.wait_for_port)(self.port[name])

    def start_proxy(self):
        path = self.write_configuration()
        command = [self.ringway, "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id"]
        self.proxy = self.spawn(*command, "-l", "warn")
        for name in ("admin", "plain", "tls", "tcp"):
            self.wait_for_port(self.port[name])
        self.wait_for_echo(self.port["udp"])

    def wait_for_echo(self, port):
        for _ in range(400):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.settimeout(0.05)
                probe.connect(("127.0.0.1", port))
                try:
                    probe.send(b"probe")
                    if probe.recv(100) == b"probe":
                        return
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.05)
        raise SystemExit(f"nobody sends datagrams back at port {port}: {self.last_words()}")

    def wait_for_port(self, port):
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"nobody listens on port {port}: {self.last_words()}")

    def last_words(self):
        return (self.folder / "log.txt").read_text(errors="replace")[-2000:]

    def kinds(self):
        plain, tls = f"127.0.0.1:{self.port['plain']}", f"127.0.0.1:{self.port['tls']}"
        return {
            "http/1.1": [f"http://{plain}/1k"],
            "http/1.1 up": ["-b", "x" * 3000, "--chunked", "700", f"http://{plain}/"],
            "http/1.1 to http/2": [f"http://{plain}/two"],
            "http/2": ["-2", "--streams", "10", f"http://{plain}/1k"],
            "http/2 to http/2": ["-2", "--streams", "10", f"http://{plain}/two"],
            "https": ["--insecure", "--requests-per-connection", "20", f"https://{tls}/"],
            "https http/2": ["--insecure", "-2", "--streams", "5", f"https://{tls}/"],
            "grpcs": ["--insecure", "-b", "hello", f"grpcs://{tls}/ringway.Load/Echo"],
            "websocket": ["-b", "x" * 2000, f"ws://{plain}/"],
            "tcp": ["-b", "x" * 4000, f"tcp://127.0.0.1:{self.port['tcp']}"],
            "udp": ["-b", "x" * 200, "--timeout", "1s", f"udp://127.0.0.1:{self.port['udp']}"],
            "udp, a port each": ["--new-connections", "--timeout", "1s", f"udp://127.0.0.1:{self.port['udp']}"],
            "faulty clients": ["--half-open", "4", "--slow", "4", "--aborted", "4", f"http://{plain}/1k"],
        }

    def start_loads(self, seconds, rate, faulty=True):
        self.reports = {}
        for number, (kind, arguments) in enumerate(self.kinds().items()):
            if kind == "faulty clients" and not faulty:
                continue
            report = self.folder / f"report-{number}.json"
            report.unlink(missing_ok=True)
            common = ["-c", "8", "-r", str(rate), "-d", f"{seconds}s", "--pacing", "sleep", "--quiet"]
            child = self.spawn(self.load, *common, f"--json={report}", *arguments)
            self.reports[kind] = (child, report)

    def finish_loads(self):
        for child, _ in self.reports.values():
            child.wait()

    def stats(self):
        url = f"http://127.0.0.1:{self.port['admin']}/stats"
        text = urllib.request.urlopen(url, timeout=10).read().decode()
        return dict(re.findall(r"^(\S+): (\d+)$", text, re.M))

    def remains(self):
        """What must come back: descriptors, and the gauges of what is active, without the admin's."""
        active = re.compile(r"(_active|pending_active|_open|streams_active|_pre_cx_active)$")
        own = re.compile(r"admin|worker_\d|upstream_cx_active|listeners_active")
        gauges = {k: int(v) for k, v in self.stats().items() if active.search(k) and not own.search(k)}
        gauges["upstream connections"] = sum(
            int(v) for k, v in self.stats().items() if k.endswith("upstream_cx_active")
        )
        gauges["descriptors"] = self.descriptors()
        return gauges

    def refused_by_breakers(self):
        """How often a circuit breaker had no unit left."""
        overflow = re.compile(r"cluster\.\w+\.upstream_\w+_overflow$")
        return sum(int(value) for name, value in self.stats().items() if overflow.match(name))

    def descriptors(self):
        """The least of a few looks: the admin's own connections may be about to close."""
        looks = []
        for _ in range(10):
            looks.append(len(os.listdir(f"/proc/{self.proxy.pid}/fd")))
            time.sleep(0.05)
        return min(looks)

    def memory_kib(self):
        status = Path(f"/proc/{self.proxy.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def settle(self, seconds=30):
        """Waits until nothing is active any more; what is left then is left behind."""
        deadline = time.monotonic() + seconds
        while True:
            remains = self.remains()
            busy = {k: v for k, v in remains.items() if v and k not in ("descriptors", "upstream connections")}
            if not busy or time.monotonic() > deadline:
                return remains, busy
            time.sleep(0.2)

    # ---- faults ----

    def restart_origin(self):
        name = self.random.choice(list(self.origins))
        child = self.origins[name]
        child.send_signal(self.random.choice([signal.SIGKILL, signal.SIGTERM]))
        child.wait()
        time.sleep(self.random.random() / 2)
        self.start_origin(name)

    def reload(self):
        self.write_configuration()
        self.proxy.send_signal(signal.SIGHUP)

    def speak_nonsense(self):
        port = self.port[self.random.choice(["plain", "tls", "tcp"])]
        words = [
            b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nhalf",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nearly",
            bytes(self.random.randrange(256) for _ in range(300)),
        ]
        clients = []
        for _ in range(8):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(self.random.choice(words))
            clients.append(client)
        time.sleep(self.random.random() / 5)
        for client in clients:
            if self.random.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def do_harm(self, seconds):
        # A load whose first request fails does not begin.
        time.sleep(2)
        start, told = time.monotonic(), 2
        while (passed := time.monotonic() - start) < seconds - 2:
            fault = self.random.choices([self.restart_origin, self.reload, self.speak_nonsense], [1, 1, 4])[0]
            fault()
            self.answers[fault.__name__] = self.answers.get(fault.__name__, 0) + 1
            if passed >= told:
                told += 30
                stats = self.stats()
                requests = stats.get("http.soak.downstream_rq_total", "?")
                print(f"{passed:6.0f} s  {self.memory_kib() >> 10:5} MiB  {requests} requests", flush=True)
            if self.proxy.poll() is not None:
                raise SystemExit(f"Ringway has ended: {self.last_words()}")
            time.sleep(self.random.random())

    def told_of(self, remains):
        names = ("descriptors", "upstream connections")
        told = ", ".join(f"{remains[name]} {name}" for name in names)
        return f"{told}, {self.memory_kib()} KiB, {self.refused_by_breakers()} refused by circuit breakers"

    def told(self):
        for kind, (_, report) in self.reports.items():
            try:
                summary = json.loads(report.read_text())
            except (OSError, ValueError):
                print(f"  {kind:20} no report")
                continue
            found = {key: summary.get(key) for key in ("right", "failed", "unsent")}
            print(f"  {kind:20} {found}")
        print(f"  faults               {self.answers}")

    def stop(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()


def run(soak, seconds, rate):
    for name in ("origin", "origin2", "echo", "datagrams"):
        soak.start_origin(name)
    soak.start_proxy()
    # What a first busy time makes is there to stay: it is the beginning.
    soak.start_loads(5, rate)
    soak.finish_loads()
    before, busy = soak.settle()
    memory = soak.memory_kib()
    print(f"begins with {memory >> 10} MiB, {before['descriptors']} descriptors, busy: {busy or 'nothing'}")
    print(f"  {soak.told_of(before)}", flush=True)
    soak.start_loads(seconds, rate)
    soak.do_harm(seconds)
    soak.finish_loads()
    after, busy = soak.settle()
    soak.told()
    growth = soak.memory_kib() - memory
    spare = after["descriptors"] - after["upstream connections"]
    spare -= before["descriptors"] - before["upstream connections"]
    print(f"  {soak.told_of(after)}")
    refused = soak.refused_by_breakers()
    soak.start_loads(5, rate, faulty=False)
    soak.finish_loads()
    refused = soak.refused_by_breakers() - refused
    print(f"good clients that come again: {refused} refused by circuit breakers")
    print(f"ends with {growth:+} KiB, {spare:+} descriptors beside pooled connections, busy: {busy or 'nothing'}")
    return not busy and spare <= 0 and growth <= GROWTH_KIB and not refused


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rate", type=int, default=200, help="requests a second, of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("ringway")
    parser.add_argument("load")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(arguments, Path(folder))
        try:
            clean = run(soak, arguments.seconds, arguments.rate)
        finally:
            soak.stop()
    print("nothing was left behind" if clean else "SOMETHING WAS LEFT BEHIND")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
