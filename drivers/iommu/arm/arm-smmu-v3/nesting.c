// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested translation: a guest's table of context descriptors on stage 2
 *
 * Where there is stage 2, the table of context descriptors is found by
 * intermediate physical addresses (IHI 0070F, 3.4.1).  So it belongs to the
 * guest as a whole, and a binding is the guest's stream table entry: the words
 * 0 and 1 of it, as far as they are about stage 1.  All else is the host's.
 *
 * Stage 2 forces write-back memory (S2FWB): without it, a guest's choice of
 * memory type would go past the caches to memory that the host has cached.
 *
 * Chapter numbers are those of the Arm SMMU architecture, IHI 0070F.
 */

#include <linux/iommu-nesting.h>
#include <linux/iommufd.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <uapi/linux/vfio_nesting.h>
#include <kunit/visibility.h>

#include "arm-smmu-v3.h"
#include "fault.h"
#include "nesting.h"
#include "../../iommu-reset.h"

/* 5.2: what of an entry is about stage 1 and the guest's to say */
#define NESTED_STE_0	(STRTAB_STE_0_V | STRTAB_STE_0_CFG |		\
			 STRTAB_STE_0_S1FMT | STRTAB_STE_0_S1CTXPTR_MASK | \
			 STRTAB_STE_0_S1CDMAX)
#define NESTED_STE_1	(STRTAB_STE_1_S1DSS | STRTAB_STE_1_S1CIR |	\
			 STRTAB_STE_1_S1COR | STRTAB_STE_1_S1CSH |	\
			 STRTAB_STE_1_S1STALLD | STRTAB_STE_1_EATS)

/* Commands of one submission; they are on the stack. */
#define NESTED_BATCH	32
/* How often they are tried until a device that does not answer is the own one */
#define NESTED_TRIES	3

bool arm_smmu_nest_parent_supported(struct arm_smmu_master *master)
{
	const u32 need = ARM_SMMU_FEAT_NESTING | ARM_SMMU_FEAT_S2FWB |
			 ARM_SMMU_FEAT_COHERENCY;

	/* One StreamID: a guest's command names one. */
	return (master->smmu->features & need) == need &&
	       dev_is_pci(master->dev) && master->num_streams == 1;
}

/**
 * arm_smmu_nesting_info() - The op iommu_ops.nesting_info
 * @dev: the device
 * @out: see include/linux/iommu-nesting.h
 *
 * Context: may sleep.
 * Return: 0; -EOPNOTSUPP without both stages, S2FWB or coherent walks.
 */
int arm_smmu_nesting_info(struct device *dev, struct iommu_nesting_info *out)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	int pasid_features = 0;

	if (!arm_smmu_nest_parent_supported(master))
		return -EOPNOTSUPP;

	out->format = VFIO_NESTING_FORMAT_SMMUV3;
	out->data_len = sizeof(struct vfio_nesting_smmuv3_ste);
	out->invalidate_type = VFIO_NESTING_FORMAT_SMMUV3;
	out->invalidate_len = sizeof(struct vfio_nesting_smmuv3_cmd);
	out->features = IOMMU_NESTING_FEAT_BIND_TABLE |
			IOMMU_NESTING_FEAT_INVALIDATE;
	if (arm_smmu_faults_reported(master->smmu)) {
		out->features |= IOMMU_NESTING_FEAT_DMA_FAULT;
		if (arm_smmu_master_iopf_supported(master)) {
			out->features |= IOMMU_NESTING_FEAT_PAGE_REQUEST;
			out->max_requests = master->smmu->evtq.max_stalls;
		}
	}
	if (master->ats_enabled)
		out->flags |= IOMMU_NESTING_ATS;
	if (!master->ssid_bits)
		return 0;

	out->max_pasids = BIT(master->ssid_bits);
	/* All of them were enabled with the PASIDs. */
	if (dev_is_pci(dev))
		pasid_features = max(pci_pasid_features(to_pci_dev(dev)), 0);
	if (pasid_features & PCI_PASID_CAP_EXEC)
		out->flags |= IOMMU_NESTING_PASID_EXEC;
	if (pasid_features & PCI_PASID_CAP_PRIV)
		out->flags |= IOMMU_NESTING_PASID_PRIV;
	return 0;
}

