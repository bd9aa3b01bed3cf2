// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d: PASIDs by virtual command
 *
 * An emulated IOMMU may tell its guest to ask for PASIDs instead of choosing
 * them: the numbers are the host's then (VT-d 4.1, 11.4.3: ECAP.VCS; 11.4.45
 * to 11.4.49: the registers).  The first IOMMU that does becomes the allocator
 * of this kernel; any of them asks the same host.
 *
 * vcmd_lock orders commands: the interface takes one at a time.  It is taken
 * inside pasid_allocator_sem and there is none inside it.
 */

#define pr_fmt(fmt) "DMAR: " fmt

#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/iommu-pasid.h>
#include <linux/iopoll.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>

#include "iommu.h"
#include "vcmd.h"

#define ecap_vcs(e)		(((e) >> 44) & 0x1)

#define DMAR_VCMD_REG		0xe00
#define VCMD_CMD_ALLOC		1
#define VCMD_CMD_FREE		2
#define VCMD_OPERAND		GENMASK_ULL(63, 16)

#define DMAR_VCRSP_REG		0xe10
#define VCRSP_IP		BIT_ULL(0)
#define VCRSP_SC		GENMASK_ULL(7, 1)
#define VCRSP_SC_SUCCESS	0
#define VCRSP_SC_NO_PASID	16
#define VCRSP_RESULT		GENMASK_ULL(35, 16)

#define DMAR_VCCAP_REG		0xe30

/* A host answers in microseconds, one under load in milliseconds. */
#define VCMD_POLL_US		20
#define VCMD_TIMEOUT_US		(2 * USEC_PER_SEC)

static DEFINE_MUTEX(vcmd_lock);
/* Who asks; NULL if it has gone while PASIDs of its host are out */
static struct intel_iommu *vcmd_iommu;
static bool vcmd_registered;
/* A command that nobody waits for any more, or 0 */
static u64 vcmd_late;

static int vcmd_wait(struct intel_iommu *iommu, u64 *rsp)
{
	return readq_poll_timeout(iommu->reg + DMAR_VCRSP_REG, *rsp,
				  !(*rsp & VCRSP_IP), VCMD_POLL_US,
				  VCMD_TIMEOUT_US);
}

static int vcmd_do(struct intel_iommu *iommu, u64 cmd, u64 *rsp)
{
	int ret;

	writeq(cmd, iommu->reg + DMAR_VCMD_REG);
	ret = vcmd_wait(iommu, rsp);
	vcmd_late = ret ? cmd : 0;
	return ret;
}

/*
 * Nothing is in progress after it.  The PASID that an ALLOC got after its
 * caller had gone goes back.
 */
static int vcmd_idle(struct intel_iommu *iommu)
{
	u64 rsp, late = vcmd_late;
	int ret;

	lockdep_assert_held(&vcmd_lock);

	if (!late)
		return 0;
	ret = vcmd_wait(iommu, &rsp);
	if (ret)
		return ret;

	vcmd_late = 0;
	if (late != VCMD_CMD_ALLOC ||
	    FIELD_GET(VCRSP_SC, rsp) != VCRSP_SC_SUCCESS)
		return 0;
	return vcmd_do(iommu, VCMD_CMD_FREE |
		       FIELD_PREP(VCMD_OPERAND, FIELD_GET(VCRSP_RESULT, rsp)),
		       &rsp);
}

/* The interface knows no range: the core looks at what comes. */
static int vcmd_alloc(struct iommu_pasid_allocator *allocator, u32 min, u32 max)
{
	struct intel_iommu *iommu;
	u64 rsp;
	int ret;

	guard(mutex)(&vcmd_lock);

	iommu = vcmd_iommu;
	if (!iommu)
		return -ENODEV;

	ret = vcmd_idle(iommu);
	if (ret)
		return ret;

	ret = vcmd_do(iommu, VCMD_CMD_ALLOC, &rsp);
	if (ret)
		return ret;

	switch (FIELD_GET(VCRSP_SC, rsp)) {
	case VCRSP_SC_SUCCESS:
		return FIELD_GET(VCRSP_RESULT, rsp);
	case VCRSP_SC_NO_PASID:
		return -ENOSPC;
	default:
		pr_warn_ratelimited("%s: no PASID, status %llu\n", iommu->name,
				    FIELD_GET(VCRSP_SC, rsp));
		return -EIO;
	}
}

static void vcmd_free(struct iommu_pasid_allocator *allocator, u32 pasid)
{
	struct intel_iommu *iommu;
	u64 rsp;
	int ret;

	guard(mutex)(&vcmd_lock);

	iommu = vcmd_iommu;
	if (!iommu)
		return;

	ret = vcmd_idle(iommu);
	if (!ret)
		ret = vcmd_do(iommu, VCMD_CMD_FREE |
			      FIELD_PREP(VCMD_OPERAND, pasid), &rsp);
	if (ret || FIELD_GET(VCRSP_SC, rsp) != VCRSP_SC_SUCCESS)
		pr_warn_ratelimited("%s: PASID %u is lost to the host\n",
				    iommu->name, pasid);
}

static struct iommu_pasid_allocator vcmd_allocator = {
	.alloc = vcmd_alloc,
	.free = vcmd_free,
};

/**
 * intel_vcmd_init() - Take PASIDs from an IOMMU if it offers them
 * @iommu: an IOMMU in scalable mode or not, whose registers are mapped
 *
 * Context: may sleep.  At boot or hotplug, before any device is probed.
 */
void intel_vcmd_init(struct intel_iommu *iommu)
{
	if (!pasid_supported(iommu) || !ecap_vcs(iommu->ecap))
		return;

	iommu->vccap = readq(iommu->reg + DMAR_VCCAP_REG);
	if (!vccap_pasid(iommu->vccap))
		return;

	scoped_guard(mutex, &vcmd_lock) {
		if (vcmd_iommu)
			return;
		vcmd_iommu = iommu;
		/* The kernel before this one may have left something. */
		vcmd_late = VCMD_CMD_FREE;
	}

	if (!vcmd_registered &&
	    iommu_pasid_register_allocator(&vcmd_allocator)) {
		pr_warn("%s: PASIDs are in use that the host does not know\n",
			iommu->name);
		intel_vcmd_exit(iommu);
		return;
	}
	vcmd_registered = true;
	pr_info("%s: PASIDs come from the host\n", iommu->name);
}

/**
 * intel_vcmd_exit() - An IOMMU goes
 * @iommu: the IOMMU
 *
 * PASIDs of its host that are still out stay valid here.  There are no more
 * before another IOMMU offers them, and none goes back.
 *
 * Context: may sleep.
 */
void intel_vcmd_exit(struct intel_iommu *iommu)
{
	scoped_guard(mutex, &vcmd_lock) {
		if (iommu != vcmd_iommu)
			return;
		vcmd_iommu = NULL;
	}
	if (vcmd_registered &&
	    !iommu_pasid_unregister_allocator(&vcmd_allocator))
		vcmd_registered = false;
}
