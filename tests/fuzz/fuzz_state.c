/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state file: whatever is accepted must print and parse to the same again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[STATE_WHY];
	struct model m, again;

	model_init(&m, NULL);
	if (!state_parse((const char *)data, size, "fuzz", &m, why)) {
		char *text = state_print(&m), *second;

		assert(text);
		model_init(&again, NULL);
		if (state_parse(text, strlen(text), "fuzz", &again, why))
			abort();
		second = state_print(&again);
		assert(second && !strcmp(text, second));
		free(text);
		free(second);
		model_done(&again);
	}
	model_done(&m);
	return 0;
}
