#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Digests: libiscsi with a header digest (it has no other), the raw PDU tool with
# both, right and wrong ones.  The raw tool checks every digest that comes.
. "$(dirname "$0")/lib.sh"
need qemu-img python3
raw() { timeout -k 2 60 python3 "$ROOT/tests/tools/rawpdu.py" "$URL" -c "$1" || fail "$2"; }

dd if=/dev/urandom of="$T/in.img" bs=1M count=16 status=none
truncate -s 16M "$T/disk.img"
start_lun "$T/disk.img"

# Not in the URL: libiscsi 1.19 writes through a null pointer when QEMU parses it.
name=${URL#iscsi://*/}
opts=driver=iscsi,transport=tcp,portal=$PORTAL,target=${name%/*},lun=0,header-digest=crc32c
timeout 60 qemu-img convert -n --image-opts driver=raw,file.driver=file,file.filename="$T/in.img" \
	--target-image-opts "$opts" || fail "convert with a header digest"
timeout 60 qemu-img compare --image-opts "driver=raw,file.driver=file,file.filename=$T/in.img" \
	"$opts" || fail "compare with a header digest"
timeout 60 qemu-img compare -f raw -F raw "$T/in.img" "$URL" || fail "compare without"

raw '
import os
for hd in ("None", "CRC32C", "CRC32C,None", "None,CRC32C"):
    for dd in ("None", "CRC32C", "CRC32C,None", "None,CRC32C"):
        for r2t in ("Yes", "No"):
            s = login(url, {"HeaderDigest": hd, "DataDigest": dd, "InitialR2T": r2t,
                            "FirstBurstLength": "65536", "MaxRecvDataSegmentLength": "65536"})
            assert (s.params["HeaderDigest"], s.params["DataDigest"]) == \
                (hd.partition(",")[0], dd.partition(",")[0])
            reap(s)
            data = os.urandom(512 * 300)
            s.scsi(write10(7, 300), out=data).good()
            assert s.scsi(read10(7, 300), edtl_in=len(data)).good().data == data
            assert s.scsi(inquiry(33), edtl_in=33).good()
            s.scsi(bytes([0xff]) + bytes(5))  # sense
            s.logout()
' "all combinations"

# RFC 7143 7.8
raw '
both = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C", "InitialR2T": "No"}
s = login(url, both); reap(s)
good = bytes(4096)
s.scsi(write10(0, 8), out=good).good()
c = s.conn.send(ScsiCommand(cdb=write10(0, 8), edtl=4096, lun=s.lun, write=1, final=0))
s.conn.send(DataOut(itt=c.itt, ttt=NO_TAG, offset=0, data_sn=0, final=0, data=b"x" * 2048,
                    data_digest="bad"))
s.conn.expect(Reject, reason=2)
s.conn.send(DataOut(itt=c.itt, ttt=NO_TAG, offset=2048, data_sn=1, final=1, data=b"x" * 2048))
r = s.conn.expect(ScsiResponse, itt=c.itt, status=2)
assert (r.data[4] & 15, r.data[14], r.data[15]) == (0xb, 0x47, 5), r.data.hex()
assert s.scsi(read10(0, 8), edtl_in=4096).good().data == good
s.conn.send(ScsiCommand(cdb=read10(0, 8), edtl=4096, lun=s.lun, read=1, header_digest="bad"))
s.conn.expect_closed()
s = login(url, both); reap(s)
s.logout()
' "wrong digests"
stop_run
grep -q 'header digest error' "$T/run.err" || fail "the header digest error is not in the log"
echo "PASS"
