/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the nesting core tells those who deliver faults
 */
#ifndef __IOMMU_FAULT_H
#define __IOMMU_FAULT_H

#include <linux/iommu.h>

int iommu_fault_attach_begin(struct device *dev, struct iommu_domain *domain);
void iommu_fault_attach_end(struct device *dev, bool replaced);
void iommu_fault_detached(struct device *dev, ioasid_t pasid);
void iommu_fault_reset(struct device *dev);

#endif /* __IOMMU_FAULT_H */
