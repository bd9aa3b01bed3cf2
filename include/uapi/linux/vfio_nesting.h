/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Nested translation and PASIDs on the VFIO type1 container
 *
 * See Documentation/userspace-api/vfio-nesting.rst.
 *
 * Rules for every structure that user space passes in: @argsz is the size of
 * the structure as the caller knows it; of VFIO_DEVICE_FEATURE that of its
 * header and the data.  EINVAL if it is smaller than the size defined here, if
 * a flag is unknown or a reserved field is not zero.  A larger structure, up to
 * one page, is accepted if all that is not known here is zero; else E2BIG.
 * With VFIO_DEVICE_FEATURE_PROBE no data is looked at, nor needed.  Any of the
 * ioctls may fail with EFAULT and with ENOMEM.
 */
#ifndef _UAPI_LINUX_VFIO_NESTING_H
#define _UAPI_LINUX_VFIO_NESTING_H

#include <linux/types.h>
#include <linux/ioctl.h>
#include <linux/vfio.h>

/*
 * VFIO_CHECK_EXTENSION: 1 where the ioctls below exist.  Whether the attached
 * devices can use them is in the capability of VFIO_IOMMU_GET_INFO.
 */
#define VFIO_TYPE1_NESTING_API		64

#ifndef VFIO_TYPE1_NESTING_IOMMU
#define VFIO_TYPE1_NESTING_IOMMU	6
#endif

/*
 * Formats of vendor data.  A format fixes the layout and the length of what a
 * bind and an invalidation entry point to, and of the hardware information.
 *
 * VTD_S1: struct iommu_hwpt_vtd_s1, struct iommu_hwpt_vtd_s1_invalidate and
 * struct iommu_hw_info_vtd of <linux/iommufd.h>.
 *
 * SMMUV3: struct vfio_nesting_smmuv3_ste, struct vfio_nesting_smmuv3_cmd and
 * struct vfio_nesting_smmuv3_hw_info below.
 */
#define VFIO_NESTING_FORMAT_NONE	0
#define VFIO_NESTING_FORMAT_VTD_S1	1
#define VFIO_NESTING_FORMAT_SMMUV3	2

/* What a format can do with the devices attached to this container. */
#define VFIO_NESTING_FEATURE_PASID_ALLOC	(1U << 0)
#define VFIO_NESTING_FEATURE_BIND_GUEST_PASID	(1U << 1)
#define VFIO_NESTING_FEATURE_BIND_PASID_TABLE	(1U << 2)
#define VFIO_NESTING_FEATURE_CACHE_INVALIDATE	(1U << 3)
#define VFIO_NESTING_FEATURE_DMA_FAULT		(1U << 4)
#define VFIO_NESTING_FEATURE_PAGE_REQUEST	(1U << 5)

/**
 * struct vfio_nesting_format - One format and its features
 * @format: VFIO_NESTING_FORMAT_*
 * @features: VFIO_NESTING_FEATURE_* that work for this format
 * @required: those of @features that the VMM must use to be correct
 * @__reserved: 0
 */
struct vfio_nesting_format {
	__u32	format;
	__u32	features;
	__u32	required;
	__u32	__reserved;
};

/*
 * Capability of VFIO_IOMMU_GET_INFO.  Present only in a container of type
 * VFIO_TYPE1_NESTING_IOMMU with a device attached, and never with an empty
 * list.
 */
#define VFIO_IOMMU_TYPE1_INFO_CAP_NESTING	4

/**
 * struct vfio_iommu_type1_info_cap_nesting - What nesting offers here
 * @header: id VFIO_IOMMU_TYPE1_INFO_CAP_NESTING, version 1
 * @flags: VFIO_NESTING_INFO_*
 * @nr_formats: entries in @formats, at least 1
 * @pasid_quota: PASIDs that the process that asks may be charged with, for
 *		 all its containers together
 * @pasid_used: PASIDs that this container holds now
 * @max_bindings: bindings (device, PASID) this container may have
 * @nr_bindings: bindings it has now
 * @pasid_charged: PASIDs that the process that asks is charged with now
 * @__reserved: 0
 * @msi_start: first address of the MSI window
 * @msi_size: its size in bytes, 0 where there is none
 * @formats: the formats, in no particular order
 */
