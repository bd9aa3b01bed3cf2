// SPDX-License-Identifier: GPL-2.0-only
/*
 * Invalidations that a reset makes void
 *
 * Section numbers are those of the Intel VT-d specification, 4.1.
 */

#include <linux/iommu.h>

#include "iommu.h"

/* Of a device-TLB invalidation, 6.5.2.5 and 6.5.2.6: whose it is; or NULL */
static struct device *qi_desc_device(struct intel_iommu *iommu,
				     const struct qi_desc *desc)
{
	switch (desc->qw0 & GENMASK_ULL(3, 0)) {
	case QI_DIOTLB_TYPE:
		return device_rbtree_find(iommu, desc->qw0 >> 32);
	case QI_DEIOTLB_TYPE:
		return device_rbtree_find(iommu, desc->qw0 >> 16);
	default:
		return NULL;
	}
}

/**
 * intel_qi_drop_unreachable() - Let go of functions that are in a reset
 * @iommu: the IOMMU
 * @desc: what a time-out has aborted, and is about to be submitted again
 * @count: how many
 *
 * A function that does not answer is reset for that reason, maybe, and its
 * reset waits for whoever asks it.
 *
 * Context: any; whoever submits @desc keeps the devices that are named.
 */
void intel_qi_drop_unreachable(struct intel_iommu *iommu, struct qi_desc *desc,
			       unsigned int count)
{
	struct device *dev;
	unsigned int i;

	guard(rcu)();

	for (i = 0; i < count; i++) {
		dev = qi_desc_device(iommu, &desc[i]);
		if (!dev || iommu_devtlb_reachable(dev))
			continue;
		/* A fence does nothing else, 6.5.2.8. */
		desc[i] = (struct qi_desc) {
			.qw0 = QI_IWD_FENCE | QI_IWD_TYPE,
		};
	}
}
