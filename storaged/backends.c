/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of backends, and what all of them share at open.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"
#include "storaged/backend.h"
#include "storaged/backends.h"

static const struct backend_type *const backends[] = {
	&backend_null,
	&backend_rdwr,
};

const struct backend_type *
backend_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++)
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	return NULL;
}

const char *
backend_names(char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(backends) && used < size; i++) {
		int n = snprintf(buf + used, size - used, "%s%s", i ? ", " : "",
				 backends[i]->name);

		used += n > 0 ? (size_t)n : 0;
	}
	return buf;
}

int
backend_fit(const struct backend_conf *conf, const char *what, uint64_t bytes,
	    uint64_t *usable, struct backend_report *rep)
{
	uint64_t bs = conf->block_size;
	uint64_t size = conf->size ? conf->size : bytes;

	if (bs < 512 || bs > 4096 || (bs & (bs - 1))) {
		snprintf(rep->text, sizeof(rep->text), "block size %" PRIu64 " is not 512, "
			 "1024, 2048 or 4096", bs);
		rep->permanent = true;
		return -EINVAL;
	}
	if (size > bytes) {
		snprintf(rep->text, sizeof(rep->text), "%s has %" PRIu64 " bytes, fewer than "
			 "the configured %" PRIu64 "; enlarge it or correct the size",
			 what, bytes, size);
		return -EINVAL;
	}
	if (size < bs) {
		snprintf(rep->text, sizeof(rep->text), "%s %s (%" PRIu64 " bytes; a block has "
			 "%" PRIu64 "); give it its size first, such as: truncate -s 1G FILE",
			 what, size ? "is smaller than one block" : "is empty", size, bs);
		rep->permanent = true;
		return -EINVAL;
	}
	if (size % bs)
		snprintf(rep->text, sizeof(rep->text), "%s has %" PRIu64 " bytes, no multiple "
			 "of the block size %" PRIu64 ": the last %" PRIu64 " are not exported",
			 what, size, bs, size % bs);
	*usable = size - size % bs;
	return 0;
}
