#!/bin/bash
# Trains on a Cloud TPU pod: requests it, installs the package on its hosts, and goes on after every preemption.
#
#   export TPU_NAME=bair TPU_ZONE=us-west4-a TPU_TYPE=v5litepod-16 TPU_RUNTIME=v2-alpha-tpuv5-lite TPU_OPTIONS=--spot
#   launch/tpu/pod.sh train --config=bair:devices=16 --workdir=gs://BUCKET/RUN --config.data.dir=gs://BUCKET/PREPARED
#   launch/tpu/pod.sh delete
#
# `train` creates and installs what is missing, trains, and starts again when training was stopped and saved (exit
# status 75) or the pod was lost. It ends with any other exit status of training. Its steps can also be run one by one:
#
#   launch/tpu/pod.sh create       # requests the pod and waits until it is there
#   launch/tpu/pod.sh install      # copies the last commit to all hosts and installs it there
#   launch/tpu/pod.sh run COMMAND  # runs a command on all hosts, in the copied folder
#
# Run it on a machine that stays on, with gcloud logged in. TPU_OPTIONS are further options of
# `gcloud compute tpus queued-resources create`, TPU_SETUP is a command that each host runs after the installation.
# docs/clusters/tpu.md has all steps.
set -uo pipefail

INTERRUPTED=75 # of launch.train: saved, the same command continues
CONNECTION_LOST=255 # of ssh
FOLDER=i2v_jax # on each host, in the home folder
POLL=${TPU_POLL_SECONDS:-30}
TPU_SETUP=${TPU_SETUP:-true}
REACHED= # whether gcloud has answered

# Prints the comment at the beginning of this file.
help() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
}

fail() {
  echo "error: $*" >&2
  exit 2
}

tpus() {
  local group=$1 verb=$2
  shift 2
  gcloud compute tpus "$group" "$verb" "$TPU_NAME" --zone="$TPU_ZONE" "$@"
}

# Prints the state of the request: ACTIVE when the pod is there, NOT_FOUND when there is no request. Fails, with gcloud's
# words, when it cannot be asked.
state() {
  local words status
  words=$(mktemp)
  tpus queued-resources describe --format='value(state.state)' 2>"$words"
  status=$?
  if [[ $status != 0 ]] && grep -q NOT_FOUND "$words"; then
    echo NOT_FOUND
    status=0
  fi
  [[ $status == 0 ]] || cat "$words" >&2
  rm -f "$words"
  return "$status"
}

create() {
  local now
  while true; do
    if ! now=$(state); then
      [[ $REACHED ]] || fail "Google Cloud cannot be asked for $TPU_NAME: see gcloud's words above"
      echo "$TPU_NAME: asking again" # the network is down for a while
      sleep "$POLL"
      continue
    fi
    REACHED=yes
    [[ $now =~ ^(ACTIVE|NOT_FOUND)$ ]] || echo "$TPU_NAME: $now"
    case $now in
      ACTIVE) return ;;
      NOT_FOUND)
        echo "$TPU_NAME: requesting a pod"
        # shellcheck disable=SC2086 # several options
        tpus queued-resources create --node-id="$TPU_NAME" --accelerator-type="$TPU_TYPE" \
          --runtime-version="$TPU_RUNTIME" ${TPU_OPTIONS:-} || fail "the pod cannot be requested: see gcloud's words above"
        ;;
      FAILED | SUSPENDED) delete || fail "$TPU_NAME cannot be deleted: see gcloud's words above" ;; # a preempted pod does not come back: its request makes room for another
      *) sleep "$POLL" ;;
    esac
  done
}

delete() {
  tpus queued-resources delete --force --quiet
}

# Runs a shell command on all hosts. Its exit status is that of a host on which the command failed.
on_all_hosts() {
  tpus tpu-vm ssh --worker=all --command="$1"
}

installed() {
  on_all_hosts "test -e $FOLDER/.installed" >/dev/null 2>&1
}

install() {
  local archive
  echo "$TPU_NAME: installing the last commit on all hosts"
  archive=$(mktemp --suffix=.tar.gz)
  git -C "$(dirname "$0")/../.." archive --output="$archive" HEAD || fail "$0 is not in a repository with a commit"
  gcloud compute tpus tpu-vm scp "$archive" "$TPU_NAME:$FOLDER.tar.gz" --zone="$TPU_ZONE" --worker=all &&
    on_all_hosts "rm -rf $FOLDER && mkdir $FOLDER && tar xzf $FOLDER.tar.gz -C $FOLDER && bash $FOLDER/launch/tpu/install.sh ${TPU_SETUP@Q}"
  local status=$?
  rm -f "$archive"
  return "$status"
}

run() {
  on_all_hosts "cd $FOLDER && ${*@Q}"
}

train() {
  local argument before='' workdir='' status=''
  for argument; do
    [[ $argument == --flagfile* ]] && workdir=${workdir:-gs://} # it may name the folder
    [[ $argument == --workdir=* ]] && workdir=${argument#--workdir=}
    [[ $before == --workdir ]] && workdir=$argument
    before=$argument
  done
  [[ $workdir ]] || fail "--workdir is missing: give --workdir=gs://BUCKET/FOLDER"
  [[ $workdir == gs://* ]] ||
    fail "--workdir=$workdir is a folder on the hosts, which is lost with the pod: give --workdir=gs://BUCKET/FOLDER"
  while true; do
    create
    if ! installed && ! install; then
      [[ $(state) == ACTIVE ]] && fail "the package cannot be installed: see the words above"
      continue
    fi
    run bash launch/tpu/train.sh "$@"
    status=$?
    case $status in
      "$INTERRUPTED") echo "$TPU_NAME: interrupted and saved; training goes on" ;;
      "$CONNECTION_LOST") echo "$TPU_NAME: the connection was lost; training goes on" ;;
      *) [[ $status == 0 || $(state) == ACTIVE ]] && return "$status" ;;
    esac
    sleep "$POLL"
  done
}

if [[ ${1:-} =~ ^(-h|--help|help)?$ ]]; then
  help
  exit
fi
for name in TPU_NAME TPU_ZONE TPU_TYPE TPU_RUNTIME; do
  [[ ${!name:-} ]] || fail "$name is not set: $0 --help has an example"
done
case ${1:-} in
  create | install | run | train | delete) "$@" ;;
  *) fail "unknown command '${1:-}': choose create, install, run, train or delete" ;;
esac
