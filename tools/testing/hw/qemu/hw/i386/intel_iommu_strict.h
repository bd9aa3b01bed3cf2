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

/* ECAP bits the existing model has no name for: spec 11.4.3 */
#define VTDS_ECAP_PRS               (1ULL << 29)
#define VTDS_ECAP_PDS               (1ULL << 42)

/* Invalidation queue errors, IQER_REG.IQEI: spec 11.4.9.9 */
enum {
    VTDS_IQEI_TAIL = 1,         /* tail pointer beyond the queue */
    VTDS_IQEI_FETCH = 2,        /* the descriptor cannot be read */
    VTDS_IQEI_TYPE = 3,         /* no such type */
    VTDS_IQEI_RSVD = 4,         /* reserved field set */
    VTDS_IQEI_WIDTH = 5,        /* 256-bit type in a 128-bit queue */
    VTDS_IQEI_ALIGN = 6,        /* tail not on a 256-bit boundary */
};

typedef struct VTDPrq VTDPrq;

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

/* Interrupt of the event whose control, data and address are at @ctl */
void vtd_strict_event(IntelIOMMUState *s, hwaddr ctl);
/*
 * A page request arrives: drops what the caches know of its page.  False, and
 * a fault is recorded, if the source may not send it.
 */
bool vtd_strict_page_request(IntelIOMMUState *s, uint16_t sid,
                             const PCIPageReq *req);

/* A device that knows only address spaces */
void vtd_strict_translate_as(IntelIOMMUState *s, PCIBus *bus, uint8_t devfn,
                             uint32_t pasid, hwaddr addr,
                             IOMMUAccessFlags flag, IOMMUTLBEntry *out);
/* PCIIOMMUOps.translate */
void vtd_strict_translate(PCIBus *bus, void *opaque, int devfn,
                          PCITransReq *req);

/* Page requests: intel_iommu_prq.c */
void vtd_prq_realize(IntelIOMMUState *s, PCIBus *bus);
void vtd_prq_reset(IntelIOMMUState *s);
bool vtd_prq_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                       unsigned size);
/* PCIIOMMUOps.page_request */
bool vtd_prq_request(PCIBus *bus, void *opaque, int devfn,
                     const PCIPageReq *req);
/* The descriptor of a page group response; returns 0 or VTDS_IQEI_* */
int vtd_prq_response(IntelIOMMUState *s, const uint64_t *d, bool ignore);
/* Page requests on their way arrive: of one function, or all */
void vtd_prq_push(IntelIOMMUState *s, uint16_t sid);
void vtd_prq_drain(IntelIOMMUState *s);

#endif
