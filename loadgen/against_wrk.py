#!/usr/bin/env python3
"""CPU per request of ringway-load beside wrk's, against the same server, in turn.

usage: against_wrk.py [--rounds N] [--seconds S] [--connections 1,64,256] [--load PATH]
                      [--streams N]: HTTP/2 with so many streams a connection, beside h2load

The server is `ringway-load serve` on CPU 0; both clients run on CPU 1. CPU is that of the whole
client process (user and system, from the kernel's accounting), start-up included, divided by the
requests that it completed. The rounds alternate, and medians are printed with their spread, since
a shared machine has slow minutes.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile


def measure(command):
    """Runs a command on CPU 1: its output, user and system seconds."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        out.seek(0)
        text = out.read().decode()
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{text}")
    return text, usage.ru_utime, usage.ru_stime


def wrk(url, connections, seconds):
    text, user, system = measure(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url])
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    return row(requests, seconds, user, system)


def h2load(url, connections, seconds, streams):
    # By time it counts from the start of its warm-up, which is none.
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", url]
    text, user, system = measure(command)
    requests = int(re.search(r"(\d+) succeeded, 0 failed", text).group(1))
    return row(requests, seconds, user, system)


def ringway(load, url, connections, seconds, streams=None):
    command = [load, "-t1", f"-c{connections}", f"-d{seconds}s", "--json", url]
    if streams:
        command[1:1] = ["--http2", f"--streams={streams}"]
    text, user, system = measure(command)
    return row(json.loads(text)["right"], seconds, user, system)


def row(requests, seconds, user, system):
    us = 1e6 / requests
    return (user + system) * us, user * us, system * us, requests / seconds


def show(name, connections, rows):
    total, user, system, rate = zip(*rows)
    print(
        f"{name:<13} {connections:>11}  {statistics.median(total):>7.2f} "
        f"[{min(total):6.2f} .. {max(total):6.2f}]  {statistics.median(user):>5.2f} "
        f"{statistics.median(system):>7.2f}  {statistics.median(rate):>10,.0f}"
    )
    return statistics.median(total)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    usual = os.path.join(here, "..", "target", "release", "ringway-load")
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", default="1,64,256")
    parser.add_argument("--load", default=usual)
    parser.add_argument("--streams", type=int)
    args = parser.parse_args()
    server = subprocess.Popen(
        [args.load, "serve", "--listen", "127.0.0.1:0", "--cpus", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = "http://" + server.stdout.readline().split()[-1] + "/"
        print(f"client        connections  CPU us/request                user  system  requests/s")
        for connections in map(int, args.connections.split(",")):
            ours, theirs = [], []
            for _ in range(args.rounds):
                ours.append(ringway(args.load, url, connections, args.seconds, args.streams))
                if args.streams:
                    theirs.append(h2load(url, connections, args.seconds, args.streams))
                else:
                    theirs.append(wrk(url, connections, args.seconds))
            other = "h2load" if args.streams else "wrk"
            ratio = show("ringway-load", connections, ours) / show(other, connections, theirs)
            print(f"{'':<13} {'ratio':>11}  {ratio:>7.3f}")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
