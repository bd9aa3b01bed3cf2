/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __INTEL_NESTING_H
#define __INTEL_NESTING_H

#include <linux/types.h>

struct device_domain_info;
struct iommu_hwpt_vtd_s1_invalidate;
struct iommu_nesting_info;

/* One valid entry of the user: an aligned block of 2^order pages */
struct nested_inv {
	u64	addr;
	u8	order;		/* MAX_AGAW_PFN_WIDTH: all of the PASID */
	bool	leaf;		/* paging-structure caches stay */
};

#if IS_ENABLED(CONFIG_KUNIT)
int nested_parse(const struct iommu_hwpt_vtd_s1_invalidate *entry,
		 struct nested_inv *inv);
void nested_request_info(struct device_domain_info *info,
			 struct iommu_nesting_info *out);
#endif

#endif /* __INTEL_NESTING_H */
