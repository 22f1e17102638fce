/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker against docs/protocol.md: each script is what happens, row by
 * row, and what the broker must say, to whom.  The language of the rows is in
 * broker_rig.h.
 */
#include "tests/unit/broker_rig.h"

static const struct row whole_session[] = {
	{ "started portal 0", "" },
	{ "hello portal 0",
	  "portal.0<PortalConfig; portal.0<TargetList 1; portal.0<ConfigDone" },
	{ "ready portal 0", "" },
	{ "started scsid inventory", "" },
	{ "hello scsid inventory",
	  "scsid.inventory<ScsidConfig inventory; scsid.inventory<ConfigDone" },
	{ "ready scsid inventory", "" },
	{ "lun a", "start tgt-storaged@a; start tgt-scsid@a" },
	{ "started storaged a", "" },
	{ "started scsid a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e1 fresh +5; storaged.a<ConfigDone" },
	{ "hello scsid a", "" },
	{ "ready storaged a 1048576",
	  "scsid.a<ScsidConfig e1 fresh +5; scsid.a<ConfigDone; a up" },
	{ "ready scsid a", "" },
	{ "map 0 a", "portal.0<LunInvalidate" },
	{ "session 1 " IQN, "portal.0<SessionOpened c1 err0 n1" },
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "nexus+ a 1", "portal.0<LunOpened c7 lane1 e1 new +5" },
	{ "open 8 1 5 1", "scsid.inventory<LaneOpen 2 e1 fresh +5" },
	{ "lane+ inventory 2", "scsid.inventory<NexusAdd 1 on 2 fresh" },
	{ "nexus+ inventory 1", "portal.0<LunOpened c8 lane2 e1 new inventory +5" },
	{ "session 2 " IQN, "portal.0<SessionOpened c2 err0 n2" },
	{ "open 9 2 0 1", "scsid.a<NexusAdd 2 on 1 fresh" },
	{ "nexus+ a 2", "portal.0<LunOpened c9 lane1 e1" },
	{ "open 10 2 0 1", "portal.0<LunOpened c10 lane1 e1" },
	{ "close 1", "scsid.a<NexusDrop 1; scsid.inventory<NexusDrop 1" },
	{ "nexus- a 1", "" },
	{ "nexus- inventory 1", "" },
	{ "released 2", "scsid.inventory<LaneClose 2" },
	{ "lane- inventory 2", "" },
	{ "close 2", "scsid.a<NexusDrop 2" },
	{ "nexus- a 2", "" },
	{ "released 1", "scsid.a<LaneClose 1" },
	{ "lane- a 1", "storaged.a<PoolDetach 1" },
	{ "pool- a 1", "" },
	{ 0 },
};

static const struct row scsid_dies[] = {
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a fault 11", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready scsid a", "" },
	{ "exited scsid a killed 9", "" },
	{ "hello scsid a 106", "" },
	{ "started scsid a", "" },
	{ "hangup scsid a",
	  "storaged.a<LaneEpoch 0 e3; portal.0<LaneEpoch 1 e3; "
	  "scsid.a<ScsidConfig e3 +5; scsid.a<LaneOpen 1 e3 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready scsid a", "" },
	{ 0 },
};

static const struct row storaged_dies[] = {
	{ "exited storaged a killed 9", "" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e2 +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ 0 },
};

static const struct row both_die_scsid_first[] = {
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "hangup storaged a", "" },
	{ "exited scsid a killed 9", "" },
	{ "exited storaged a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e3 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e3 +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "ready scsid a", "" },
	{ "ready storaged a 1048576", "" },
	{ 0 },
};

static const struct row both_die_storaged_first[] = {
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e2 +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e3; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e3 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ "ready scsid a", "" },
	{ 0 },
};

