#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""train.py POINTS HOW MODEL METRICS: fits a line to points. HOW: quick (some of them, at once) or careful (all of them, three seconds later)."""
import csv, json, math, sys, time

points_file, how, model_file, metrics_file = sys.argv[1:]
points = [(float(x), float(y)) for x, y in csv.reader(open(points_file))]
used = points[::10] if how == "quick" else points
time.sleep(0 if how == "quick" else 3)  # what training takes

mean_x, mean_y = (sum(values) / len(used) for values in zip(*used))
slope = sum((x - mean_x) * (y - mean_y) for x, y in used) / sum((x - mean_x) ** 2 for x, y in used)
offset = mean_y - slope * mean_x
error = math.sqrt(sum((slope * x + offset - y) ** 2 for x, y in points) / len(points))

json.dump({"slope": slope, "offset": offset}, open(model_file, "w"))
json.dump({"error": error}, open(metrics_file, "w"))
