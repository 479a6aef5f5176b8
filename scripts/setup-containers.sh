#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes podman run containers on this machine.
#
# Usage: setup-containers.sh [--check] [--no-install] [--remove]
#   --check       change nothing; exit 0 if containers run
#   --no-install  do not install packages
#   --remove      delete the settings that this script wrote
#
# Nothing here knows a particular machine. A real container is run, from an image of one static program;
# if that fails, one setting after the other is tried, and the first, smallest combination that works is
# kept as a drop-in of its own (no other file is touched):
#   root:  /etc/containers/containers.conf.d/50-wf.conf
#   users: ~/.config/containers/containers.conf.d/50-wf.conf, and storage.conf where there is none
# Lists of packages are split into words on purpose.
# shellcheck disable=SC2086
set -eu
LC_ALL=C
export LC_ALL

packages="podman crun runc netavark aardvark-dns iptables ca-certificates uidmap slirp4netns
    fuse-overlayfs catatonit busybox-static"
mark='# written by wf setup-containers.sh'
probe=localhost/wf-setup-probe:$$

say() { printf 'setup-containers: %s\n' "$*"; }
die() {
    printf 'setup-containers: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }
is_ours() { [ -f "$1" ] && head -n 1 "$1" | grep -qxF "$mark"; }

check=no install=yes remove=no
for option in "$@"; do
    case $option in
    --check) check=yes install=no ;;
    --no-install) install=no ;;
    --remove) remove=yes ;;
    -h | --help)
        sed -n '3,14s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        printf 'setup-containers: unknown option %s; see setup-containers.sh --help\n' "$option" >&2
        exit 2
        ;;
    esac
done

user=$(id -u)
if [ "$user" = 0 ]; then
    settings=/etc/containers
else
    settings=${XDG_CONFIG_HOME:-$HOME/.config}/containers
fi
dropin=$settings/containers.conf.d/50-wf.conf
storage=$settings/storage.conf

# --- removing -------------------------------------------------------------------------------------

remove_settings() {
    for file in "$dropin" "$storage"; do
        if is_ours "$file"; then
            rm -f "$file"
            say "removed $file"
        fi
    done
}

# --- packages -------------------------------------------------------------------------------------

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

install_packages() {
    missing=
    if ! have apt-get; then
        have podman || say "no apt-get here: install what corresponds to" $packages
        return 0
    fi
    for package in $packages; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$user" = 0 ]; then
        root=
    elif have sudo; then
        root=sudo
    else
        say "not root, and there is no sudo; an administrator should install$missing"
        return 0
    fi
    say "installing$missing"
    $root apt-get update -qq || say "the package lists could not be renewed; trying with those that are there"
    $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        die "apt-get could not install$missing"
}

# --- the probe ------------------------------------------------------------------------------------

is_static() { [ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1; }

# An image of one static program: no registry is needed.
build_probe() {
    shell=$(command -v busybox || true)
    if is_static "$shell"; then
        cp "$shell" "$work/busybox"
        program=busybox arguments='"/busybox", "true"'
    elif have cc; then
        echo 'int main(void) { return 0; }' >"$work/probe.c"
        cc -static -o "$work/probe" "$work/probe.c" || die "cannot link a static program for the probe"
        program=probe arguments='"/probe"'
    else
        die "the probe needs busybox-static or a C compiler: install one"
    fi
    printf 'FROM scratch\nCOPY %s /%s\nCMD [%s]\n' "$program" "$program" "$arguments" >"$work/Containerfile"
    podman build -q -t "$probe" "$work" >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        die "podman cannot build an image"
    }
}

# run_probe [OPTIONS]: with the settings in force now. The output is kept for the message.
run_probe() { podman run --rm --pull never "$@" "$probe" >"$work/output" 2>&1; }

# try LIMITS NETWORK RUNTIME: with these settings alone, each of them may be empty.
write_settings() {
    echo "$mark"
    echo '[containers]'
    [ -z "$1" ] || echo "$1"
    [ -z "$2" ] || echo "netns=\"$2\""
    [ -z "$3" ] || printf '[engine]\nruntime="%s"\n' "$3"
}
try() {
    write_settings "$@" >"$work/try.conf"
    CONTAINERS_CONF=$work/try.conf podman run --rm --pull never ${2:+--network "$2"} "$probe" \
        >"$work/output" 2>&1
}

