# SPDX-License-Identifier: Apache-2.0
# The total of each product in one region's file, sorted by product.
BEGIN { FS = "," }
FNR > 1 {
    region = $2
    total[$3] += $4
}
END {
    for (product in total)
        printf "%s,%s,%.2f\n", region, product, total[product] | "sort"
}
