/*
 * What the IOMMU models tell the monitor, and ask it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MISC_IOMMU_MONITOR_H
#define HW_MISC_IOMMU_MONITOR_H

/* IOMMU_MON_EV_*, IOMMU_MON_MODE_* */
#include "hw/misc/iommu-monitor-regs.h"

#define IOMMU_MON_ANY UINT32_MAX         /* this event has no such tag */

/* Count one event; @sid and @pasid are IOMMU_MON_ANY where they have none. */
void iommu_mon_count(uint32_t event, uint32_t sid, uint32_t pasid);

/* True: the model must pretend to execute this VT-d descriptor type. */
bool iommu_mon_ignore_vtd(uint32_t type);
/* True: the same for an SMMUv3 command opcode. */
bool iommu_mon_ignore_smmu(uint32_t opcode);
/* True: the next device-TLB invalidation is to time out. */
bool iommu_mon_inv_timeout(uint32_t sid);
/* True: DMA of every device is to wait until iommu_mon_dma_held() is false. */
bool iommu_mon_dma_held(void);
/* True: page requests are to stay on their way to the IOMMU. */
bool iommu_mon_prq_held(void);
/* As many pending page requests fill the queue; 0: as it was programmed. */
uint32_t iommu_mon_prq_depth(void);
/* What a virtual command is to do, IMON_VCMD_*. */
uint32_t iommu_mon_vcmd(void);
/*
 * The model tells how many faults it could record now, and whether none is
 * pending; devices that pace themselves by that ask.
 */
void iommu_mon_set_fault_room(uint32_t room, bool idle);
uint32_t iommu_mon_fault_room(void);
bool iommu_mon_fault_idle(void);
/*
 * Called when something held is released, or there is room for faults again;
 * @opaque identifies the registration.
 */
void iommu_mon_add_release_cb(void (*cb)(void *opaque), void *opaque);
void iommu_mon_del_release_cb(void (*cb)(void *opaque), void *opaque);
/* The models report what is in force, IOMMU_MON_MODE_*. */
void iommu_mon_set_modes(uint64_t modes);

#endif
