/*
 * What the strict IOMMU models share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_IOMMU_STRICT_H
#define HW_PCI_IOMMU_STRICT_H

#include "exec/hwaddr.h"
#include "exec/memory.h"

/*
 * Structures are read from RAM only: NULL elsewhere, which is the "external
 * abort" or "access error" of the architectures.  So a walk cannot come back
 * to the model.  Under RCU.
 */
void *iommu_guest_ram(hwaddr addr, hwaddr len, bool write, MemoryRegion **mr,
                      hwaddr *xlat);

/* One little-endian word; false if there is no RAM */
bool iommu_read_word(hwaddr addr, uint64_t *val);

/*
 * A structure of @n words whose first one has the valid bit, which software
 * sets last and clears first: it is read first, and has not changed when the
 * others are read.
 */
bool iommu_read_struct(hwaddr addr, uint64_t *val, unsigned n);

/* Addresses used lately, for the walks that hardware may do at any time */
#define IOMMU_RECENT            32

typedef struct IOMMURecent {
    bool used;
    uint16_t sid;
    uint32_t pasid;             /* or PCI_TRANS_NO_PASID */
    bool priv;
    uint64_t iova;              /* of the 4 KiB page */
} IOMMURecent;

typedef struct IOMMURecents {
    IOMMURecent entry[IOMMU_RECENT];
    unsigned next;
} IOMMURecents;

void iommu_recent_add(IOMMURecents *r, uint16_t sid, uint32_t pasid, bool priv,
                      uint64_t iova);

#endif
