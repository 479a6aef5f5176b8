#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A dataset in the form of Fashion-MNIST, small enough for a test: fashion-data.py FOLDER [TRAINING TEST]. Each class is a bright bar of its own, with noise."""
import gzip, random, struct, sys
from pathlib import Path

folder = Path(sys.argv[1])
counts = {"train": int(sys.argv[2]) if len(sys.argv) > 2 else 600, "t10k": int(sys.argv[3]) if len(sys.argv) > 3 else 230}
folder.mkdir(parents=True, exist_ok=True)
r = random.Random(1)
for prefix, n in counts.items():
    labels = bytes(i % 10 for i in range(n))
    images = bytearray()
    for label in labels:
        image = bytearray(r.randrange(120) for _ in range(784))
        for row in range(4, 24):
            at = row * 28 + 4 + 2 * label + r.randrange(-1, 2)
            image[at:at + 3] = bytes(r.randrange(60, 200) for _ in range(3))
        images += image
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz", "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + labels)
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, 28, 28) + images)
