#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must hold of a converted workflow, worked out from its text and expected.json alone.

usage: expected.py leaves FOLDER             differences between the published leaves and expected.json
       expected.py dependants FOLDER INPUT   names of the steps that depend on the input file, sorted
       expected.py inputs FOLDER             input files, the one with the fewest dependants first
"""
import json
import pathlib
import re
import sys


def read(folder):
    """step -> (input files it reads, steps whose outputs it reads); `needs` alone is only order."""
    steps, current = {}, None
    for line in (folder / "pipeline.yaml").read_text().splitlines():
        name = re.match(r"  ([A-Za-z_][A-Za-z0-9_-]*):$", line)
        if name:
            current = steps.setdefault(name.group(1), (set(), set()))
        elif current:
            file = re.match(r"      [A-Za-z0-9_-]+: (data/.+)$", line)
            if file:
                current[0].add(file.group(1))
            current[1].update(re.findall(r"steps\.([A-Za-z0-9_-]+)\.outputs", line))
    return steps


def dependants(steps, file):
    found = {name for name, (files, _) in steps.items() if file in files}
    while True:
        more = {name for name, (_, reads) in steps.items() if reads & found} - found
        if not more:
            return found
        found |= more


def main(what, folder, *rest):
    folder = pathlib.Path(folder)
    steps = read(folder)
    if what == "leaves":
        for path, text in json.loads((folder / "expected.json").read_text()).items():
            file = folder / path
            if not file.is_file() or file.read_text() != text:
                print(path)
    elif what == "dependants":
        print(" ".join(sorted(dependants(steps, rest[0]))))
    elif what == "inputs":
        files = {file for files, _ in steps.values() for file in files}
        print("\n".join(sorted(files, key=lambda f: (len(dependants(steps, f)), f))))


main(*sys.argv[1:])