/**
 * arm_smmu_hw_info() - The op iommu_ops.hw_info
 * @dev: the device
 * @length: length of the result in bytes
 * @type: VFIO_NESTING_FORMAT_SMMUV3
 *
 * Context: may sleep.
 * Return: memory that the caller frees, or -ENOMEM.
 */
void *arm_smmu_hw_info(struct device *dev, u32 *length, u32 *type)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct vfio_nesting_smmuv3_hw_info *info;
	u32 __iomem *idr = master->smmu->base + ARM_SMMU_IDR0;
	unsigned int i;

	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return ERR_PTR(-ENOMEM);

	/* 6.3.1 to 6.3.6: IDR0 to IDR5 are next to each other */
	for (i = 0; i < ARRAY_SIZE(info->idr); i++)
		info->idr[i] = readl_relaxed(idr + i);
	info->iidr = readl_relaxed(master->smmu->base + ARM_SMMU_IIDR);
	info->aidr = readl_relaxed(master->smmu->base + ARM_SMMU_AIDR);

	*length = sizeof(*info);
	*type = VFIO_NESTING_FORMAT_SMMUV3;
	return info;
}

/*
 * Check the guest's entry, and bring it into the form that is installed.
 * An entry that is not valid refuses everything, silently for the host.
 */
