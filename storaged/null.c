/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store of nothing, for measuring everything else: reads are zeros, writes
 * are forgotten.  Must not let a read leave the pool's old bytes in place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storaged/backends.h"

static int
null_open(const struct backend_conf *conf, struct backend **out, struct backend_report *rep)
{
	struct backend *b;
	int rc;

	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	if (!conf->size) {
		snprintf(rep->text, sizeof(rep->text), "a LUN on the null backend needs a "
			 "size; it has no file that would tell one");
		rep->permanent = true;
		free(b);
		return -EINVAL;
	}
	rc = backend_fit(conf, "the null store", conf->size, &b->size, rep);
	if (rc) {
		free(b);
		return rc;
	}
	b->type = &backend_null;
	b->caps = backend_null.caps;
	*out = b;
	return 0;
}

static void
null_submit(struct backend *b, struct blk_req *r)
{
	if (r->op == BLK_READ)
		for (unsigned i = 0; i < r->n_iov; i++)
			memset(r->iov[i].iov_base, 0, r->iov[i].iov_len);
	blk_done(r, 0);
}

static void
null_close(struct backend *b)
{
	free(b);
}

const struct backend_type backend_null = {
	.name = "null",
	.caps = BLK_CAP_FLUSH | BLK_CAP_FUA,
	.open = null_open,
	.submit = null_submit,
	.close = null_close,
};
