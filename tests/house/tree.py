"""Scans every text file of the tree for what must not be there: paths of one machine, unfinished work, giant files.

usage: tree.py SOURCE_TREE.  Each pattern is written so that it does not find itself.
"""
import os
import re
import sys

FORBIDDEN = [
    (r"\bT[O]DO\b|\bF[I]XME\b|\bX[X]X\b|\bH[A]CK\b", "unfinished work: do it or describe it in a DESIGN page", ""),
    (r"/h[o]me/[a-z]|/r[o]ot/|/w[o]rk/|/U[s]ers/[a-z]", "a path of one machine", ""),
    (r"\.\./sh[a]red", "a path outside the tree", ""),
    (r"\b[Ii]s[s]ue #?[0-9]", "a number only one tracker knows", ""),
    (r"[ \t]+$", "blanks at the end of the line", ".c .h .cmake .txt .py .sh .md"),
    (r"^(<{7}|>{7}) ", "a merge that was not finished", ""),
]
SKIP_DIRS = {".git", "build", "data", "node_modules", "__pycache__"}
SKIP_FILES = {"LICENSE"}
# Data written by others or on purpose broken: their lines are not ours to shape.
DATA = ("tests/broken/", "tests/flows/", "bench/results/", "tests/fuzz/corpus/", "tests/contract/")
MAX_LINES = 800


def lines_of(path):
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace").splitlines()


def main(root):
    wrong = seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIP_DIRS)
        for name in sorted(names):
            path = os.path.join(folder, name)
            shown = os.path.relpath(path, root)
            if name in SKIP_FILES or shown.startswith(DATA) or os.path.islink(path):
                continue
            lines = lines_of(path)
            if lines is None:
                continue
            seen += 1
            ending = os.path.splitext(name)[1]
            for pattern, reason, endings in FORBIDDEN:
                if endings and (ending not in endings.split()):
                    continue
                found = re.compile(pattern)
                for number, line in enumerate(lines, 1):
                    if found.search(line):
                        print(f"{shown}:{number}: {reason}: {line.strip()[:120]}")
                        wrong += 1
            if ending in (".c", ".h") and len(lines) > MAX_LINES:
                print(f"{shown}: {len(lines)} lines: make it two files")
                wrong += 1
    print(f"{seen} files read, {wrong} complaints")
    return 1 if wrong or seen < 50 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
