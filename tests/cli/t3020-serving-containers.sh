# SPDX-License-Identifier: Apache-2.0
# The main example's serving workflow in containers without a network: an image of nothing but the programs, model servers on unix sockets. None is left afterwards.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fashion.sh"
PATH=$PATH:/usr/sbin
command -v haproxy >/dev/null || skip "haproxy is not installed"
need_engine
fashion_programs
fashion_dataset
mkdir -p context/build
cp -r "$(dirname "$(command -v fashion-serve)")" context/build/bin
cp "${WF_SOURCE:?}/examples/fashion-mnist/Containerfile" context
image "wf-fashion-test-$$" context || exit 1
trap 'drop_image "wf-fashion-test-$$"; cleanup' EXIT
serve_fashion -p "image=localhost/wf-fashion-test-$$"
json '[.steps[] | select(.name == "train[model=mlp]") | .executor]' '["container"]' run.json
check "no container is left" wait_for 10 no_containers
check "nothing listens" sh -c "! curl -s http://127.0.0.1:$port/"
check_store
finish
