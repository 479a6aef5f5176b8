#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building wf needs, those that are missing only.
#
# Usage: setup-build.sh [--tests] [--example] [--check]
#   --tests    also what the tests need
#   --example  also what examples/fashion-mnist needs
#   --check    install nothing; exit 1 and name the packages if some are missing
# Lists of packages are split into words on purpose.
# shellcheck disable=SC2086
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libyaml-dev libsqlite3-dev libuv1-dev
    libssl-dev libjansson-dev libcurl4-openssl-dev libarchive-dev libgit2-dev
    libmicrohttpd-dev"
tests="libcriterion-dev git jq procps python3 sqlite3 zstd clang libclang-rt-14-dev clang-format cppcheck shellcheck scdoc
    nginx-light ceph-mon ceph-osd ceph-common radosgw protobuf-compiler
    haproxy wrk"
example="haproxy dataset-fashion-mnist libopenblas-pthread-dev zlib1g-dev"

say() { printf 'setup-build: %s\n' "$*"; }
die() {
    printf 'setup-build: %s\n' "$*" >&2
    exit 1
}

packages=$build
check=no
for option in "$@"; do
    case $option in
    --tests) packages="$packages $tests" ;;
    --example) packages="$packages $example" ;;
    --check) check=yes ;;
    -h | --help)
        sed -n '3,8s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        printf 'setup-build: unknown option %s; see setup-build.sh --help\n' "$option" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    say "this is not a Debian system: install what corresponds to" $packages
    exit 0
fi

# dpkg-query fails when it does not know one of the names, and still lists the others.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null || true)
missing=
for package in $packages; do
    case "
$installed
" in
    *"
installed $package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
if [ -z "$missing" ]; then
    say "all packages are there"
    exit 0
fi
[ $check = no ] || die "missing packages:$missing"

if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null; then
    root=sudo
else
    die "not root, and there is no sudo; as root: apt-get install$missing"
fi
say "installing$missing"
$root apt-get update -qq || say "the package lists could not be renewed; trying with those that are there"
$root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
say "done"
