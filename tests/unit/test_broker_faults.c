/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker when workers fail at an awkward moment or in an awkward way; the
 * language of the rows is in broker_rig.h.
 */
#include "tests/unit/broker_rig.h"

/* The LUN is offline for a moment while a second session opens it: its next
 * LunOpen comes while scsid still forgets the first. */
static const struct row refused_and_asked_again[] = {
	{ "session 2 " IQN, "portal.0<SessionOpened c2 err0 n2" },
	{ "open 8 2 0 1", "scsid.a<NexusAdd 2 on 1 fresh" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", NULL },
	{ "failed storaged a 2", "portal.0<LunOpened c8 err16; scsid.a<NexusDrop 2" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e3" },
	{ "exited storaged a exit 1", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", NULL },
	{ "ready storaged a 1048576", "" },
	{ "open 9 2 0 1", "" },
	{ "nexus+ a 2", "" },
	{ "nexus- a 2", "scsid.a<NexusAdd 2 on 1 fresh" },
	{ "nexus+ a 2", "portal.0<LunOpened c9 lane1 e1" },
	{ 0 },
};

/* The memory is bad: each end would accuse the other for ever. */
static const struct row lower_lane_accused_twice[] = {
	{ "violation scsid a 0", "kill tgt-storaged@a; scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e2 +5; storaged.a<PoolAttach 1 +1; storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ "violation scsid a 0",
	  "kill tgt-storaged@a; kill tgt-scsid@a; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e4 fresh +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e4 fresh +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ "ready scsid a", "" },
	{ "violation scsid a 0", "kill tgt-storaged@a; scsid.a<LaneEpoch 0 e5" },
	{ 0 },
};

/* What the killed one left cannot even be attached; one that waited with its
 * Hello gets the new memory too. */
static const struct row lower_lane_cannot_be_attached[] = {
	{ "violation storaged a 0",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "failed scsid a 71",
	  "kill tgt-scsid@a; kill tgt-storaged@a; portal.0<LaneEpoch 1 e3" },
	{ "exited scsid a exit 1", "" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e4 fresh +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ 0 },
};

static const struct row lower_lane_faults_not_in_a_row[] = {
	{ "violation storaged a 0",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a killed 9", "" },
	{ "tick", "" }, { "tick", "" }, { "tick", "" }, { "tick", "" }, { "tick", "" },
	{ "tick", "" }, { "tick", "" }, { "tick", "" }, { "tick", "" }, { "tick", "" },
	{ "started scsid a", "" },
	{ "hello scsid a", NULL },
	{ "violation storaged a 0",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e3; portal.0<LaneEpoch 1 e3" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e3 +5; scsid.a<LaneOpen 1 e3 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ 0 },
};

static const struct row the_service_ends[] = {
	{ "terminate", "" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a exit 0 stays", "" },
	{ "revive a", "" },
	{ "hangup storaged a", "" },
	{ "exited storaged a exit 0 stays", "" },
	{ 0 },
};

static const struct script scripts[] = {
	{ "refused and asked again", 2, refused_and_asked_again },
	{ "lower lane accused twice", 2, lower_lane_accused_twice },
	{ "lower lane cannot be attached", 2, lower_lane_cannot_be_attached },
	{ "lower lane: faults not in a row", 2, lower_lane_faults_not_in_a_row },
	{ "the service ends", 2, the_service_ends },
};

static void
test_scripts(void)
{
	play_scripts(scripts, ARRAY_SIZE(scripts));
}

int
main(void)
{
	TEST(test_scripts);
	return tap_done();
}
