/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tgt-ctl prints is JSON whatever a file is called. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/show.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

#define BAD "\xef\xbf\xbd"

static const struct {
	const char *path, *printed;
} rows[] = { /* RFC 3629 3 and 4 */
	{ "/plain", "/plain" },
	{ "/q\"\\\n\x01", "/q\"\\\n\x01" },
	{ "/\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xbe", "/\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xbe" },
	{ "/\xff\x80", "/" BAD BAD },
	{ "/\xc3", "/" BAD }, /* cut off */
	{ "/\xe2\x82", "/" BAD BAD },
	{ "/\xf0\x9f\x92", "/" BAD BAD BAD },
	{ "/\xc0\xaf", "/" BAD BAD }, /* too long a form */
	{ "/\xe0\x80\x80", "/" BAD BAD BAD },
	{ "/\xed\xa0\x80", "/" BAD BAD BAD }, /* a surrogate */
	{ "/\xf4\x90\x80\x80", "/" BAD BAD BAD BAD }, /* above U+10FFFF */
};

static void
test_json(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Tgt__ControlReply r = TGT__CONTROL_REPLY__INIT;
		Tgt__Lun lun = TGT__LUN__INIT, *luns[] = { &lun };
		const Tgt__ControlReply *list[] = { &r };
		struct answer a = { .r = list, .n = 1 };
		struct json_object *o, *l, *p;
		char *text = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&text, &n);

		lun.path = (char *)(uintptr_t)rows[i].path;
		r.lun = luns;
		r.n_lun = 1;
		CHECK_EQ(show_json(f, &a, SHOW_LUNS), 0);
		fclose(f);
		o = json_tokener_parse(text);
		CHECK(o && json_object_object_get_ex(o, "luns", &l));
		l = json_object_array_get_idx(l, 0);
		CHECK(json_object_object_get_ex(l, "path", &p));
		CHECK_STR(json_object_get_string(p), rows[i].printed);
		json_object_put(o);
		free(text);
	}
}

int
main(void)
{
	TEST(test_json);
	return tap_done();
}
