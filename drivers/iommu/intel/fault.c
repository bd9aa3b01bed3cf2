// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unrecoverable faults: from the recording registers to who owns the device;
 * and the answers to page requests
 *
 * The interrupt copies a bounded number of records and clears them, so that
 * the hardware can go on.  Its thread looks the device up and reports; what
 * nobody consumes is printed, a few lines each five seconds.  Records are
 * always read, whatever is printed.
 *
 * A device that raises faults faster than they can be of use to anyone has
 * those of the PASID disabled in its entry, of its PASID directory entry if
 * there is no table (FPD, 9.5 and 9.6), or all of them in its context entry
 * (9.4).
 *
 * Section and table numbers are those of the Intel VT-d specification, 4.1.
 */

#define pr_fmt(fmt)	"DMAR: " fmt

#include <linux/dmar.h>
#include <linux/interrupt.h>
#include <linux/iommu-fault.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <kunit/visibility.h>

#include "iommu.h"
#include "pasid.h"

/* 11.4.14: the upper half of a record */
#define FRCD_LEN		16
#define FRCD_HI_T1		BIT(30)
#define FRCD_LO_PP		BIT(31)
#define FRCD_LO_EXE		BIT(30)
#define FRCD_LO_PRIV		BIT(29)
#define FRCD_LO_T2		BIT(28)

/* The file's own name says too little. */
#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX	"intel_iommu."

/*
 * No VMM can use as many faults of one device, and to read them takes a good
 * part of a processor.
 */
static unsigned int fault_limit __read_mostly = 65536;
module_param(fault_limit, uint, 0644);
MODULE_PARM_DESC(fault_limit,
		 "Faults a device may raise in a second before those of its PASID are disabled, 0: no limit (65536).");

/* PASIDs that may be muted in a second before their device is */
#define FAULT_MUTES	8

/* What the codes of 7.1.3, table 31, mean */
struct fault_reason {
	u8	reason;		/* enum iommu_dma_fault_reason */
	u8	stage;
};

static const struct fault_reason fault_reasons[] = {
	/* legacy mode */
	[0x01 ... 0x02]	= { IOMMU_DMA_FAULT_NO_PASID },
	[0x03]		= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x04]		= { IOMMU_DMA_FAULT_OOR, 2 },
	[0x05 ... 0x06]	= { IOMMU_DMA_FAULT_PERMISSION, 2 },
	[0x07]		= { IOMMU_DMA_FAULT_WALK, 2 },
	[0x08 ... 0x09]	= { IOMMU_DMA_FAULT_PASID_FETCH },
	[0x0a ... 0x0b]	= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x0c]		= { IOMMU_DMA_FAULT_BAD_PTE, 2 },
	/* root, context, PASID directory and table */
	[0x31]		= { IOMMU_DMA_FAULT_NO_PASID },
	[0x38]		= { IOMMU_DMA_FAULT_PASID_FETCH },
	[0x39]		= { IOMMU_DMA_FAULT_NO_PASID },
	[0x3a]		= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x40]		= { IOMMU_DMA_FAULT_PASID_FETCH },
	[0x41]		= { IOMMU_DMA_FAULT_NO_PASID },
	[0x42 ... 0x43]	= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x45 ... 0x46]	= { IOMMU_DMA_FAULT_NO_PASID },
	[0x48]		= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x50]		= { IOMMU_DMA_FAULT_PASID_FETCH },
	[0x51]		= { IOMMU_DMA_FAULT_NO_PASID },
	[0x52]		= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x58]		= { IOMMU_DMA_FAULT_PASID_FETCH },
	[0x59]		= { IOMMU_DMA_FAULT_NO_PASID },
	[0x5a ... 0x5b]	= { IOMMU_DMA_FAULT_BAD_PASID },
	[0x5c ... 0x5d]	= { IOMMU_DMA_FAULT_PERMISSION },
	/* first stage; 0x74 to 0x77: its tables in the second */
	[0x70]		= { IOMMU_DMA_FAULT_WALK, 1 },
	[0x71]		= { IOMMU_DMA_FAULT_TRANSLATION, 1 },
	[0x72]		= { IOMMU_DMA_FAULT_BAD_PTE, 1 },
	[0x73]		= { IOMMU_DMA_FAULT_WALK, 1 },
	[0x74]		= { IOMMU_DMA_FAULT_OOR, 2 },
	[0x75 ... 0x76]	= { IOMMU_DMA_FAULT_TRANSLATION, 2 },
	[0x77]		= { IOMMU_DMA_FAULT_PERMISSION, 2 },
	/* second stage */
	[0x78]		= { IOMMU_DMA_FAULT_WALK, 2 },
	[0x79]		= { IOMMU_DMA_FAULT_TRANSLATION, 2 },
	[0x7a]		= { IOMMU_DMA_FAULT_BAD_PTE, 2 },
	[0x7b]		= { IOMMU_DMA_FAULT_WALK, 2 },
	[0x7c]		= { IOMMU_DMA_FAULT_ACCESS, 2 },
	/* the address, or what was found for it */
	[0x80]		= { IOMMU_DMA_FAULT_OOR, 1 },
	[0x81 ... 0x82]	= { IOMMU_DMA_FAULT_PERMISSION, 1 },
	[0x83 ... 0x84]	= { IOMMU_DMA_FAULT_OOR, 2 },
	[0x85 ... 0x86]	= { IOMMU_DMA_FAULT_PERMISSION },
	[0x87]		= { IOMMU_DMA_FAULT_OOR },
	[0x90]		= { IOMMU_DMA_FAULT_ACCESS, 1 },
};

