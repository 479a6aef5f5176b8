# SPDX-License-Identifier: Apache-2.0
# One file per region, in the folder `dir`. Rows without a region or with no positive amount are dropped, and said.
BEGIN { FS = "," }
NR == 1 { header = $0; next }
$2 == "" || $4 <= 0 {
    print "dropped: " $0
    next
}
{
    file = dir "/" $2 ".csv"
    if (!(file in seen)) {
        seen[file] = 1
        print header > file
    }
    print > file
    kept++
}
END { print "rows=" kept >> ENVIRON["WF_VALUES"] }
