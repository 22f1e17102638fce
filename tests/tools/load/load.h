/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of iscsi_load share.  An initiator of its own, written from
 * RFC 7143 and not from the target's code: only byte accessors and the names of
 * constants are common.
 */
#ifndef TESTS_TOOLS_LOAD_H
#define TESTS_TOOLS_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "portal/iscsi.h"
#include "proto/bytes.h"
#include "tests/tools/load/hist.h"

enum {
	OUR_MRDSL = 262144, /* MaxRecvDataSegmentLength and MaxBurstLength that we offer */
	RX_BYTES = 1 << 20, /* asked of one recv */
	STALL_S = 30, /* without an answer: the target hangs */
	VERIFY_CHUNKS = 4096, /* places of a session of --verify: it shall come back to them */
	URL_MAX = 512,
	PIDS_MAX = 256,
};

/* Offsets that one kind of PDU has, RFC 7143 11.3, 11.4, 11.7, 11.8. */
enum {
	RSP_RESPONSE = 2,
	RSP_STATUS = 3, /* Data-In with S as well */
	CMD_EDTL = 20,
	CMD_CDB = 32,
	DATA_SN = 36, /* R2TSN of an R2T */
	DATA_OFFSET = 40,
	R2T_LENGTH = 44,
};

struct url {
	char host[128], port[8], target[256];
	unsigned lun;
};

struct procs {
	unsigned n;
	pid_t pid[PIDS_MAX];
};

struct load {
	unsigned sessions, depth, idle, read_pct;
	uint32_t block;
	bool sequential, verify, json;
	double seconds, warm_up;
	struct procs procs;

	int epoll;
	uint8_t *rx; /* one recv, of whichever session */
	uint8_t *tx; /* what every write carries, without verify */
	uint64_t rng;
	uint64_t inflight, ios, errors;
	uint64_t progress_ns; /* when the last command ended */
	uint32_t run_id; /* in every block that verify writes */
	bool measuring, draining;
	struct hist hist;
};

/* One command; its index is its Initiator Task Tag. */
struct req {
	uint64_t start_ns;
	uint64_t chunk;
	uint8_t *buf; /* one block, with verify */
	uint32_t done; /* bytes that have come, or were sent or asked for: the next offset */
	uint32_t sn; /* DataSN or R2TSN that must come next */
	uint32_t gen;
	bool busy, write, bad;
};

struct chunk {
	uint32_t gen; /* what the last write left there; 0: not known */
	bool busy;
};

struct session {
	struct load *load;
	unsigned id;
	int fd;
	uint8_t lun[8];
	uint32_t cmd_sn, max_cmd_sn, exp_stat_sn;
	uint32_t max_seg, max_burst, immediate; /* bytes; what the target takes */

	uint64_t blocks; /* of the logical unit */
	uint32_t block_len;
	uint64_t first, chunks, next; /* region in units of load->block, next in sequence */

	struct req *req;
	unsigned *free, n_free; /* LIFO */
	struct chunk *map; /* of the region, with verify */
	uint32_t gen;

	/* The PDU that is arriving: header, then data and padding. */
	uint8_t bhs[ISCSI_BHS_LEN];
	unsigned have;
	uint32_t data_left, pad_left;
	uint8_t *into; /* where its data goes, or NULL */
	uint8_t sense[20]; /* the beginning of the data of a response */
	uint32_t sense_len;

	/* Leaving PDUs: [sent, queued) of @iov wait for the socket. */
	struct iovec *iov;
	uint8_t (*hdr)[ISCSI_BHS_LEN];
	unsigned iov_sent, iov_queued, hdr_used, hdr_max;
	bool blocked; /* the socket is full: EPOLLOUT is armed */
};

static inline uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t
random_below(struct load *l, uint64_t n)
{
	l->rng ^= l->rng << 13;
	l->rng ^= l->rng >> 7;
	l->rng ^= l->rng << 17;
	return l->rng % n;
}

/* Counts an error of the target; the first few are printed. */
__attribute__((format(printf, 2, 3))) void complain(struct session *s, const char *fmt, ...);
/* The same where one cannot go on: ends the program with status 3. */
__attribute__((format(printf, 2, 3))) _Noreturn void die(struct session *s, const char *fmt, ...);
void *xcalloc(size_t n, size_t size);

/* login.c: blocking, before the load begins.  0, or -1 with a line on stderr. */
int url_parse(struct url *u, const char *text);
int session_login(struct session *s, const struct url *u);
int session_probe(struct session *s); /* TEST UNIT READY until GOOD, capacity */

/* session.c: the load. */
void session_prepare(struct session *s, unsigned depth);
void session_close(struct session *s);
void session_receive(struct session *s);
void session_send(struct session *s); /* new commands, then everything that is queued */

/* verify.c: what blocks hold.  verify_pick() also decides that a first access writes. */
void verify_pick(struct session *s, struct req *r);
bool verify_read(struct session *s, const struct req *r); /* false: complained */
void verify_end(struct session *s, const struct req *r, bool good);

/* procs.c: what processes have used since they began.  -1: one of them is gone. */
struct usage {
	double cpu_us;
	uint64_t switches;
};
int procs_parse(struct procs *p, const char *list);
int procs_usage(const struct procs *p, struct usage *u);

#endif
