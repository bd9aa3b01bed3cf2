// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested translation for each PASID, and invalidation by the guest
 *
 * Section and table numbers are those of the Intel VT-d specification, 4.1.
 */

#include <linux/iommu.h>
#include <linux/iommu-nesting.h>
#include <linux/iommufd.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/sched/signal.h>
#include <uapi/linux/iommufd.h>
#include <kunit/visibility.h>

#include "iommu.h"
#include "nesting.h"
#include "pasid.h"
#include "../iommu-pages.h"

/*
 * Descriptors of one submission.  Also the entries of one pass, which
 * interrupts are off for: as many submissions as the domain has devices, at
 * most three each.
 */
#define NESTED_BATCH		INTEL_QI_BATCH
/* A call with this many entries needs no memory but the stack. */
#define NESTED_SMALL		4
/* How often a submission is tried that a time-out aborts */
#define NESTED_TRIES		9

struct nested_batch {
	struct nested_inv	*inv;
	unsigned int		nr_inv;
	unsigned int		max_inv;
	struct qi_desc		*desc;
	unsigned int		nr_desc;
	unsigned int		max_desc;
	struct intel_iommu	*iommu;		/* of @desc */
	struct device		*dev;		/* whose TLB @desc asks, or NULL */
};

static int nested_submit(struct nested_batch *batch)
{
	unsigned int tries = NESTED_TRIES;
	int ret;

	if (!batch->nr_desc)
		return 0;

	/* A time-out that another device caused aborts this wait as well. */
	do {
		ret = qi_submit_sync(batch->iommu, batch->desc, batch->nr_desc,
				     QI_OPT_NO_RETRY);
	} while (ret == -EAGAIN && --tries &&
		 !(batch->dev && iommu_devtlb_silent(batch->dev)));

	batch->nr_desc = 0;
	return ret;
}

/* The next free descriptor of the queue of @iommu, all zero */
static struct qi_desc *nested_next_desc(struct nested_batch *batch,
					struct intel_iommu *iommu, int *ret)
{
	struct qi_desc *desc;

	if (batch->iommu != iommu || batch->nr_desc == batch->max_desc) {
		*ret = nested_submit(batch);
		if (*ret)
			return NULL;
		batch->iommu = iommu;
	}

	desc = &batch->desc[batch->nr_desc++];
	memset(desc, 0, sizeof(*desc));
	return desc;
}

/*
 * 6.5.2.4: PASID-based IOTLB invalidation.  MAMV, 11.4.2, is for the second
 * stage; who asks for more than that at once gets "all".
 */
static int nested_add_piotlb(struct nested_batch *batch, struct cache_tag *tag)
{
	/* More than qi_desc_piotlb() can take is "all". */
	u8 max_order = min_t(u8, cap_max_amask_val(tag->iommu->cap),
			     BITS_PER_LONG - VTD_PAGE_SHIFT - 1);
	unsigned int i;

	for (i = 0; i < batch->nr_inv; i++) {
		struct nested_inv *inv = &batch->inv[i];
		bool all = inv->order > max_order;
		struct qi_desc *desc;
		int ret;

		desc = nested_next_desc(batch, tag->iommu, &ret);
		if (!desc)
			return ret;

		qi_desc_piotlb(tag->domain_id, tag->pasid, all ? 0 : inv->addr,
			       all ? -1 : BIT_ULL(inv->order), inv->leaf, desc);
	}
	return 0;
}

/* 6.5.2.5, 6.5.2.6: device-TLB invalidation, without and with PASID */
static void nested_desc_devtlb(struct device_domain_info *info, ioasid_t pasid,
			       u64 addr, u8 order, struct qi_desc *desc)
{
	u16 sid = PCI_DEVID(info->bus, info->devfn);

	if (pasid == IOMMU_NO_PASID)
		qi_desc_dev_iotlb(sid, info->pfsid, info->ats_qdep, addr, order,
				  desc);
	else
		qi_desc_dev_iotlb_pasid(sid, info->pfsid, pasid, info->ats_qdep,
					addr, order, desc);
}

/*
 * As above, for each entry.  Only the range differs between them, and but for
 * the place of the S bit it is the same with PASID as without: the lowest
 * clear bit of the address tells the size.
 */