VISIBLE_IF_KUNIT
int nested_parse_ste(const struct arm_smmu_master *master, u64 ste[2],
		     bool *enable_ats)
{
	const u32 stall = ARM_SMMU_FEAT_STALLS | ARM_SMMU_FEAT_STALL_FORCE;
	struct arm_smmu_device *smmu = master->smmu;
	unsigned int cfg = FIELD_GET(STRTAB_STE_0_CFG, ste[0]);
	unsigned int fmt = FIELD_GET(STRTAB_STE_0_S1FMT, ste[0]);
	unsigned int cdmax = FIELD_GET(STRTAB_STE_0_S1CDMAX, ste[0]);
	unsigned int eats = FIELD_GET(STRTAB_STE_1_EATS, ste[1]);
	bool can_choose = (smmu->features & stall) == ARM_SMMU_FEAT_STALLS;

	if ((ste[0] & ~NESTED_STE_0) || (ste[1] & ~NESTED_STE_1))
		return -EINVAL;

	*enable_ats = false;
	if (!(ste[0] & STRTAB_STE_0_V))
		cfg = STRTAB_STE_0_CFG_ABORT;
	if (cfg == STRTAB_STE_0_CFG_ABORT || cfg == STRTAB_STE_0_CFG_BYPASS) {
		*enable_ats = cfg == STRTAB_STE_0_CFG_BYPASS &&
			      eats == STRTAB_STE_1_EATS_TRANS;
		ste[0] = STRTAB_STE_0_V | FIELD_PREP(STRTAB_STE_0_CFG, cfg);
		ste[1] = 0;
		return 0;
	}

	if (cfg != STRTAB_STE_0_CFG_S1_TRANS || cdmax > master->ssid_bits ||
	    eats > STRTAB_STE_1_EATS_TRANS)
		return -EINVAL;

	if (cdmax && (fmt > STRTAB_STE_0_S1FMT_64K_L2 ||
		      (fmt && !(smmu->features & ARM_SMMU_FEAT_2_LVL_CDTAB)) ||
		      FIELD_GET(STRTAB_STE_1_S1DSS, ste[1]) >
			      STRTAB_STE_1_S1DSS_SSID0))
		return -EINVAL;

	if ((ste[0] & STRTAB_STE_0_S1CTXPTR_MASK) >> smmu->ias)
		return -EINVAL;

	/* 5.2: S1STALLD is ILLEGAL unless there is a choice. */
	if ((ste[1] & STRTAB_STE_1_S1STALLD) && !can_choose)
		return -EINVAL;
	if (can_choose && !master->stall_enabled)
		ste[1] |= STRTAB_STE_1_S1STALLD;

	*enable_ats = eats == STRTAB_STE_1_EATS_TRANS;
	ste[1] &= ~STRTAB_STE_1_EATS;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(nested_parse_ste);

static void nested_make_ste(struct arm_smmu_ste *target,
			    struct arm_smmu_master *master,
			    struct arm_smmu_nested_domain *nested,
			    bool ats_enabled)
{
	u64 cfg = FIELD_GET(STRTAB_STE_0_CFG, nested->ste[0]);

	if (cfg == STRTAB_STE_0_CFG_ABORT) {
		arm_smmu_make_abort_ste(target);
		return;
	}

	arm_smmu_make_s2_domain_ste(target, master, nested->s2_parent,
				    ats_enabled);
	if (cfg == STRTAB_STE_0_CFG_BYPASS)
		return;

	/* 7.3.1: many events of one kind may become one; they are the guest's. */
	target->data[0] = cpu_to_le64((nested->ste[0] & ~STRTAB_STE_0_CFG) |
				      FIELD_PREP(STRTAB_STE_0_CFG,
						 STRTAB_STE_0_CFG_NESTED));
	target->data[1] |= cpu_to_le64(nested->ste[1] | STRTAB_STE_1_MEV |
				       FIELD_PREP(STRTAB_STE_1_STRW,
						  STRTAB_STE_1_STRW_NSEL1));
}

/**
 * arm_smmu_nested_keep_ats() - Does an entry have to be installed in two steps?
 * @master: the device
 * @target: the entry
 * @first: what to install before it, if so
 *
 * EATS is not in the word that leads to stage 1.  When both change, the entry
 * is not valid for a while, and an access of that time is lost: an MSI, too.
 * One after the other, it is always valid.  With the old EATS no more can
 * happen than that the device caches what is dropped when its ATS goes off.
 *
 * Context: as arm_smmu_install_ste_for_dev().
 * Return: whether @first has to be installed.
 */
bool arm_smmu_nested_keep_ats(const struct arm_smmu_master *master,
			      const struct arm_smmu_ste *target,
			      struct arm_smmu_ste *first)
{
	u64 word = le64_to_cpu(target->data[1]);
	unsigned int eats = master->ste_ats_enabled ? STRTAB_STE_1_EATS_TRANS :
						      STRTAB_STE_1_EATS_ABT;

	/* S2FWB: a nest parent, or what is nested on one */
	if (!(word & STRTAB_STE_1_S2FWB) ||
	    FIELD_GET(STRTAB_STE_1_EATS, word) == eats)
		return false;

	*first = *target;
	word &= ~STRTAB_STE_1_EATS;
	first->data[1] = cpu_to_le64(word |
				     FIELD_PREP(STRTAB_STE_1_EATS, eats));
	return true;
}

static void nested_command(struct arm_smmu_device *smmu, u64 word)
{
	u64 cmd[CMDQ_ENT_DWORDS] = { word };

	arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmd, 1, true);
}

/**
 * arm_smmu_nested_flush() - Drop all that went through both stages
 * @s2_parent: a nest parent
 *
 * After a change of stage 2, and before another table is bound: what is left
 * of the old one must not serve the new one.
 *
 * Context: any.
 */
void arm_smmu_nested_flush(struct arm_smmu_domain *s2_parent)
{
	nested_command(s2_parent->smmu,
		       FIELD_PREP(CMDQ_0_OP, CMDQ_OP_TLBI_NH_ALL) |
		       FIELD_PREP(CMDQ_TLBI_0_VMID, s2_parent->s2_cfg.vmid));
}

/*
 * To bind is to do the guest's CFGI_STE, which drops the context descriptors of
 * the stream (4.3.1), also if the entry is what it was: then nothing was sent
 * when it was installed.
 */
static void nested_flush_same(struct arm_smmu_master *master,
			      struct arm_smmu_nested_domain *nested,
			      struct iommu_domain *old)
{
	if (old->type == IOMMU_DOMAIN_NESTED &&
	    !memcmp(nested->ste, to_smmu_nested_domain(old)->ste,
		    sizeof(nested->ste)))
		nested_command(master->smmu,
			       FIELD_PREP(CMDQ_0_OP, CMDQ_OP_CFGI_CD_ALL) |
			       FIELD_PREP(CMDQ_CFGI_0_SID,
					  master->streams[0].id));
}

