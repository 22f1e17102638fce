/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbers of SCSI that more than one process speaks of: operation codes,
 * status, sense keys, additional sense codes.  Constants only: no layout, no
 * behaviour.
 */
#ifndef PROTO_SCSI_H
#define PROTO_SCSI_H

/* Status codes, SAM-5 5.3.1 table 37. */
enum scsi_status {
	STATUS_GOOD = 0x00,
	STATUS_CHECK_CONDITION = 0x02,
	STATUS_CONDITION_MET = 0x04,
	STATUS_BUSY = 0x08,
	STATUS_RESERVATION_CONFLICT = 0x18,
	STATUS_TASK_SET_FULL = 0x28,
	STATUS_ACA_ACTIVE = 0x30,
	STATUS_TASK_ABORTED = 0x40,
};

/* Sense keys, SPC-4 4.5.6 table 53. */
enum sense_key {
	NO_SENSE = 0x0,
	RECOVERED_ERROR = 0x1,
	NOT_READY = 0x2,
	MEDIUM_ERROR = 0x3,
	HARDWARE_ERROR = 0x4,
	ILLEGAL_REQUEST = 0x5,
	UNIT_ATTENTION = 0x6,
	DATA_PROTECT = 0x7,
	BLANK_CHECK = 0x8,
	COPY_ABORTED = 0xa,
	ABORTED_COMMAND = 0xb,
	VOLUME_OVERFLOW = 0xd,
	MISCOMPARE = 0xe,
	COMPLETED = 0xf,
};

/* Operation codes, SPC-4 annex E.3; opcodes of more than one length carry it. */
enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0a,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_VARIABLE_LENGTH = 0x7f,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8a,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_MAINTENANCE_IN = 0xa3,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
};

/* Service actions. */
enum {
	SAI_READ_CAPACITY_16 = 0x10, /* of 9Eh, SBC-3 5.16 */
	MI_REPORT_SUPPORTED_OPCODES = 0x0c, /* of A3h, SPC-4 6.35 */
	MI_REPORT_SUPPORTED_TMF = 0x0d, /* of A3h, SPC-4 6.36 */
};

/*
 * Additional sense code and qualifier, ASC << 8 | ASCQ (SPC-4 annex E.2):
 * X(name, value, text as the standard has it).
 */
#define SCSI_ASC_LIST(X)                                                                           \
	X(ASC_NONE, 0x0000, "NO ADDITIONAL SENSE INFORMATION")                                     \
	X(ASC_LU_NOT_READY, 0x0400, "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE")                \
	X(ASC_LU_BECOMING_READY, 0x0401, "LOGICAL UNIT IS IN PROCESS OF BECOMING READY")           \
	X(ASC_WRITE_ERROR, 0x0c00, "WRITE ERROR")                                                  \
	X(ASC_UNEXPECTED_UNSOLICITED_DATA, 0x0c0c, "WRITE ERROR - UNEXPECTED UNSOLICITED DATA")    \
	X(ASC_NOT_ENOUGH_UNSOLICITED_DATA, 0x0c0d, "WRITE ERROR - NOT ENOUGH UNSOLICITED DATA")    \
	X(ASC_UNRECOVERED_READ_ERROR, 0x1100, "UNRECOVERED READ ERROR")                            \
	X(ASC_PARAMETER_LIST_LENGTH, 0x1a00, "PARAMETER LIST LENGTH ERROR")                        \
	X(ASC_INVALID_OPCODE, 0x2000, "INVALID COMMAND OPERATION CODE")                            \
	X(ASC_LBA_OUT_OF_RANGE, 0x2100, "LOGICAL BLOCK ADDRESS OUT OF RANGE")                      \
	X(ASC_INVALID_FIELD_IN_CDB, 0x2400, "INVALID FIELD IN CDB")                                \
	X(ASC_LU_NOT_SUPPORTED, 0x2500, "LOGICAL UNIT NOT SUPPORTED")                              \
	X(ASC_INVALID_FIELD_IN_LIST, 0x2600, "INVALID FIELD IN PARAMETER LIST")                    \
	X(ASC_WRITE_PROTECTED, 0x2700, "WRITE PROTECTED")                                          \
	X(ASC_SPACE_ALLOCATION_FAILED, 0x2707, "SPACE ALLOCATION FAILED WRITE PROTECT")            \
	X(ASC_MEDIUM_MAY_HAVE_CHANGED, 0x2800, "NOT READY TO READY CHANGE, MEDIUM MAY HAVE "       \
					       "CHANGED")                                          \
	X(ASC_POWER_ON_OR_RESET, 0x2900, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED")          \
	X(ASC_POWER_ON, 0x2901, "POWER ON OCCURRED")                                               \
	X(ASC_BUS_DEVICE_RESET, 0x2903, "BUS DEVICE RESET FUNCTION OCCURRED")                      \
	X(ASC_NEXUS_LOSS, 0x2907, "I_T NEXUS LOSS OCCURRED")                                       \
	X(ASC_MODE_PARAMETERS_CHANGED, 0x2a01, "MODE PARAMETERS CHANGED")                          \
	X(ASC_CAPACITY_CHANGED, 0x2a09, "CAPACITY DATA HAS CHANGED")                               \
	X(ASC_COMMANDS_CLEARED, 0x2f00, "COMMANDS CLEARED BY ANOTHER INITIATOR")                   \
	X(ASC_SAVING_NOT_SUPPORTED, 0x3900, "SAVING PARAMETERS NOT SUPPORTED")                     \
	X(ASC_MEDIUM_NOT_PRESENT, 0x3a00, "MEDIUM NOT PRESENT")                                    \
	X(ASC_TIMEOUT_ON_LU, 0x3e02, "TIMEOUT ON LOGICAL UNIT")                                    \
	X(ASC_INQUIRY_DATA_CHANGED, 0x3f03, "INQUIRY DATA HAS CHANGED")                            \
	X(ASC_REPORTED_LUNS_CHANGED, 0x3f0e, "REPORTED LUNS DATA HAS CHANGED")                     \
	X(ASC_INTERNAL_TARGET_FAILURE, 0x4400, "INTERNAL TARGET FAILURE")                          \
	X(ASC_DATA_PHASE_CRC, 0x4705, "PROTOCOL SERVICE CRC ERROR")                                \
	X(ASC_DATA_PHASE_ERROR, 0x4b00, "DATA PHASE ERROR")                                        \
	X(ASC_OVERLAPPED_COMMANDS, 0x4e00, "OVERLAPPED COMMANDS ATTEMPTED")                        \
	X(ASC_INSUFFICIENT_RESOURCES, 0x5503, "INSUFFICIENT RESOURCES")

enum scsi_asc {
#define SCSI_ASC_ENUM(name, value, text) name = value,
	SCSI_ASC_LIST(SCSI_ASC_ENUM)
#undef SCSI_ASC_ENUM
};

#endif