/* Interrupt remapping, 0x20 to 0x2f: of no guest's concern */
static bool fault_is_dma(u8 code)
{
	return (code & 0xf0) != 0x20;
}

/* What @fault->hw_reason is in generic terms; false: no device's fault */
VISIBLE_IF_KUNIT bool intel_fault_meaning(struct iommu_dma_fault *fault)
{
	u8 code = fault->hw_reason;

	if (code < ARRAY_SIZE(fault_reasons)) {
		fault->reason = fault_reasons[code].reason;
		fault->stage = fault_reasons[code].stage;
	}
	return fault_is_dma(code);
}

/*
 * Is there an entry of the PASID, or of its directory, whose FPD would have kept
 * it from being recorded?  Below are what legacy mode has (0x01 to 0x0c), root
 * table, context table and the requests that a context entry refuses.
 */
VISIBLE_IF_KUNIT bool intel_fault_has_entry(u8 code)
{
	return code >= 0x50;
}

/*
 * Copy and clear what is recorded, as long as there is room.  Returns whether
 * there is something to report.
 */
static bool fault_read(struct intel_iommu *iommu)
{
	unsigned int regs = cap_num_fault_regs(iommu->cap);
	struct intel_fault *fault = &iommu->fault;
	struct intel_fault_record *rec = fault->rec[fault->fill];
	void __iomem *reg;
	u32 status;

	lockdep_assert_held(&iommu->register_lock);

	status = readl(iommu->reg + DMAR_FSTS_REG);
	if (!(status & DMA_FSTS_PPF))
		fault->more = false;
	else if (!fault->more)
		fault->next = dma_fsts_fault_record_index(status) % regs;
	if (status)
		fault->status = status;

	while (status & DMA_FSTS_PPF) {
		u32 hi;

		fault->more = fault->nr == INTEL_FAULT_BATCH;
		if (fault->more)
			break;

		reg = iommu->reg + cap_fault_reg_offset(iommu->cap) +
		      fault->next * FRCD_LEN;
		hi = readl(reg + 12);
		if (!(hi & DMA_FRCD_F))
			break;

		rec[fault->nr].hi = hi;
		rec[fault->nr].lo = readl(reg + 8);
		rec[fault->nr].addr = dma_frcd_page_addr(dmar_readq(reg));
		fault->nr++;
		writel(DMA_FRCD_F, reg + 12);
		fault->next = (fault->next + 1) % regs;
	}

	/* PFO may have come meanwhile: clear what was seen, and no more. */
	status = readl(iommu->reg + DMAR_FSTS_REG);
	if (status & DMA_FSTS_PFO)
		fault->lost = true;
	if (status & (DMA_FSTS_PFO | DMA_FSTS_PRO))
		writel(status & (DMA_FSTS_PFO | DMA_FSTS_PRO),
		       iommu->reg + DMAR_FSTS_REG);

	return fault->nr || fault->lost;
}

#ifdef CONFIG_INTEL_IOMMU
static struct device *fault_dev(struct intel_iommu *iommu, u16 sid)
{
	return device_rbtree_find(iommu, sid);
}

/*
 * Does it go too fast?  The PASID that is seen then is the likely cause.  A
 * device that goes on with others, or that uses one beyond its table, has all
 * its faults disabled, until a nested domain is attached to it.  So has one
 * whose faults come before an entry of a PASID is looked at.  Returns
 * IOMMU_DMA_FAULT_F_MUTED*, what was disabled.
 */
