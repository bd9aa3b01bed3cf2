/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
/*
 * iommu-monitor: what the IOMMU models did, and knobs to make them misbehave
 *
 * A PCI function that is never assigned; tests map its BAR0 through sysfs
 * (resource0).  Little endian.  Documented in tools/testing/hw/README.rst.
 */
#ifndef IOMMU_MONITOR_H
#define IOMMU_MONITOR_H

#define IMON_VENDOR_ID		0x1b36
#define IMON_DEVICE_ID		0x11ea

#define IMON_ID			0x000	/* ro, 32: IMON_ID_VALUE */
#define IMON_ID_VALUE		0x314e4f4d	/* "MON1" */
#define IMON_MODES		0x008	/* ro, 64: IOMMU_MON_MODE_* */
#define IMON_ICOUNT		0x010	/* ro, 64: guest instructions so far */
/* 1 if -icount is on, else ICOUNT reads 0 */
#define IMON_ICOUNT_VALID	0x018	/* ro, 32 */

/* Counter query: write the three selectors, read the sum of what matches. */
#define IMON_SEL_EVENT		0x020	/* rw, 32: IOMMU_MON_EV_* */
#define IMON_SEL_SID		0x024	/* rw, 32: bus << 8 | devfn, or ANY */
#define IMON_SEL_PASID		0x028	/* rw, 32: pasid, NONE or ANY */
#define IMON_SEL_ANY		0xffffffffu
#define IMON_SEL_NONE		0xfffffffeu
#define IMON_COUNT		0x030	/* ro, 64 */
#define IMON_CLEAR		0x038	/* wo, 32: all counters to 0 */

/* Knobs; all 0 after reset of the machine */
#define IMON_IGNORE_VTD		0x040	/* rw, 64: bit T ignores type T */
#define IMON_IGNORE_SMMU	0x048	/* rw, 64: index to IGNORE_SMMU_ON */
#define IMON_IGNORE_SMMU_ON	0x050	/* rw, 32: that opcode is ignored */
/*
 * The next device-TLB invalidation of this SID times out; it clears itself
 * when it was used, unless sticky
 */
#define IMON_INV_TIMEOUT	0x054	/* rw, 32: SID | flags, or 0 */
#define IMON_INV_TIMEOUT_ARMED	(1u << 31)
#define IMON_INV_TIMEOUT_STICKY	(1u << 30)
#define IMON_DMA_HOLD		0x058	/* rw, 32: 1 holds all DMA */
/*
 * Surprise removal of the slot this SID sits in.  Reads what became of the
 * last one: 1 removed, 0 no such function or not in a hotplug slot
 */
#define IMON_UNPLUG		0x05c	/* rw, 32: SID */
/*
 * 1 keeps page requests on their way to the IOMMU: until it is 0 again, a
 * device-TLB invalidation of the function completes, or a drain
 */
#define IMON_PRQ_HOLD		0x060	/* rw, 32 */
/* As many pending page requests fill the queue; 0: as it was programmed */
#define IMON_PRQ_DEPTH		0x064	/* rw, 32 */
/*
 * What VT-d's virtual commands do: as they should, end with a status that is
 * none of theirs, find no PASID, or stay in progress until it is not BUSY
 */
#define IMON_VCMD		0x068	/* rw, 32 */
#define IMON_VCMD_OK		0
#define IMON_VCMD_FAIL		1
#define IMON_VCMD_NO_PASID	2
#define IMON_VCMD_BUSY		3

/* Events.  0x000 + T: VT-d invalidation descriptor of type T executed */
#define IOMMU_MON_EV_VTD(t)	(0x000 + (t))
#define IOMMU_MON_VTD_CC	0x1
#define IOMMU_MON_VTD_IOTLB	0x2
#define IOMMU_MON_VTD_DTLB	0x3
#define IOMMU_MON_VTD_IEC	0x4
#define IOMMU_MON_VTD_WAIT	0x5
#define IOMMU_MON_VTD_PIOTLB	0x6
#define IOMMU_MON_VTD_PC	0x7
#define IOMMU_MON_VTD_PDTLB	0x8
#define IOMMU_MON_VTD_PGRP	0x9
/* 0x100 + opcode: SMMUv3 command */
#define IOMMU_MON_EV_SMMU(op)	(0x100 + (op))
#define IOMMU_MON_EV_TRANS	0x200	/* untranslated accesses */
#define IOMMU_MON_EV_ATS	0x201	/* translation requests */
#define IOMMU_MON_EV_WALK	0x202	/* page-table walks */
#define IOMMU_MON_EV_HIT	0x203	/* served by the IOTLB */
#define IOMMU_MON_EV_NOT_WB	0x204	/* SMMUv3: memory not write-back */
/* raised = recorded + collapsed + lost */
#define IOMMU_MON_EV_F_RAISED	0x210
#define IOMMU_MON_EV_F_RECORDED	0x211
#define IOMMU_MON_EV_F_COLLAPSED 0x212
#define IOMMU_MON_EV_F_LOST	0x213
#define IOMMU_MON_EV_IQE	0x220	/* invalidation queue errors */
#define IOMMU_MON_EV_ITE	0x221	/* invalidation time-outs */
/* SMMUv3: invalidations sent to a function whose ATS is off, which answers */
#define IOMMU_MON_EV_ATS_OFF	0x222

/* received = queued + dropped + refused */
#define IOMMU_MON_EV_PR_RECEIVED 0x230
#define IOMMU_MON_EV_PR_QUEUED	0x231
#define IOMMU_MON_EV_PR_DROPPED	0x232	/* the queue was full */
#define IOMMU_MON_EV_PR_REFUSED	0x233	/* by a table entry; a fault */
/* Answers of this code (0 ... 15) by software, and by the IOMMU itself */
#define IOMMU_MON_EV_PR_ANSWERED(c) (0x240 + (c))
#define IOMMU_MON_EV_PR_AUTO(c)	(0x250 + (c))

/* Virtual commands that succeeded, and what was freed and not allocated */
#define IOMMU_MON_EV_VCMD_ALLOC	0x260
#define IOMMU_MON_EV_VCMD_FREE	0x261
#define IOMMU_MON_EV_VCMD_BAD_FREE 0x262

#define IOMMU_MON_MODE_STRICT	(1ull << 0)
#define IOMMU_MON_MODE_NESTING	(1ull << 1)
#define IOMMU_MON_MODE_ATS	(1ull << 2)
#define IOMMU_MON_MODE_ICOUNT	(1ull << 3)

#endif
