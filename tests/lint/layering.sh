#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Includes never point upwards: cli -> engine -> serve -> steps -> {cache, workflows} -> base; cache and workflows do not know each other; sqlite3.h is base/db.c's alone, yaml.h workflows' …
set -eu
cd "$(dirname "$0")/../.."
bad=0
forbid() { # forbid ROOM PATTERN
    if grep -nE "#include \"($2)/" "$1"/*.[ch]; then
        echo "layering: $1 must not include $2"
        bad=1
    fi
}
forbid base "cache|workflows|steps|serve|engine|cli"
forbid cache "workflows|steps|serve|engine|cli"
forbid workflows "cache|steps|serve|engine|cli"
forbid steps "serve|engine|cli"
forbid serve "engine|cli"
forbid engine "cli"
if grep -ln "#include <sqlite3.h>" ./*/*.[ch] | grep -v '^./base/db'; then
    echo "layering: only base/db*.c may include sqlite3.h"
    bad=1
fi
if grep -nE '#include "\.\.?/' ./*/*.[ch]; then
    echo "layering: includes are rooted at the top"
    bad=1
fi
exit $bad
