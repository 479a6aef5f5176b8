# SPDX-License-Identifier: Apache-2.0
# config.yaml: where it is found, what it may hold, what is said about one that is wrong.
. "$(dirname "$0")/lib.sh"
# doctor ends with 4 where there is no container engine: only its line about the configuration counts here
config() { wf doctor --json "$@" 2>/dev/null | jq -r '.[] | select(.what == "config") | .state + " " + .text'; }
same "none" "$(config)" "ok no config.yaml: the defaults hold"
mkdir -p config/wf
for text in '' '# nothing
' 'cache: {max_size: 50GB, max_entries: 1000, unused_for: 60d, remote: "https://cache.example.org/wf", remote_readonly: true}' 'cache: {max_size: none, max_entries: none, unused_for: none}' 'history: {keep_for: 30d, keep_runs: 5}' 'history: {keep_for: none}'; do
    printf '%s' "$text" >config/wf/config.yaml
    same "read: $text" "$(config)" "ok $T/config/wf/config.yaml"
done
# --config before WF_CONFIG before the default
echo 'cache: {max_size: 1GB}' >a.yaml; cp a.yaml b.yaml
same "WF_CONFIG" "$(WF_CONFIG=a.yaml config)" "ok a.yaml"
same "--config" "$(WF_CONFIG=a.yaml config --config b.yaml)" "ok b.yaml"
rm -r config
mkdir -p home/.config/wf; cp a.yaml home/.config/wf/config.yaml
same "HOME" "$(unset XDG_CONFIG_HOME; HOME=$T/home config)" "ok $T/home/.config/wf/config.yaml"
same "a named one must be there" "$(config --config nosuch.yaml | grep -c '^missing .*nosuch.yaml')" 1
same "so must WF_CONFIG's" "$(WF_CONFIG=nosuch.yaml config | grep -c '^missing .*nosuch.yaml')" 1
# what is wrong is told with its place and the nearest word
bad() { printf '%s\n' "$1" >bad.yaml; same "refused: $1" "$(config --config bad.yaml | grep -Ec -- "^missing bad.yaml:$2: error: .*$3")" 1; }
bad 'cahe: {}' 1:1 "did you mean 'cache'"
bad 'cache: {maxsize: 1GB}' 1:9 "did you mean 'max_size'"
bad 'cache:
  max_size: 20' 2:13 "max_size"
bad 'cache: {max_size: 0GB}' 1:19 "max_size"
bad 'cache: {max_size: [1GB]}' 1:19 "size"
bad 'cache: {max_entries: 1.5}' 1:22 "whole number"
bad 'cache: {max_entries: 0}' 1:22 "whole number"
bad 'cache: {unused_for: soon}' 1:21 "unused_for"
bad 'cache: {remote: here}' 1:17 "URL"
bad 'cache: {remote: }' 1:17 "URL"
echo 'cache: {remote: "me:secret@host/x"}' >bad.yaml
same "a line that may hold a password is not shown" "$(config --config bad.yaml | grep -c '^missing .*line 1.*URL') $(config --config bad.yaml | grep -c secret)" "1 0"
bad 'cache: {remote_readonly: maybe}' 1:26 "true or false"
bad 'cache: 20GB' 1:8 "mapping"
bad 'history: 90d' 1:10 "mapping"
bad 'history: {keep_fro: 90d}' 1:11 "did you mean 'keep_for'"
bad 'history: {keep_for: 0d}' 1:21 "keep_for"
bad 'history: {keep_runs: 0}' 1:22 "whole number"
bad 'cache: {max_size: 1GB, max_size: 2GB}' 1:24 "max_size"
bad 'listen: 127.0.0.1:80' 1:1 "not supported yet"
bad 'container: podman' 1:1 "not supported yet"
bad '- a' 1:1 "mapping"
bad 'cache: {' '[12]:[0-9]*' ""
finish
