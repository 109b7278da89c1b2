#!/usr/bin/env bash
# Makes a Docker engine reachable, for the tests that run in a container.
#
#   docker/engine.sh up      prints the address of an engine (a DOCKER_HOST); starts one if need be
#   docker/engine.sh down    ends the engine that `up` started, and no other
#   docker/engine.sh status  prints the address of a reachable engine; exit status 3: there is none
#
# An engine that is already there ($DOCKER_HOST, or the machine's own) is used as it is. Otherwise
# root gets a private one: own folder, own socket, no change to the firewall or to IP forwarding.
# Its folder outlives it, so that images are built once a machine; TAXIMETER_ENGINE_HOME moves it,
# TAXIMETER_ENGINE_BRIDGE=none makes it do without a network bridge (containers then use the host's
# network).
set -euo pipefail

home=${TAXIMETER_ENGINE_HOME:-/var/tmp/taximeter-engine}
own="unix://$home/docker.sock"
pidfile="$home/docker.pid"

say() { printf 'engine: %s\n' "$*" >&2; }

fail() {
  printf 'engine: %s\n' "$@" >&2
  exit 1
}

answers() {
  command -v docker > /dev/null \
    && timeout 10 docker --host "$1" version --format '{{.Server.Version}}' > /dev/null 2>&1
}

reachable() {
  local host
  for host in ${DOCKER_HOST:-"$own" unix:///var/run/docker.sock}; do
    if answers "$host"; then
      echo "$host"
      return 0
    fi
  done
  return 1
}

# The folder holds a root daemon's socket: nobody else may have made it, or enter it.
private_home() {
  mkdir -p -m 700 "$home"
  [ "$(stat -c '%u %a' "$home")" = '0 700' ] || fail "$home is not a folder of root with mode 700"
}

# A pid in a file may have been given to somebody else since; the command line tells.
own_pid() {
  local pid
  pid=$(cat "$pidfile" 2> /dev/null) || return 1
  tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF -- "--host $own" && echo "$pid"
}

install_packages() {
  local missing=()
  command -v dockerd > /dev/null && command -v docker > /dev/null || missing+=(docker.io)
  command -v debootstrap > /dev/null || missing+=(debootstrap)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get > /dev/null || fail "missing: ${missing[*]} (no apt-get here to install them)"
  say "installing ${missing[*]}"
  local log="$home/apt.log"
  local apt=(apt-get -o DPkg::Lock::Timeout=600)
  local install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
  export DEBIAN_FRONTEND=noninteractive
  "${install[@]}" > "$log" 2>&1 \
    || { "${apt[@]}" update > "$log" 2>&1 && "${install[@]}" >> "$log" 2>&1; } \
    || { tail -n 15 "$log" >&2; fail "could not install ${missing[*]}, see above and $log"; }
}

start_with() {
  rm -f "$pidfile"
  # Its output would otherwise hold the caller's pipe open, and descriptor 9 the lock.
  setsid dockerd --host "$own" --data-root "$home/data" --exec-root "$home/exec" \
    --pidfile "$pidfile" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
    "$@" >> "$home/dockerd.log" 2>&1 < /dev/null 9>&- &
  local pid=$! try
  for ((try = 0; try < 120; try++)); do
    answers "$own" && return 0
    kill -0 "$pid" 2> /dev/null || return 1
    sleep 0.25
  done
  kill "$pid" 2> /dev/null || true
  return 1
}

start() {
  local ways=('' --bridge=none --storage-driver=vfs '--bridge=none --storage-driver=vfs') way
  [ "${TAXIMETER_ENGINE_BRIDGE:-}" != none ] \
    || ways=(--bridge=none '--bridge=none --storage-driver=vfs')
  [ -e /sys/class/net/docker0 ] || touch "$home/made-docker0"
  : > "$home/dockerd.log"
  for way in "${ways[@]}"; do
    # shellcheck disable=SC2086  # a way is a list of words
    if start_with $way; then
      say "started dockerd${way:+ with $way} in $home"
      return 0
    fi
    say "dockerd${way:+ with $way} did not start"
  done
  tail -n 15 "$home/dockerd.log" >&2
  fail "no way to start dockerd works on this machine, see above and $home/dockerd.log"
}

up() {
  reachable && return 0
  if [ -n "${DOCKER_HOST:-}" ]; then
    command -v docker > /dev/null \
      || fail "missing: the docker command (DOCKER_HOST is set to $DOCKER_HOST)"
    fail "DOCKER_HOST is set to $DOCKER_HOST, and no engine answers there"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    fail 'missing: a Docker engine this user may use (/var/run/docker.sock does not answer).' \
      'Start Docker and join its group, set DOCKER_HOST, or run this as root.'
  fi
  private_home
  exec 9> "$home/engine.lock"
  flock 9
  install_packages
  # Installing it, or whoever held the lock, may have started one.
  reachable && return 0
  start
  echo "$own"
}

down() {
  [ "$(id -u)" -eq 0 ] && [ -d "$home" ] || return 0
  private_home
  exec 9> "$home/engine.lock"
  flock 9
  local pid try
  pid=$(own_pid) || return 0
  if [ "${1:-}" != --force ] && [ -n "$(docker --host "$own" ps --quiet)" ]; then
    fail 'containers are still running in it; `docker/engine.sh down --force` ends them too'
  fi
  kill "$pid"
  for ((try = 0; try < 120; try++)); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.25
  done
  ! kill -0 "$pid" 2> /dev/null || fail "dockerd ($pid) does not end"
  # dockerd leaves these two behind.
  umount "$home/exec/netns/default" 2> /dev/null || true
  if [ -e "$home/made-docker0" ]; then
    ip link delete docker0 2> /dev/null || true
    rm -f "$home/made-docker0"
  fi
  say 'ended dockerd'
}

case "${1:-}" in
  up) up ;;
  down) down "${2:-}" ;;
  status) reachable || { say 'no engine is reachable'; exit 3; } ;;
  *) fail 'usage: docker/engine.sh up | down [--force] | status' ;;
esac