static int nested_add_devtlb(struct nested_batch *batch, struct cache_tag *tag)
{
	struct device_domain_info *info = dev_iommu_priv_get(tag->dev);
	unsigned int times = info->dtlb_extra_inval ? 2 : 1;
	u64 size_bit = tag->pasid == IOMMU_NO_PASID ? QI_DEV_IOTLB_SIZE :
						      QI_DEV_EIOTLB_SIZE;
	struct qi_desc one_page = {};
	unsigned int i, n;

	if (!iommu_devtlb_reachable(tag->dev))
		return 0;
	if (iommu_devtlb_silent(tag->dev))
		return -ETIMEDOUT;

	batch->dev = tag->dev;
	nested_desc_devtlb(info, tag->pasid, 0, 0, &one_page);
	for (i = 0; i < batch->nr_inv; i++) {
		struct nested_inv *inv = &batch->inv[i];
		u64 range = inv->addr;

		if (inv->order)
			range |= size_bit |
				 ((BIT_ULL(VTD_PAGE_SHIFT + inv->order - 1) - 1) &
				  VTD_PAGE_MASK);
		for (n = 0; n < times; n++) {
			struct qi_desc *desc;
			int ret;

			desc = nested_next_desc(batch, tag->iommu, &ret);
			if (!desc)
				return ret;
			desc->qw0 = one_page.qw0;
			desc->qw1 = range;
		}
	}
	return 0;
}

static int nested_add_tags(struct dmar_domain *domain,
			   struct nested_batch *batch, enum cache_tag_type type)
{
	struct cache_tag *tag;
	int ret;

