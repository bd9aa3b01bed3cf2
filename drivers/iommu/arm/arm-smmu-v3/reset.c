// SPDX-License-Identifier: GPL-2.0-only
/*
 * SMMUv3: resets of functions
 *
 * The ops iommu_ops.reset_prepare and reset_done.  A function in reset does
 * not answer an invalidation of its TLB, and the CMD_SYNC behind it, which may
 * be anybody's, would wait for it.  So ATS is off between the two: no TLB,
 * nothing to invalidate, and an empty one afterwards (PCIe 6.0, 10.5.1.3).
 *
 * Who sends CMD_ATC_INV holds arm_smmu_asid_lock, or is an RCU reader that
 * has asked arm_smmu_atc_reachable().  An attach between the two changes
 * ats_enabled, and leaves the device alone.
 */

#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/rcupdate.h>

#include "arm-smmu-v3.h"

/**
 * arm_smmu_reset_prepare() - The op iommu_ops.reset_prepare
 * @dev: the function
 *
 * Context: may sleep.
 */
void arm_smmu_reset_prepare(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);

	guard(mutex)(&arm_smmu_asid_lock);

	WRITE_ONCE(master->in_reset, master->in_reset + 1);
	if (master->in_reset > 1)
		return;

	/* Those on their way get their answer while ATS is on. */
	synchronize_rcu();
	if (master->ats_enabled)
		pci_disable_ats(to_pci_dev(dev));
}

/**
 * arm_smmu_reset_done() - The op iommu_ops.reset_done
 * @dev: the function
 *
 * Context: may sleep.
 */
void arm_smmu_reset_done(struct device *dev)
{
	struct arm_smmu_master *master = dev_iommu_priv_get(dev);

	guard(mutex)(&arm_smmu_asid_lock);

	if (master->in_reset == 1 && master->ats_enabled) {
		WRITE_ONCE(master->atc_missed, false);
		arm_smmu_pci_enable_ats(master);
	}
	WRITE_ONCE(master->in_reset, master->in_reset - 1);
	if (master->in_reset || !master->ats_enabled)
		return;

	/* What was unmapped between the two may be in the new TLB. */
	synchronize_rcu();
	if (READ_ONCE(master->atc_missed))
		arm_smmu_atc_inv_master(master, IOMMU_NO_PASID);
}