static int nested_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	struct arm_smmu_nested_domain *nested = to_smmu_nested_domain(domain);
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_attach_state state = {
		.master = master,
		.old_domain = iommu_get_domain_for_dev(dev),
		.ssid = IOMMU_NO_PASID,
	};
	struct arm_smmu_ste ste;
	int ret;

	if (nested->s2_parent->smmu != master->smmu ||
	    !arm_smmu_nest_parent_supported(master))
		return -EINVAL;
	if (arm_smmu_ssids_in_use(&master->cd_table))
		return -EBUSY;

	/* No other attach of this SMMU meanwhile: arm_smmu_attach_prepare() */
	mutex_lock(&arm_smmu_asid_lock);
	ret = arm_smmu_attach_prepare(&state, domain);
	if (!ret) {
		nested_make_ste(&ste, master, nested, state.ats_enabled);
		arm_smmu_install_ste_for_dev(master, &ste);
		nested_flush_same(master, nested, state.old_domain);
		arm_smmu_nested_flush(nested->s2_parent);
		arm_smmu_attach_commit(&state);
	}
	mutex_unlock(&arm_smmu_asid_lock);
	return ret;
}

static void nested_free(struct iommu_domain *domain)
{
	kfree(to_smmu_nested_domain(domain));
}

/* 4.4.1.1: the range of a TLBI by address */
static int nested_check_range(const struct arm_smmu_device *smmu,
			      const u64 cmd[2])
{
	unsigned int num = FIELD_GET(CMDQ_TLBI_0_NUM, cmd[0]);
	unsigned int scale = FIELD_GET(CMDQ_TLBI_0_SCALE, cmd[0]);
	unsigned int ttl = FIELD_GET(CMDQ_TLBI_1_TTL, cmd[1]);
	unsigned int tg = FIELD_GET(CMDQ_TLBI_1_TG, cmd[1]);
	u64 granule = BIT_ULL(tg * 2 + 10);

	if (!tg)
		return num || scale || ttl ? -EINVAL : 0;

	if (!(smmu->features & ARM_SMMU_FEAT_RANGE_INV))
		return -EOPNOTSUPP;

	/* One page without a level is reserved; larger ones have no level 1. */
	if (!(smmu->pgsize_bitmap & granule) ||
	    (cmd[1] & CMDQ_TLBI_1_VA_MASK & (granule - 1)) ||
	    (!num && !scale && !ttl) || (tg > 1 && ttl == 1))
		return -EINVAL;
	return 0;
}

static bool nested_only(const u64 cmd[2], u64 mask0, u64 mask1)
{
	return !(cmd[0] & ~(CMDQ_0_OP | mask0)) && !(cmd[1] & ~mask1);
}

#define NESTED_TLBI_0	(CMDQ_TLBI_0_NUM | CMDQ_TLBI_0_SCALE | CMDQ_TLBI_0_VMID)
#define NESTED_TLBI_1	(CMDQ_TLBI_1_LEAF | CMDQ_TLBI_1_TTL |		\
			 CMDQ_TLBI_1_TG | CMDQ_TLBI_1_VA_MASK)

/*
 * Check one command, bit by bit: what the SMMU finds illegal stops the queue
 * for the whole host (7.1).  Then the host's VMID and StreamID go in.
 * Returns 1, 0 if there is nothing to do, or a negative errno.
 */
