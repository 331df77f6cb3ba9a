"""compare_embedded.py HOST TARGET RAM_LIMIT < sizes: the numbers of two runs of the firmware, and the memory that it uses.

Each line is a name and its numbers; lines with # are the target's own. Fails where a number of the target differs from the host's by more
than 1e-5 of the largest on its line, or RAM_LIMIT is passed. `sizes` is what arm-none-eabi-size prints.
"""

import math
import sys

TOLERANCE = 1e-5


def read(path):
    with open(path) as file:
        lines = [line.split() for line in file if line.strip()]
    return {name: [float(x) for x in numbers] for name, *numbers in lines if name != "#"}, lines


def main():
    (host, _), (target, lines) = read(sys.argv[1]), read(sys.argv[2])
    if list(host) != list(target) or not host:
        sys.exit(f"the host printed {list(host)}, the target {list(target)}")
    worst = 0.0
    for name, expected in host.items():
        found = target[name]
        if len(found) != len(expected) or not all(map(math.isfinite, expected + found)):
            sys.exit(f"{name}: {len(expected)} numbers on the host, {len(found)} on the target, or one that is not finite")
        largest = max(map(abs, expected))
        error = max(abs(a - b) for a, b in zip(expected, found))
        if largest == 0 or error > TOLERANCE * largest:
            sys.exit(f"{name}: differs by {error:e}; the largest number is {largest:e}")
        worst = max(worst, error / largest)
    count = sum(map(len, host.values()))
    print(f"{count} numbers equal the host's to {worst:.1e} (at most {TOLERANCE:g})")

    text, data, bss = map(int, sys.stdin.read().splitlines()[1].split()[:3])
    (stack,) = [int(line[2]) for line in lines if line[:2] == ["#", "stack"]]
    ram, limit = data + bss + stack, int(sys.argv[3])
    print(f"flash {text + data} bytes; RAM {ram} bytes: statics {data + bss}, stack {stack} (at most {limit})")
    if ram > limit:
        sys.exit("too much RAM")


main()
