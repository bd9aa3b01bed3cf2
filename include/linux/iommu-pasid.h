/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PASIDs that are unique on the host
 */
#ifndef __LINUX_IOMMU_PASID_H
#define __LINUX_IOMMU_PASID_H

#include <linux/types.h>

int iommu_pasid_alloc_range(u32 min, u32 max);
void iommu_pasid_free(u32 pasid);

#endif /* __LINUX_IOMMU_PASID_H */