VISIBLE_IF_KUNIT
int nested_parse_cmd(const struct arm_smmu_nested_target *target, u64 cmd[2])
{
	unsigned int asid = FIELD_GET(CMDQ_TLBI_0_ASID, cmd[0]);
	unsigned int op = FIELD_GET(CMDQ_0_OP, cmd[0]);
	u32 ssid = FIELD_GET(CMDQ_CFGI_0_SSID, cmd[0]);
	int ret;

	switch (op) {
	case CMDQ_OP_TLBI_NSNH_ALL:
		if (!nested_only(cmd, 0, 0))
			return -EINVAL;
		cmd[0] = FIELD_PREP(CMDQ_0_OP, CMDQ_OP_TLBI_NH_ALL);
		break;
	case CMDQ_OP_TLBI_NH_ALL:
		if (!nested_only(cmd, CMDQ_TLBI_0_VMID, 0))
			return -EINVAL;
		break;
	case CMDQ_OP_TLBI_NH_ASID:
		if (!nested_only(cmd, CMDQ_TLBI_0_VMID | CMDQ_TLBI_0_ASID, 0) ||
		    asid >> target->smmu->asid_bits)
			return -EINVAL;
		break;
	case CMDQ_OP_TLBI_NH_VA:
	case CMDQ_OP_TLBI_NH_VAA:
		if (!nested_only(cmd, NESTED_TLBI_0 |
				 (op == CMDQ_OP_TLBI_NH_VA ?
					  CMDQ_TLBI_0_ASID : 0),
				 NESTED_TLBI_1) ||
		    asid >> target->smmu->asid_bits)
			return -EINVAL;
		ret = nested_check_range(target->smmu, cmd);
		if (ret)
			return ret;
		break;
	case CMDQ_OP_CFGI_CD:
		if (!nested_only(cmd, CMDQ_CFGI_0_SSID | CMDQ_CFGI_0_SID,
				 CMDQ_CFGI_1_LEAF) ||
		    ssid >> target->ssid_bits)
			return -EINVAL;
		cmd[0] &= ~CMDQ_CFGI_0_SID;
		cmd[0] |= FIELD_PREP(CMDQ_CFGI_0_SID, target->sid);
		return target->attached;
	case CMDQ_OP_CFGI_CD_ALL:
		if (!nested_only(cmd, CMDQ_CFGI_0_SID, 0))
			return -EINVAL;
		cmd[0] &= ~CMDQ_CFGI_0_SID;
		cmd[0] |= FIELD_PREP(CMDQ_CFGI_0_SID, target->sid);
		return target->attached;
	case CMDQ_OP_ATC_INV:
		if (!nested_only(cmd, CMDQ_0_SSV | CMDQ_ATC_0_SSID |
				 CMDQ_ATC_0_SID | CMDQ_ATC_0_GLOBAL,
				 CMDQ_ATC_1_SIZE | CMDQ_ATC_1_ADDR_MASK) ||
		    FIELD_GET(CMDQ_ATC_1_SIZE, cmd[1]) > ATC_INV_SIZE_ALL ||
		    ssid >> target->ssid_bits)
			return -EINVAL;
		/* A function without PASIDs must not be sent one. */
		if (cmd[0] & CMDQ_0_SSV && !target->ssid_bits)
			return -EINVAL;
		cmd[0] &= ~CMDQ_ATC_0_SID;
		cmd[0] |= FIELD_PREP(CMDQ_ATC_0_SID, target->sid);
		return 1;	/* nested_submit() looks whether there is one */
	default:
		return -EOPNOTSUPP;
	}

	cmd[0] &= ~CMDQ_TLBI_0_VMID;
	cmd[0] |= FIELD_PREP(CMDQ_TLBI_0_VMID, target->vmid);
	return 1;
}
EXPORT_SYMBOL_IF_KUNIT(nested_parse_cmd);

/* Where @domain translates, or NULL */
static struct arm_smmu_master *nested_master(struct iommu_domain *domain)
{
	struct arm_smmu_domain *parent = to_smmu_nested_domain(domain)->s2_parent;
	struct arm_smmu_master_domain *md;

	lockdep_assert_held(&parent->devices_lock);

	list_for_each_entry(md, &parent->devices, devices_elm) {
		if (md->nested == domain)
			return md->master;
	}
	return NULL;
}

/* A device that goes away after this gets a command for nothing. */
static void nested_target(struct iommu_domain *domain,
			  struct arm_smmu_nested_target *target)
{
	struct arm_smmu_domain *parent = to_smmu_nested_domain(domain)->s2_parent;
	struct arm_smmu_master *master;
	unsigned long flags;

	*target = (struct arm_smmu_nested_target) {
		.smmu = parent->smmu,
		.vmid = parent->s2_cfg.vmid,
		.ssid_bits = parent->smmu->ssid_bits,
	};

