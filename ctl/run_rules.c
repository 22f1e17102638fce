/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's decisions: see run_rules.h.  Pure. */
#include "ctl/run_rules.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "proto/util.h"

const char *const run_prog_names[RUN_N_PROGS] = {
	[RUN_PORTAL] = "tgt-portal",
	[RUN_SCSID] = "tgt-scsid",
	[RUN_STORAGED] = "tgt-storaged",
	[RUN_CTLD] = "tgt-ctld",
};

#define DIGITS "0123456789"
#define LUN_CHARS DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"

static const struct {
	const char *chars; /* of an instance */
	size_t max;
} grammar[RUN_N_PROGS] = {
	[RUN_PORTAL] = { DIGITS, 4 },
	[RUN_SCSID] = { LUN_CHARS, RUN_INSTANCE_MAX },
	[RUN_STORAGED] = { LUN_CHARS, RUN_INSTANCE_MAX },
	[RUN_CTLD] = { "", 0 }, /* is started by tgt-run alone */
};

int
run_parse_unit(const char *s, struct run_unit_name *out)
{
	const char *at = strchr(s, '@');
	size_t len;

	if (!at)
		return -EINVAL;
	len = strlen(at + 1);
	for (enum run_prog p = 0; p < RUN_N_PROGS; p++) {
		const char *name = run_prog_names[p];

		if (strlen(name) != (size_t)(at - s) || strncmp(name, s, (size_t)(at - s)))
			continue;
		if (!len || len > grammar[p].max || strspn(at + 1, grammar[p].chars) != len)
			return -EINVAL;
		out->prog = p;
		memcpy(out->instance, at + 1, len + 1);
		return 0;
	}
	return -EINVAL;
}

double
run_backoff_next(struct run_backoff *b, bool was_ready, double lived)
{
	const double first = 0.01, longest = 5.0, young = 1.0;

	if (was_ready || b->delay <= 0)
		b->delay = first;
	else if (lived < young)
		b->delay = MIN(b->delay * 2, longest);
	return b->delay;
}

Tgt__DeathCause
run_death_cause(int status, bool watchdog, bool oom, int *code)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS };

	if (WIFEXITED(status)) {
		*code = WEXITSTATUS(status);
		return TGT__DEATH_CAUSE__DEATH_EXIT;
	}
	*code = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		if (*code == faults[i])
			return TGT__DEATH_CAUSE__DEATH_OWN_FAULT;
	}
	if (*code == SIGKILL && watchdog)
		return TGT__DEATH_CAUSE__DEATH_WATCHDOG;
	if (*code == SIGKILL && oom)
		return TGT__DEATH_CAUSE__DEATH_OOM;
	return TGT__DEATH_CAUSE__DEATH_KILLED;
}

static bool
line_is(const char *line, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(line, word, len);
}

static int
note_fdname(const char *name, size_t len, struct run_note *out)
{
	if (!len || len > RUN_FDNAME_MAX)
		return -EPROTO;
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':')
			return -EPROTO;
	}
	memcpy(out->fdname, name, len);
	out->fdname[len] = 0;
	return 0;
}

int
run_parse_note(const char *data, size_t len, struct run_note *out)
{
	static const char fdname[] = "FDNAME=";

	memset(out, 0, sizeof(*out));
	strcpy(out->fdname, "stored");
	while (len) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) : len;

		if (line_is(data, n, "READY=1"))
			out->ready = true;
		else if (line_is(data, n, "WATCHDOG=1"))
			out->watchdog = true;
		else if (line_is(data, n, "FDSTORE=1"))
			out->fdstore = true;
		else if (line_is(data, n, "FDSTOREREMOVE=1"))
			out->fdremove = true;
		else if (n >= sizeof(fdname) - 1 && !memcmp(data, fdname, sizeof(fdname) - 1) &&
			 note_fdname(data + sizeof(fdname) - 1, n - (sizeof(fdname) - 1), out))
			return -EPROTO;
		n += nl != NULL;
		data += n;
		len -= n;
	}
	return 0;
}
