#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cppcheck finds nothing. Left out: internalAstError (its parser does not know __typeof__ in take_ptr()), ctunullpointer (sizeof does not read its operand), one uninitvar of a variable whose address alone is taken.
set -eu
command -v cppcheck >/dev/null || { echo "SKIP: cppcheck is not installed"; exit 77; }
cd "$(dirname "$0")/../.."
exec cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=internalAstError --suppress=ctunullpointer --suppress=uninitvar:workflows/text.c \
    -I. -D_GNU_SOURCE -DWF_VERSION='"0"' base cache workflows steps serve engine cli
