/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One log format for all processes: lines on stderr, "<N>" syslog priority in
 * front when stderr is not a terminal (sd-daemon(3)), then "name[instance]: ",
 * then the text with key=value fields named alike everywhere (lun= nexus=
 * slot= op= lane=).  What an initiator can trigger goes through
 * log_limited().  Pure modules do not log.
 */
#ifndef PROTO_LOG_H
#define PROTO_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum { LOG_LEVEL_ERR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* @name and @instance are kept, not copied.  TGT_LOG=err|warn|info|debug in the
 * environment takes the place of @max_level. */
void log_open(const char *name, const char *instance, int max_level);
void log_line(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...) log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* True when a line may be written: at most @burst per 5 s per site. */
struct log_limit {
	uint64_t window_ns;
	unsigned count;
	unsigned suppressed;
};
bool log_allowed(struct log_limit *l, unsigned burst);

#define log_limited(level, ...)                                                \
	do {                                                                   \
		static struct log_limit log_limit_;                            \
		if (log_allowed(&log_limit_, 10))                              \
			log_line(level, __VA_ARGS__);                          \
	} while (0)

#endif