	list_for_each_entry(tag, &domain->cache_tags, node) {
		if (tag->type != type)
			continue;
		if (type == CACHE_TAG_IOTLB)
			ret = nested_add_piotlb(batch, tag);
		else
			ret = nested_add_devtlb(batch, tag);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Do what is in @batch->inv.  The device may ask again at once for what its
 * TLB lost and must not be served from the IOTLB: first all IOTLB
 * descriptors, then those of the device TLB.
 */
static int nested_flush(struct dmar_domain *domain, struct nested_batch *batch)
{
	unsigned long flags;
	int ret;

	/* The lock keeps the tags, and with them the devices. */
	spin_lock_irqsave(&domain->cache_lock, flags);
	ret = nested_add_tags(domain, batch, CACHE_TAG_IOTLB);
	if (!ret)
		ret = nested_add_tags(domain, batch, CACHE_TAG_DEVTLB);
	/* Of a silent device, what the IOMMU has goes even so. */
	if (!ret || ret == -ETIMEDOUT)
		ret = nested_submit(batch) ?: ret;
	spin_unlock_irqrestore(&domain->cache_lock, flags);

	batch->nr_inv = 0;
	batch->nr_desc = 0;
	batch->dev = NULL;
	return ret ? -EIO : 0;
}

VISIBLE_IF_KUNIT
int nested_parse(const struct iommu_hwpt_vtd_s1_invalidate *entry,
		 struct nested_inv *inv)
{
	u64 last;

	if ((entry->flags & ~IOMMU_VTD_INV_FLAGS_LEAF) || entry->__reserved)
		return -EOPNOTSUPP;

	if (!IS_ALIGNED(entry->addr, VTD_PAGE_SIZE) || !entry->npages)
		return -EINVAL;

	inv->addr = entry->addr;
	inv->leaf = entry->flags & IOMMU_VTD_INV_FLAGS_LEAF;

	if (entry->npages == U64_MAX) {
		inv->order = MAX_AGAW_PFN_WIDTH;
		return entry->addr ? -EINVAL : 0;
	}

	if (entry->npages - 1 > (U64_MAX - entry->addr) >> VTD_PAGE_SHIFT)
		return -EINVAL;

	/* The smallest aligned block that holds the first and last page */
	last = entry->addr + ((entry->npages - 1) << VTD_PAGE_SHIFT);
	inv->order = fls64((entry->addr ^ last) >> VTD_PAGE_SHIFT);
	inv->addr &= ~((BIT_ULL(inv->order) - 1) << VTD_PAGE_SHIFT);
	return 0;
}

/**
 * intel_nested_cache_invalidate_user() - Invalidate for the owner of stage 1
 * @domain: a nested domain
 * @array: entries of struct iommu_hwpt_vtd_s1_invalidate; on return
 *	   @array->entry_num is how many were done
 *
 * One submission and one wait for every NESTED_BATCH descriptors.  A range
 * that the hardware cannot express becomes the aligned block around it, one
 * beyond its maximum the whole PASID.
 *
 * Context: may sleep; takes @domain->cache_lock.
 * Return: 0; -EINVAL for a type, an address that is not aligned, no page or a
 * range that wraps; -E2BIG for more than is known here; -EOPNOTSUPP for an
 * unknown flag; -EFAULT; -ENOMEM; -EINTR if the caller is being killed; -EIO
 * if the hardware refused or timed out.
 */
int intel_nested_cache_invalidate_user(struct iommu_domain *domain,
				       struct iommu_user_data_array *array)
{
	struct dmar_domain *dmar_domain = to_dmar_domain(domain);
	struct iommu_hwpt_vtd_s1_invalidate entry;
	struct nested_inv small_inv[NESTED_SMALL];
	struct qi_desc small_desc[2 * NESTED_SMALL];
	struct nested_batch batch = {
		.inv = small_inv,
		.max_inv = ARRAY_SIZE(small_inv),
		.desc = small_desc,
		.max_desc = ARRAY_SIZE(small_desc),
	};
	u32 index, processed = 0;
	void *mem = NULL;
	int ret = 0, err;

	if (array->type != IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) {
		ret = -EINVAL;
		goto out;
	}

	if (array->entry_num > NESTED_SMALL) {
		mem = kmalloc(NESTED_BATCH * (sizeof(*batch.desc) +
					      sizeof(*batch.inv)),
			      GFP_KERNEL_ACCOUNT);
		if (!mem) {
			ret = -ENOMEM;
			goto out;
		}
		batch.desc = mem;
		batch.inv = mem + NESTED_BATCH * sizeof(*batch.desc);
		batch.max_desc = NESTED_BATCH;
		batch.max_inv = NESTED_BATCH;
	}

	for (index = 0; index < array->entry_num; index++) {
		ret = iommu_nested_copy_entry(&entry, sizeof(entry), array,
					      index);
		if (!ret)
			ret = nested_parse(&entry, &batch.inv[batch.nr_inv]);
		if (ret)
			break;

		if (++batch.nr_inv < batch.max_inv)
			continue;

		ret = nested_flush(dmar_domain, &batch);
		if (ret)
			break;
		processed = index + 1;

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}

	/* What came before a bad entry is done. */
	if (batch.nr_inv) {
		err = nested_flush(dmar_domain, &batch);
		if (err)
			ret = err;
		else
			processed = index;
	}
	kfree(mem);
out:
	array->entry_num = processed;
	return ret;
}

/*
 * The entry changed from one nested table to another: 6.5.3.3, guidance for a
 * PASID entry with PGTT nested.  The whole domain, not only the PASID: the
 * old id may be given to a domain with another stage 2.  Fences keep the
 * order within one submission.
 */
static void nested_flush_replaced(struct intel_iommu *iommu, struct device *dev,
				  ioasid_t pasid, u16 old_did, u16 did)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	const u16 dids[] = { old_did, did };
	struct qi_desc desc[8] = {};
	unsigned int nr = 0, i;

	for (i = 0; i < ARRAY_SIZE(dids); i++)
		desc[nr++].qw0 = QI_PC_DID(dids[i]) |
				 QI_PC_GRAN(QI_PC_PASID_SEL) |
				 QI_PC_PASID(pasid) | QI_PC_TYPE;
	desc[nr++].qw0 = QI_IWD_FENCE | QI_IWD_TYPE;
	for (i = 0; i < ARRAY_SIZE(dids); i++)
		qi_desc_iotlb(iommu, dids[i], 0, 0, DMA_TLB_DSI_FLUSH,
			      &desc[nr++]);

	rcu_read_lock();
	if (info->ats_enabled && iommu_devtlb_reachable(dev) &&
	    pci_device_is_present(to_pci_dev(dev))) {
		desc[nr++].qw0 = QI_IWD_FENCE | QI_IWD_TYPE;
		for (i = 0; i < (info->dtlb_extra_inval ? 2 : 1); i++)
			nested_desc_devtlb(info, pasid, 0, MAX_AGAW_PFN_WIDTH,
					   &desc[nr++]);
	}

	qi_submit_sync(iommu, desc, nr, 0);
	rcu_read_unlock();
}

/*
 * Replace the nested entry of @old by that of @domain, which has the same
 * parent: they differ in the domain id and in the third quadword, which is
 * all of stage 1.  Each is one store, so the walker finds one table or the
 * other, under either id, and what it cached under both is flushed afterwards.
 */
static int nested_replace_entry(struct intel_iommu *iommu, struct device *dev,
				ioasid_t pasid, struct dmar_domain *domain,
				struct dmar_domain *old)
{
	u16 old_did = domain_id_iommu(old, iommu);
	u16 did = domain_id_iommu(domain, iommu);
	struct pasid_entry new = {};
	struct pasid_entry *pte;
	int ret;

	ret = intel_pasid_check_nested(iommu, dev, domain);
	if (ret)
		return ret;

