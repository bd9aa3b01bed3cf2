// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO PCI: the device TLB of a function that is not in D0
 *
 * Such a function sends no message but PME (PCIe 6.0, 5.3.1), so nobody gets
 * an answer to an invalidation of its TLB, and the queue that all devices of an
 * IOMMU share would wait for it.  User space chooses the power state, and the
 * kernel suspends a function that nobody has open, though its group may have a
 * container.  What is unmapped meanwhile has to be invalidated: let the IOMMU
 * do as in a reset.
 *
 * The IOMMU's tables stay as they are, and can be changed.
 *
 * Who unbinds a suspended function resumes it first (pci_device_remove()), and
 * vfio_pci_core_unregister_device() wakes it if that failed: no other driver
 * gets one that is asleep.
 */

#include <linux/iommu-nesting.h>
#include <linux/pci.h>
#include <linux/vfio_pci_core.h>

#include "vfio_pci_priv.h"

/**
 * vfio_pci_sleep() - A function is about to leave D0
 * @vdev: the function, in D0; nothing is done if it is told twice
 *
 * The consumer of its faults is told, with ATS or without.
 *
 * Context: may sleep.  memory_lock is held for write.
 */
void vfio_pci_sleep(struct vfio_pci_core_device *vdev)
{
	lockdep_assert_held_write(&vdev->memory_lock);

	if (vdev->asleep)
		return;

	iommu_nesting_reset_prepare(&vdev->pdev->dev);
	vdev->asleep = true;
}

/**
 * vfio_pci_wake() - A function is in D0 again, with its configuration
 * @vdev: the function; nothing is done if vfio_pci_sleep() was not called
 *
 * Context: may sleep.  memory_lock is held for write, or nobody else knows
 * @vdev.
 */
void vfio_pci_wake(struct vfio_pci_core_device *vdev)
{
	if (!vdev->asleep)
		return;

	vdev->asleep = false;
	iommu_nesting_reset_done(&vdev->pdev->dev);
}
