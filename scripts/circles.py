#!/usr/bin/env python3
"""Fails where files of a crate import each other in a circle: scripts/circles.py [ROOT of the workspace].

Read from the text: `use` trees and paths that begin with crate, super or self. What a module re-exports counts as the file that defines it.
A file and the module that it is in (mod.rs, lib.rs) are one room's door and inside: the way from the inside to the door is not counted.
"""
import os
import re
import sys
from collections import defaultdict

CRATES = [
    "kpflow-core/src",
    "kpflow-core/embed/c/src",
    "kpflow-hpc/src",
    "kpflow-hpc/estimate/src",
    "kpflow-hpc/python/src",
    "kpflow-bench/src",
]


def sources(root):
    """The text of every file without tests and comments, by its path in the crate."""
    files = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            if name.endswith(".rs") and "tests" not in path and name != "twins.rs":
                text = open(os.path.join(root, path), encoding="utf-8").read().split("#[cfg(test)]")[0]
                files[path] = re.sub(r"//.*", "", text)
    return files


def module(path):
    """The module of a file, as a tuple of names."""
    parts = path[:-3].split("/")
    return tuple(parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts)


def leaves(tree):
    """All paths of a use tree."""
    match = re.match(r"^(.*?)\{(.*)\}$", tree.strip(), re.S)
    if not match:
        return [tree.split(" as ")[0].strip()]
    parts, depth, current = [], 0, ""
    for c in match.group(2):
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += c
    return [match.group(1) + leaf for part in parts + [current] if part.strip() for leaf in leaves(part)]


def arrows(files):
    """Which file takes names from which."""
    by_module = {module(path): path for path in files}
    defines = {
        path: set(re.findall(r"\b(?:fn|struct|enum|trait|const|static|type|union|macro_rules!)\s+(\w+)", text))
        for path, text in files.items()
    }

    def resolve(path, used):
        parts, own = [p.strip() for p in used.split("::") if p.strip()], module(path)
        if parts[0] == "crate":
            at, parts = (), parts[1:]
        elif parts[0] == "super":
            at = own
            while parts and parts[0] == "super":
                at, parts = at[:-1], parts[1:]
        elif parts[0] == "self":
            at, parts = own, parts[1:]
        elif own + (parts[0],) in by_module:
            at = own
        else:
            return None
        while parts and at + (parts[0],) in by_module:
            at, parts = at + (parts[0],), parts[1:]
        there = by_module.get(at)
        if not parts or parts[0] in ("self", "*") or there is None or parts[0] in defines[there]:
            return there
        # Re-exported from a file within.
        within = [p for p in files if module(p)[: len(at)] == at and parts[0] in defines[p]]
        return within[0] if len(within) == 1 else there

    out = defaultdict(set)
    for path, text in files.items():
        used = [leaf for m in re.finditer(r"(?<!pub )\buse\s+([^;]+);", text) for leaf in leaves(m.group(1))]
        body = re.sub(r"\b(pub(\([^)]*\))?\s+)?use\s+[^;]+;", "", text)
        used += [m.group(0) for m in re.finditer(r"\b(?:crate|super|self)(?:::\w+)+", body)]
        for one in used:
            there = resolve(path, one)
            door = there is not None and module(path)[: len(module(there))] == module(there)
            if there is not None and there != path and not door:
                out[path].add(there)
    return out


def circles(graph, nodes):
    """Strongly connected components of more than one file."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == index[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for v in sorted(nodes):
        if v not in index:
            visit(v)
    return found


def main():
    sys.setrecursionlimit(10000)
    root, failed = sys.argv[1] if len(sys.argv) > 1 else ".", 0
    for crate in CRATES:
        files = sources(os.path.join(root, crate))
        graph = arrows(files)
        for circle in circles(graph, files):
            failed += 1
            print(f"{crate}: these files import each other:")
            for a in circle:
                print(f"  {a} takes from {', '.join(sorted(graph[a] & set(circle)))}")
    print(f"{failed} circles")
    sys.exit(1 if failed else 0)


main()
