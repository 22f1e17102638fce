/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second half of start-up: from "has what it needs" to "can do nothing
 * else".  The syscall allow-list of a process is a const array next to its
 * main(), one row a call with a comment why.
 */
#ifndef PROTO_SANDBOX_H
#define PROTO_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sandbox_mode {
	SANDBOX_ENFORCE = 0, /* a call that is not listed kills the process */
	SANDBOX_LOG = 1, /* ... is logged by the kernel and allowed */
};

/* One allowed system call, optionally with one condition on an argument. */
struct sandbox_rule {
	int nr; /* __NR_... as SCMP_SYS gives it */
	int arg; /* index of the argument compared; -1: none */
	uint64_t mask; /* (arg & mask) == value */
	uint64_t value;
	int deny_errno; /* nonzero: do not allow but fail with this errno */
};

#define SANDBOX_ALLOW(name) { .nr = SCMP_SYS(name), .arg = -1 }
#define SANDBOX_ALLOW_IF(name, a, m, v) \
	{ .nr = SCMP_SYS(name), .arg = (a), .mask = (m), .value = (v) }
#define SANDBOX_DENY(name, e) { .nr = SCMP_SYS(name), .arg = -1, .deny_errno = (e) }

/* "enforce" or "log" -> mode; -EINVAL otherwise. */
int sandbox_parse_mode(const char *s, enum sandbox_mode *mode);

/*
 * rlimits (no core, no files to write unless @may_write), uid/gid/capability
 * drop (uid 0: keep the user but drop every capability), no_new_privs,
 * not dumpable, landlock with an empty rule set where the kernel has it,
 * seccomp.  0 or -errno; on failure the process must exit.
 */
int sandbox_enter(enum sandbox_mode mode, uint32_t uid, uint32_t gid,
		  const struct sandbox_rule *rules, size_t n_rules);

#endif
