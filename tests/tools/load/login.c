/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iscsi_load before the load: URL, connection, login without authentication,
 * and what must be known of the logical unit.  Blocking, one PDU at a time.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/scsi.h"
#include "proto/util.h"
#include "tests/tools/load/load.h"

enum { TEXT_MAX = 8192, LOGIN_ROUNDS = 8, READY_TRIES = 16, PROBE_TAG = 0x7fff0000 };

/* HOST[:PORT], HOST an IPv6 address in brackets or something without a colon. */
static int
split_host(struct url *u, char *text)
{
	char *host = text + (*text == '[');
	char *end = *text == '[' ? strchr(text, ']') : strchrnul(text, ':');
	char *tail = end && *end == ']' ? end + 1 : end;

	if (!end || end == host || (*tail && (*tail != ':' || !tail[1])) ||
	    (*tail && tail[1 + strspn(tail + 1, "0123456789")]))
		return -1;
	snprintf(u->port, sizeof(u->port), "%s", *tail ? tail + 1 : "3260");
	*end = '\0';
	snprintf(u->host, sizeof(u->host), "%s", host);
	return 0;
}

/* iscsi://HOST[:PORT]/TARGET/LUN */
int
url_parse(struct url *u, const char *text)
{
	char copy[URL_MAX], *target, *lun, *end;
	unsigned long n;

	if (strncmp(text, "iscsi://", 8) || strlen(text + 8) >= sizeof(copy))
		return -1;
	strcpy(copy, text + 8);
	target = strchr(copy, '/');
	lun = strrchr(copy, '/');
	if (!target || lun <= target + 1 || lun - target > ISCSI_NAME_MAX)
		return -1;
	*target++ = '\0';
	*lun++ = '\0';
	n = strtoul(lun, &end, 10);
	if (end == lun || *end || n > 0x3fff)
		return -1;
	u->lun = (unsigned)n;
	snprintf(u->target, sizeof(u->target), "%s", target);
	return split_host(u, copy);
}

static int
dial(const struct url *u)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	struct timeval limit = { .tv_sec = STALL_S };
	int rc, fd = -1, one = 1;

	rc = getaddrinfo(u->host, u->port, &hints, &list);
	if (rc) {
		fprintf(stderr, "iscsi_load: %s: %s\n", u->host, gai_strerror(rc));
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(fd, a->ai_addr, a->ai_addrlen)) {
			int err = errno;

			close(fd);
			fd = -1;
			errno = err;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		fprintf(stderr, "iscsi_load: connect to %s port %s: %s\n", u->host, u->port,
			strerror(errno));
	return fd;
}