	intel_pasid_config_nested(iommu, &new, domain);

	spin_lock(&iommu->lock);
	pte = intel_pasid_get_entry(dev, pasid);
	if (WARN_ON(!pte || !pasid_pte_is_present(pte) ||
		    pasid_get_domain_id(pte) != old_did)) {
		spin_unlock(&iommu->lock);
		return -EINVAL;
	}
	/* Faults that were too many are reported again. */
	WRITE_ONCE(pte->val[0], READ_ONCE(pte->val[0]) & ~(u64)PASID_PTE_FPD);
	WRITE_ONCE(pte->val[1], new.val[1]);
	WRITE_ONCE(pte->val[2], new.val[2]);
	spin_unlock(&iommu->lock);

	if (!ecap_coherent(iommu->ecap))
		clflush_cache_range(pte, sizeof(*pte));
	nested_flush_replaced(iommu, dev, pasid, old_did, did);
	intel_fault_unmute(dev_iommu_priv_get(dev));
	return 0;
}

/* A function behind VMD has the requester id, and the tables, of another. */
static bool nested_dev_supported(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	return nested_supported(info->iommu) && dev_is_pci(dev) &&
	       pci_real_dma_dev(to_pci_dev(dev)) == to_pci_dev(dev);
}

/*
 * Make sure that the block of the PASID table that holds @pasid exists.  It
 * is charged to the user who binds there, and lives as long as the device is
 * known: at most 2^14 pages.
 */
static int nested_alloc_table(struct device_domain_info *info, ioasid_t pasid)
{
	struct pasid_dir_entry *dir = info->pasid_table->table;
	void *page;
	u64 old;

	if (pasid >= info->pasid_table->max_pasid)
		return -EINVAL;

	dir += pasid >> PASID_PDE_SHIFT;
	if (pasid_pde_is_present(dir))
		return 0;

	page = iommu_alloc_page_node(info->iommu->node, GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;

	if (!ecap_coherent(info->iommu->ecap))
		clflush_cache_range(page, VTD_PAGE_SIZE);

	/*
	 * Another PASID of the same block may have been faster.  Its faults
	 * may have been disabled, intel_pasid_mute(), and are on again now.
	 */
	old = READ_ONCE(dir->val);
	do {
		if (old & PASID_PTE_PRESENT) {
			iommu_free_page(page);
			return 0;
		}
	} while (!try_cmpxchg64(&dir->val, &old,
				(u64)virt_to_phys(page) | PASID_PTE_PRESENT));

	if (!ecap_coherent(info->iommu->ecap))
		clflush_cache_range(&dir->val, sizeof(*dir));
	return 0;
}

/**
 * intel_nested_replace_rid() - Replace nested by nested without PASID
 * @domain: the domain to attach
 * @dev: the device
 *
 * Also finds out, before anything is taken from the device, whether its
 * IOMMU can walk the table of @domain.
 *
 * Context: group->mutex is held; may sleep.
 * Return: 1 if it is done; 0 if the caller has to block and attach, since no
 * nested domain of the same parent is there; or a negative errno.
 */
int intel_nested_replace_rid(struct dmar_domain *domain, struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *old = info->domain;
	struct intel_iommu *iommu = info->iommu;
	unsigned long flags;
	int ret;

	/* The core undoes an attach that failed here. */
	if (old == domain)
		return 1;

	ret = intel_pasid_check_nested(iommu, dev, domain);
	if (ret)
		return ret;

	if (!old || old->domain.type != IOMMU_DOMAIN_NESTED ||
	    old->s2_domain != domain->s2_domain)
		return 0;

	ret = domain_attach_iommu(domain, iommu);
	if (ret)
		return ret;

	ret = cache_tag_assign_domain(domain, dev, IOMMU_NO_PASID);
	if (ret)
		goto detach_iommu;

	ret = nested_replace_entry(iommu, dev, IOMMU_NO_PASID, domain, old);
	if (ret)
		goto unassign_tag;

	spin_lock_irqsave(&old->lock, flags);
	list_del(&info->link);
	spin_unlock_irqrestore(&old->lock, flags);
	spin_lock_irqsave(&domain->lock, flags);
	list_add(&info->link, &domain->devices);
	spin_unlock_irqrestore(&domain->lock, flags);
	info->domain = domain;

	cache_tag_unassign_domain(old, dev, IOMMU_NO_PASID);
	domain_detach_iommu(old, iommu);
	return 1;

unassign_tag:
	cache_tag_unassign_domain(domain, dev, IOMMU_NO_PASID);
detach_iommu:
	domain_detach_iommu(domain, iommu);
	return ret;
}

/**
 * intel_nested_set_dev_pasid() - Put a nested domain on a PASID of a device
 * @domain: the nested domain
 * @dev: the device
 * @pasid: the PASID, not IOMMU_NO_PASID
 * @old: NULL, or the nested domain of the same parent that is there now
 *
 * Context: group->mutex is held; may sleep.
 * Return: 0; -EOPNOTSUPP without PASID support; -EINVAL if the domain cannot
 * be used by the IOMMU of @dev or @old has another parent; -EBUSY; -ENOMEM;
 * -ENOSPC without a free domain id.
 */
int intel_nested_set_dev_pasid(struct iommu_domain *domain, struct device *dev,
			       ioasid_t pasid, struct iommu_domain *old)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *dmar_domain = to_dmar_domain(domain);
	struct dmar_domain *s2_domain = dmar_domain->s2_domain;
	struct intel_iommu *iommu = info->iommu;
	struct dev_pasid_info *dev_pasid;
	int ret;

	if (!nested_dev_supported(dev) || !info->pasid_enabled)
		return -EOPNOTSUPP;

	if (context_copied(iommu, info->bus, info->devfn))
		return -EBUSY;

	if (old && (old->type != IOMMU_DOMAIN_NESTED ||
		    to_dmar_domain(old)->s2_domain != s2_domain))
		return -EINVAL;

	if (iommu->agaw < s2_domain->agaw)
		return -EINVAL;

	ret = prepare_domain_attach_device(&s2_domain->domain, dev);
	if (ret)
		return ret;

	ret = nested_alloc_table(info, pasid);
	if (ret)
		return ret;

	dev_pasid = domain_add_dev_pasid(domain, dev, pasid);
	if (IS_ERR(dev_pasid))
		return PTR_ERR(dev_pasid);

	if (old)
		ret = nested_replace_entry(iommu, dev, pasid, dmar_domain,
					   to_dmar_domain(old));
	else
		ret = intel_pasid_setup_nested(iommu, dev, pasid, dmar_domain);
	if (ret) {
		domain_remove_dev_pasid(domain, dev, pasid);
		return ret;
	}

	if (old)
		domain_remove_dev_pasid(old, dev, pasid);
	return 0;
}

/*
 * Page requests, as intel_iommu_enable_iopf() would allow them.  A VF shares
 * those of its PF, so one that misbehaves takes them from all.
 */
VISIBLE_IF_KUNIT
void nested_request_info(struct device_domain_info *info,
			 struct iommu_nesting_info *out)
{
	struct pci_dev *pdev = to_pci_dev(info->dev);
	u32 max;

