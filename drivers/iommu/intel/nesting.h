/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __INTEL_NESTING_H
#define __INTEL_NESTING_H

#include <linux/types.h>

struct iommu_hwpt_vtd_s1_invalidate;

/* One valid entry of the user: an aligned block of 2^order pages */
struct nested_inv {
	u64	addr;
	u8	order;		/* MAX_AGAW_PFN_WIDTH: all of the PASID */
	bool	leaf;		/* paging-structure caches stay */
};

#if IS_ENABLED(CONFIG_KUNIT)
int nested_parse(const struct iommu_hwpt_vtd_s1_invalidate *entry,
		 struct nested_inv *inv);
#endif

#endif /* __INTEL_NESTING_H */
