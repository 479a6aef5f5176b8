# SPDX-License-Identifier: Apache-2.0
# The small examples are valid, run as host processes, and are wholly reused the second time.
. "$(dirname "$0")/lib.sh"
for example in hello etl; do
    cp -r "${WF_SOURCE:?}/examples/$example" .
    rm -rf "$example/out"
    try 0 wf check --strict "$example/pipeline.yaml"
    try 0 wf run "$example/pipeline.yaml"
    total=$(wf show --json | jq '.steps | length')
    check_counts "{\"succeeded\":$total}"
    try 0 wf run "$example/pipeline.yaml"
    check_counts "{\"cached\":$total}"
done
same "the published report" "$(head -n 2 etl/out/report.csv)" $'region,product,total\nnorth,apples,23.65'
echo '2026-01-09,east,apples,1.90' >>etl/data/orders.csv
try 0 wf run etl/pipeline.yaml
check_ran "ingest report split summarize[region=east]"
check "the new total" grep -qx 'east,apples,5.00' etl/out/report.csv
try 0 wf run hello/pipeline.yaml -p who=moon
check_out shout.shouted 'HELLO, MOON'
try 0 wf check --strict "${WF_SOURCE:?}/examples/containers/pipeline.yaml"
try 0 wf check --strict "${WF_SOURCE:?}/examples/fashion-mnist/pipeline.yaml"
finish