static u32 fault_flood(struct device *dev, u8 code, u32 pasid)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_fault_rate *rate = &info->fault_rate;
	unsigned int limit = READ_ONCE(fault_limit);

	if (time_after_eq(jiffies, rate->start + HZ)) {
		rate->start = jiffies;
		rate->nr = 0;
		rate->mutes = 0;
	}
	if (!limit || ++rate->nr < limit)
		return 0;

	/* The next one has less time. */
	rate->nr = limit / 2;
	if (intel_fault_has_entry(code) && ++rate->mutes < FAULT_MUTES &&
	    intel_pasid_mute(info, pasid)) {
		dev_warn_ratelimited(dev, "too many faults, those of PASID 0x%x are not reported any more\n",
				     pasid);
		return IOMMU_DMA_FAULT_F_MUTED;
	}
	if (!intel_context_mute(info, true))
		return 0;

	/* After it, and there before it: rather once too often than never */
	WRITE_ONCE(rate->muted_all, true);
	dev_warn_ratelimited(dev, "too many faults, they are not reported any more\n");
	return IOMMU_DMA_FAULT_F_MUTED | IOMMU_DMA_FAULT_F_MUTED_ALL;
}

/**
 * intel_fault_unmute() - Report the faults of a device again
 * @info: the device, that a nested domain is attached to
 *
 * Those of other PASIDs that were muted one by one stay so.
 *
 * Context: may sleep.
 */
void intel_fault_unmute(struct device_domain_info *info)
{
	if (!READ_ONCE(info->fault_rate.muted_all))
		return;

	WRITE_ONCE(info->fault_rate.muted_all, false);
	intel_context_mute(info, false);
}

/**
 * intel_iommu_faults_wanted() - The op iommu_ops.faults_wanted
 * @dev: the device
 *
 * But for what is attached and was muted: its owner has been told.
 *
 * Context: may sleep.
 */
void intel_iommu_faults_wanted(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	intel_fault_unmute(info);
	intel_pasid_unmute(info);
}

/* As many answers as this need no memory but the stack. */
#define RESPONSES_SMALL	4

/**
 * intel_page_response_desc() - Page group response, 7.6.1
 * @info: of the device that hears it
 * @flags: IOMMU_FAULT_PAGE_REQUEST_* of the last request of the group
 * @resp: the answer
 * @desc: filled in
 */
void intel_page_response_desc(const struct device_domain_info *info, u32 flags,
			      const struct iommu_page_response *resp,
			      struct qi_desc *desc)
{
	bool pasid = flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
	bool last = flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;

	desc->qw0 = QI_PGRP_PASID(resp->pasid) |
		    QI_PGRP_DID(PCI_DEVID(info->bus, info->devfn)) |
		    QI_PGRP_PASID_P(pasid) |
		    QI_PGRP_RESP_CODE(resp->code) |
		    QI_PGRP_RESP_TYPE;
	desc->qw1 = QI_PGRP_IDX(resp->grpid) | QI_PGRP_LPIG(last);
	desc->qw2 = 0;
	desc->qw3 = 0;
}

/**
 * intel_iommu_page_responses() - The op iommu_ops.page_responses
 * @dev: the device that hears them
 * @answers: the answers
 * @nr: how many
 *
 * One wait for each INTEL_QI_BATCH of them, or less if there is no memory.
 *
 * Context: may sleep.
 */
void intel_iommu_page_responses(struct device *dev,
				const struct iommu_page_answer *answers,
				unsigned int nr)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct qi_desc small[RESPONSES_SMALL], *desc = small;
	unsigned int i, max = RESPONSES_SMALL;
	struct qi_desc *mem = NULL;

	if (nr > max) {
		mem = kmalloc_array(min(nr, INTEL_QI_BATCH), sizeof(*mem),
				    GFP_KERNEL);
		if (mem) {
			desc = mem;
			max = INTEL_QI_BATCH;
		}
	}

	for (; nr; nr -= i, answers += i) {
		for (i = 0; i < nr && i < max; i++)
			intel_page_response_desc(info, answers[i].flags,
						 &answers[i].resp, &desc[i]);
		/*
		 * A time-out of an invalidation by somebody else aborts the
		 * wait, not what is before it.  Sent again, the device would
		 * find it unexpected (PCIe 6.0, 10.5.2.3).
		 */
		qi_submit_sync(info->iommu, desc, i, QI_OPT_NO_RETRY);
	}
	kfree(mem);
}

static void fault_report_lost(struct intel_iommu *iommu)
{
	struct rb_node *node;

	/* Devices come and go under this lock. */
	lockdep_assert_held(&iommu->iopf_lock);

	for (node = rb_first(&iommu->device_rbtree); node; node = rb_next(node))
		iommu_report_fault_loss(rb_entry(node, struct device_domain_info,
						 node)->dev);
}
#else
static struct device *fault_dev(struct intel_iommu *iommu, u16 sid)
{
	return NULL;
}

static u32 fault_flood(struct device *dev, u8 code, u32 pasid)
{
	return 0;
}

static void fault_report_lost(struct intel_iommu *iommu)
{
}
#endif

