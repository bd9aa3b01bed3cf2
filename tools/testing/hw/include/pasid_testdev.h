/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
/*
 * pasid-testdev: registers, descriptors and completion records
 *
 * Shared by the device model, the user-space driver and the client module.
 * Needs uint8_t ... uint64_t from whoever includes it.  Little endian.
 * Documented register by register in tools/testing/hw/README.rst.
 */
#ifndef PASID_TESTDEV_H
#define PASID_TESTDEV_H

#define PTD_VENDOR_ID		0x1b36	/* QEMU's, device id out of its range */
#define PTD_DEVICE_ID		0x11e9

/* BAR0, 64 KiB: page 0 for the device, then one page for each queue */
#define PTD_ID			0x000	/* ro, 32: PTD_ID_VALUE */
#define PTD_ID_VALUE		0x31445450	/* "PTD1" */
#define PTD_CAPS		0x004	/* ro, 32 */
#define PTD_CAPS_QUEUES		0x000000ff	/* number of queues */
#define PTD_CAPS_DEPTH		0x0000ff00	/* descriptors a queue holds */
#define PTD_MAX_LEN		0x008	/* ro, 32: longest transfer, bytes */
#define PTD_STATUS		0x00c	/* ro, 32: enables of config space */
#define PTD_STATUS_PASID	(1u << 0)
#define PTD_STATUS_EXEC		(1u << 1)
#define PTD_STATUS_PRIV		(1u << 2)
#define PTD_STATUS_ATS		(1u << 3)
#define PTD_STATUS_PRI		(1u << 4)
#define PTD_STATUS_BUSMASTER	(1u << 5)
#define PTD_CTRL		0x010	/* rw, 32 */
#define PTD_CTRL_RESET		(1u << 0)	/* reads 0; FLR, config kept */
#define PTD_CTRL_HOLD		(1u << 1)	/* no DMA starts while set */

/* Counters, ro, 64 bit; cleared by reset */
#define PTD_CNT_DESC		0x100	/* descriptors found valid */
#define PTD_CNT_REJECTED	0x108	/* descriptors refused, any reason */
#define PTD_CNT_DROPPED		0x110	/* submitted to a full or off queue */
#define PTD_CNT_READS		0x118	/* reads done, one a page */
#define PTD_CNT_WRITES		0x120	/* writes done, one a page */
#define PTD_CNT_FAULTS		0x128	/* accesses the IOMMU refused */
#define PTD_CNT_ATS_REQ		0x130	/* translation requests */
#define PTD_CNT_ATS_HIT		0x138	/* accesses served by the device TLB */
#define PTD_CNT_ATS_INV		0x140	/* invalidation requests received */
#define PTD_CNT_IRQ		0x148	/* MSI-X messages sent */
#define PTD_CNT_PR		0x150	/* page requests sent */
#define PTD_CNT_PR_GROUP	0x158	/* of these, the last of a group */
#define PTD_CNT_RESP_OK		0x160	/* answers: success */
#define PTD_CNT_RESP_INVALID	0x168	/* invalid request */
#define PTD_CNT_RESP_FAILURE	0x170	/* response failure, any other code */
#define PTD_CNT_RESP_STRAY	0x178	/* that no group waited for */

/*
 * Page requests made by hand: they go out as they are, whatever the PRI
 * capability says, and count for no credit.  SEND of N sends N requests, for
 * as many pages from ADDR on.
 */
#define PTD_PR_ADDR		0x200	/* rw, 64 */
#define PTD_PR_PASID		0x208	/* rw, 32: PTD_PASID_VALID | pasid, 0 */
#define PTD_PR_FLAGS		0x20c	/* rw, 32 */
#define PTD_PR_READ		(1u << 0)
#define PTD_PR_WRITE		(1u << 1)
#define PTD_PR_EXEC		(1u << 2)
#define PTD_PR_PRIV		(1u << 3)
#define PTD_PR_LAST		(1u << 4)	/* of a group: the last of N */
#define PTD_PR_EACH		(1u << 5)	/* each of N is a group: PRGI + i */
#define PTD_PR_PRGI		0x01ff0000	/* index of the (first) group */
#define PTD_PR_PRGI_SHIFT	16
#define PTD_PR_SEND		0x210	/* wo, 32: how many, 65536 at most */
#define PTD_PR_SEND_MAX		65536
/* Requests sent and not answered, of queues only: they have credits */
#define PTD_PR_OUTSTANDING	0x214	/* ro, 32 */

/* Answers received, to any request, oldest first; 512 are kept */
#define PTD_RESP_DEPTH		512
#define PTD_RESP_COUNT		0x220	/* ro, 32 */
#define PTD_RESP_POP		0x224	/* wo, 32: drop the oldest */
#define PTD_RESP		0x228	/* ro, 64: the oldest, 0 if none */
#define PTD_RESP_VALID		(1ull << 63)
#define PTD_RESP_STRAY		(1ull << 62)	/* no group waited for it */
#define PTD_RESP_PASID_VALID	(1ull << 61)
#define PTD_RESP_PASID(r)	((uint32_t)((r) >> 32) & 0xfffff)
#define PTD_RESP_CODE(r)	((uint32_t)((r) >> 16) & 0xf)
#define PTD_RESP_PRGI(r)	((uint32_t)(r) & 0x1ff)

