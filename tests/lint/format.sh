#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# .clang-format is law (clang-format 14, Debian 12's; another version formats otherwise); scripts pass shellcheck.
set -eu
cd "$(dirname "$0")/../.."
clang-format --version 2>/dev/null | grep -q 'version 14\.' || { echo "SKIP: clang-format 14 is not installed"; exit 77; }
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
command -v shellcheck >/dev/null || { echo "SKIP: shellcheck is not installed"; exit 77; }
git ls-files '*.sh' '.ci/run' | grep -Ev '^tests/(cli/t|crash/|instances/)' | xargs shellcheck -S warning
