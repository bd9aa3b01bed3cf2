/*
 * SMMUv3: the engine of arm-smmuv3,x-nesting=on
 *
 * Everything here is called with the BQL held, except
 * smmuv3_strict_translate_as(), which takes the SMMU's mutex as all others do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ARM_SMMUV3_STRICT_H
#define HW_ARM_SMMUV3_STRICT_H

#include "hw/arm/smmuv3.h"
#include "hw/pci/pci_trans.h"

bool smmuv3_strict_realize(SMMUv3State *s, Error **errp);
/* Power-on state: identification, empty caches and queues */
void smmuv3_strict_reset(SMMUv3State *s);
/* A register at @offset has been written. */
void smmuv3_strict_written(SMMUv3State *s, hwaddr offset);
/* Run the command queue. */
void smmuv3_strict_run_queue(SMMUv3State *s);
/* A device that knows only address spaces */
void smmuv3_strict_translate_as(SMMUv3State *s, uint16_t sid, hwaddr addr,
                                IOMMUAccessFlags flag, IOMMUTLBEntry *out);

/*
 * What the device tree has to say about the devices below @node, the host
 * bridge of @bus: ATS, and who can stall.
 */
void smmuv3_strict_fdt(void *fdt, const char *node, PCIBus *bus);

/* Of smmuv3.c */
void smmuv3_trigger_irq(SMMUv3State *s, SMMUIrq irq, uint32_t gerror_mask);

#endif
