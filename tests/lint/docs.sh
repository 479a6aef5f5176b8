#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every listing in docs/ and README.md that begins with "# NAME.yaml" is a workflow that `wf check --strict` accepts.
# Usage: docs.sh WF SOURCE
set -eu
wf=$1 source=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for page in "$source"/README.md "$source"/docs/*.md; do
    mkdir -p "$folder/$(basename "$page")"
    awk -v folder="$folder/$(basename "$page")" '
        /^```/ { file = ""; inside = ($0 == "```yaml"); first = inside; next }
        first { first = 0; if ($0 ~ /^# [a-z-]+\.yaml$/) file = folder "/" $2 }
        file != "" { print > file }' "$page"
done
find "$folder" -name '*.yaml' | sort >"$folder/list"
[ "$(wc -l <"$folder/list")" -ge 8 ] || {
    echo "docs.sh: only $(wc -l <"$folder/list") listings were found: is the search for them broken?" >&2
    exit 1
}
failed=0
while read -r file; do
    WF_STORE="$folder/store" "$wf" check --strict -q "$file" || failed=1
done <"$folder/list"
exit $failed