# podman asks for more open files and processes than some machines allow even root: ask for what there is.
allowed_limits() {
    files=$(sh -c 'ulimit -H -n')
    processes=$(sed -n 's/^Max processes *[^ ]* *\([^ ]*\).*/\1/p' /proc/self/limits)
    highest=$(cat /proc/sys/kernel/pid_max)
    [ "$files" != unlimited ] || files=1048576
    # podman lowers its own limit to the kernel's highest process id first.
    if [ "$processes" = unlimited ] || [ "$processes" -gt "$highest" ]; then
        processes=$highest
    fi
    echo "default_ulimits=[\"nofile=$files:$files\",\"nproc=$processes:$processes\"]"
}

# --- users who are not root -----------------------------------------------------------------------

prepare_user() {
    name=$(id -un)
    grep -q "^$name:" /etc/subuid 2>/dev/null ||
        say "note: $name has no range in /etc/subuid, so containers have one user id only" \
            "(usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $name)"
    [ -w "${XDG_RUNTIME_DIR:-/nonexistent}" ] ||
        say "note: XDG_RUNTIME_DIR is not a writable folder; podman uses one in /tmp"
    store=${XDG_DATA_HOME:-$HOME/.local/share}/containers/storage
    if [ $check = yes ] || [ -e "$storage" ] || [ -d "$store/libpod" ]; then
        return 0
    fi
    # Without /dev/fuse podman copies whole images (vfs), although the kernel can mount overlays for a user.
    mkdir -p "$work/o/lower" "$work/o/upper" "$work/o/work" "$work/o/all"
    if unshare --user --map-root-user --mount mount -t overlay overlay \
        -o "lowerdir=$work/o/lower,upperdir=$work/o/upper,workdir=$work/o/work" "$work/o/all" 2>/dev/null; then
        mkdir -p "$settings"
        printf '%s\n[storage]\ndriver="overlay"\n' "$mark" >"$storage"
        say "wrote $storage: overlays of the kernel"
    fi
}

# --- finding the smallest settings ----------------------------------------------------------------

keep() {
    [ ! -e "$dropin" ] || is_ours "$dropin" || die "$dropin is not from this script: move it away"
    mkdir -p "$(dirname "$dropin")"
    write_settings "$@" >"$dropin.new"
    mv "$dropin.new" "$dropin"
    say "wrote $dropin:"
    sed '1d; s/^/    /' "$dropin"
    run_probe ${2:+--network "$2"} || {
        cat "$work/output" >&2
        die "podman still fails: another containers.conf overrides these settings"
    }
    [ -z "$2" ] || say "note: only --network $2 works for containers here ($reason)"
    say "containers run"
}

find_settings() {
    limits=$(allowed_limits)
    for runtime in "" crun runc; do
        [ -z "$runtime" ] || have "$runtime" || continue
        for some_limits in "" "$limits"; do
            for network in "" host none; do
                if try "$some_limits" "$network" "$runtime"; then
                    keep "$some_limits" "$network" "$runtime"
                    return 0
                fi
            done
        done
    done
    cat "$work/output" >&2
    die "no combination of runtime, limits and network ran a container; at first: $reason"
}

# --- the way through ------------------------------------------------------------------------------

if [ $remove = yes ]; then
    remove_settings
    exit 0
fi
if [ -n "${CONTAINERS_CONF:-}" ]; then
    say "note: CONTAINERS_CONF is set, so podman reads no other settings; ignored here"
    unset CONTAINERS_CONF
fi
if ! have podman && have docker && docker version >/dev/null 2>&1; then
    say "docker answers; nothing to do"
    exit 0
fi
[ $install = no ] || install_packages
have podman || die "podman is not installed"

work=$(mktemp -d "${TMPDIR:-/tmp}/wf-setup.XXXXXX")
trap 'podman rmi -f "$probe" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
[ "$user" = 0 ] || prepare_user
build_probe
if run_probe; then
    say "podman runs containers as it is"
    exit 0
fi
reason=$(head -c 400 "$work/output" | tr '\n' ' ')
[ $check = no ] || die "podman cannot run a container: $reason"
find_settings
