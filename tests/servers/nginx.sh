#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nginx as a shared cache, for tests, by the configuration of examples/shared-cache: on 127.0.0.1 alone, as the current user, everything below one folder.
#
# Usage: nginx.sh DIR PORT start [read-only|small|full] | stop
#   read-only: PUT is refused (403); small: nothing above 4 KiB is taken (413); full: PUT fails (507). Ended by the pid that DIR holds.
set -eu
dir=$1 port=$2 command=$3 mode=${4:-}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)
PATH=$PATH:/usr/sbin:/sbin

alive() {
    local pid
    [ -f "$dir/nginx.pid" ] && pid=$(cat "$dir/nginx.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
        grep -q nginx "/proc/$pid/comm" && echo "$pid"
}

stop() {
    local pid
    pid=$(alive) || return 0
    kill -TERM "$pid"
    for _ in $(seq 100); do
        alive >/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$pid"
}

start() {
    local methods="GET PUT" max=0 user="" first=""
    [ "$mode" != read-only ] || methods=GET
    # shellcheck disable=SC2016 # a variable of nginx
    [ "$mode" != full ] || first='if ($request_method = PUT) { return 507; } '
    [ "$mode" != small ] || max=4k
    [ "$(id -u)" != 0 ] || user="user $(id -un) $(id -gn);"
    sed -e "s/127.0.0.1:8980/127.0.0.1:$port/; s/limit_except GET PUT/${first}limit_except $methods/" \
        -e "s/client_max_body_size 0/client_max_body_size $max/; s/access_log off/access_log access.log/" \
        "$(dirname "$0")/../../examples/shared-cache/nginx.conf" >"$dir/nginx.conf"
    nginx -p "$dir" -c nginx.conf -e error.log -g "$user"
    for _ in $(seq 100); do
        [ "$(curl -sI -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/ac/none")" = 000 ] || return 0
        sleep 0.05
    done
    echo "nginx.sh: no answer on port $port" >&2
    return 1
}

case $command in
start)
    stop
    start
    ;;
stop) stop ;;
*)
    sed -n '3,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
