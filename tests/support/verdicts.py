# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What slow tools said of a tree, kept between the runs of the tests: a tool judges the same files once.

Only what a tool said when it succeeded is kept. Without the folder `verdicts` of the cache, all tools judge again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from support import cache

# Seconds after which a verdict that is not asked for any more is removed.
KEPT = 30 * 86_400.0


def of_tree(judge: Callable[[], str], tree: Path, wanted: Callable[[str], bool], *facts: object) -> str:
    """What a tool says of a tree.

    :param judge: runs the tool, and raises an error if it does not succeed
    :param tree: where the files are
    :param wanted: says of the path of a file whether the verdict depends on it
    :param facts: what else the verdict depends on: the command, and where its programs are
    """
    folder = cache.directory() / "verdicts"
    kept = folder / f"{_digest(tree, wanted, facts)}.txt"
    if kept.exists():
        kept.touch()
        return kept.read_text()
    said = judge()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        # Another run of the tests may remove it, too.
        with contextlib.suppress(FileNotFoundError):
            if old.stat().st_mtime < time.time() - KEPT:
                old.unlink()
    written = kept.with_suffix(f".{os.getpid()}")
    written.write_text(said)
    written.rename(kept)
    return said


def _digest(tree: Path, wanted: Callable[[str], bool], facts: tuple[object, ...]) -> str:
    digest = hashlib.sha256(repr(facts).encode())
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if name.split("/")[0] == ".git" or not (path.is_symlink() or path.is_file()) or not wanted(name):
            continue
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        digest.update(repr((name, path.lstat().st_mode, len(content))).encode() + content)
    return digest.hexdigest()