	spin_lock_irqsave(&parent->devices_lock, flags);
	master = nested_master(domain);
	if (master) {
		target->sid = master->streams[0].id;
		target->ssid_bits = master->ssid_bits;
		target->attached = true;
	}
	spin_unlock_irqrestore(&parent->devices_lock, flags);
}

/*
 * Is its TLB in use?  Until the end of this RCU reader it will answer.  Returns
 * 1, 0, or -EIO if it has left a command unanswered since its last reset.
 */
static int nested_atc(struct iommu_domain *domain)
{
	struct arm_smmu_domain *parent = to_smmu_nested_domain(domain)->s2_parent;
	struct arm_smmu_master *master;
	unsigned long flags;
	int ret = 0;

	/* The lock would do for iommu_devtlb_reachable(), but ends too early. */
	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a reset would not wait");

	spin_lock_irqsave(&parent->devices_lock, flags);
	master = nested_master(domain);
	if (master && master->ats_enabled && iommu_devtlb_reachable(master->dev))
		ret = iommu_devtlb_silent(master->dev) ? -EIO : 1;
	spin_unlock_irqrestore(&parent->devices_lock, flags);
	return ret;
}

/* Nobody but the kernel asks it any more */
static void nested_atc_timed_out(struct iommu_domain *domain)
{
	struct arm_smmu_domain *parent = to_smmu_nested_domain(domain)->s2_parent;
	struct arm_smmu_master *master;
	unsigned long flags;

	spin_lock_irqsave(&parent->devices_lock, flags);
	master = nested_master(domain);
	if (master)
		iommu_devtlb_timed_out(master->dev);
	spin_unlock_irqrestore(&parent->devices_lock, flags);
}

/*
 * @queued: how many before these were not waited for
 * @sync: wait for all of them.  Where there is an ATC_INV they have to be waited
 * for here: after the RCU reader a reset may begin.
 */
static int nested_submit(struct iommu_domain *domain,
			 struct arm_smmu_device *smmu, u64 *cmds, u32 nr,
			 u32 queued, bool sync)
{
	unsigned int tries = NESTED_TRIES;
	bool looked = false;
	int atc = 0, ret;
	u32 i, left = 0;

	guard(rcu)();

	for (i = 0; i < nr * CMDQ_ENT_DWORDS; i += CMDQ_ENT_DWORDS) {
		if (FIELD_GET(CMDQ_0_OP, cmds[i]) == CMDQ_OP_ATC_INV) {
			if (!looked)
				atc = nested_atc(domain);
			looked = true;
			if (atc <= 0)
				continue;
		}
		cmds[left++] = cmds[i];
		cmds[left++] = cmds[i + 1];
	}
	nr = left / CMDQ_ENT_DWORDS;
	if (!nr && (!queued || !sync))
		return min(atc, 0);

	/*
	 * 4.7.3: the CMD_SYNC does not tell whose ATC_INV it was that had no
	 * answer.  If it is another's, it is so once.
	 */
	do {
		ret = arm_smmu_cmdq_issue_cmdlist(smmu, &smmu->cmdq, cmds, nr,
						  sync);
	} while (ret && atc > 0 && --tries);
	if (ret && atc > 0)
		nested_atc_timed_out(domain);
	return ret ?: min(atc, 0);
}

/*
 * Do the commands of the owner of stage 1, a few at a time, with one CMD_SYNC
 * for all of them, or for as many as take half of the queue, which is not
 * theirs alone.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL for a bad command; -EOPNOTSUPP for one that a guest
 * cannot use; -E2BIG; -EFAULT; -EINTR if the caller is being killed; -EIO if
 * the SMMU did not complete it.  @array->entry_num is how many were done.
 */
static int nested_cache_invalidate_user(struct iommu_domain *domain,
					struct iommu_user_data_array *array)
{
	struct arm_smmu_nested_target target;
	struct vfio_nesting_smmuv3_cmd user;
	u32 index = 0, done = 0, nr = 0, queued = 0, max = NESTED_BATCH;
	u64 cmds[NESTED_BATCH * CMDQ_ENT_DWORDS];
	bool sync = false;
	u32 half_queue;
	int ret = 0;