static int
send_pdu(struct session *s, uint8_t *pdu, uint32_t data_len)
{
	size_t len = ISCSI_BHS_LEN + data_len + iscsi_pad(data_len);

	put_be24(pdu + BHS_DATA_LEN, data_len);
	memset(pdu + ISCSI_BHS_LEN + data_len, 0, iscsi_pad(data_len));
	for (size_t at = 0; at < len;) {
		ssize_t n = send(s->fd, pdu + at, len - at, MSG_NOSIGNAL);

		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

/* Receives header and data; the data's length, or -1. */
static int
recv_pdu(struct session *s, uint8_t *bhs, uint8_t *data, size_t cap)
{
	uint32_t len, padded;

	if (recv(s->fd, bhs, ISCSI_BHS_LEN, MSG_WAITALL) != ISCSI_BHS_LEN)
		return -1;
	len = get_be24(bhs + BHS_DATA_LEN);
	padded = len + iscsi_pad(len);
	if (bhs[BHS_AHS_WORDS] || padded > cap)
		return -1;
	if (len && recv(s->fd, data, padded, MSG_WAITALL) != (ssize_t)padded)
		return -1;
	s->max_cmd_sn = get_be32(bhs + BHS_MAX_CMD_SN);
	return (int)len;
}

static uint32_t
login_text(const struct session *s, const struct url *u, char *text)
{
	int n = snprintf(text, TEXT_MAX,
			 "InitiatorName=iqn.2026-11.org.tgt-ng:load.%d%c"
			 "TargetName=%s%cSessionType=Normal%c"
			 "HeaderDigest=None%cDataDigest=None%c"
			 "InitialR2T=No%cImmediateData=Yes%cMaxRecvDataSegmentLength=%d%c"
			 "MaxBurstLength=%d%cFirstBurstLength=%d%cMaxOutstandingR2T=1%c"
			 "MaxConnections=1%cDefaultTime2Wait=2%cDefaultTime2Retain=0%c"
			 "ErrorRecoveryLevel=0%cDataPDUInOrder=Yes%cDataSequenceInOrder=Yes%c",
			 getpid(), 0, u->target, 0, 0, 0, 0, 0, 0, OUR_MRDSL, 0, OUR_MRDSL, 0,
			 OUR_MRDSL, 0, 0, 0, 0, 0, 0, 0, 0);

	return (uint32_t)n;
}

/* What the target declared or chose; @text ends with a NUL. */
static void
login_keys(struct session *s, const char *text, int len, uint32_t *first_burst)
{
	for (const char *p = text; p < text + len; p += strlen(p) + 1) {
		const char *v = strchr(p, '=');
		unsigned long n = v ? strtoul(v + 1, NULL, 10) : 0;

		if (!v)
			continue;
		if (!strncmp(p, "MaxRecvDataSegmentLength=", 25))
			s->max_seg = (uint32_t)n & ~3u; /* only the last PDU needs padding */
		else if (!strncmp(p, "MaxBurstLength=", 15))
			s->max_burst = (uint32_t)n;
		else if (!strncmp(p, "FirstBurstLength=", 17))
			*first_burst = (uint32_t)n & ~3u;
		else if (!strcmp(p, "ImmediateData=No"))
			s->immediate = 0;
	}
}

static void
login_header(const struct session *s, uint8_t *h, uint16_t tsih)
{
	memset(h, 0, ISCSI_BHS_LEN);
	h[BHS_OPCODE] = ISCSI_IMMEDIATE | ISCSI_OP_LOGIN_REQ;
	h[BHS_FLAGS] = ISCSI_FLAG_FINAL | ISCSI_STAGE_OPERATIONAL << 2 | ISCSI_STAGE_FULL_FEATURE;
	h[8] = 0x80; /* ISID of the random kind, 11.12.5 */
	put_be24(h + 9, (uint32_t)getpid());
	put_be16(h + 12, (uint16_t)s->id);
	put_be16(h + 14, tsih);
	put_be32(h + BHS_ITT, 1);
	put_be32(h + BHS_CMD_SN, 1);
	put_be32(h + BHS_EXP_STAT_SN, s->exp_stat_sn);
}

int
session_login(struct session *s, const struct url *u)
{
	uint8_t out[ISCSI_BHS_LEN + TEXT_MAX + 4], h[ISCSI_BHS_LEN], in[TEXT_MAX + 1];
	uint32_t len, first_burst = 65536;
	uint16_t tsih = 0;

	s->fd = dial(u);
	if (s->fd < 0)
		return -1;
	put_be16(s->lun, (uint16_t)(u->lun < 256 ? u->lun : 0x4000 | u->lun)); /* SAM-5 4.7 */
	s->max_seg = 8192;
	s->max_burst = OUR_MRDSL;
	s->immediate = UINT32_MAX;
	len = login_text(s, u, (char *)out + ISCSI_BHS_LEN);
	for (int i = 0; i < LOGIN_ROUNDS; i++) {
		int n;

		login_header(s, out, tsih);
		if (send_pdu(s, out, len) || (n = recv_pdu(s, h, in, TEXT_MAX)) < 0) {
			fprintf(stderr, "iscsi_load: login %u: no answer\n", s->id);
			return -1;
		}
		if ((h[BHS_OPCODE] & ISCSI_OP_MASK) != ISCSI_OP_LOGIN_RSP || h[36]) {
			fprintf(stderr, "iscsi_load: login %u to %s: PDU %02x, status %02x%02x\n",
				s->id, u->target, h[BHS_OPCODE], h[36], h[37]);
			return -1;
		}
		in[n] = '\0';
		login_keys(s, (char *)in, n, &first_burst);
		s->exp_stat_sn = get_be32(h + BHS_STAT_SN) + 1;
		s->cmd_sn = get_be32(h + BHS_EXP_CMD_SN);
		tsih = get_be16(h + 14);
		if (h[BHS_FLAGS] & ISCSI_FLAG_FINAL &&
		    (h[BHS_FLAGS] & 3) == ISCSI_STAGE_FULL_FEATURE) {
			s->immediate = MIN(s->immediate, MIN(first_burst, s->max_seg));
			return s->max_seg && s->max_burst ? 0 : -1;
		}
		len = 0;
	}
	fprintf(stderr, "iscsi_load: login %u: no full feature phase\n", s->id);
	return -1;
}

/* One command without data to the target; the SCSI status, or -1. */
static int
command(struct session *s, const uint8_t *cdb, uint8_t *data, uint32_t len)
{
	uint8_t out[ISCSI_BHS_LEN] = { ISCSI_OP_SCSI_CMD }, h[ISCSI_BHS_LEN], in[TEXT_MAX];

	out[BHS_FLAGS] = ISCSI_FLAG_FINAL | (len ? ISCSI_CMD_READ : 0) | ISCSI_ATTR_SIMPLE;
	memcpy(out + BHS_LUN, s->lun, 8);
	put_be32(out + BHS_ITT, PROBE_TAG);
	put_be32(out + CMD_EDTL, len);
	put_be32(out + BHS_CMD_SN, s->cmd_sn++);
	put_be32(out + BHS_EXP_STAT_SN, s->exp_stat_sn);
	memcpy(out + CMD_CDB, cdb, ISCSI_CDB_LEN);
	if (send_pdu(s, out, 0))
		return -1;
	for (;;) {
		int n = recv_pdu(s, h, in, sizeof(in));
		uint8_t op = h[BHS_OPCODE] & ISCSI_OP_MASK;

		if (n < 0)
			return -1;
		if (op == ISCSI_OP_NOP_IN)
			continue;
		if (op != ISCSI_OP_DATA_IN && op != ISCSI_OP_SCSI_RSP)
			return -1;
		if (op == ISCSI_OP_DATA_IN) {
			if (get_be32(h + DATA_OFFSET) || (uint32_t)n > len)
				return -1;
			memcpy(data, in, (size_t)n);
			if (!(h[BHS_FLAGS] & ISCSI_DATA_IN_STATUS))
				continue;
		}
		s->exp_stat_sn = get_be32(h + BHS_STAT_SN) + 1;
		return op == ISCSI_OP_SCSI_RSP && h[RSP_RESPONSE] ? -1 : h[RSP_STATUS];
	}
}

int
session_probe(struct session *s)
{
	static const uint8_t ready[ISCSI_CDB_LEN] = { SCSI_TEST_UNIT_READY };
	static const uint8_t capacity[ISCSI_CDB_LEN] = {
		SCSI_SERVICE_ACTION_IN_16, 0x10, [13] = 32, /* READ CAPACITY (16) */
	};
	uint32_t block = s->load->block;
	uint8_t data[32] = { 0 };
	int rc = -1;

	/* takes the unit attentions of a new nexus */
	for (int i = 0; i < READY_TRIES && rc; i++)
		rc = command(s, ready, NULL, 0);
	if (!rc)
		rc = command(s, capacity, data, sizeof(data));
	s->blocks = get_be64(data) + 1;
	s->block_len = get_be32(data + 8);
	if (rc || !s->block_len || block % s->block_len || block / s->block_len > s->blocks) {
		fprintf(stderr,
			"iscsi_load: session %u: status %d, %llu blocks of %u bytes: not usable\n",
			s->id, rc, (unsigned long long)s->blocks, s->block_len);
		return -1;
	}
	return 0;
}