struct vfio_iommu_type1_info_cap_nesting {
	struct vfio_info_cap_header header;
	__u32	flags;
/*
 * Stage 2 cannot hold read-only maps: VFIO_IOMMU_MAP_DMA without
 * VFIO_DMA_MAP_FLAG_WRITE fails with EINVAL in this container.
 */
#define VFIO_NESTING_INFO_NO_RO_MAPS	(1U << 0)
	__u32	nr_formats;
	__u32	pasid_quota;
	__u32	pasid_used;
	__u32	max_bindings;
	__u32	nr_bindings;
	__u32	pasid_charged;
	__u32	__reserved;
	__aligned_u64 msi_start;
	__aligned_u64 msi_size;
	struct vfio_nesting_format formats[];
};

/**
 * struct vfio_iommu_type1_pasid_request - VFIO_IOMMU_PASID_REQUEST
 * @argsz: user filled size of this structure
 * @flags: one of VFIO_PASID_REQUEST_ALLOC and VFIO_PASID_REQUEST_FREE
 * @min: first PASID of the range, at least 1
 * @max: last PASID of the range
 *
 * Only for those who need a number that is unique on the host: any PASID
 * below the width of a device may be bound without it.
 *
 * ALLOC returns a PASID of the range.  FREE gives back all that this
 * container holds in the range and returns 0, also if that is none.  The
 * container is the owner; what it holds when it is closed is freed.  One
 * that is still bound is given back with its last binding.
 *
 * The process that calls ALLOC is charged, and its cgroup (misc.max, resource
 * "pasid"), until the PASID is given back, whoever does that: after a fork
 * the child for what it allocates, and nobody for another by an exec, an exit
 * or a file descriptor that is passed on.  After an exec nothing is charged to
 * the new program.
 *
 * Where the host is itself a guest that has to ask its own host for PASIDs,
 * the range cannot be asked for: a narrow one ends in ENOSPC.
 *
 * Return: ALLOC: a PASID; FREE: 0; else -1 with errno
 *
 * * EINVAL: flags not exactly one, min > max, min 0, max over 20 bits
 * * EOPNOTSUPP: no format of this container has PASID_ALLOC
 * * EDQUOT: ALLOC: the process or the container has its quota (pasid_quota)
 * * EBUSY: ALLOC: the cgroup, or one above it, has its limit
 * * ENOSPC: ALLOC: no free PASID in the range
 * * EIO, ETIMEDOUT, ENODEV: ALLOC: the host's own host does not give one
 *
 * This and the following two fail with EINVAL where no group is attached, as
 * any ioctl of such a container, and with ENOTTY in other containers.
 */
struct vfio_iommu_type1_pasid_request {
	__u32	argsz;
	__u32	flags;
#define VFIO_PASID_REQUEST_ALLOC	(1U << 0)
#define VFIO_PASID_REQUEST_FREE		(1U << 1)
	__u32	min;
	__u32	max;
};

#define VFIO_IOMMU_PASID_REQUEST	_IO(VFIO_TYPE, VFIO_BASE + 22)

