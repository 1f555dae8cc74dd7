#!/usr/bin/env bash
# Sees to it that a Docker engine answers on this machine, as far as that is possible; says what it does before it does it.
# Never fails: dockstream starts without an engine too, and comes alive when one appears.
set -euo pipefail
cd "$(dirname "$0")/.."

SOCKET=/var/run/docker.sock
LOG=.cache/engine.log

say() { echo "engine: $*"; }
has() { command -v "$1" > /dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
answers() { as_root curl --silent --fail --max-time 5 --unix-socket "$SOCKET" http://localhost/_ping > /dev/null 2>&1; }

wait_for_answer() {
    local left=$1
    until answers; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.5
    done
}

if [ -n "${DOCKER_HOST:-}" ]; then
    say "DOCKER_HOST names $DOCKER_HOST: nothing to do here"
    exit 0
fi
if [ -S "$SOCKET" ] && [ -w "$SOCKET" ] && has curl &&
    curl --silent --fail --max-time 5 --unix-socket "$SOCKET" http://localhost/_ping > /dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" != 0 ] && ! has sudo; then
    say "no Docker engine answers at $SOCKET, and installing or starting one needs root; going on without"
    exit 0
fi
missing=()
has dockerd || missing+=(docker.io)
has curl || missing+=(curl)
if [ ${#missing[@]} -gt 0 ]; then
    if ! has apt-get; then
        say "not installed: ${missing[*]}; going on without an engine"
        exit 0
    fi
    say "no Docker engine answers at $SOCKET; installing Debian packages: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" || {
        say "they could not be installed; going on without an engine"
        exit 0
    }
fi
if ! answers; then
    say "starting the Docker engine"
    if [ -d /run/systemd/system ]; then
        started() { as_root systemctl start docker; }
    else
        started() { has service && as_root service docker start > /dev/null 2>&1; }
    fi
    if ! { started && wait_for_answer 40; }; then
        mkdir -p .cache
        say "no service manager started it; running dockerd itself. Its log is $LOG, and /run/docker.pid names it to whom wants to end it"
        as_root setsid dockerd > "$LOG" 2>&1 < /dev/null &
        wait_for_answer 60 || say "it does not answer at $SOCKET; going on without: $(tail -n 1 "$LOG")"
    fi
fi
if answers && [ ! -w "$SOCKET" ]; then
    say "this user may not open $SOCKET: sudo usermod -aG docker \"\$USER\", then log in again"
fi