static const struct row portal_dies[] = {
	{ "hangup portal 0", "scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "exited portal 0 killed 9", "" },
	{ "started portal 0", "" },
	{ "hello portal 0",
	  "portal.0<PortalConfig; portal.0<TargetList 1; portal.0<ConfigDone" },
	{ "ready portal 0", "" },
	{ "session 1 " IQN, "portal.0<SessionOpened c1 err0 n2" },
	{ "open 7 2 0 1", "" },
	{ "nexus- a 1", "" },
	{ "lane- a 1", "storaged.a<PoolDetach 1; storaged.a<PoolAttach 2 +1" },
	{ "pool+ a 2", "scsid.a<LaneOpen 2 e1 fresh +5" },
	{ "pool- a 1", "" },
	{ "lane+ a 2", "scsid.a<NexusAdd 2 on 2 fresh" },
	{ "nexus+ a 2", "portal.0<LunOpened c7 lane2 e1 new +5" },
	{ 0 },
};

static const struct row portal_dies_then_scsid[] = {
	{ "hangup portal 0", "scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "exited portal 0 killed 9", "" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started portal 0", "" },
	{ "hello portal 0",
	  "portal.0<PortalConfig; portal.0<TargetList 1; portal.0<ConfigDone" },
	{ "ready portal 0", "" },
	{ "session 1 " IQN, "portal.0<SessionOpened c1 err0 n2" },
	{ "open 7 2 0 1", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready scsid a", "scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "nexus- a 1", "" },
	{ "lane- a 1", "storaged.a<PoolDetach 1; storaged.a<PoolAttach 2 +1" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e3" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", "storaged.a<StoragedConfig e3 +5; storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "storaged.a<PoolAttach 2 +1" },
	{ "pool+ a 2", "scsid.a<LaneOpen 2 e1 fresh +5" },
	{ "lane+ a 2", "scsid.a<NexusAdd 2 on 2 fresh" },
	{ "nexus+ a 2", "portal.0<LunOpened c7 lane2 e1 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_storaged_at_poolattach[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", "storaged.a<StoragedConfig e2 +5; storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "nexus+ a 1", "portal.0<LunOpened c7 lane1 e1 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_scsid_at_poolattach[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2" },
	{ "exited scsid a killed 9", "" },
	{ "pool+ a 1", "" },
	{ "started scsid a", "" },
	{ "hello scsid a", "scsid.a<ScsidConfig e2 +5; scsid.a<ConfigDone" },
	{ "ready scsid a", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "nexus+ a 1", "portal.0<LunOpened c7 lane1 e1 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_scsid_at_laneopen[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; scsid.a<ConfigDone" },
	{ "ready scsid a", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "nexus+ a 1", "portal.0<LunOpened c7 lane1 e2 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_storaged_at_laneopen[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e2 +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ "nexus+ a 1", "portal.0<LunOpened c7 lane1 e1 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_scsid_at_nexusadd[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1 fresh; scsid.a<ConfigDone" },
	{ "ready scsid a", "portal.0<LunOpened c7 lane1 e2 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_storaged_at_nexusadd[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "nexus+ a 1", "" },
	{ "started storaged a", "" },
	{ "hello storaged a",
	  "storaged.a<StoragedConfig e2 +5; storaged.a<PoolAttach 1 +1; "
	  "storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "portal.0<LunOpened c7 lane1 e1 new +5" },
	{ 0 },
};

static const struct row a_step_is_lost_portal_at_poolattach[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "hangup portal 0", "storaged.a<PoolDetach 1" },
	{ "exited portal 0 killed 9", "" },
	{ "pool+ a 1", "" },
	{ "pool- a 1", "" },
	{ 0 },
};

static const struct row a_step_is_lost_portal_at_nexusadd[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "lane+ a 1", "scsid.a<NexusAdd 1 on 1 fresh" },
	{ "hangup portal 0", "scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "exited portal 0 killed 9", "" },
	{ "nexus+ a 1", "" },
	{ "nexus- a 1", "" },
	{ "lane- a 1", "storaged.a<PoolDetach 1" },
	{ "pool- a 1", "" },
	{ 0 },
};

static const struct row a_step_is_lost_close_at_laneopen[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1", "scsid.a<LaneOpen 1 e1 fresh +5" },
	{ "close 1", "portal.0<LunOpened c7 err125; scsid.a<LaneClose 1" },
	{ "lane+ a 1", "" },
	{ "lane- a 1", "storaged.a<PoolDetach 1" },
	{ "pool- a 1", "" },
	{ 0 },
};

static const struct row a_worker_cannot_map[] = {
	{ "open 7 1 0 1", "storaged.a<PoolAttach 1 +1" },
	{ "pool+ a 1 12", "portal.0<LunOpened c7 err5" },
	{ "pool- a 1", "" },
	{ "open 8 1 0 1", "storaged.a<PoolAttach 2 +1" },
	{ "pool+ a 2", "scsid.a<LaneOpen 2 e1 fresh +5" },
	{ "lane+ a 2 12", "portal.0<LunOpened c8 err5; storaged.a<PoolDetach 2" },
	{ "pool- a 2", "" },
	{ "open 9 1 0 1", "storaged.a<PoolAttach 3 +1" },
	{ "pool+ a 3", "scsid.a<LaneOpen 3 e1 fresh +5" },
	{ "lane+ a 3", "scsid.a<NexusAdd 1 on 3 fresh" },
	{ "nexus+ a 1 28", "portal.0<LunOpened c9 err28; scsid.a<LaneClose 3" },
	{ "lane- a 3", "storaged.a<PoolDetach 3" },
	{ "pool- a 3", "" },
	{ 0 },
};

static const struct row the_store_fails[] = {
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "open 7 1 0 1", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", "storaged.a<StoragedConfig e2 +5; storaged.a<ConfigDone" },
	{ "failed storaged a 2", "portal.0<LunOpened c7 err16" },
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e3" },
	{ "exited storaged a exit 1", "" },
	{ "open 8 1 0 1", "portal.0<LunOpened c8 err16" },
	{ "started storaged a", "" },
	{ "hello storaged a", "storaged.a<StoragedConfig e3 +5; storaged.a<ConfigDone" },
	{ "ready storaged a 1048576", "" },
	{ "open 9 1 0 1", "storaged.a<PoolAttach 2 +1" },
	{ 0 },
};

static const struct row crash_loop[] = {
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a fault 11", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e3; portal.0<LaneEpoch 1 e3" },
	{ "exited scsid a fault 11", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e3 +5; scsid.a<LaneOpen 1 e3 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e4; portal.0<LaneEpoch 1 e4" },
	{ "exited scsid a fault 11", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e4 +5; scsid.a<LaneOpen 1 e4 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e5; portal.0<LaneEpoch 1 e5" },
	{ "exited scsid a fault 11", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e5 +5; scsid.a<LaneOpen 1 e5 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e6; portal.0<LaneEpoch 1 e6" },
	{ "exited scsid a fault 11", "stop tgt-scsid@a" },
	{ "exited scsid a killed 9 stays", "" },
	{ "open 9 1 0 1", "portal.0<LunOpened c9 err16" },
	{ "revive a", "start tgt-scsid@a" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e6 +5; scsid.a<LaneOpen 1 e6 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready scsid a", "" },
	{ 0 },
};

static const struct row violations[] = {
	{ "violation scsid a 1",
	  "kill tgt-portal@0; scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "exited portal 0 killed 9", "" },
	{ "violation storaged a 0", "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "ready scsid a", "scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
	{ "violation scsid a 0", "kill tgt-storaged@a; kill tgt-scsid@a" },
	{ "exited storaged a killed 9", "" },
	{ 0 },
};

static const struct row violation_by_portal[] = {
	{ "violation portal 0 1",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "violation portal 0 99", "kill tgt-portal@0" },
	{ 0 },
};

static const struct row messages_out_of_turn[] = {
	{ "lane+ a 1",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ "exited scsid a killed 9", "" },
	{ "started scsid a", "" },
	{ "hello scsid a",
	  "scsid.a<ScsidConfig e2 +5; scsid.a<LaneOpen 1 e2 +5; "
	  "scsid.a<NexusAdd 1 on 1; scsid.a<ConfigDone" },
	{ "nexus+ a 1",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e3; portal.0<LaneEpoch 1 e3" },
	{ 0 },
};

static const struct row who_may_say_what[] = {
	{ "ready scsid a",
	  "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e2; portal.0<LaneEpoch 1 e2" },
	{ 0 },
};

static const struct row lane_of_another_lun[] = {
	{ "lun b", "start tgt-storaged@b; start tgt-scsid@b" },
	{ "started storaged b", "" },
	{ "started scsid b", "" },
	{ "hello storaged b",
	  "storaged.b<StoragedConfig e1 fresh +5; storaged.b<ConfigDone" },
	{ "ready storaged b 4096", "b up" },
	{ "hello scsid b", "scsid.b<ScsidConfig e1 fresh +5; scsid.b<ConfigDone" },
	{ "ready scsid b", "" },
	{ "lane- b 1", "kill tgt-scsid@b; storaged.b<LaneEpoch 0 e2" },
	{ 0 },
};

static const struct row strangers[] = {
	{ "hello scsid a 4711", "" },
	{ "tick", "" },
	{ "tick", "" },
	{ "tick", "" },
	{ "tick", "" },
	{ "tick", "" },
	{ "hello portal 1 1", "" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2" },
	{ "tick", "kill tgt-scsid@a" },
	{ "tick", "" },
	{ 0 },
};

static const struct row mapping_changes[] = {
	{ "lun b", "start tgt-storaged@b; start tgt-scsid@b" },
	{ "started storaged b", "" },
	{ "hello storaged b",
	  "storaged.b<StoragedConfig e1 fresh +5; storaged.b<ConfigDone" },
	{ "ready storaged b 4096", "b up" },
	{ "map 3 b", "portal.0<LunInvalidate; scsid.a<LunList 1: 2" },
	{ "open 8 1 3 1", "storaged.b<PoolAttach 2 +1" },
	{ "unmap 3", "portal.0<LunInvalidate; scsid.a<LunList 1: 1" },
	{ 0 },
};

static const struct row a_lun_is_deleted_while_a_lane_is_left[] = {
	{ "close 1", "scsid.a<NexusDrop 1" },
	{ "unmap 0", "portal.0<LunInvalidate" },
	{ "unlun a", "portal.0<LaneRevoke 1" },
	{ "nexus- a 1", "" },
	{ "released 1", "stop tgt-scsid@a" },
	{ "exited scsid a exit 0 stays", "" },
	{ "hangup scsid a", "storaged.a<LaneEpoch 0 e2; stop tgt-storaged@a" },
	{ "hangup storaged a", "" },
	{ "exited storaged a exit 0 stays", "a gone" },
	{ 0 },
};

static const struct row a_lun_that_cannot_be_created[] = {
	{ "lun b", "start tgt-storaged@b; start tgt-scsid@b" },
	{ "started storaged b", "" },
	{ "started scsid b", "" },
	{ "hello scsid b", "" },
	{ "hello storaged b",
	  "storaged.b<StoragedConfig e1 fresh +5; storaged.b<ConfigDone" },
	{ "exited storaged b exit 1", "" },
	{ "failed storaged b 2", "" },
	{ "hangup storaged b", "b down err2" },
	{ "unlun b", "stop tgt-scsid@b; stop tgt-storaged@b" },
	{ "exited storaged b killed 15 stays", "" },
	{ "hangup scsid b", "" },
	{ "exited scsid b killed 15 stays", "b gone" },
	{ 0 },
};

static const struct row two_luns_on_one_store[] = {
	{ "lun b", "start tgt-storaged@b; start tgt-scsid@b" },
	{ "started storaged b", "" },
	{ "hello storaged b",
	  "storaged.b<StoragedConfig e1 fresh +5; storaged.b<ConfigDone" },
	{ "ready storaged b 4096 8 15", "b up" },
	{ "lun c", "start tgt-storaged@c; start tgt-scsid@c" },
	{ "started storaged c", "" },
	{ "hello storaged c",
	  "storaged.c<StoragedConfig e1 fresh +5; storaged.c<ConfigDone" },
	{ "ready storaged c 4096 8 15", "stop tgt-storaged@c; c down err16" },
	{ 0 },
};

static const struct row another_store_under_the_same_name[] = {
	{ "lun b", "start tgt-storaged@b; start tgt-scsid@b" },
	{ "started storaged b", "" },
	{ "started scsid b", "" },
	{ "hello storaged b",
	  "storaged.b<StoragedConfig e1 fresh +5; storaged.b<ConfigDone" },
	{ "hello scsid b", "" },
	{ "ready storaged b 4096 8 15",
	  "scsid.b<ScsidConfig e1 fresh +5; scsid.b<ConfigDone; b up" },
	{ "ready scsid b", "" },
	{ "hangup storaged b", "scsid.b<LaneEpoch 0 e2" },
	{ "exited storaged b killed 9", "" },
	{ "started storaged b", "" },
	{ "hello storaged b", "storaged.b<StoragedConfig e2 +5; storaged.b<ConfigDone" },
	{ "ready storaged b 4096 8 16", "stop tgt-storaged@b" },
	{ 0 },
};

static const struct row resized[] = {
	{ "hangup storaged a", "scsid.a<LaneEpoch 0 e2" },
	{ "exited storaged a killed 9", "" },
	{ "started storaged a", "" },
	{ "hello storaged a", "storaged.a<StoragedConfig e2 +5; storaged.a<ConfigDone" },
	{ "ready storaged a 2097152", "kill tgt-scsid@a; storaged.a<LaneEpoch 0 e3" },
	{ 0 },
};

static const struct row released_with_a_session_on_it[] = {
	{ "session 2 " IQN, "portal.0<SessionOpened c2 err0 n2" },
	{ "open 8 2 0 1", "scsid.a<NexusAdd 2 on 1 fresh" },
	{ "released 1", "scsid.a<NexusDrop 1; scsid.a<NexusDrop 2; scsid.a<LaneClose 1" },
	{ "nexus- a 1", "" },
	{ "nexus- a 2", "storaged.a<PoolAttach 2 +1" },
	{ "lane- a 1", "storaged.a<PoolDetach 1" },
	{ "pool- a 1", "" },
	{ "pool+ a 2", "scsid.a<LaneOpen 2 e1 fresh +5" },
	{ "lane+ a 2", "scsid.a<NexusAdd 2 on 2 fresh" },
	{ "nexus+ a 2", "portal.0<LunOpened c8 lane2 e1 new +5" },
	{ 0 },
};

static const struct script scripts[] = {
	{ "whole session", 0, whole_session },
	{ "scsid dies", 2, scsid_dies },
	{ "storaged dies", 2, storaged_dies },
	{ "both die scsid first", 2, both_die_scsid_first },
	{ "both die storaged first", 2, both_die_storaged_first },
	{ "portal dies", 2, portal_dies },
	{ "portal dies, then scsid", 2, portal_dies_then_scsid },
	{ "a step is lost: storaged at PoolAttach", 1, a_step_is_lost_storaged_at_poolattach },
	{ "a step is lost: scsid at PoolAttach", 1, a_step_is_lost_scsid_at_poolattach },
	{ "a step is lost: scsid at LaneOpen", 1, a_step_is_lost_scsid_at_laneopen },
	{ "a step is lost: storaged at LaneOpen", 1, a_step_is_lost_storaged_at_laneopen },
	{ "a step is lost: scsid at NexusAdd", 1, a_step_is_lost_scsid_at_nexusadd },
	{ "a step is lost: storaged at NexusAdd", 1, a_step_is_lost_storaged_at_nexusadd },
	{ "a step is lost: portal at PoolAttach", 1, a_step_is_lost_portal_at_poolattach },
	{ "a step is lost: portal at NexusAdd", 1, a_step_is_lost_portal_at_nexusadd },
	{ "a step is lost: close at LaneOpen", 1, a_step_is_lost_close_at_laneopen },
	{ "a worker cannot map", 1, a_worker_cannot_map },
	{ "the store fails", 1, the_store_fails },
	{ "crash loop", 2, crash_loop },
	{ "violations", 2, violations },
	{ "violation by portal", 2, violation_by_portal },
	{ "messages out of turn", 2, messages_out_of_turn },
	{ "who may say what", 2, who_may_say_what },
	{ "lane+ of another LUN", 2, lane_of_another_lun },
	{ "strangers", 1, strangers },
	{ "mapping changes", 2, mapping_changes },
	{ "a LUN is deleted while a lane is left", 2, a_lun_is_deleted_while_a_lane_is_left },
	{ "a LUN that cannot be created", 1, a_lun_that_cannot_be_created },
	{ "two LUNs on one store", 1, two_luns_on_one_store },
	{ "another store under the same name", 1, another_store_under_the_same_name },
	{ "resized", 1, resized },
	{ "released with a session on it", 2, released_with_a_session_on_it },
};

static void
test_scripts(void)
{
	play_scripts(scripts, ARRAY_SIZE(scripts));
}

/* docs/architecture.md, Limits: pool address space of a portal, sessions. */
static void
test_limits(void)
{
	static const struct row rows[] = {
		{ "open 7 1 0 1", "portal.0<LunOpened c7 err12" },
		{ "session 2 " IQN, NULL }, { "session 3 " IQN, NULL },
		{ "session 4 " IQN, NULL }, { "session 5 " IQN, NULL },
		{ "session 6 " IQN, NULL }, { "session 7 " IQN, NULL },
		{ "session 8 " IQN, "portal.0<SessionOpened c8 err0 n8" },
		{ "session 9 " IQN, "portal.0<SessionOpened c9 err87 n0" },
		{ "close 8", "" },
		{ "session 9 " IQN, "portal.0<SessionOpened c9 err0 n9" },
		{ "session 9 iqn.2026-11.org.example:nobody", "portal.0<SessionOpened c9 err2 n0" },
		{ 0 },
	};

	rig_begin(POOL_BYTES - 1);
	play(up);
	play(rows);
	rig_end();
}

/* A session stays on its thread; a thread that is not there is a breach. */
static void
test_threads(void)
{
	static const struct row other[] = {
		{ "open 8 1 5 0", "kill tgt-portal@0; scsid.a<NexusDrop 1; scsid.a<LaneClose 1" },
		{ 0 },
	};
	static const struct row none[] = { { "open 8 1 5 2", "kill tgt-portal@0" }, { 0 } };

	rig_begin(UINT64_C(4) << 30);
	play(up);
	play(opened);
	play(other);
	rig_end();
	rig_begin(UINT64_C(4) << 30);
	play(up);
	play(none);
	rig_end();
}

static void
test_info(void)
{
	struct model_mapping *p;
	struct lun_info info;

	rig_begin(UINT64_C(4) << 30);
	play(up);
	p = model_mapping_find(rig.t, 0);
	CHECK(p && !broker_mapping_user(rig.b, p));
	CHECK_EQ(broker_target_sessions(rig.b, rig.t), 1);
	play(opened);
	CHECK_STR(broker_mapping_user(rig.b, p), "iqn.2026-11.org.example:i");
	broker_lun_info(p->lun, &info);
	CHECK_STR(info.state, "online");
	CHECK_EQ(info.size, 1 << 20);
	CHECK_EQ(info.restarts, 0);
	event("hangup storaged a");
	event("exited storaged a killed 9");
	event("started storaged a");
	broker_lun_info(p->lun, &info);
	CHECK_STR(info.state, "starting");
	CHECK_EQ(info.restarts, 1);
	event("hello storaged a");
	event("failed storaged a 2");
	broker_lun_info(p->lun, &info);
	CHECK_STR(info.state, "offline");
	CHECK_STR(info.detail, "a test said so");
	event("close 1");
	CHECK(!broker_mapping_user(rig.b, p));
	CHECK_EQ(broker_target_sessions(rig.b, rig.t), 0);
	rig_end();
}

int
main(void)
{
	TEST(test_scripts);
	TEST(test_limits);
	TEST(test_threads);
	TEST(test_info);
	return tap_done();
}