/**
 * struct vfio_iommu_type1_bind - VFIO_IOMMU_BIND
 * @argsz: user filled size of this structure
 * @flags: VFIO_BIND_FLAG_*
 * @op: VFIO_BIND_OP_*
 * @target: VFIO_BIND_TARGET_*
 * @pasid: for GUEST_PASID: the PASID; 0 is requests without PASID.  For
 *	   PASID_TABLE: 0
 * @group_fd: with VFIO_BIND_FLAG_GROUP: a group of this container; else 0
 * @format: OP_BIND: VFIO_NESTING_FORMAT_* of @data; else 0
 * @data_len: OP_BIND: the length the format demands; else 0
 * @data_uptr: OP_BIND: the format's bind data; else 0
 *
 * Attaching a group to a container of type VFIO_TYPE1_NESTING_IOMMU, by
 * VFIO_SET_IOMMU or later, fails with EOPNOTSUPP if its IOMMU cannot nest, if
 * the group has several devices, or if it is an emulated one (mdev); with
 * EINVAL if the container has a map that stage 2 cannot hold, see
 * VFIO_NESTING_INFO_NO_RO_MAPS; and with EPERM, as for each container, if
 * interrupts are not remapped (and vfio_iommu_type1 does not allow that).
 *
 * BIND makes a stage-1 table of the guest translate, nested on the mappings
 * of this container.  What was bound there is replaced.  UNBIND: requests
 * with that PASID are blocked; requests without PASID go through stage 2
 * alone.  BLOCK: the requests are blocked, those
 * without PASID too.  BLOCK of a PASID is UNBIND, but not an error where
 * nothing is bound.
 *
 * PASID_TABLE is for hardware that finds the tables of all PASIDs of a device
 * in a table of the guest.  It is bound as a whole, requests without PASID
 * included, and invalidations name it by PASID 0.
 *
 * Without VFIO_BIND_FLAG_GROUP all groups of the container are meant, all or
 * nothing.  Whatever fails has changed nothing.
 *
 * Return: 0, or -1 with errno
 *
 * * EINVAL: unknown flag, op, target; a field that must be 0; bad data;
 *   @group_fd is not a group
 * * EBADF: @group_fd is no file
 * * ENOENT: the group is not in this container; UNBIND: bound nowhere
 * * EOPNOTSUPP: @format or @target is not what this IOMMU has
 * * ERANGE: @pasid is beyond what the device supports
 * * ENOSPC: too many bindings, or no domain id left
 * * EBUSY: the PASID is freed but still in use
 */
struct vfio_iommu_type1_bind {
	__u32	argsz;
	__u32	flags;
#define VFIO_BIND_FLAG_GROUP		(1U << 0)
	__u32	op;
#define VFIO_BIND_OP_BIND		0
#define VFIO_BIND_OP_UNBIND		1
#define VFIO_BIND_OP_BLOCK		2
	__u32	target;
#define VFIO_BIND_TARGET_GUEST_PASID	0
#define VFIO_BIND_TARGET_PASID_TABLE	1
	__u32	pasid;
	__s32	group_fd;
	__u32	format;
	__u32	data_len;
	__aligned_u64 data_uptr;
};

#define VFIO_IOMMU_BIND			_IO(VFIO_TYPE, VFIO_BASE + 23)

/**
 * struct vfio_nesting_smmuv3_ste - Bind data of VFIO_NESTING_FORMAT_SMMUV3
 * @ste: the words 0 and 1 of the guest's stream table entry, little endian
 *
 * Of word 0 V, Config, S1Fmt, S1ContextPtr and S1CDMax, of word 1 S1DSS, S1CIR,
 * S1COR, S1CSH, S1STALLD and EATS may be set (IHI 0070F, 5.2); anything else
 * is EINVAL.  Config is abort, bypass or stage 1; an entry that is not valid
 * is abort.  S1ContextPtr and all below it are addresses of this container.
 */
struct vfio_nesting_smmuv3_ste {
	__le64	ste[2];
};

