#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real S3 server on this machine, for tests: Ceph's RADOS Gateway over one monitor and one OSD that keeps its objects in memory.
# Listens on 127.0.0.1 alone; what it holds is gone after `stop`. Needs Debian's ceph-mon, ceph-osd, ceph-common and radosgw.
#
# Usage: s3.sh DIR start | stop | status | env
#   start   idempotent; a cluster that is not whole is made anew
#   stop    ends the processes whose pids and start times DIR/run holds, and no others
#   env     prints the variables a client needs, as `export …`
# WF_S3_PORT (26380): the gateway's port; the monitor has the next one
set -u

usage() {
    sed -n '6,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
[ $# -eq 2 ] || usage
mkdir -p "$1" || exit 1
dir=$(cd "$1" && pwd -P)
command=$2
PATH=$PATH:/usr/sbin:/sbin
run=$dir/run
port=${WF_S3_PORT:-26380}
key='' secret=''
# shellcheck source=/dev/null
[ ! -f "$dir/settings" ] || . "$dir/settings"
conf=(-c "$dir/ceph.conf")

say() { printf 's3.sh: %s\n' "$*" >&2; }

# Field 22 of /proc/PID/stat: when it was started. A name in parentheses stands before it.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
state() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1; }

# The pid of a daemon that runs, of those we started.
pid_of() {
    local pid since
    [ -f "$run/$1" ] && read -r pid since <"$run/$1" || return 1
    [ "$(started "$pid")" = "$since" ] && [ "$(state "$pid")" != Z ] && echo "$pid"
}

launch() {
    local name=$1 pid
    shift
    pid_of "$name" >/dev/null && return 0
    setsid "$@" </dev/null >>"$dir/$name.out" 2>&1 &
    pid=$!
    sleep 0.1
    if [ -z "$(started $pid)" ]; then
        say "$name did not start:"
        tail -5 "$dir/$name.out" >&2
        return 1
    fi
    echo "$pid $(started $pid)" >"$run/$name"
}

end() {
    local pid
    pid=$(pid_of "$1") || {
        rm -f "$run/$1"
        return 0
    }
    kill "$pid" 2>/dev/null
    for _ in $(seq 50); do
        pid_of "$1" >/dev/null || break
        sleep 0.1
    done
    ! pid_of "$1" >/dev/null || kill -KILL "$pid" 2>/dev/null
    rm -f "$run/$1"
}

# wait_for SECONDS NAME COMMAND…
wait_for() {
    local left=$(($1 * 5)) name=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ $left -le 0 ]; then
            say "the $name does not answer"
            return 1
        fi
        sleep 0.2
    done
}

random() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }

write_conf() {
    cat >"$dir/ceph.conf" <<EOF
[global]
fsid = $1
mon host = v2:127.0.0.1:$((port + 1))
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = $dir/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
ms bind msgr1 = false
public network = 127.0.0.0/8
public addr = 127.0.0.1
run dir = $dir/sock
admin socket = $dir/sock/\$name.asok
log file = $dir/\$name.log
mon data = $dir/mon
mon data avail crit = 1
mon data avail warn = 2
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
EOF
}

make_keys() {
    local name
    cd "$dir" || return 1
    ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' || return 1
    for name in client.admin client.rgw osd.0; do
        ceph-authtool keyring --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *' \
            --cap mgr 'allow *' || return 1
    done
    monmaptool --create --addv a "[v2:127.0.0.1:$((port + 1))]" --fsid "$1" monmap &&
        ceph-mon "${conf[@]}" -i a --mkfs --monmap monmap --keyring keyring
}

osd_is_up() { timeout 5 ceph "${conf[@]}" osd stat | grep -q '1 up'; }

# The OSD keeps its objects in memory: every start from nothing is a new cluster.
fresh() {
    local id uuid
    id=$(cat /proc/sys/kernel/random/uuid)
    uuid=$(cat /proc/sys/kernel/random/uuid)
    rm -rf "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/sock" "$dir/monmap" "$dir/keyring"
    mkdir -p "$run" "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/sock"
    if [ -z "$key" ]; then
        key=$(random 10) secret=$(random 20)
        printf 'port=%s\nkey=%s\nsecret=%s\n' "$port" "$key" "$secret" >"$dir/settings"
    fi
    write_conf "$id"
    if ! (make_keys "$id") >"$dir/mkfs.out" 2>&1; then
        tail -5 "$dir/mkfs.out" >&2
        return 1
    fi
    cp "$dir/keyring" "$dir/osd/keyring"
    cp "$dir/keyring" "$dir/rgw/keyring"
    launch mon ceph-mon "${conf[@]}" -i a -f || return 1
    wait_for 20 monitor timeout 5 ceph "${conf[@]}" mon stat || return 1
    ceph "${conf[@]}" osd new "$uuid" >/dev/null &&
        ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$uuid" >>"$dir/mkfs.out" 2>&1
    cp "$dir/keyring" "$dir/osd/keyring"
    launch osd ceph-osd "${conf[@]}" -i 0 -f || return 1
    wait_for 30 OSD osd_is_up || return 1
    if ! radosgw-admin "${conf[@]}" -n client.rgw user create --uid wf --display-name wf \
        --access-key "$key" --secret-key "$secret" >"$dir/user.out" 2>&1; then
        tail -3 "$dir/user.out" >&2
        return 1
    fi
}

stop() {
    end rgw
    end osd
    end mon
}

case $command in
start)
    mkdir -p "$run"
    if ! pid_of mon >/dev/null || ! pid_of osd >/dev/null; then
        stop
        fresh || exit 1
    fi
    launch rgw radosgw "${conf[@]}" -n client.rgw -f || exit 1
    wait_for 60 gateway curl -sf -o /dev/null "http://127.0.0.1:$port/" || exit 1
    ;;
stop) stop ;;
status)
    rc=0
    for daemon in mon osd rgw; do
        if pid=$(pid_of $daemon); then
            echo "$daemon runs as $pid"
        else
            echo "$daemon does not run"
            rc=1
        fi
    done
    exit $rc
    ;;
env)
    echo "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port AWS_REGION=default" \
        "AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret"
    ;;
*) usage ;;
esac
