/*
 * iommu-monitor: what the IOMMU models call where there is none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/iommu-monitor.h"

void iommu_mon_count(uint32_t event, uint32_t sid, uint32_t pasid)
{
}

bool iommu_mon_ignore_vtd(uint32_t type)
{
    return false;
}

bool iommu_mon_ignore_smmu(uint32_t opcode)
{
    return false;
}

bool iommu_mon_inv_timeout(uint32_t sid)
{
    return false;
}

bool iommu_mon_dma_held(void)
{
    return false;
}

bool iommu_mon_prq_held(void)
{
    return false;
}

uint32_t iommu_mon_prq_depth(void)
{
    return 0;
}

void iommu_mon_set_fault_room(uint32_t room, bool idle)
{
}

uint32_t iommu_mon_fault_room(void)
{
    return UINT32_MAX;
}

bool iommu_mon_fault_idle(void)
{
    return true;
}

uint32_t iommu_mon_vcmd(void)
{
    return 0;
}

void iommu_mon_add_release_cb(void (*cb)(void *opaque), void *opaque)
{
}

void iommu_mon_del_release_cb(void (*cb)(void *opaque), void *opaque)
{
}

void iommu_mon_set_modes(uint64_t modes)
{
}