/**
 * struct vfio_nesting_smmuv3_cmd - Invalidation of VFIO_NESTING_FORMAT_SMMUV3
 * @cmd: a command as the guest's queue has it, little endian
 *
 * TLBI_NSNH_ALL, TLBI_NH_ALL, _ASID, _VA, _VAA, CFGI_CD, CFGI_CD_ALL and
 * ATC_INV (IHI 0070F, chapter 4); others are EOPNOTSUPP.  VMID and StreamID
 * are replaced by those of the host.  A bit that a command does not have, a
 * range that the SMMU does not know, and a SubstreamID beyond the device's are
 * EINVAL.  No CMD_SYNC: it is done when the ioctl returns.
 *
 * The device TLB is not included: ATC_INV is for that, and does nothing unless
 * EATS of the entry is 1 and the device has ATS.
 */
struct vfio_nesting_smmuv3_cmd {
	__le64	cmd[2];
};

/**
 * struct vfio_nesting_smmuv3_hw_info - Identification of the SMMU
 * @flags: 0
 * @__reserved: 0
 * @idr: SMMU_IDR0 to SMMU_IDR5, as the host finds them
 * @iidr: SMMU_IIDR
 * @aidr: SMMU_AIDR
 *
 * Not all of it works for a guest.  There is nothing but stage 1, and stalls
 * need a device that can.
 */
struct vfio_nesting_smmuv3_hw_info {
	__u32	flags;
	__u32	__reserved;
	__u32	idr[6];
	__u32	iidr;
	__u32	aidr;
};

/**
 * struct vfio_iommu_type1_cache_invalidate - VFIO_IOMMU_CACHE_INVALIDATE
 * @argsz: user filled size of this structure
 * @flags: VFIO_INVALIDATE_FLAG_*
 * @target: VFIO_INVALIDATE_TARGET_*
 * @pasid: TARGET_PASID: whose translations; else 0
 * @group_fd: with VFIO_INVALIDATE_FLAG_GROUP: a group of this container; else 0
 * @format: VFIO_NESTING_FORMAT_* of the entries
 * @entry_len: bytes from one entry to the next, at least the format's length
 * @entry_num: in: number of entries, at least 1; out: how many were done
 * @entry_uptr: the entries
 *
 * The IOTLB and, where the device has one that is enabled, the device TLB no
 * longer hold what the entries name when this returns.
 *
 * TARGET_PASID: each entry for the binding of @pasid.  TARGET_ALL: each entry
 * for every binding.  Both in all groups of the container or in the one of
 * @group_fd.  Does not wait for a VFIO_IOMMU_MAP_DMA of another thread, only
 * for a group that is being attached to or detached from the container.
 *
 * Return: 0, or -1 with errno; @entry_num is written in both cases once the
 * arguments were accepted, and counts the entries done for all bindings
 *
 * * EINVAL: unknown flag, target; @entry_num 0 or over 65536; @entry_len
 *   too short; bad entry; @group_fd is not a group
 * * E2BIG: @entry_len over a page; what is not known there is not 0
 * * EBADF: @group_fd is no file
 * * ENOENT: the group is not in this container; nothing is bound there
 * * EOPNOTSUPP: @format is not what is bound there, unknown flag in an entry,
 *   or a reserved field of one of VT-d that is not 0
 * * EIO: the hardware did not complete the invalidation, or not one before it
 *   since the last reset of the device
 */
struct vfio_iommu_type1_cache_invalidate {
	__u32	argsz;
	__u32	flags;
#define VFIO_INVALIDATE_FLAG_GROUP	(1U << 0)
	__u32	target;
#define VFIO_INVALIDATE_TARGET_PASID	0
#define VFIO_INVALIDATE_TARGET_ALL	1
	__u32	pasid;
	__s32	group_fd;
	__u32	format;
	__u32	entry_len;
	__u32	entry_num;
	__aligned_u64 entry_uptr;
};

#define VFIO_IOMMU_CACHE_INVALIDATE	_IO(VFIO_TYPE, VFIO_BASE + 24)

