/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tgt-run decides, apart from what it does: unit names, restart delays,
 * why a process died, sd_notify datagrams, and the words of its command line.
 * Pure: strings and numbers in, strings and numbers out.
 */
#ifndef CTL_RUN_RULES_H
#define CTL_RUN_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/worker.pb-c.h"

enum {
	RUN_INSTANCE_MAX = 64, /* bytes of a LUN name */
	RUN_UNIT_MAX = 96, /* "tgt-storaged@" and an instance, with the NUL */
	RUN_FDNAME_MAX = 255, /* sd_pid_notify_with_fds(3) */
	RUN_IQN_MAX = 223, /* RFC 7143 4.2.7.1 */
};

/* The programs, in the order in which they are stopped. */
enum run_prog { RUN_PORTAL, RUN_SCSID, RUN_STORAGED, RUN_CTLD, RUN_N_PROGS };

extern const char *const run_prog_names[RUN_N_PROGS]; /* "tgt-portal" */

struct run_unit_name {
	enum run_prog prog;
	char instance[RUN_INSTANCE_MAX + 1];
};

/* "tgt-scsid@NAME" as ctld may name it (docs/protocol.md); never tgt-ctld.
 * 0 or -EINVAL. */
int run_parse_unit(const char *s, struct run_unit_name *out);

/*
 * Restart delays in seconds: 10 ms after a process that had been ready; twice
 * as long each time one dies within a second of its start without having been
 * ready, up to 5 s.
 */
struct run_backoff {
	double delay;
};
double run_backoff_next(struct run_backoff *b, bool was_ready, double lived);

/* @status is waitpid's; the flags say what is known besides. */
Tgt__DeathCause run_death_cause(int status, bool watchdog, bool oom, int *code);

/* The lines of one sd_notify(3) datagram that the supervisor understands;
 * the others are ignored, as the protocol wants it. */
struct run_note {
	bool ready;
	bool watchdog;
	bool fdstore;
	bool fdremove;
	char fdname[RUN_FDNAME_MAX + 1]; /* "stored" unless given */
};
/* 0, or -EPROTO: a descriptor name that LISTEN_FDNAMES could not carry. */
int run_parse_note(const char *data, size_t len, struct run_note *out);

/* ---- the command line -------------------------------------------------- */

/* "127.0.0.1:3260", "[::1]:3260", "127.0.0.1", "::1": numeric addresses; port 0,
 * any free one, where none is given.  0 or -EINVAL. */
int run_parse_portal(const char *s, char addr[64], uint32_t *port);

/* "1073741824", "1G", "512M", "64k" (powers of 1024).  0, -EINVAL, -ERANGE. */
int run_parse_size(const char *s, uint64_t *size);

/* A LUN name from a file name: other characters become '-'; @n > 1 is appended
 * to tell two files of one name apart. */
void run_lun_name(const char *path, unsigned n, char out[RUN_INSTANCE_MAX + 1]);

/* iqn.2026-11.org.tgt-ng:<file name in iSCSI's characters> (RFC 3722). */
void run_target_name(const char *path, char out[RUN_IQN_MAX + 1]);

/* 1073741824 -> "1.0 GiB". */
void run_human_size(uint64_t bytes, char out[32]);

#endif
