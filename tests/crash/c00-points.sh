# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Every point at which the program can be made to die has a test that kills it there; a new one without a test fails here. Each of those tests fails when its point is not reached.
here=$(dirname "$(readlink -f "$0")")
. "$here/../cli/lib.sh"
points=$(grep -rhoE --include='*.c' 'FAILPOINT(_ERR)?\("[^"]+"\)' "$WF_SOURCE"/{base,cache,workflows,steps,engine,cli} | cut -d'"' -f2 | sort -u)
check "there are points" test "$(wc -w <<<"$points")" -gt 30
for point in $points; do
    case $point in
    # These fail (no space) and are no place to die: the stories have them.
    objects.write | writer.full | archive.write | archive.content) where="$here/../cli" ;;
    # No store of an older format exists that wf could bring up to date: unit tests do it with formats of their own.
    store.migrate | store.migrated | store.backup) where="$here/../unit/cache" ;;
    *) where="$here" ;;
    esac
    check "$point has a test" grep -rqwF --include='c0[1-9]*.sh' --include='t*.sh' --include='*.c' "$point" "$where"
done
finish
