/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PASID space: what its tests replace
 */
#ifndef __IOMMU_PASID_PRIV_H
#define __IOMMU_PASID_PRIV_H

#include <kunit/visibility.h>
#include <linux/types.h>

struct iommu_pasid;
struct iommu_pasid_set;
struct pasid_account;

#if IS_ENABLED(CONFIG_KUNIT)
struct iommu_pasid *pasid_entry_alloc(void);
struct pasid_account *pasid_account_alloc(void);
struct iommu_pasid_set *pasid_set_alloc(void);
int pasid_store_any(struct iommu_pasid *entry, u32 min, u32 max, u32 *pasid);
int pasid_store_at(struct iommu_pasid *entry, u32 pasid);
#endif

#endif /* __IOMMU_PASID_PRIV_H */
