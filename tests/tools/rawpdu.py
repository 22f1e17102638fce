#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a script with the raw PDU tool:

	rawpdu.py iscsi://HOST[:PORT]/TARGET/LUN SCRIPT [ARGS]
	rawpdu.py URL -c 'print(session().scsi(inquiry(), edtl_in=96).good().data)'

The script sees everything of the package rawpdu, `url`, `args`, and session(),
which logs in when it is first called, and takes the unit attentions.  Exit 0: it ran through; 1: the
target answered something else than expected (printed); 2: wrong usage."""
import functools
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rawpdu  # noqa: E402  (the package beside this file)


def open_session(url):
    s = rawpdu.login(url)
    rawpdu.reap(s)
    return s


def main(argv):
    if len(argv) < 3 or argv[1] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        url = rawpdu.Url(argv[1])
    except ValueError as e:
        print(f"rawpdu: {e}", file=sys.stderr)
        return 2
    if argv[2] == "-c":
        name, source, rest = "-c", argv[3] if len(argv) > 3 else "", argv[4:]
    else:
        name, rest = argv[2], argv[3:]
        with open(name) as f:
            source = f.read()
    names = {n: getattr(rawpdu, n) for n in dir(rawpdu) if not n.startswith("_")}
    names.update(url=url, args=rest, session=functools.cache(lambda: open_session(url)))
    code = compile(source, name, "exec")
    try:
        exec(code, names)  # the operator's own script
    except rawpdu.WireError as e:
        print(f"rawpdu: {e}", file=sys.stderr)
        return 1
    except OSError as e:
        print(f"rawpdu: {url.host} port {url.port}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
