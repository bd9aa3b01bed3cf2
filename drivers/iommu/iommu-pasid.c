// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs that are unique on the host, in a range
 *
 * One space for all: what iommu_alloc_global_pasid() gives to SVA and to
 * drivers is never given out here, and the other way round.  Who got which
 * number is the caller's to know.
 */

#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/iommu.h>
#include <linux/iommu-pasid.h>

#include "iommu-priv.h"

/* PCIe: 20 bits */
#define IOMMU_LAST_GLOBAL_PASID		((1U << 20) - 1)

/**
 * iommu_pasid_alloc_range() - Take a PASID that nobody on this host has
 * @min: the lowest that will do, at least IOMMU_FIRST_GLOBAL_PASID
 * @max: the highest that will do
 *
 * Context: may sleep.
 * Return: a PASID, to be given back with iommu_pasid_free(); -EINVAL for a
 * range that is empty or beyond 20 bits; -ENOSPC; -ENOMEM.
 */
int iommu_pasid_alloc_range(u32 min, u32 max)
{
	if (min < IOMMU_FIRST_GLOBAL_PASID || min > max ||
	    max > IOMMU_LAST_GLOBAL_PASID)
		return -EINVAL;

	return ida_alloc_range(&iommu_global_pasid_ida, min, max, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(iommu_pasid_alloc_range);

/**
 * iommu_pasid_free() - Give a PASID back
 * @pasid: from iommu_pasid_alloc_range(), and attached nowhere any more
 *
 * Context: any.
 */
void iommu_pasid_free(u32 pasid)
{
	ida_free(&iommu_global_pasid_ida, pasid);
}
EXPORT_SYMBOL_GPL(iommu_pasid_free);
