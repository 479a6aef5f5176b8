#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tables in docs/reference.md are those that `wf schema --markdown` prints, and docs/commands.md names every option of every command.
# Usage: reference.sh WF SOURCE [--write]    --write: brings the tables up to date
set -eu
wf=$1 source=$2
page=$source/docs/reference.md
begin='<!-- generated: wf schema --markdown -->'
end='<!-- end of generated -->'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$wf" schema --markdown >"$work/now"
if ! grep -qxF "$begin" "$page" || ! grep -qxF "$end" "$page"; then
    echo "reference.sh: $page lacks its marks '$begin' and '$end'" >&2
    exit 1
fi
if [ "${3:-}" = --write ]; then
    {
        sed "/^$begin\$/q" "$page"
        cat "$work/now"
        sed -n "/^$end\$/,\$p" "$page"
    } >"$work/page"
    cat "$work/page" >"$page"
fi
awk -v begin="$begin" -v end="$end" '$0 == end { inside = 0 } inside; $0 == begin { inside = 1 }' "$page" >"$work/page"
failed=0
diff -u "$work/page" "$work/now" || {
    echo "reference.sh: docs/reference.md is not up to date: tests/lint/reference.sh WF SOURCE --write" >&2
    failed=1
}

# The section of docs/commands.md for each command holds each of its options.
"$wf" --help | sed -n '/^Commands/,/^$/s/^  \([a-z][a-z ]*[a-z]\)   *.*/\1/p' | sed 's/  .*//' >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 16 ] || {
    echo "reference.sh: the commands could not be read from wf --help" >&2
    exit 1
}
# shellcheck disable=SC2094 # nothing writes to the list
while read -r command; do
    # "### wf models show …" is the section of `wf models show`, not of `wf models`.
    awk -v command="$command" '
        NR == FNR { known[$0]; next }
        /^##/ {
            longest = ""
            for (k in known) {
                if (index($0 " ", "### wf " k " ") == 1 && length(k) > length(longest)) {
                    longest = k
                }
            }
            inside = longest == command
        }
        inside' "$work/commands" "$source/docs/commands.md" >"$work/section"
    # shellcheck disable=SC2086
    NO_COLOR=1 "$wf" $command --help | sed -n '/^Options/,/^$/s/^  \(-., \|    \)--\([a-z-]*\).*/\2/p' | grep -vx -e param -e params-file >"$work/options" || true
    [ -s "$work/section" ] || {
        echo "reference.sh: docs/commands.md has no section '### wf $command'" >&2
        failed=1
    }
    while read -r option; do
        grep -q -e "\`--${option}[ =[\`]" "$work/section" || {
            echo "reference.sh: docs/commands.md does not name --$option of wf $command" >&2
            failed=1
        }
    done <"$work/options"
    grep -o '`--[a-z-]*' "$work/section" | sed 's/`--//' | sort -u | while read -r option; do
        grep -qx -e "$option" "$work/options" || echo "$option" >>"$work/unknown"
    done
    if [ -s "$work/unknown" ]; then
        echo "reference.sh: docs/commands.md names options that wf $command does not have: $(tr '\n' ' ' <"$work/unknown")" >&2
        failed=1
    fi
    rm -f "$work/unknown"
done <"$work/commands"
exit $failed
