// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: from the queue to who owns the device
 *
 * What stage 1 or the configuration of a stream refused is for the owner of the
 * device; what stage 2 refused, for the host alone.  Nothing of the host's
 * addresses goes to an owner.  What nobody consumes is printed, a few lines
 * each five seconds.  Events are always read, whatever is printed.
 *
 * An access that waits (a stall) is a page request, and CMD_RESUME its answer.
 * It is asked of the handler of its domain while page requests of the device
 * are on; else it is ended here, and reported as any access that was refused.
 *
 * Locking: smmu->evtq.lock for reading the queue, in it smmu->streams_mutex,
 * which keeps the devices that are found, and arm_smmu_master.iopf_enabled.
 *
 * Chapter numbers are those of the Arm SMMU architecture, IHI 0070F.
 */

#include <linux/iommu.h>
#include <linux/iommu-fault.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/rbtree.h>
#include <kunit/visibility.h>

#include "arm-smmu-v3.h"
#include "fault.h"

/* 7.3: what of an event's record is valid */
#define FAULT_REPORTED		BIT(0)	/* to the owner */
#define FAULT_ADDR		BIT(1)	/* InputAddr */
#define FAULT_PERM		BIT(2)	/* RnW, InD, PnU, S2 */

struct fault_event {
	u8	flags;
	u8	reason;		/* enum iommu_dma_fault_reason */
};

/*
 * By number; all others are of no owner's concern: the stream table is the
 * host's, and so is what comes of it.
 */
static const struct fault_event fault_events[] = {
	/* F_BAD_ATS_TREQ */
	[0x05] = { FAULT_REPORTED | FAULT_ADDR, IOMMU_DMA_FAULT_PERMISSION },
	/* F_TRANSL_FORBIDDEN: InputAddr is translated, and so the host's */
	[0x07] = { FAULT_REPORTED, IOMMU_DMA_FAULT_PERMISSION },
	/* F_STREAM_DISABLED: by S1DSS; C_BAD_SUBSTREAMID */
	[0x06] = { FAULT_REPORTED, IOMMU_DMA_FAULT_NO_PASID },
	[0x08] = { FAULT_REPORTED, IOMMU_DMA_FAULT_NO_PASID },
	/* F_CD_FETCH, C_BAD_CD */
	[0x09] = { FAULT_REPORTED, IOMMU_DMA_FAULT_PASID_FETCH },
	[0x0a] = { FAULT_REPORTED, IOMMU_DMA_FAULT_BAD_PASID },
	/* F_WALK_EABT */
	[0x0b] = { FAULT_REPORTED | FAULT_ADDR | FAULT_PERM,
		   IOMMU_DMA_FAULT_WALK },
	[EVT_ID_TRANSLATION_FAULT] = {
		FAULT_REPORTED | FAULT_ADDR | FAULT_PERM,
		IOMMU_DMA_FAULT_TRANSLATION },
	[EVT_ID_ADDR_SIZE_FAULT] = {
		FAULT_REPORTED | FAULT_ADDR | FAULT_PERM, IOMMU_DMA_FAULT_OOR },
	[EVT_ID_ACCESS_FAULT] = {
		FAULT_REPORTED | FAULT_ADDR | FAULT_PERM,
		IOMMU_DMA_FAULT_ACCESS },
	[EVT_ID_PERMISSION_FAULT] = {
		FAULT_REPORTED | FAULT_ADDR | FAULT_PERM,
		IOMMU_DMA_FAULT_PERMISSION },
	/* F_TLB_CONFLICT: entries that overlap, which are stage 1's to avoid */
	[0x20] = { FAULT_REPORTED | FAULT_ADDR | FAULT_PERM,
		   IOMMU_DMA_FAULT_BAD_PTE },
};

/* Commands of one submission; they are on the stack. */
#define RESUME_BATCH		16

static bool fault_is_stall(const u64 *evt)
{
	u8 id = FIELD_GET(EVTQ_0_ID, evt[0]);

	return id >= EVT_ID_TRANSLATION_FAULT &&
	       id <= EVT_ID_PERMISSION_FAULT && (evt[1] & EVTQ_1_STALL);
}

static u32 fault_perm(const u64 *evt)
{
	u32 perm = evt[1] & EVTQ_1_RnW ? IOMMU_FAULT_PERM_READ :
					 IOMMU_FAULT_PERM_WRITE;

	if (evt[1] & EVTQ_1_InD)
		perm |= IOMMU_FAULT_PERM_EXEC;
	if (evt[1] & EVTQ_1_PnU)
		perm |= IOMMU_FAULT_PERM_PRIV;
	return perm;
}