static void fault_print(struct intel_iommu *iommu,
			const struct intel_fault_record *rec)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	if (!__ratelimit(&limit))
		return;

	pr_err("DRHD: handling fault status reg %x\n", iommu->fault.status);
	dmar_fault_do_one(iommu, dma_frcd_type(rec->hi),
			  dma_frcd_fault_reason(rec->hi),
			  dma_frcd_pasid_present(rec->lo) ?
				dma_frcd_pasid_value(rec->hi) :
				IOMMU_PASID_INVALID,
			  dma_frcd_source_id(rec->lo), rec->addr);
}

/* 11.4.14: T1 and T2 are 00 write, 01 page request, 10 read, 11 AtomicOp */
VISIBLE_IF_KUNIT u32 intel_fault_perm(const struct intel_fault_record *rec)
{
	bool t1 = rec->hi & FRCD_HI_T1, t2 = rec->lo & FRCD_LO_T2;
	u32 perm;

	if (t1 && t2)
		perm = IOMMU_FAULT_PERM_READ | IOMMU_FAULT_PERM_WRITE;
	else if (t1)
		perm = IOMMU_FAULT_PERM_READ;
	else if (t2)
		perm = 0;	/* what a page request is for is not recorded */
	else
		perm = IOMMU_FAULT_PERM_WRITE;

	if (rec->lo & FRCD_LO_EXE)
		perm |= IOMMU_FAULT_PERM_EXEC;
	if (rec->lo & FRCD_LO_PRIV)
		perm |= IOMMU_FAULT_PERM_PRIV;
	return perm;
}

static void fault_report(struct intel_iommu *iommu,
			 const struct intel_fault_record *rec)
{
	struct iommu_dma_fault fault = {
		.flags = IOMMU_DMA_FAULT_F_ADDR,
		.hw_reason = dma_frcd_fault_reason(rec->hi),
		.addr = rec->addr,
	};
	struct device *dev = NULL;

	if (intel_fault_meaning(&fault))
		dev = fault_dev(iommu, dma_frcd_source_id(rec->lo));
	if (!dev) {
		fault_print(iommu, rec);
		return;
	}

	if (dma_frcd_pasid_present(rec->lo)) {
		fault.flags |= IOMMU_DMA_FAULT_F_PASID;
		fault.pasid = dma_frcd_pasid_value(rec->hi);
	}

	fault.perm = intel_fault_perm(rec);

	fault.flags |= fault_flood(dev, fault.hw_reason, fault.pasid);

	if (iommu_report_dma_fault(dev, &fault))
		fault_print(iommu, rec);
}

/* Report what was read, and what there is; false: there was nothing */
static bool fault_pass(struct intel_iommu *iommu)
{
	struct intel_fault *fault = &iommu->fault;
	const struct intel_fault_record *rec;
	unsigned int nr, i;
	bool any, lost;

	/* Keeps the devices that are found. */
	guard(mutex)(&iommu->iopf_lock);

	raw_spin_lock_irq(&iommu->register_lock);
	any = fault_read(iommu);
	rec = fault->rec[fault->fill];
	nr = fault->nr;
	lost = fault->lost;
	fault->fill ^= 1;
	fault->nr = 0;
	fault->lost = false;
	raw_spin_unlock_irq(&iommu->register_lock);

	for (i = 0; i < nr; i++)
		fault_report(iommu, &rec[i]);
	if (lost)
		fault_report_lost(iommu);
	return any;
}

/**
 * dmar_fault_thread() - Report what the interrupt has read
 * @irq: ignored
 * @dev_id: struct intel_iommu
 *
 * Reads on until there is nothing more.
 *
 * Context: may sleep.
 * Return: IRQ_HANDLED
 */
irqreturn_t dmar_fault_thread(int irq, void *dev_id)
{
	while (fault_pass(dev_id))
		cond_resched();
	return IRQ_HANDLED;
}

/**
 * intel_fault_drain() - Report what is recorded now
 * @iommu: the IOMMU
 *
 * What comes meanwhile is left to the interrupt.
 *
 * Context: may sleep.
 */
void intel_fault_drain(struct intel_iommu *iommu)
{
	unsigned int passes = cap_num_fault_regs(iommu->cap) /
			      INTEL_FAULT_BATCH + 2;

	while (passes-- && fault_pass(iommu))
		;
}

/**
 * dmar_fault() - The fault event interrupt
 * @irq: negative if it is none and the caller can sleep
 * @dev_id: struct intel_iommu
 *
 * Context: hard interrupt, or as above.
 * Return: IRQ_WAKE_THREAD if there is something to report.
 */
irqreturn_t dmar_fault(int irq, void *dev_id)
{
	struct intel_iommu *iommu = dev_id;
	unsigned long flags;
	bool any;

	if (irq < 0)
		return dmar_fault_thread(irq, dev_id);

	raw_spin_lock_irqsave(&iommu->register_lock, flags);
	any = fault_read(iommu);
	raw_spin_unlock_irqrestore(&iommu->register_lock, flags);

	return any ? IRQ_WAKE_THREAD : IRQ_HANDLED;
}
