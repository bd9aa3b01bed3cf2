/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pasid-testdev as a PCI device: what its drivers share
 */
#ifndef CLIENT_PCI_H
#define CLIENT_PCI_H

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "pasid_testdev.h"

static const struct pci_device_id client_pci_ids[] = {
	{ PCI_DEVICE(PTD_VENDOR_ID, PTD_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, client_pci_ids);

/* Until the driver is unbound the device may do DMA, to any address */
static inline int client_pci_enable(struct pci_dev *pdev)
{
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (!ret)
		pci_set_master(pdev);
	return ret;
}

#endif