	nested_target(domain, &target);
	if (array->type != VFIO_NESTING_FORMAT_SMMUV3)
		ret = -EINVAL;
	half_queue = 1 << (target.smmu->cmdq.q.llq.max_n_shift - 1);
	/* An erratum: a CMD_SYNC after each TLBI */
	if (target.smmu->options & ARM_SMMU_OPT_CMDQ_FORCE_SYNC) {
		max = 1;
		half_queue = 1;
	}

	while (!ret && index < array->entry_num) {
		u64 *cmd = &cmds[nr * CMDQ_ENT_DWORDS];

		ret = iommu_nested_copy_entry(&user, sizeof(user), array,
					      index);
		if (ret)
			break;
		cmd[0] = le64_to_cpu(user.cmd[0]);
		cmd[1] = le64_to_cpu(user.cmd[1]);
		ret = nested_parse_cmd(&target, cmd);
		if (ret < 0)
			break;
		nr += ret;
		ret = 0;
		index++;
		if (FIELD_GET(CMDQ_0_OP, cmd[0]) == CMDQ_OP_ATC_INV)
			sync = true;
		if (nr < max)
			continue;

		if (queued + nr + max > half_queue)
			sync = true;
		ret = nested_submit(domain, target.smmu, cmds, nr, queued,
				    sync);
		if (ret) {
			ret = -EIO;
			break;
		}
		queued += nr;
		nr = 0;
		if (sync) {
			queued = 0;
			done = index;
		}
		sync = false;
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}

	/* What came before a bad command is done. */
	if (ret != -EIO &&
	    nested_submit(domain, target.smmu, cmds, nr, queued, true))
		ret = -EIO;
	if (ret != -EIO)
		done = index;
	array->entry_num = done;
	return ret;
}

/* The guest maps the window to itself; here it is where the host chose. */
static struct iommu_domain *
nested_get_msi_mapping_domain(struct iommu_domain *domain)
{
	return &to_smmu_nested_domain(domain)->s2_parent->domain;
}

static const struct iommu_domain_ops nested_ops = {
	.attach_dev		= nested_attach_dev,
	.free			= nested_free,
	.cache_invalidate_user	= nested_cache_invalidate_user,
	.get_msi_mapping_domain	= nested_get_msi_mapping_domain,
};

/**
 * arm_smmu_nested_domain_alloc() - A domain of a guest's stream table entry
 * @dev: the device it is for
 * @parent: a nest parent
 * @user_data: struct vfio_nesting_smmuv3_ste
 *
 * Context: may sleep; reads user memory.
 * Return: the domain; -EINVAL for a bad entry or parent; -EOPNOTSUPP;
 * -EFAULT; -ENOMEM.
 */
struct iommu_domain *
arm_smmu_nested_domain_alloc(struct device *dev, struct iommu_domain *parent,
			     const struct iommu_user_data *user_data)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);
	struct arm_smmu_nested_domain *nested;
	struct vfio_nesting_smmuv3_ste user;
	int ret;

	if (!arm_smmu_nest_parent_supported(master) || !user_data)
		return ERR_PTR(-EOPNOTSUPP);
	if (parent->type != IOMMU_DOMAIN_UNMANAGED ||
	    !to_smmu_domain(parent)->nest_parent ||
	    to_smmu_domain(parent)->smmu != master->smmu)
		return ERR_PTR(-EINVAL);

	ret = iommu_copy_struct_from_user(&user, user_data,
					  VFIO_NESTING_FORMAT_SMMUV3, ste);
	if (ret)
		return ERR_PTR(ret);

	nested = kzalloc(sizeof(*nested), GFP_KERNEL_ACCOUNT);
	if (!nested)
		return ERR_PTR(-ENOMEM);

	nested->ste[0] = le64_to_cpu(user.ste[0]);
	nested->ste[1] = le64_to_cpu(user.ste[1]);
	ret = nested_parse_ste(master, nested->ste, &nested->enable_ats);
	if (ret) {
		kfree(nested);
		return ERR_PTR(ret);
	}

	nested->domain.type = IOMMU_DOMAIN_NESTED;
	nested->domain.ops = &nested_ops;
	nested->s2_parent = to_smmu_domain(parent);
	return &nested->domain;
}
