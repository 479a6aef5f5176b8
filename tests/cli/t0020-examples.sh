# SPDX-License-Identifier: Apache-2.0
# The small examples are valid, run as host processes, and are wholly reused the second time.
. "$(dirname "$0")/lib.sh"
for example in hello etl changing-source; do
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
cd changing-source || exit 1
check_report() { same "the report" "$(cat "$(wf outputs report.report)")" "$1"; }
try 0 wf run pipeline.yaml
check_report $'Report\n100 measurements at a rate of 1.09'
seq 110 | sed 's/$/,21.5/' >data/measurements.csv
echo 'EUR,1.12' >data/rates.csv
wf plan pipeline.yaml --json >plan.json
json '[.steps[].verdict]' '["hit","hit","hit","hit"]' plan.json
json '.steps[0].why' '"reused: records 110 vs 100, 10% < 20%"' plan.json
seq 125 | sed 's/$/,21.5/' >data/measurements.csv
try 0 wf run pipeline.yaml
check_ran "measurements report"
try 0 wf run pipeline.yaml --refresh=rates
check_ran "rates report"
check_report $'Report\n125 measurements at a rate of 1.12'
git init -q repo; mkdir repo/texts; echo 'From git' >repo/texts/head
git -C repo add texts; git -C repo -c user.name=a -c user.email=a@x commit -qm one
try 0 wf run pipeline.yaml -p repository="$PWD/repo"
check_ran "report texts"
check_report $'From git\n125 measurements at a rate of 1.12'
cd ..
try 0 wf check --strict "${WF_SOURCE:?}/examples/containers/pipeline.yaml"
try 0 wf check --strict "${WF_SOURCE:?}/examples/fashion-mnist/pipeline.yaml"
try 0 wf check --strict "${WF_SOURCE:?}/examples/fashion-mnist/serve.yaml"
try 0 wf check --strict "${WF_SOURCE:?}/examples/serving/pipeline.yaml"
finish
