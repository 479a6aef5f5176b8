# SPDX-License-Identifier: Apache-2.0
# The main example's serving workflow, as host processes: three models trained, the best two promoted, served and measured through the ensemble's endpoint; what is trained is kept for the next run.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fashion.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
try 0 wf check --strict "${WF_SOURCE:?}/examples/fashion-mnist/serve.yaml"
fashion_programs
fashion_dataset
serve_fashion -p image=
check "promoted more than once" jq -e 'length >= 2' models.json
serve_fashion -p image=
same "trainings are reused" "$(jq -c '[.steps[] | select(.step == "train" or .step == "ingest").status] | unique' run.json)" '["cached"]'
no_process "no model server is left" "fashion-serve.*$T"
check "nothing listens" sh -c "! curl -s http://127.0.0.1:$port/"
check_store
finish