/* 4.6.1: what becomes of an access that waits.  No CMD_SYNC waits for it. */
static void fault_resume_cmd(u64 cmd[CMDQ_ENT_DWORDS], u32 sid, u32 stag,
			     u64 resp)
{
	cmd[0] = FIELD_PREP(CMDQ_0_OP, CMDQ_OP_RESUME) |
		 FIELD_PREP(CMDQ_RESUME_0_SID, sid) |
		 FIELD_PREP(CMDQ_RESUME_0_RESP, resp);
	cmd[1] = FIELD_PREP(CMDQ_RESUME_1_STAG, stag);
}

static void fault_abort(struct arm_smmu_device *smmu, const u64 *evt)
{
	u64 cmd[CMDQ_ENT_DWORDS];

	fault_resume_cmd(cmd, FIELD_GET(EVTQ_0_SID, evt[0]),
			 FIELD_GET(EVTQ_1_STAG, evt[1]),
			 CMDQ_RESUME_0_RESP_ABORT);
	arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmd, 1, false);
}

/**
 * arm_smmu_page_responses() - The op iommu_ops.page_responses
 * @dev: the device whose accesses wait
 * @answers: the answers
 * @nr: how many
 *
 * Context: any.
 */
void arm_smmu_page_responses(struct device *dev,
			     const struct iommu_page_answer *answers,
			     unsigned int nr)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_device *smmu = master->smmu;
	u64 cmds[RESUME_BATCH * CMDQ_ENT_DWORDS];
	unsigned int i;

	for (; nr; nr -= i, answers += i) {
		for (i = 0; i < nr && i < RESUME_BATCH; i++) {
			const struct iommu_page_response *resp =
				&answers[i].resp;

			fault_resume_cmd(&cmds[i * CMDQ_ENT_DWORDS],
					 master->streams[0].id, resp->grpid,
					 resp->code == IOMMU_PAGE_RESP_SUCCESS ?
						 CMDQ_RESUME_0_RESP_RETRY :
						 CMDQ_RESUME_0_RESP_ABORT);
		}
		arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds, i, false);
	}
}

/* Ask for the page; false: nobody did, and the access is ended. */
static bool fault_request(struct arm_smmu_master *master, const u64 *evt)
{
	struct iopf_fault request = {
		.fault = {
			.type = IOMMU_FAULT_PAGE_REQ,
			.prm = {
				.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
				.grpid = FIELD_GET(EVTQ_1_STAG, evt[1]),
				.perm = fault_perm(evt),
				.addr = FIELD_GET(EVTQ_2_ADDR, evt[2]),
			},
		},
	};
	struct iommu_fault_page_request *prm = &request.fault.prm;

	if (!master->iopf_enabled || (evt[1] & EVTQ_1_S2)) {
		fault_abort(master->smmu, evt);
		return false;
	}

	if (evt[0] & EVTQ_0_SSV) {
		prm->flags |= IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
		prm->pasid = FIELD_GET(EVTQ_0_SSID, evt[0]);
	}
	/* On an error it was answered. */
	return !iommu_report_device_fault(master->dev, &request);
}

/* What an event says to the owner of the device; false: nothing */
VISIBLE_IF_KUNIT
bool fault_decode(const u64 *evt, struct iommu_dma_fault *fault)
{
	u8 id = FIELD_GET(EVTQ_0_ID, evt[0]);
	const struct fault_event *event;

	if (id >= ARRAY_SIZE(fault_events))
		return false;
	event = &fault_events[id];
	if (!(event->flags & FAULT_REPORTED))
		return false;

	*fault = (struct iommu_dma_fault) {
		.hw_reason = id,
		.reason = event->reason,
	};
	if (evt[0] & EVTQ_0_SSV) {
		fault->flags |= IOMMU_DMA_FAULT_F_PASID;
		fault->pasid = FIELD_GET(EVTQ_0_SSID, evt[0]);
	}
	if (event->flags & FAULT_ADDR) {
		fault->flags |= IOMMU_DMA_FAULT_F_ADDR;
		fault->addr = FIELD_GET(EVTQ_2_ADDR, evt[2]);
	}
	if (event->flags & FAULT_PERM) {
		/* Also if it was met on the way to a table of stage 1 */
		if (evt[1] & EVTQ_1_S2)
			return false;
		fault->stage = 1;
		fault->perm = fault_perm(evt);
	}
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(fault_decode);

/* False: it is not the owner's, or there is none. */
static bool fault_report(struct arm_smmu_master *master, const u64 *evt)
{
	struct iommu_dma_fault fault;

	return fault_decode(evt, &fault) &&
	       !iommu_report_dma_fault(master->dev, &fault);
}

static void fault_print(struct arm_smmu_device *smmu, const u64 *evt)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	int i;

	if (!__ratelimit(&limit))
		return;

	dev_info(smmu->dev, "event 0x%02x received:\n",
		 (u8)FIELD_GET(EVTQ_0_ID, evt[0]));
	for (i = 0; i < EVTQ_ENT_DWORDS; i++)
		dev_info(smmu->dev, "\t0x%016llx\n", (unsigned long long)evt[i]);
}

