#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A whole image goes in and out through iSCSI and comes back the same.
. "$(dirname "$0")/lib.sh"
need qemu-img
SIZE=${SIZE:-1024} # MiB

head -c ${SIZE}M /dev/urandom > "$T/src.img"
truncate -s ${SIZE}M "$T/disk.img"
start_lun "$T/disk.img"
qemu-img convert -n -f raw -O raw "$T/src.img" "$URL" || fail "convert to the target"
qemu-img compare -f raw -F raw "$T/src.img" "$URL" || fail "compare through the target"
qemu-img convert -f raw -O raw "$URL" "$T/back.img" || fail "convert from the target"
stop_run
cmp "$T/src.img" "$T/disk.img" || fail "the file behind the LUN differs from the source"
cmp "$T/src.img" "$T/back.img" || fail "what was read back differs from the source"
echo "PASS: ${SIZE} MiB both ways"
