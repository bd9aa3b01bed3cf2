/*
 * VT-d: scalable-mode engine of intel-iommu,x-nesting=on
 *
 * Everything here is called with the BQL held, except
 * vtd_strict_translate_as(), which takes the IOMMU's own lock as all others do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I386_INTEL_IOMMU_STRICT_H
#define HW_I386_INTEL_IOMMU_STRICT_H

#include "hw/i386/intel_iommu.h"
#include "hw/pci/pci_trans.h"

bool vtd_strict_check_config(IntelIOMMUState *s, Error **errp);
bool vtd_strict_realize(IntelIOMMUState *s, PCIBus *bus, Error **errp);
/* Capability bits on top of what the model has anyway */
void vtd_strict_cap_init(IntelIOMMUState *s);
/* Power-on state: registers, empty caches */
void vtd_strict_reset(IntelIOMMUState *s);

/* True if the write was to a register this engine implements itself. */
bool vtd_strict_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                          unsigned size);
/* Run the invalidation queue. */
void vtd_strict_run_queue(IntelIOMMUState *s);
/* Register-based invalidation; both return the actual granularity. */
uint64_t vtd_strict_ccmd(IntelIOMMUState *s, uint64_t val);
uint64_t vtd_strict_iotlb(IntelIOMMUState *s, uint64_t val);
/* Put one fault into the recording registers. */
void vtd_strict_record(IntelIOMMUState *s, uint64_t hi, uint64_t lo);

/* A device that knows only address spaces */
void vtd_strict_translate_as(IntelIOMMUState *s, PCIBus *bus, uint8_t devfn,
                             uint32_t pasid, hwaddr addr,
                             IOMMUAccessFlags flag, IOMMUTLBEntry *out);
/* PCIIOMMUOps.translate */
void vtd_strict_translate(PCIBus *bus, void *opaque, int devfn,
                          PCITransReq *req);

#endif