/**
 * struct vfio_device_feature_nesting - VFIO_DEVICE_FEATURE_NESTING (GET)
 * @flags: VFIO_DEVICE_NESTING_*
 * @pasid_bits: width of the device's PASIDs, 0: none
 * @format: VFIO_NESTING_FORMAT_* of @hw_info
 * @hw_info_len: in: bytes of room at @hw_info_uptr; out: what the format has
 * @hw_info_uptr: where to write it, cut at the room; may be 0 with room 0
 * @max_requests: page requests the device may have outstanding; 0: it has none
 * @__reserved: 0
 *
 * Works whatever the device was opened with, a container or an iommufd.
 * EINVAL if a field that is not marked "in" is not 0.  ENOTTY where the device
 * is not behind an IOMMU that can nest.
 */
struct vfio_device_feature_nesting {
	__u32	flags;
#define VFIO_DEVICE_NESTING_PASID_EXEC	(1U << 0)
#define VFIO_DEVICE_NESTING_PASID_PRIV	(1U << 1)
#define VFIO_DEVICE_NESTING_ATS		(1U << 2)
	__u32	pasid_bits;
	__u32	format;
	__u32	hw_info_len;
	__aligned_u64 hw_info_uptr;
	__u32	max_requests;
	__u32	__reserved;
};

#define VFIO_DEVICE_FEATURE_NESTING	64

/**
 * struct vfio_device_feature_dma_fault - VFIO_DEVICE_FEATURE_DMA_FAULT (SET)
 * @flags: VFIO_DMA_FAULT_*, which kinds are wanted; at least one unless @depth
 *	   is 0, and then 0
 * @depth: entries of the ring, a power of two from VFIO_DMA_FAULT_MIN_DEPTH to
 *	   VFIO_DMA_FAULT_MAX_DEPTH; 0: no faults any more
 * @eventfd: signalled when there is something to read and nobody may be
 *	     looking, see VFIO_DMA_FAULT_OFF_USER; -1: none, as it has to be
 *	     if @depth is 0
 * @__reserved: 0
 *
 * Faults of the device are written to the region
 * VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT from now on.  What came before is not
 * in there.  Called again while they are on, it changes the kinds and the
 * eventfd, and the depth if all is read.  Whatever fails has changed nothing.
 *
 * The memory of the ring is charged to the caller and there until @depth is
 * set to 0 or the device is released.  Then it reads as ENODATA, and access
 * to a mapping ends in SIGBUS.
 *
 * Without VFIO_DMA_FAULT_PAGE_REQUEST the device makes no page requests. When
 * it is taken away, what is outstanding is answered INVALID.
 *
 * Return: 0, or -1 with errno
 *
 * * EINVAL: unknown flag, no kind, @depth no power of two or out of range
 * * EBADF: @eventfd is no file, EINVAL if it is no eventfd
 * * EBUSY: another depth, and there are entries that are not read
 * * EOPNOTSUPP: page requests: the device or its IOMMU has none, or it is a VF
 * * ENOMEM: no memory
 * * ENOTTY: the IOMMU of the device reports no faults, or the device was
 *   opened by way of an iommufd
 */
struct vfio_device_feature_dma_fault {
	__u32	flags;
#define VFIO_DMA_FAULT_UNRECOVERABLE	(1U << 0)
#define VFIO_DMA_FAULT_PAGE_REQUEST	(1U << 1)
	__u32	depth;
#define VFIO_DMA_FAULT_MIN_DEPTH	16
#define VFIO_DMA_FAULT_MAX_DEPTH	65536
	__s32	eventfd;
	__u32	__reserved;
};

#define VFIO_DEVICE_FEATURE_DMA_FAULT	65

/*
 * Regions of a PCI device that its IOMMU reports faults for.  They are there
 * while the device is open, whether faults are on or not.
 */
#define VFIO_REGION_TYPE_NESTED				4
#define VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT		1
#define VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT_RESPONSE	2

