/*
 * What the strict IOMMU models share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "exec/address-spaces.h"
#include "hw/pci/iommu_strict.h"

void *iommu_guest_ram(hwaddr addr, hwaddr len, bool write, MemoryRegion **mr,
                      hwaddr *xlat)
{
    hwaddr l = len;

    *mr = address_space_translate(&address_space_memory, addr, xlat, &l, write,
                                  MEMTXATTRS_UNSPECIFIED);
    if (l < len || !memory_access_is_direct(*mr, write,
                                            MEMTXATTRS_UNSPECIFIED)) {
        return NULL;
    }
    return (uint8_t *)memory_region_get_ram_ptr(*mr) + *xlat;
}

bool iommu_read_word(hwaddr addr, uint64_t *val)
{
    MemoryRegion *mr;
    hwaddr xlat;
    uint64_t *p = iommu_guest_ram(addr, sizeof(*p), false, &mr, &xlat);

    if (!p) {
        return false;
    }
    *val = le64_to_cpu(qatomic_read(p));
    return true;
}

bool iommu_read_struct(hwaddr addr, uint64_t *val, unsigned n)
{
    MemoryRegion *mr;
    hwaddr xlat;
    uint64_t *p = iommu_guest_ram(addr, n * sizeof(*p), false, &mr, &xlat);

    if (!p) {
        return false;
    }
    do {
        val[0] = qatomic_load_acquire(p);
        for (unsigned i = 1; i < n; i++) {
            val[i] = qatomic_read(p + i);
        }
        /* The second look at the first word comes after the rest. */
        smp_rmb();
    } while (qatomic_read(p) != val[0]);
    for (unsigned i = 0; i < n; i++) {
        val[i] = le64_to_cpu(val[i]);
    }
    return true;
}

void iommu_recent_add(IOMMURecents *r, uint16_t sid, uint32_t pasid, bool priv,
                      uint64_t iova)
{
    IOMMURecent new = {
        .used = true, .sid = sid, .pasid = pasid, .priv = priv,
        .iova = iova & ~0xfffULL,
    };

    for (unsigned i = 0; i < IOMMU_RECENT; i++) {
        IOMMURecent *o = &r->entry[i];

        if (o->used && o->sid == new.sid && o->pasid == new.pasid &&
            o->priv == new.priv && o->iova == new.iova) {
            return;
        }
    }
    r->entry[r->next] = new;
    r->next = (r->next + 1) % IOMMU_RECENT;
}