/**
 * arm_smmu_handle_evt() - Do with an event what there is to do
 * @smmu: the SMMU
 * @evt: its record
 *
 * Context: may sleep; smmu->evtq.lock is held.
 */
void arm_smmu_handle_evt(struct arm_smmu_device *smmu, const u64 *evt)
{
	struct arm_smmu_master *master;
	bool taken = false;

	lockdep_assert_held(&smmu->evtq.lock);

	mutex_lock(&smmu->streams_mutex);
	master = arm_smmu_find_master(smmu, FIELD_GET(EVTQ_0_SID, evt[0]));
	if (master && fault_is_stall(evt))
		taken = fault_request(master, evt);
	else if (fault_is_stall(evt))
		fault_abort(smmu, evt);
	if (master && !taken)
		taken = fault_report(master, evt);
	mutex_unlock(&smmu->streams_mutex);

	if (!taken)
		fault_print(smmu, evt);
}

/**
 * arm_smmu_report_loss() - The queue of events was full
 * @smmu: the SMMU
 *
 * Context: may sleep; smmu->evtq.lock is held.
 */
void arm_smmu_report_loss(struct arm_smmu_device *smmu)
{
	struct arm_smmu_stream *stream;
	struct rb_node *node;

	dev_err_ratelimited(smmu->dev,
			    "EVTQ overflow detected -- events lost\n");

	guard(mutex)(&smmu->streams_mutex);

	for (node = rb_first(&smmu->streams); node; node = rb_next(node)) {
		stream = rb_entry(node, struct arm_smmu_stream, node);
		iommu_report_fault_loss(stream->master->dev);
	}
}

/**
 * arm_smmu_drain_faults() - The op iommu_ops.drain_faults
 * @dev: the device
 *
 * No more than what the queue and the accesses that wait can hold is read,
 * whatever comes meanwhile.
 *
 * Context: may sleep.
 */
void arm_smmu_drain_faults(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_device *smmu = master->smmu;
	struct arm_smmu_queue *q = &smmu->evtq.q;
	unsigned int passes;
	bool more;
	u32 cons;

	/*
	 * What was seen in the queue, what is in it now, and what was waiting
	 * for room: each pass makes some.  The last one finds nothing.
	 */
	passes = 3 + DIV_ROUND_UP(smmu->evtq.max_stalls,
				  1 << q->llq.max_n_shift);
	do {
		cons = readl_relaxed(q->cons_reg);
		/* 4.7: what was refused before is recorded, if there is room */
		arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, NULL, 0, true);
		more = arm_smmu_evtq_pass(smmu);
		/* If nobody took anything, there was room all the time. */
	} while (--passes && (more || readl_relaxed(q->cons_reg) != cons));
}

/**
 * arm_smmu_faults_reported() - Does anybody read the queue of events?
 * @smmu: the SMMU
 *
 * Context: any.
 * Return: whether it has an interrupt.
 */
bool arm_smmu_faults_reported(const struct arm_smmu_device *smmu)
{
	return smmu->evtq.q.irq || smmu->combined_irq;
}

/**
 * arm_smmu_master_iopf_supported() - Can accesses of a device wait for a page?
 * @master: the device
 *
 * Context: any.
 * Return: whether they can.
 */
bool arm_smmu_master_iopf_supported(const struct arm_smmu_master *master)
{
	/* We're not keeping track of SIDs in fault events */
	if (master->num_streams != 1)
		return false;

	return master->stall_enabled && master->smmu->evtq.iopf;
}

/**
 * arm_smmu_master_enable_iopf() - Hand accesses that wait to their handlers
 * @master: the device
 *
 * Context: may sleep.
 * Return: 0; -EINVAL if its accesses cannot wait; -EBUSY if it is on; -ENOMEM.
 */
int arm_smmu_master_enable_iopf(struct arm_smmu_master *master)
{
	int ret;

	if (!arm_smmu_master_iopf_supported(master))
		return -EINVAL;
	if (master->iopf_enabled)
		return -EBUSY;

	ret = iopf_queue_add_device(master->smmu->evtq.iopf, master->dev);
	if (ret)
		return ret;

	scoped_guard(mutex, &master->smmu->streams_mutex)
		master->iopf_enabled = true;
	return 0;
}

/**
 * arm_smmu_master_disable_iopf() - End accesses that would wait from now on
 * @master: the device, with iopf_enabled
 *
 * Context: may sleep.
 */
void arm_smmu_master_disable_iopf(struct arm_smmu_master *master)
{
	/* Whoever is asking has done so when this is unlocked. */
	scoped_guard(mutex, &master->smmu->streams_mutex)
		master->iopf_enabled = false;
	iopf_queue_remove_device(master->smmu->evtq.iopf, master->dev);
}