/**
 * struct vfio_dma_fault_header - At offset 0 of the region DMA_FAULT
 * @entry_size: bytes of an entry, sizeof(struct vfio_dma_fault)
 * @depth: entries of the ring, a power of two
 * @user_offset: where in the region struct vfio_dma_fault_user is
 * @ring_offset: where in the region the ring is
 * @hw_lost: how often the IOMMU said that it lost faults before it could
 *	     record them: of any device behind it, and unknown how many
 * @lost: entries that were dropped because the ring was full
 * @resets: how often the device was reset or left D0.  More than there were
 *	    entries RESET: one was dropped; what is asked for before that gap is void
 * @muted: how often faults of the device were switched off because there were
 *	   too many, whether or not there was room for an entry that says so
 * @__reserved: 0
 * @producer: of the next entry that will be written, see below
 * @__reserved2: 0
 *
 * Written by the kernel, and can only be mapped for reading.  User page and
 * ring are each in pages of their own, as in
 * VFIO_REGION_INFO_CAP_SPARSE_MMAP.  Behind the last entry the ring's page is
 * zero.
 *
 * Indices count entries and wrap at 2^32; entry i is in slot i % @depth.  To
 * read one:
 *
 * #. load @producer with acquire semantics; there is nothing to read if it is
 *    the own index
 * #. read the entries from the own index to @producer
 * #. store the own index in struct vfio_dma_fault_user with release semantics
 * #. before waiting for the eventfd: a full barrier, then load @producer again
 *
 * The kernel signals the eventfd when it writes an entry and all before it
 * are consumed, and when @hw_lost, @resets or @muted changes and there is no
 * entry for it.
 */
struct vfio_dma_fault_header {
	__u32	entry_size;
	__u32	depth;
	__aligned_u64 user_offset;
	__aligned_u64 ring_offset;
	__aligned_u64 hw_lost;
	__aligned_u64 lost;
	__aligned_u64 resets;
	__aligned_u64 muted;
	__u8	__reserved[8];
	__u32	producer;
	__u32	__reserved2;
};

/**
 * struct vfio_dma_fault_user - At user_offset of the region DMA_FAULT
 * @consumer: index of the next entry that will be read
 *
 * Written by the user: mapped, or by a pwrite() of 4 bytes.  With a value that
 * is not in the ring, the ring counts as full.
 */
struct vfio_dma_fault_user {
	__u32	consumer;
};

/**
 * struct vfio_dma_fault - An entry of the ring
 * @seq: number of this entry, from 1; what is missing was dropped
 * @type: VFIO_DMA_FAULT_TYPE_*
 * @flags: VFIO_DMA_FAULT_F_*
 * @pasid: with F_PASID
 * @perm: VFIO_DMA_FAULT_PERM_*, what the device asked for; neither read nor
 *	  write where hardware does not tell: a page request that was refused
 * @addr: with F_ADDR: the address, or that of its page
 * @reason: UNRECOVERABLE: VFIO_DMA_FAULT_REASON_*
 * @hw_reason: UNRECOVERABLE: the code of the hardware, as its format has it
 * @stage: UNRECOVERABLE: 1 or 2, the stage that refused; 0: neither, or it
 *	   cannot be told
 * @group: PAGE_REQUEST: index of the group
 * @cookie: PAGE_REQUEST: names the group for the response
 * @__reserved: 0
 *
 * UNRECOVERABLE: the access failed.
 *
 * PAGE_REQUEST: the device waits for the pages of the group.  All of them are
 * in entries that follow one another, F_LAST is set in the last.  Each group
 * has to be answered once.
 *
 * RESET: the device was or is being reset, or leaves D0.  Page requests before
 * it are answered.  Counted in @resets of the header, also if the ring is full.
 */
