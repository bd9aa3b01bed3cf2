/*
 * VT-d: virtual command interface of intel-iommu,x-vcmd=on
 *
 * By this a guest asks its host for PASIDs: VT-d specification, revision 4.1,
 * 11.4.45 to 11.4.49; "spec" below is that one.  Here the host is this model,
 * and gives numbers from x-vcmd-min to x-vcmd-max.
 *
 * Documented in tools/testing/hw/vtd-model.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "hw/misc/iommu-monitor.h"
#include "intel_iommu_internal.h"
#include "intel_iommu_vcmd.h"

#define VCMD_REG                0xe00
#define VCRSP_REG               0xe10
#define VCCAP_REG               0xe30

#define VCCAP_PAS               (1ULL << 0)
#define VCMD_CMD(v)             ((v) & 0xff)
#define VCMD_ALLOC              1
#define VCMD_FREE               2
#define VCMD_OPERAND(v)         ((v) >> 16)
#define VCRSP_IP                (1ULL << 0)
#define VCRSP_SC(code)          ((uint64_t)(code) << 1)
#define VCRSP_RESULT(v)         ((uint64_t)(v) << 16)

/* Status codes */
#define VCMD_SUCCESS            0
#define VCMD_UNDEFINED          1
#define VCMD_NO_PASID           16  /* of ALLOC */
#define VCMD_BAD_PASID          16  /* of FREE */

#define VCMD_PASIDS             (1u << 20)

struct VTDVcmd {
    unsigned long *used;
    uint64_t cmd;               /* what a busy interface has still to do */
    bool busy;
};

static uint64_t reg64(IntelIOMMUState *s, hwaddr addr)
{
    return ldq_le_p(&s->csr[addr]);
}

static void set_reg64(IntelIOMMUState *s, hwaddr addr, uint64_t val)
{
    stq_le_p(&s->csr[addr], val);
}

static uint64_t vcmd_alloc(IntelIOMMUState *s)
{
    struct VTDVcmd *c = s->vcmd_state;
    uint32_t pasid;

    pasid = find_next_zero_bit(c->used, s->vcmd_max + 1, s->vcmd_min);
    if (pasid > s->vcmd_max || iommu_mon_vcmd() == IMON_VCMD_NO_PASID) {
        return VCRSP_SC(VCMD_NO_PASID);
    }
    set_bit(pasid, c->used);
    iommu_mon_count(IOMMU_MON_EV_VCMD_ALLOC, IOMMU_MON_ANY, pasid);
    return VCRSP_SC(VCMD_SUCCESS) | VCRSP_RESULT(pasid);
}

static uint64_t vcmd_free(IntelIOMMUState *s, uint64_t pasid)
{
    struct VTDVcmd *c = s->vcmd_state;

    if (pasid >= VCMD_PASIDS || !test_bit(pasid, c->used)) {
        iommu_mon_count(IOMMU_MON_EV_VCMD_BAD_FREE, IOMMU_MON_ANY, pasid);
        return VCRSP_SC(VCMD_BAD_PASID);
    }
    clear_bit(pasid, c->used);
    iommu_mon_count(IOMMU_MON_EV_VCMD_FREE, IOMMU_MON_ANY, pasid);
    return VCRSP_SC(VCMD_SUCCESS);
}

static void vcmd_run(IntelIOMMUState *s, uint64_t cmd)
{
    uint64_t rsp = VCRSP_SC(VCMD_UNDEFINED);

    if (iommu_mon_vcmd() != IMON_VCMD_FAIL) {
        switch (VCMD_CMD(cmd)) {
        case VCMD_ALLOC:
            rsp = vcmd_alloc(s);
            break;
        case VCMD_FREE:
            rsp = vcmd_free(s, VCMD_OPERAND(cmd));
            break;
        }
    }
    set_reg64(s, VCRSP_REG, rsp);
}

/* A knob was turned: what waited for it goes on. */
static void vcmd_released(void *opaque)
{
    IntelIOMMUState *s = opaque;
    struct VTDVcmd *c = s->vcmd_state;

    if (c->busy && iommu_mon_vcmd() != IMON_VCMD_BUSY) {
        c->busy = false;
        vcmd_run(s, c->cmd);
    }
}

bool vtd_vcmd_reg_write(IntelIOMMUState *s, hwaddr addr, uint64_t val,
                        unsigned size)
{
    struct VTDVcmd *c = s->vcmd_state;

    if (!s->vcmd || addr < VCMD_REG || addr >= VCCAP_REG + 16) {
        return false;
    }
    if (addr == VCMD_REG + 4 && size == 4) {
        stl_le_p(&s->csr[addr], val);
        return true;
    }
    /* A command while one is in progress is lost. */
    if (addr != VCMD_REG || (reg64(s, VCRSP_REG) & VCRSP_IP)) {
        return true;
    }
    if (size == 4) {
        val = (uint32_t)val | (reg64(s, VCMD_REG) & ~0xffffffffULL);
    }
    set_reg64(s, VCMD_REG, val);
    if (iommu_mon_vcmd() == IMON_VCMD_BUSY) {
        c->cmd = val;
        c->busy = true;
        set_reg64(s, VCRSP_REG, VCRSP_IP);
    } else {
        vcmd_run(s, val);
    }
    return true;
}

bool vtd_vcmd_check_config(IntelIOMMUState *s, Error **errp)
{
    if (!s->vcmd) {
        return true;
    }
    if (!s->nesting || !s->vcmd_min || s->vcmd_min > s->vcmd_max ||
        s->vcmd_max >= VCMD_PASIDS) {
        error_setg(errp, "x-vcmd needs x-nesting=on and a range of PASIDs "
                   "from x-vcmd-min to x-vcmd-max");
        return false;
    }
    return true;
}

void vtd_vcmd_reset(IntelIOMMUState *s)
{
    struct VTDVcmd *c = s->vcmd_state;

    if (!s->vcmd) {
        return;
    }
    if (!c) {
        c = g_new0(struct VTDVcmd, 1);
        c->used = bitmap_new(VCMD_PASIDS);
        s->vcmd_state = c;
        iommu_mon_add_release_cb(vcmd_released, s);
    }
    bitmap_zero(c->used, VCMD_PASIDS);
    c->busy = false;
    s->ecap |= VTDV_ECAP_VCS;
    set_reg64(s, DMAR_ECAP_REG, s->ecap);
    set_reg64(s, VCCAP_REG, VCCAP_PAS);
}
