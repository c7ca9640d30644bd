#!/bin/bash
# Trains on one host of a pod with the arguments of launch.train. `pod.sh train` runs it on all hosts.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A training that lost its connection may still run, and holds the chips: it saves and ends first.
running() {
  [[ -e train.pid ]] && grep --quiet --text launch.train "/proc/$(<train.pid)/cmdline" 2>/dev/null
}
if running; then
  kill -TERM "$(<train.pid)"
  while running; do sleep 1; done
fi
echo $$ >train.pid
exec .venv/bin/python -m launch.train "$@"