struct vfio_dma_fault {
	__aligned_u64 seq;
	__u32	type;
#define VFIO_DMA_FAULT_TYPE_UNRECOVERABLE	1
#define VFIO_DMA_FAULT_TYPE_PAGE_REQUEST	2
#define VFIO_DMA_FAULT_TYPE_RESET		3
	__u32	flags;
#define VFIO_DMA_FAULT_F_PASID		(1U << 0)
#define VFIO_DMA_FAULT_F_ADDR		(1U << 1)
/*
 * Too many: no more of this PASID are reported until it is bound again.  If it
 * never was bound, this may include others that were not: of those with the
 * same upper bits, on VT-d 64 of them, until one is bound.
 */
#define VFIO_DMA_FAULT_F_MUTED		(1U << 2)
#define VFIO_DMA_FAULT_F_LAST		(1U << 3)
/* With F_MUTED: no more of the device, until anything is bound to it */
#define VFIO_DMA_FAULT_F_MUTED_ALL	(1U << 4)
	__u32	pasid;
	__u32	perm;
#define VFIO_DMA_FAULT_PERM_READ	(1U << 0)
#define VFIO_DMA_FAULT_PERM_WRITE	(1U << 1)
#define VFIO_DMA_FAULT_PERM_EXEC	(1U << 2)
#define VFIO_DMA_FAULT_PERM_PRIV	(1U << 3)
	__aligned_u64 addr;
	__u32	reason;
#define VFIO_DMA_FAULT_REASON_UNKNOWN		0
#define VFIO_DMA_FAULT_REASON_PASID_FETCH	1	/* cannot be read */
#define VFIO_DMA_FAULT_REASON_BAD_PASID		2	/* is malformed */
#define VFIO_DMA_FAULT_REASON_NO_PASID		3	/* is not there */
#define VFIO_DMA_FAULT_REASON_WALK		4	/* table: as above ... */
#define VFIO_DMA_FAULT_REASON_BAD_PTE		5
#define VFIO_DMA_FAULT_REASON_TRANSLATION	6	/* ... in this order */
#define VFIO_DMA_FAULT_REASON_PERMISSION	7
#define VFIO_DMA_FAULT_REASON_ACCESS		8	/* accessed, dirty flags */
#define VFIO_DMA_FAULT_REASON_OOR		9	/* address too large */
	__u32	hw_reason;
	__u32	stage;
	__u32	group;
	__aligned_u64 cookie;
	__aligned_u64 __reserved;
};

/**
 * struct vfio_dma_fault_response - An answer to a group of page requests
 * @cookie: of the group
 * @pasid: of the group, 0 if it has none
 * @group: its index
 * @code: VFIO_DMA_FAULT_RESPONSE_*
 * @__reserved: 0
 *
 * pwrite() an array of these at offset 0 of the region
 * VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT_RESPONSE.
 *
 * Those that are written in one call share the waits for the hardware.
 *
 * Return: the bytes that were taken: less than all if one was refused, and
 * those before it are answered; or -1 with errno if it was the first
 *
 * * EINVAL: unknown code, a reserved field is not 0, offset not 0, length no
 *   multiple of the size
 * * EFAULT: it cannot be read
 * * EOPNOTSUPP: FAILURE: it would disable page requests of the whole function
 * * ENOENT: no such group is outstanding: it was answered, unbound or reset
 * * ENODATA: faults are off
 */
struct vfio_dma_fault_response {
	__aligned_u64 cookie;
	__u32	pasid;
	__u32	group;
	__u32	code;
#define VFIO_DMA_FAULT_RESPONSE_SUCCESS	0	/* it is there, try again */
#define VFIO_DMA_FAULT_RESPONSE_INVALID	1	/* it will not be there */
#define VFIO_DMA_FAULT_RESPONSE_FAILURE	2	/* is refused */
	__u32	__reserved;
};

/*
 * VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN (SET, no data): returns once every page
 * request that the device sent before, and every fault recorded before, is in
 * the ring, or was dropped.  What a guest waits for with a wait descriptor that
 * drains page requests.  ENODATA if faults are off.
 */
#define VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN	66

#endif /* _UAPI_LINUX_VFIO_NESTING_H */
