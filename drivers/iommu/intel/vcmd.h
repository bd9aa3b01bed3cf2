/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VT-d: virtual commands
 */
#ifndef __INTEL_VCMD_H
#define __INTEL_VCMD_H

struct intel_iommu;

void intel_vcmd_init(struct intel_iommu *iommu);
void intel_vcmd_exit(struct intel_iommu *iommu);

#endif /* __INTEL_VCMD_H */
