/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO PCI: faults of a device's DMA, in a ring that user space maps
 */
#ifndef __VFIO_PCI_DMA_FAULT_H
#define __VFIO_PCI_DMA_FAULT_H

#include <linux/errno.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <uapi/linux/vfio_nesting.h>

struct vfio_device;
struct vfio_pci_core_device;

/**
 * struct vfio_pci_fault_ring - The memory of a ring, and the producer's state
 * @users: who looks at it
 * @depth: entries, a power of two
 * @producer: index of the next entry
 * @seq: number of the last entry, written or dropped
 * @lost: entries dropped
 * @hw_lost: times that the hardware lost faults
 * @resets: times that the device was reset
 * @muted: times that its faults were switched off
 * @header: what the user can read of the above; never read here
 * @user: what the user can write; to be distrusted
 * @entries: the entries; never read here
 */
struct vfio_pci_fault_ring {
	refcount_t			users;
	u32				depth;
	u32				producer;
	u64				seq;
	u64				lost;
	u64				hw_lost;
	u64				resets;
	u64				muted;
	struct vfio_dma_fault_header	*header;
	struct vfio_dma_fault_user	*user;
	struct vfio_dma_fault		*entries;
};

#ifdef CONFIG_IOMMU_NESTING
int vfio_pci_dma_fault_open(struct vfio_pci_core_device *vdev);
int vfio_pci_core_feature_dma_fault(struct vfio_device *device, u32 flags,
				    void __user *arg, size_t argsz);
int vfio_pci_core_feature_dma_fault_drain(struct vfio_device *device,
					  u32 flags, void __user *arg,
					  size_t argsz);
#else
static inline int vfio_pci_dma_fault_open(struct vfio_pci_core_device *vdev)
{
	return 0;
}

static inline int vfio_pci_core_feature_dma_fault(struct vfio_device *device,
						  u32 flags, void __user *arg,
						  size_t argsz)
{
	return -ENOTTY;
}

static inline int
vfio_pci_core_feature_dma_fault_drain(struct vfio_device *device, u32 flags,
				      void __user *arg, size_t argsz)
{
	return -ENOTTY;
}
#endif

#if IS_ENABLED(CONFIG_KUNIT)
struct vfio_pci_fault_ring *vfio_pci_fault_ring_alloc(u32 depth);
void vfio_pci_fault_ring_put(struct vfio_pci_fault_ring *ring);
bool vfio_pci_fault_ring_reserve(struct vfio_pci_fault_ring *ring, u32 nr);
struct vfio_dma_fault *
vfio_pci_fault_ring_entry(struct vfio_pci_fault_ring *ring, u32 i, u32 type);
bool vfio_pci_fault_ring_publish(struct vfio_pci_fault_ring *ring, u32 nr);
void vfio_pci_fault_ring_drop(struct vfio_pci_fault_ring *ring, u32 nr);
bool vfio_pci_fault_ring_reset(struct vfio_pci_fault_ring *ring);
void vfio_pci_fault_ring_mute(struct vfio_pci_fault_ring *ring);
#endif

#endif /* __VFIO_PCI_DMA_FAULT_H */
