/*
 * VT-d: virtual command interface of intel-iommu,x-vcmd=on
 *
 * Called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I386_INTEL_IOMMU_VCMD_H
#define HW_I386_INTEL_IOMMU_VCMD_H

#include "hw/i386/intel_iommu.h"

/* The bit of ECAP: spec 11.4.3 */
#define VTDV_ECAP_VCS               (1ULL << 44)

bool vtd_vcmd_check_config(IntelIOMMUState *s, Error **errp);
void vtd_vcmd_reset(IntelIOMMUState *s);
/* True if the write was to a register of this interface. */
bool vtd_vcmd_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                        unsigned size);

#endif
