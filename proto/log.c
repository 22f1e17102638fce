/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines: one write(2) a line, so that lines of several processes and
 * threads on one stderr never mix.  Must not allocate, lock or open anything:
 * it is called from sandboxed processes and from every thread.
 */
#include "proto/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static struct {
	const char *name;
	const char *instance;
	int max_level;
	bool prefix; /* "<N>" in front: stderr is not a terminal */
} out = { .name = "tgt", .max_level = LOG_LEVEL_INFO, .prefix = true };

static const struct {
	const char *name;
	int level;
} level_names[] = {
	{ "err", LOG_LEVEL_ERR },
	{ "warn", LOG_LEVEL_WARN },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

void
log_open(const char *name, const char *instance, int max_level)
{
	const char *env = getenv("TGT_LOG");

	out.name = name;
	out.instance = instance;
	out.max_level = max_level;
	out.prefix = !isatty(STDERR_FILENO);
	for (size_t i = 0; env && i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (!strcasecmp(env, level_names[i].name))
			out.max_level = level_names[i].level;
	}
}

/* Appends to a line that is never longer than its buffer less a newline. */
__attribute__((format(printf, 3, 0))) static size_t
append(char *line, size_t len, const char *fmt, va_list ap)
{
	size_t room = LINE_MAX_BYTES - 1 - len;
	int n = vsnprintf(line + len, room, fmt, ap);

	if (n < 0)
		return len;
	return len + ((size_t)n < room ? (size_t)n : room - 1);
}

__attribute__((format(printf, 3, 4))) static size_t
appendf(char *line, size_t len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	len = append(line, len, fmt, ap);
	va_end(ap);
	return len;
}

void
log_line(int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	size_t len = 0, text;
	va_list ap;

	if (level > out.max_level)
		return;
	if (out.prefix)
		len = appendf(line, len, "<%d>", level);
	len = out.instance ? appendf(line, len, "%s[%s]: ", out.name, out.instance) :
			     appendf(line, len, "%s: ", out.name);
	text = len;
	va_start(ap, fmt);
	errno = saved; /* for %m */
	len = append(line, len, fmt, ap);
	va_end(ap);

	/* A name that came from outside must not forge a second line. */
	for (size_t i = text; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved;
}

bool
log_allowed(struct log_limit *l, unsigned burst)
{
	const uint64_t window = UINT64_C(5000000000);
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
	/* Threads may race here; the worst is a line too many or too few. */
	uint64_t begun = __atomic_load_n(&l->window_ns, __ATOMIC_RELAXED);

	if (!begun || now - begun >= window) {
		unsigned lost = __atomic_exchange_n(&l->suppressed, 0, __ATOMIC_RELAXED);

		__atomic_store_n(&l->window_ns, now, __ATOMIC_RELAXED);
		__atomic_store_n(&l->count, 0, __ATOMIC_RELAXED);
		if (lost)
			log_warn("%u lines like the next were suppressed", lost);
	}
	if (__atomic_fetch_add(&l->count, 1, __ATOMIC_RELAXED) < burst)
		return true;
	__atomic_fetch_add(&l->suppressed, 1, __ATOMIC_RELAXED);
	return false;
}
