#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone; every source begins with the SPDX line; nobody calls what must not be called.
set -eu
cd "$(dirname "$0")/../.."
bad=0
for h in base/*.h cache/*.h workflows/*.h steps/*.h engine/*.h cli/*.h; do
    cc -std=gnu17 -D_GNU_SOURCE -I. -Wall -Wextra -Werror -fsyntax-only -include stddef.h -x c "$h" -Wno-unused-function 2>/tmp/wf-header.$$ ||
        { grep -v 'pragma once' /tmp/wf-header.$$; echo "headers: $h does not compile alone"; bad=1; }
done
rm -f /tmp/wf-header.$$
for f in $(git ls-files '*.c' '*.h' '*.sh' '*.py' '*.cmake' '*CMakeLists.txt'); do
    head -3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "headers: $f has no SPDX line"; bad=1; }
done
if grep -nE '\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gmtime|localtime|system|gets)\(' base/*.c cache/*.c workflows/*.c steps/*.c engine/*.c cli/*.c; then
    echo "headers: banned calls"
    bad=1
fi
if grep -nE '\bexit\(' base/*.c cache/*.c workflows/*.c steps/*.c engine/*.c | grep -v '_exit('; then
    echo "headers: libraries never exit"
    bad=1
fi
exit $bad