/* Queue q */
#define PTD_QUEUE(q)		(0x1000 * (1 + (q)))
#define PTD_Q_CTRL		0x000	/* rw, 32 */
#define PTD_Q_CTRL_ENABLE	(1u << 0)	/* clearing it aborts all */
#define PTD_Q_CTRL_RELEASE	(1u << 1)	/* reads 0: ends a HOLD op */
#define PTD_Q_STATUS		0x004	/* ro, 32 */
#define PTD_Q_STATUS_BUSY	(1u << 0)	/* a descriptor is in flight */
#define PTD_Q_STATUS_HELD	(1u << 1)	/* stopped at a HOLD */
#define PTD_Q_PENDING		0x008	/* ro, 32: accepted, not completed */
#define PTD_Q_DOORBELL		0x00c	/* wo, 32: submit what DESC holds */
#define PTD_Q_DESC		0x040	/* rw, 64 bytes: struct ptd_desc */
/*
 * The completions of a queue, oldest first, whether or not a record was
 * written to memory; 256 are kept.  A descriptor that is refused as malformed
 * is only found here: nothing it says is trusted, so no record is written.
 */
#define PTD_CPL_DEPTH		256
#define PTD_Q_CPL_COUNT		0x080	/* ro, 32 */
#define PTD_Q_CPL_POP		0x084	/* wo, 32: drop the oldest */
#define PTD_Q_CPL_LOST		0x088	/* ro, 32: pushed out unread */
#define PTD_Q_CPL		0x0a0	/* ro, 32 bytes: struct ptd_record */

#define PTD_OP_NOP		0
#define PTD_OP_MEMMOVE		1	/* src, dst, len */
#define PTD_OP_FILL		2	/* dst, len, imm: 8-byte pattern */
#define PTD_OP_COMPARE		3	/* src, dst, len; result: offset */
#define PTD_OP_CRC32		4	/* src, len, imm: seed; as zlib */
#define PTD_OP_FETCHADD		5	/* dst, imm; len 8; result: old value */
#define PTD_OP_DRAIN		6	/* waits for all before it, any queue */
#define PTD_OP_HOLD		7	/* the queue waits for RELEASE */
#define PTD_OP_FLOOD		8	/* imm reads, untranslated; see below */
#define PTD_OP_MAX		8

/*
 * FLOOD reads 8 bytes at dst, dst + len, dst + 2 * len ..., imm times, and goes
 * on after a refusal; result: how many were refused.  src is the pace:
 */
#define PTD_PACE_BURST		0x0ffffffffull	/* as many at once, then none */
						/* until no fault is pending */
#define PTD_PACE_ROOM		(1ull << 32)	/* as the IOMMU can record */
#define PTD_PACE_NONE		0
#define PTD_FLOOD_MAX		1000000		/* imm is 1 to this */

#define PTD_F_RECORD		(1u << 0)	/* write a completion record */
#define PTD_F_IRQ		(1u << 1)	/* then MSI-X, vector = queue */
/* These two need a PASID, and their enable in the PASID capability */
#define PTD_F_EXEC		(1u << 2)	/* reads of ops 1, 3, 4: execute */
#define PTD_F_PRIV		(1u << 3)	/* privileged mode requested */
#define PTD_F_NO_ATS		(1u << 4)	/* untranslated even if ATS on */
#define PTD_F_NO_PRI		(1u << 5)	/* a miss of ATS is a fault */
/* a miss asks for the rest of its operand, 16 pages at most, in one group */
#define PTD_F_GROUP		(1u << 6)
#define PTD_GROUP_MAX		16
#define PTD_F_ALL		0x7fu

#define PTD_PASID_VALID		(1u << 31)
#define PTD_PASID_MASK		0xfffffu

struct ptd_desc {
	uint8_t		op;		/* PTD_OP_* */
	uint8_t		rsvd0[3];	/* 0 */
	uint32_t	flags;		/* PTD_F_* */
	uint32_t	pasid;		/* PTD_PASID_VALID | pasid, or 0 */
	uint32_t	tag;		/* copied to the record */
	uint64_t	src;
	uint64_t	dst;
	uint64_t	imm;
	uint64_t	record;		/* 32-byte aligned, same PASID */
	uint32_t	len;
	uint32_t	rsvd1;		/* 0 */
	uint64_t	rsvd2;		/* 0 */
};

/* Written with @status last */
struct ptd_record {
	uint32_t	tag;
	uint32_t	done;		/* bytes, before the first failure */
	uint64_t	fault_addr;	/* where the IOMMU refused */
	uint64_t	result;
	uint32_t	rsvd;
	uint32_t	status;		/* PTD_ST_*, never 0 */
};

/*
 * The checks are made in this order, the first that fails counts: BAD_OP,
 * BAD_RSVD, BAD_FLAGS (unknown bits), BAD_PASID, BAD_FLAGS (EXEC, PRIV),
 * BAD_LEN, BAD_ALIGN.  Operands that an op does not use are ignored.
 */
#define PTD_ST_OK		1
#define PTD_ST_BAD_OP		2
#define PTD_ST_BAD_FLAGS	3
#define PTD_ST_BAD_LEN		4	/* 0, over MAX_LEN, or wraps */
#define PTD_ST_BAD_ALIGN	5	/* record, or dst of FETCHADD */
#define PTD_ST_BAD_PASID	6	/* invalid bits, or PASID is off */
#define PTD_ST_BAD_RSVD		7
#define PTD_ST_READ_FAULT	8	/* fault_addr is valid */
#define PTD_ST_WRITE_FAULT	9
#define PTD_ST_MISMATCH		10
#define PTD_ST_RECORD_FAULT	11	/* only in PTD_Q_CPL */
#define PTD_ST_NO_BUSMASTER	12
#define PTD_ST_BUS_ERROR	13	/* translated, but nothing is there */

/* BAR2: MSI-X, a vector for each queue */

#endif
