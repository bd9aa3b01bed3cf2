// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d: resets of functions
 *
 * The ops iommu_ops.reset_prepare and reset_done.  A function in reset does
 * not answer an invalidation of its TLB, and the queue that all devices share
 * would wait for it.  So ATS is off between the two: no TLB, nothing to
 * invalidate, and an empty one afterwards (PCIe 6.0, 10.5.1.3), whether or
 * not the reset did anything.
 *
 * Whoever sends an invalidation is an RCU reader, with interrupts off under
 * cache_lock or explicitly, that has seen in_reset at 0.
 *
 * Pairs may nest, in one thread or in two.  The lock is for the first and the
 * last of them; resets are rare enough to share it.
 */

#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>

#include "iommu.h"

static DEFINE_MUTEX(reset_lock);

void intel_iommu_reset_prepare(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	/* Does not change, so the pairs stay balanced. */
	if (!info->ats_supported)
		return;

	guard(mutex)(&reset_lock);
	if (atomic_inc_return(&info->in_reset) > 1)
		return;

	/* Those on their way get their answer while ATS is on. */
	synchronize_rcu();
	if (info->ats_enabled)
		pci_disable_ats(to_pci_dev(dev));
}

void intel_iommu_reset_done(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct pci_dev *pdev;
	unsigned long flags;

	if (!info->ats_supported)
		return;

	guard(mutex)(&reset_lock);
	if (atomic_read(&info->in_reset) > 1 || !info->ats_enabled) {
		atomic_dec(&info->in_reset);
		return;
	}

	pdev = to_pci_dev(dev);
	WRITE_ONCE(info->devtlb_missed, false);
	pci_enable_ats(pdev, VTD_PAGE_SHIFT);
	atomic_dec(&info->in_reset);
	synchronize_rcu();

	/*
	 * What was unmapped between these lines may be in the new TLB: empty
	 * it again.  Not to be preempted: an invalidation on this CPU would
	 * wait for an answer that we have to enable first.
	 */
	if (!READ_ONCE(info->devtlb_missed))
		return;
	local_irq_save(flags);
	pci_disable_ats(pdev);
	pci_enable_ats(pdev, VTD_PAGE_SHIFT);
	local_irq_restore(flags);
}
