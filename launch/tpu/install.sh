#!/bin/bash
# Installs the package on one host of a pod, in .venv beside it, then runs the command that it is given.
# `pod.sh install` runs it on all hosts.
set -euo pipefail
cd "$(dirname "$0")/../.."
rm -f .installed
# The system's Python may be older than the package needs; uv brings another one.
python3 -m pip install --quiet --user uv
python3 -m uv venv --quiet --python=3.12 --seed .venv # --seed: with pip, which launch.weights downloads with
python3 -m uv pip install --quiet --python=.venv/bin/python --constraint=constraints.txt --editable='.[tpu,gcs]'
# For the perceptual loss of most configurations, and for FVD. They are on each host's disk, so a new pod needs them again.
.venv/bin/python -m launch.weights --fetch lpips,i3d
bash -c "$1"
touch .installed
