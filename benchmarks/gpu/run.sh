#!/bin/sh
# Everything on the machine with the card, in one command: sh benchmarks/gpu/run.sh FOLDER
# It installs the wheels beside the machine's own packages, runs the check and writes into FOLDER.
set -eu
out=${1:?name a folder for the results}
cd "$(dirname "$0")/../.."
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
python=${PYTHON:-python3}
"$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
    --target "$site" build/gpu/wheels/*.whl
PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
"$python" -m benchmarks.gpu --device "${DEVICE:-cuda}" --out "$out"