	if (!info->pri_supported || pdev->is_virtfn || !info->iommu->prq)
		return;
	if (info->pasid_enabled && !pci_prg_resp_pasid_required(pdev))
		return;
	if (pci_read_config_dword(pdev, pdev->pri_cap + PCI_PRI_MAX_REQ, &max))
		return;

	out->features |= IOMMU_NESTING_FEAT_PAGE_REQUEST;
	out->max_requests = min(max, PRQ_DEPTH);
}

/* The op iommu_ops.nesting_info; see include/linux/iommu-nesting.h */
int intel_iommu_nesting_info(struct device *dev, struct iommu_nesting_info *out)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	if (!nested_dev_supported(dev))
		return -EOPNOTSUPP;

	out->format = IOMMU_HWPT_DATA_VTD_S1;
	out->data_len = sizeof(struct iommu_hwpt_vtd_s1);
	out->invalidate_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1;
	out->invalidate_len = sizeof(struct iommu_hwpt_vtd_s1_invalidate);
	out->features = IOMMU_NESTING_FEAT_BIND_PASID |
			IOMMU_NESTING_FEAT_INVALIDATE |
			IOMMU_NESTING_FEAT_DMA_FAULT;
	/* A nest parent refuses them, erratum 772415: __domain_mapping() */
	out->flags = IOMMU_NESTING_NO_RO_MAPS;
	if (info->ats_enabled)
		out->flags |= IOMMU_NESTING_ATS;
	nested_request_info(info, out);
	if (!info->pasid_enabled)
		return 0;

	out->max_pasids = dev->iommu->max_pasids;
	if (info->pasid_supported & PCI_PASID_CAP_EXEC)
		out->flags |= IOMMU_NESTING_PASID_EXEC;
	if (info->pasid_supported & PCI_PASID_CAP_PRIV)
		out->flags |= IOMMU_NESTING_PASID_PRIV;
	return 0;
}
