#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nginx as a shared cache, for tests: on 127.0.0.1 alone, as the current user, everything below one folder.
#
# Usage: nginx.sh DIR PORT start [read-only|small] | stop
#   read-only: PUT is refused (403); small: nothing above 4 KiB is taken (413). Ended by the pid that DIR holds.
set -eu
dir=$1 port=$2 command=$3 mode=${4:-}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)
PATH=$PATH:/usr/sbin:/sbin

alive() {
    local pid
    [ -f "$dir/pid" ] && pid=$(cat "$dir/pid") && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
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
    local methods="GET HEAD PUT" max=0
    [ "$mode" != read-only ] || methods="GET HEAD"
    [ "$mode" != small ] || max=4k
    mkdir -p "$dir/cache" "$dir/tmp"
    cat >"$dir/nginx.conf" <<EOF
daemon on;
worker_processes 2;
pid $dir/pid;
error_log $dir/error.log;
$([ "$(id -u)" != 0 ] || echo "user $(id -un) $(id -gn);")
events { worker_connections 512; }
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/tmp;
    proxy_temp_path $dir/tmp/proxy;
    fastcgi_temp_path $dir/tmp/fastcgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    scgi_temp_path $dir/tmp/scgi;
    server {
        listen 127.0.0.1:$port;
        location ~ "^/(ac|cas)/[0-9a-f]{64}\$" {
            root $dir/cache;
            dav_methods PUT DELETE;
            create_full_put_path on;
            client_max_body_size $max;
            limit_except $methods { deny all; }
        }
    }
}
EOF
    nginx -c "$dir/nginx.conf" -p "$dir" -e "$dir/error.log"
    for _ in $(seq 100); do
        [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/ac/none")" = 000 ] || return 0
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
