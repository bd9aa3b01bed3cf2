// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO PCI: faults of a device's DMA, in a ring that user space maps
 *
 * One producer, serialised by the fault consumer's lock, and one consumer in
 * user space, which must not be trusted: all state of the producer is in
 * struct vfio_pci_fault_ring, and the only thing read from shared memory is
 * the user's index, once each time, and good for nothing but to tell how much
 * room there is and whether to wake.
 *
 * Locking and lifetimes
 * ---------------------
 * vfio_pci_dma_fault lives from open to close of the device, the ring in it
 * from enable to disable, and its memory until the last mapping is gone.
 *
 * vfio_pci_dma_fault.lock	enable and disable against responses and drains
 *   (iommu-fault.c's locks)
 *     ring_lock		which ring and eventfd; held while an entry is
 *				written; nothing sleeps under it
 *
 * A mapping's page fault takes map_lock and in it ring_lock, under mmap_lock,
 * and must not take lock: a drain under that may wait for SVA's handler, which
 * wants the mmap_lock.  Who takes a ring away waits with map_lock for page
 * faults that found it, and unmaps then.  No user memory is touched under any
 * of them.
 */

#include <linux/bits.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>
#include <linux/vmalloc.h>
#include <kunit/visibility.h>

#include "vfio_pci_dma_fault.h"
#include "vfio_pci_nesting.h"

/* Each part in pages of its own, whatever their size is */
#define FAULT_USER_OFFSET	PAGE_SIZE
#define FAULT_RING_OFFSET	(2 * PAGE_SIZE)
#define FAULT_REGION_SIZE						\
	(FAULT_RING_OFFSET + PAGE_ALIGN(VFIO_DMA_FAULT_MAX_DEPTH *	\
					sizeof(struct vfio_dma_fault)))

#define FAULT_KINDS							\
	(VFIO_DMA_FAULT_UNRECOVERABLE | VFIO_DMA_FAULT_PAGE_REQUEST)

/*
 * Responses that are copied, and go to the hardware, at once: as many as a
 * device can wait for (PCIe 6.0, 10.4.1), and what the stack has room for
 */
#define FAULT_RESPONSES		512
#define FAULT_RESPONSES_SMALL	4

static_assert(sizeof(struct vfio_dma_fault) == 64);
static_assert(offsetof(struct vfio_dma_fault_header, producer) == 64);

#define SAME(name)							\
	static_assert(VFIO_DMA_FAULT_REASON_##name == (int)IOMMU_DMA_FAULT_##name)
SAME(UNKNOWN);
SAME(PASID_FETCH);
SAME(BAD_PASID);
SAME(NO_PASID);
SAME(WALK);
SAME(BAD_PTE);
SAME(TRANSLATION);
SAME(PERMISSION);
SAME(ACCESS);
SAME(OOR);
#undef SAME
static_assert(VFIO_DMA_FAULT_PERM_READ == IOMMU_FAULT_PERM_READ);
static_assert(VFIO_DMA_FAULT_PERM_WRITE == IOMMU_FAULT_PERM_WRITE);
static_assert(VFIO_DMA_FAULT_PERM_EXEC == IOMMU_FAULT_PERM_EXEC);
static_assert(VFIO_DMA_FAULT_PERM_PRIV == IOMMU_FAULT_PERM_PRIV);
static_assert(VFIO_DMA_FAULT_F_PASID == IOMMU_DMA_FAULT_F_PASID);
static_assert(VFIO_DMA_FAULT_F_ADDR == IOMMU_DMA_FAULT_F_ADDR);
static_assert(VFIO_DMA_FAULT_F_MUTED == IOMMU_DMA_FAULT_F_MUTED);
static_assert(VFIO_DMA_FAULT_F_MUTED_ALL == IOMMU_DMA_FAULT_F_MUTED_ALL);
static_assert(VFIO_DMA_FAULT_RESPONSE_SUCCESS == (int)IOMMU_PAGE_RESP_SUCCESS);
static_assert(VFIO_DMA_FAULT_RESPONSE_INVALID == (int)IOMMU_PAGE_RESP_INVALID);

/* The user's array is copied as it is. */
#define SAME(ours, theirs)						\
	static_assert(offsetof(struct vfio_dma_fault_response, ours) ==	\
		      offsetof(struct iommu_fault_response, theirs))
static_assert(sizeof(struct vfio_dma_fault_response) ==
	      sizeof(struct iommu_fault_response));
SAME(cookie, cookie);
SAME(pasid, pasid);
SAME(group, grpid);
SAME(code, code);
SAME(__reserved, reserved);
#undef SAME

/**
 * struct vfio_pci_dma_fault - Faults of one device
 * @vdev: the device
 * @lock: held for write to change @consumer
 * @consumer: there while faults are on
 * @map_lock: held for read from looking at @ring until a page is mapped
 * @ring_lock: the members below
 * @ring: there while faults are on
 * @kinds: VFIO_DMA_FAULT_* that are wanted
 * @eventfd: or NULL
 */
struct vfio_pci_dma_fault {
	struct vfio_pci_core_device	*vdev;
	struct rw_semaphore		lock;		/* @consumer */
	struct iommu_fault_consumer	*consumer;
	struct rw_semaphore		map_lock;	/* see above */
	spinlock_t			ring_lock;	/* all below */
	struct vfio_pci_fault_ring	*ring;
	u32				kinds;
	struct eventfd_ctx		*eventfd;
};

/*
 * The ring
 */

/* Bytes of memory for the entries: whole pages, which are read and mapped */
static size_t fault_ring_size(u32 depth)
{
	return PAGE_ALIGN(depth * sizeof(struct vfio_dma_fault));
}

VISIBLE_IF_KUNIT
void vfio_pci_fault_ring_put(struct vfio_pci_fault_ring *ring)
{
	if (!ring || !refcount_dec_and_test(&ring->users))
		return;

	/* Mappings have references of their own to the pages. */
	vfree(ring->entries);
	free_page((unsigned long)ring->user);
	free_page((unsigned long)ring->header);
	kfree(ring);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_put);

VISIBLE_IF_KUNIT
struct vfio_pci_fault_ring *vfio_pci_fault_ring_alloc(u32 depth)
{
	struct vfio_pci_fault_ring *ring;

	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return NULL;

	refcount_set(&ring->users, 1);
	ring->depth = depth;
	ring->header = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	ring->user = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	ring->entries = __vmalloc(fault_ring_size(depth),
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->header || !ring->user || !ring->entries) {
		vfio_pci_fault_ring_put(ring);
		return NULL;
	}

	ring->header->entry_size = sizeof(*ring->entries);
	ring->header->depth = depth;
	ring->header->user_offset = FAULT_USER_OFFSET;
	ring->header->ring_offset = FAULT_RING_OFFSET;
	return ring;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_alloc);

/* Entries between the two indices; more than @depth if the user's is wrong */
static u32 fault_ring_used(const struct vfio_pci_fault_ring *ring)
{
	/* Slots before it are written only after it was read. */
	return ring->producer - smp_load_acquire(&ring->user->consumer);
}

VISIBLE_IF_KUNIT
void vfio_pci_fault_ring_drop(struct vfio_pci_fault_ring *ring, u32 nr)
{
	ring->seq += nr;
	ring->lost += nr;
	WRITE_ONCE(ring->header->lost, ring->lost);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_drop);

/* Is there room for @nr more?  If not they are counted as dropped. */
VISIBLE_IF_KUNIT
bool vfio_pci_fault_ring_reserve(struct vfio_pci_fault_ring *ring, u32 nr)
{
	u32 used = fault_ring_used(ring);

	if (used <= ring->depth && ring->depth - used >= nr)
		return true;

	vfio_pci_fault_ring_drop(ring, nr);
	return false;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_reserve);

/* Entry @i of those reserved, zero but for number and type */
VISIBLE_IF_KUNIT struct vfio_dma_fault *
vfio_pci_fault_ring_entry(struct vfio_pci_fault_ring *ring, u32 i, u32 type)
{
	struct vfio_dma_fault *entry;

	entry = &ring->entries[(ring->producer + i) & (ring->depth - 1)];
	memset(entry, 0, sizeof(*entry));
	entry->seq = ++ring->seq;
	entry->type = type;
	return entry;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_entry);

/*
 * Show the user @nr entries.  Returns whether it may be waiting: it had read
 * all before them.  If its index says less, it will look again before it
 * waits.
 */
VISIBLE_IF_KUNIT
bool vfio_pci_fault_ring_publish(struct vfio_pci_fault_ring *ring, u32 nr)
{
	u32 before = ring->producer;

	ring->producer += nr;
	/* Pairs with the acquire by which the user finds the entries. */
	smp_store_release(&ring->header->producer, ring->producer);
	/* Pairs with the barrier between the user's index and its last look. */
	smp_mb();
	return READ_ONCE(ring->user->consumer) == before;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_publish);

/*
 * The device is reset.  Counted whatever the ring has room for: the user must
 * not miss that its cookies are dead.  Returns whether there is an entry.
 */
VISIBLE_IF_KUNIT
bool vfio_pci_fault_ring_reset(struct vfio_pci_fault_ring *ring)
{
	WRITE_ONCE(ring->header->resets, ++ring->resets);
	if (!vfio_pci_fault_ring_reserve(ring, 1))
		return false;

	vfio_pci_fault_ring_entry(ring, 0, VFIO_DMA_FAULT_TYPE_RESET);
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_reset);

/* No more faults of the device, or of a PASID: counted like a reset */
VISIBLE_IF_KUNIT
void vfio_pci_fault_ring_mute(struct vfio_pci_fault_ring *ring)
{
	WRITE_ONCE(ring->header->muted, ++ring->muted);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_pci_fault_ring_mute);

static void fault_wake(struct vfio_pci_dma_fault *fault)
{
	lockdep_assert_held(&fault->ring_lock);

	if (fault->eventfd)
		eventfd_signal(fault->eventfd);
}

static void fault_publish(struct vfio_pci_dma_fault *fault, u32 nr)
{
	if (vfio_pci_fault_ring_publish(fault->ring, nr))
		fault_wake(fault);
}

/*
 * What iommu-fault.c calls
 */
static bool fault_dma_fault(void *priv, const struct iommu_dma_fault *dma)
{
	struct vfio_pci_dma_fault *fault = priv;
	struct vfio_dma_fault *entry;
	bool taken;

	spin_lock(&fault->ring_lock);
	if (dma->flags & IOMMU_DMA_FAULT_F_MUTED)
		vfio_pci_fault_ring_mute(fault->ring);
	taken = (fault->kinds & VFIO_DMA_FAULT_UNRECOVERABLE) &&
		vfio_pci_fault_ring_reserve(fault->ring, 1);
	if (!taken) {
		if (dma->flags & IOMMU_DMA_FAULT_F_MUTED)
			fault_wake(fault);
		goto out;
	}

	entry = vfio_pci_fault_ring_entry(fault->ring, 0,
					  VFIO_DMA_FAULT_TYPE_UNRECOVERABLE);
	entry->flags = dma->flags;
	entry->pasid = dma->pasid;
	entry->perm = dma->perm;
	entry->addr = dma->addr;
	entry->reason = dma->reason;
	entry->hw_reason = dma->hw_reason;
	entry->stage = dma->stage;
	fault_publish(fault, 1);
out:
	spin_unlock(&fault->ring_lock);
	return taken;
}

static bool fault_page_request(void *priv, u64 cookie,
			       const struct list_head *faults, unsigned int nr)
{
	struct vfio_pci_dma_fault *fault = priv;
	struct iopf_fault *iopf;
	bool taken;
	u32 i = 0;

	spin_lock(&fault->ring_lock);
	taken = vfio_pci_fault_ring_reserve(fault->ring, nr);
	if (!taken)
		goto out;

	list_for_each_entry(iopf, faults, list) {
		struct iommu_fault_page_request *prm = &iopf->fault.prm;
		struct vfio_dma_fault *entry;

		entry = vfio_pci_fault_ring_entry(fault->ring, i++,
						  VFIO_DMA_FAULT_TYPE_PAGE_REQUEST);
		entry->flags = VFIO_DMA_FAULT_F_ADDR;
		if (prm->flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID) {
			entry->flags |= VFIO_DMA_FAULT_F_PASID;
			entry->pasid = prm->pasid;
		}
		if (prm->flags & IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE)
			entry->flags |= VFIO_DMA_FAULT_F_LAST;
		entry->perm = prm->perm;
		entry->addr = prm->addr;
		entry->group = prm->grpid;
		entry->cookie = cookie;
	}
	fault_publish(fault, i);
out:
	spin_unlock(&fault->ring_lock);
	return taken;
}

static void fault_dropped(void *priv, unsigned int nr)
{
	struct vfio_pci_dma_fault *fault = priv;

	spin_lock(&fault->ring_lock);
	vfio_pci_fault_ring_drop(fault->ring, nr);
	spin_unlock(&fault->ring_lock);
}

static void fault_lost(void *priv)
{
	struct vfio_pci_dma_fault *fault = priv;
	struct vfio_pci_fault_ring *ring;

	spin_lock(&fault->ring_lock);
	ring = fault->ring;
	WRITE_ONCE(ring->header->hw_lost, ++ring->hw_lost);
	fault_wake(fault);
	spin_unlock(&fault->ring_lock);
}

static void fault_reset(void *priv)
{
	struct vfio_pci_dma_fault *fault = priv;

	spin_lock(&fault->ring_lock);
	if (vfio_pci_fault_ring_reset(fault->ring))
		fault_publish(fault, 1);
	else
		fault_wake(fault);
	spin_unlock(&fault->ring_lock);
}

static const struct iommu_fault_consumer_ops fault_ops = {
	.dma_fault	= fault_dma_fault,
	.page_request	= fault_page_request,
	.dropped	= fault_dropped,
	.lost		= fault_lost,
	.reset		= fault_reset,
};

/*
 * Enable, change, disable
 */
static u64 fault_region_offset(struct vfio_pci_dma_fault *fault)
{
	unsigned int i;

	for (i = 0; fault->vdev->region[i].data != fault; i++)
		;
	return VFIO_PCI_INDEX_TO_OFFSET(VFIO_PCI_NUM_REGIONS + i);
}

/* Mappings of the old memory are made anew on access. */
static void fault_unmap(struct vfio_pci_dma_fault *fault)
{
	/* A page fault that still found the old ring may be mapping it. */
	down_write(&fault->map_lock);
	up_write(&fault->map_lock);
	unmap_mapping_range(fault->vdev->vdev.inode->i_mapping,
			    fault_region_offset(fault), FAULT_REGION_SIZE,
			    true);
}

static void fault_set(struct vfio_pci_dma_fault *fault, u32 kinds,
		      struct eventfd_ctx *eventfd)
{
	spin_lock(&fault->ring_lock);
	fault->kinds = kinds;
	swap(fault->eventfd, eventfd);
	/* What came before it was there is not to be waited for. */
	if (fault->eventfd && fault_ring_used(fault->ring))
		eventfd_signal(fault->eventfd);
	spin_unlock(&fault->ring_lock);

	if (eventfd)
		eventfd_ctx_put(eventfd);
}

static void fault_disable(struct vfio_pci_dma_fault *fault)
{
	struct vfio_pci_fault_ring *ring = fault->ring;

	if (!fault->consumer)
		return;

	iommu_fault_consumer_del(fault->consumer);
	fault->consumer = NULL;
	fault_set(fault, 0, NULL);

	spin_lock(&fault->ring_lock);
	fault->ring = NULL;
	spin_unlock(&fault->ring_lock);
	fault_unmap(fault);
	vfio_pci_fault_ring_put(ring);
}

static int fault_start(struct vfio_pci_dma_fault *fault, u32 kinds,
		       struct vfio_pci_fault_ring *ring)
{
	struct iommu_fault_consumer *consumer;
	int ret = 0;

	spin_lock(&fault->ring_lock);
	fault->ring = ring;
	fault->kinds = kinds;
	spin_unlock(&fault->ring_lock);

	consumer = iommu_fault_consumer_add(&fault->vdev->pdev->dev, &fault_ops,
					    fault);
	if (IS_ERR(consumer)) {
		ret = PTR_ERR(consumer);
	} else if (kinds & VFIO_DMA_FAULT_PAGE_REQUEST) {
		ret = iommu_fault_consumer_page_requests(consumer, true);
		if (ret)
			iommu_fault_consumer_del(consumer);
	}
	if (!ret) {
		fault->consumer = consumer;
		return 0;
	}

	spin_lock(&fault->ring_lock);
	fault->ring = NULL;
	fault->kinds = 0;
	spin_unlock(&fault->ring_lock);
	fault_unmap(fault);
	return ret;
}

/* Go on in @ring, if all is read. */
static int fault_resize(struct vfio_pci_dma_fault *fault,
			struct vfio_pci_fault_ring *ring)
{
	struct vfio_pci_fault_ring *old = fault->ring;

	spin_lock(&fault->ring_lock);
	if (fault_ring_used(old)) {
		spin_unlock(&fault->ring_lock);
		return -EBUSY;
	}
	ring->producer = old->producer;
	ring->seq = old->seq;
	ring->lost = old->lost;
	ring->hw_lost = old->hw_lost;
	ring->resets = old->resets;
	ring->muted = old->muted;
	ring->header->producer = ring->producer;
	ring->header->lost = ring->lost;
	ring->header->hw_lost = ring->hw_lost;
	ring->header->resets = ring->resets;
	ring->header->muted = ring->muted;
	ring->user->consumer = ring->producer;
	fault->ring = ring;
	spin_unlock(&fault->ring_lock);

	fault_unmap(fault);
	vfio_pci_fault_ring_put(old);
	return 0;
}

static int fault_change(struct vfio_pci_dma_fault *fault, u32 kinds,
			struct vfio_pci_fault_ring *ring)
{
	bool had = fault->kinds & VFIO_DMA_FAULT_PAGE_REQUEST;
	bool want = kinds & VFIO_DMA_FAULT_PAGE_REQUEST;
	int ret;

	if (want && !had) {
		ret = iommu_fault_consumer_page_requests(fault->consumer, true);
		if (ret)
			return ret;
	}

	ret = ring ? fault_resize(fault, ring) : 0;

	if (ret ? want && !had : had && !want)
		iommu_fault_consumer_page_requests(fault->consumer, false);
	return ret;
}

static int fault_enable(struct vfio_pci_dma_fault *fault,
			const struct vfio_device_feature_dma_fault *arg,
			struct eventfd_ctx *eventfd)
{
	struct vfio_pci_fault_ring *ring = NULL;
	int ret;

	if (!fault->consumer || fault->ring->depth != arg->depth) {
		ring = vfio_pci_fault_ring_alloc(arg->depth);
		if (!ring)
			return -ENOMEM;
	}

	if (fault->consumer)
		ret = fault_change(fault, arg->flags, ring);
	else
		ret = fault_start(fault, arg->flags, ring);
	if (ret) {
		vfio_pci_fault_ring_put(ring);
		return ret;
	}

	fault_set(fault, arg->flags, eventfd);
	return 0;
}

static int fault_check(const struct vfio_device_feature_dma_fault *arg)
{
	if (arg->__reserved || (arg->flags & ~FAULT_KINDS) || arg->eventfd < -1)
		return -EINVAL;

	if (!arg->depth)
		return arg->flags || arg->eventfd != -1 ? -EINVAL : 0;

	if (!arg->flags || !is_power_of_2(arg->depth) ||
	    arg->depth < VFIO_DMA_FAULT_MIN_DEPTH ||
	    arg->depth > VFIO_DMA_FAULT_MAX_DEPTH)
		return -EINVAL;
	return 0;
}

/**
 * vfio_pci_core_feature_dma_fault() - VFIO_DEVICE_FEATURE_DMA_FAULT
 * @device: the device
 * @flags: of the feature ioctl
 * @user: struct vfio_device_feature_dma_fault of the user
 * @argsz: bytes at @user
 *
 * Context: the device is open.
 * Return: 0 or a negative errno.
 */
int vfio_pci_core_feature_dma_fault(struct vfio_device *device, u32 flags,
				    void __user *user, size_t argsz)
{
	struct vfio_device_feature_dma_fault arg;
	struct eventfd_ctx *eventfd = NULL;
	struct vfio_pci_dma_fault *fault;
	int ret;

	fault = container_of(device, struct vfio_pci_core_device,
			     vdev)->dma_fault;
	if (!fault)
		return -ENOTTY;

	ret = vfio_pci_nesting_check_feature(flags, user, argsz,
					     VFIO_DEVICE_FEATURE_SET,
					     sizeof(arg));
	if (ret != 1)
		return ret;

	if (copy_from_user(&arg, user, sizeof(arg)))
		return -EFAULT;

	ret = fault_check(&arg);
	if (ret)
		return ret;

	if (arg.eventfd >= 0) {
		eventfd = eventfd_ctx_fdget(arg.eventfd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}

	scoped_guard(rwsem_write, &fault->lock) {
		if (arg.depth)
			ret = fault_enable(fault, &arg, eventfd);
		else
			fault_disable(fault);
	}
	if (ret && eventfd)
		eventfd_ctx_put(eventfd);
	return ret;
}

/**
 * vfio_pci_core_feature_dma_fault_drain() - Wait for page requests on their way
 * @device: the device
 * @flags: of the feature ioctl
 * @user: data of the user, of which there is none that is known here
 * @argsz: bytes at @user
 *
 * Context: the device is open.
 * Return: 0 or a negative errno.
 */
int vfio_pci_core_feature_dma_fault_drain(struct vfio_device *device,
					  u32 flags, void __user *user,
					  size_t argsz)
{
	struct vfio_pci_dma_fault *fault;
	int ret;

	fault = container_of(device, struct vfio_pci_core_device,
			     vdev)->dma_fault;
	if (!fault)
		return -ENOTTY;

	ret = vfio_pci_nesting_check_feature(flags, user, argsz,
					     VFIO_DEVICE_FEATURE_SET, 0);
	if (ret != 1)
		return ret;

	guard(rwsem_read)(&fault->lock);

	if (!fault->consumer)
		return -ENODATA;

	iommu_fault_drain(fault->consumer);
	return 0;
}

/*
 * Region DMA_FAULT
 */
static struct vfio_pci_fault_ring *fault_ring_get(struct vfio_pci_dma_fault *fault)
{
	struct vfio_pci_fault_ring *ring;

	spin_lock(&fault->ring_lock);
	ring = fault->ring;
	if (ring)
		refcount_inc(&ring->users);
	spin_unlock(&fault->ring_lock);
	return ring;
}

/* Where in memory the region's @offset is, and how much follows */
static void *fault_ring_at(struct vfio_pci_fault_ring *ring, u64 offset,
			   size_t *left)
{
	size_t size = fault_ring_size(ring->depth);

	if (offset < FAULT_USER_OFFSET) {
		*left = PAGE_SIZE - offset;
		return (void *)ring->header + offset;
	}
	if (offset < FAULT_RING_OFFSET) {
		offset -= FAULT_USER_OFFSET;
		*left = PAGE_SIZE - offset;
		return (void *)ring->user + offset;
	}
	offset -= FAULT_RING_OFFSET;
	if (offset >= size)
		return NULL;
	*left = size - offset;
	return (void *)ring->entries + offset;
}

static ssize_t fault_region_read(struct vfio_pci_fault_ring *ring,
				 char __user *buf, size_t count, u64 pos)
{
	size_t left, done = 0;

	while (done < count) {
		void *from = fault_ring_at(ring, pos + done, &left);

		if (!from)
			break;

		left = min(left, count - done);
		if (copy_to_user(buf + done, from, left))
			return -EFAULT;
		/* The index of the producer before what it says is there */
		smp_rmb();
		done += left;
	}
	return done;
}

static ssize_t fault_region_write(struct vfio_pci_fault_ring *ring,
				  const char __user *buf, size_t count, u64 pos)
{
	u32 consumer;

	if (pos != FAULT_USER_OFFSET || count != sizeof(consumer))
		return -EINVAL;

	if (copy_from_user(&consumer, buf, sizeof(consumer)))
		return -EFAULT;

	WRITE_ONCE(ring->user->consumer, consumer);
	/* The writer looks at the producer's index before it waits. */
	smp_mb();
	return count;
}

static ssize_t fault_region_rw(struct vfio_pci_core_device *vdev,
			       char __user *buf, size_t count, loff_t *ppos,
			       bool iswrite)
{
	u64 pos = *ppos & VFIO_PCI_OFFSET_MASK;
	struct vfio_pci_fault_ring *ring;
	ssize_t ret;

	if (pos >= FAULT_REGION_SIZE)
		return -EINVAL;

	ring = fault_ring_get(vdev->dma_fault);
	if (!ring)
		return -ENODATA;

	if (iswrite)
		ret = fault_region_write(ring, buf, count, pos);
	else
		ret = fault_region_read(ring, buf, count, pos);
	vfio_pci_fault_ring_put(ring);

	if (ret > 0)
		*ppos += ret;
	return ret;
}

static u64 fault_vma_offset(pgoff_t pgoff)
{
	return ((u64)pgoff << PAGE_SHIFT) & VFIO_PCI_OFFSET_MASK;
}

static vm_fault_t fault_vm_fault(struct vm_fault *vmf)
{
	struct vfio_pci_dma_fault *fault = vmf->vma->vm_private_data;
	struct vfio_pci_fault_ring *ring;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	size_t left;
	void *addr;
	int err;

	guard(rwsem_read)(&fault->map_lock);

	ring = fault_ring_get(fault);
	if (!ring)
		return ret;

	addr = fault_ring_at(ring, fault_vma_offset(vmf->pgoff), &left);
	if (addr) {
		struct page *page = is_vmalloc_addr(addr) ?
				    vmalloc_to_page(addr) : virt_to_page(addr);

		/* Maps it here and now, with a reference of its own. */
		err = vm_insert_page(vmf->vma, vmf->address, page);
		ret = !err || err == -EBUSY ? VM_FAULT_NOPAGE : vmf_error(err);
	}
	vfio_pci_fault_ring_put(ring);
	return ret;
}

static const struct vm_operations_struct fault_vm_ops = {
	.fault = fault_vm_fault,
};

static int fault_region_mmap(struct vfio_pci_core_device *vdev,
			     struct vfio_pci_region *region,
			     struct vm_area_struct *vma)
{
	u64 start = fault_vma_offset(vma->vm_pgoff);
	u64 len = vma->vm_end - vma->vm_start;

	if (start >= FAULT_REGION_SIZE || len > FAULT_REGION_SIZE - start)
		return -EINVAL;

	/* The user page, and nothing else, may be written. */
	if (start != FAULT_USER_OFFSET || len != PAGE_SIZE) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		vm_flags_clear(vma, VM_MAYWRITE);
	}

	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_MIXEDMAP);
	vma->vm_private_data = region->data;
	vma->vm_ops = &fault_vm_ops;
	return 0;
}

static int fault_region_caps(struct vfio_pci_core_device *vdev,
			     struct vfio_pci_region *region,
			     struct vfio_info_cap *caps)
{
	DEFINE_RAW_FLEX(struct vfio_region_info_cap_sparse_mmap, sparse, areas,
			3);

	sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
	sparse->header.version = 1;
	sparse->nr_areas = 3;
	sparse->areas[0].offset = 0;
	sparse->areas[0].size = PAGE_SIZE;
	sparse->areas[1].offset = FAULT_USER_OFFSET;
	sparse->areas[1].size = PAGE_SIZE;
	sparse->areas[2].offset = FAULT_RING_OFFSET;
	sparse->areas[2].size = FAULT_REGION_SIZE - FAULT_RING_OFFSET;
	return vfio_info_add_capability(caps, &sparse->header,
					struct_size(sparse, areas, 3));
}

static void fault_region_release(struct vfio_pci_core_device *vdev,
				 struct vfio_pci_region *region)
{
	struct vfio_pci_dma_fault *fault = region->data;

	vdev->dma_fault = NULL;
	fault_disable(fault);
	kfree(fault);
}

static const struct vfio_pci_regops fault_region_ops = {
	.rw		= fault_region_rw,
	.mmap		= fault_region_mmap,
	.add_capability	= fault_region_caps,
	.release	= fault_region_release,
};

/*
 * Region DMA_FAULT_RESPONSE
 */

static ssize_t response_region_rw(struct vfio_pci_core_device *vdev,
				  char __user *buf, size_t count, loff_t *ppos,
				  bool iswrite)
{
	struct iommu_fault_response small[FAULT_RESPONSES_SMALL];
	struct vfio_pci_dma_fault *fault = vdev->dma_fault;
	size_t todo = count / sizeof(*small), done = 0;
	unsigned int nr, max = FAULT_RESPONSES_SMALL;
	struct iommu_fault_response *mem = NULL;
	u64 pos = *ppos & VFIO_PCI_OFFSET_MASK;
	int ret = 0;

	if (!iswrite || pos || count % sizeof(*small))
		return -EINVAL;

	if (todo > max) {
		nr = min(todo, FAULT_RESPONSES);
		mem = kvmalloc_array(nr, sizeof(*mem), GFP_KERNEL);
		if (mem)
			max = nr;
	}

	while (!ret && done < todo) {
		struct iommu_fault_response *responses = mem ?: small;
		size_t left;

		nr = min(todo - done, max);
		left = copy_from_user(responses, buf + done * sizeof(*small),
				      nr * sizeof(*small));
		nr -= DIV_ROUND_UP(left, sizeof(*small));
		scoped_guard(rwsem_read, &fault->lock) {
			if (fault->consumer)
				done += iommu_fault_respond(fault->consumer,
							    responses, nr,
							    &ret);
			else
				ret = -ENODATA;
		}
		if (!ret && left)
			ret = -EFAULT;
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	kvfree(mem);
	return done ? done * sizeof(*small) : ret;
}

static void response_region_release(struct vfio_pci_core_device *vdev,
				    struct vfio_pci_region *region)
{
}

static const struct vfio_pci_regops response_region_ops = {
	.rw		= response_region_rw,
	.release	= response_region_release,
};

/*
 * iommufd attaches domains without a word to who consumes faults, and has page
 * requests of its own.
 */
static bool fault_is_iommufd(const struct vfio_device *device)
{
#if IS_ENABLED(CONFIG_IOMMUFD)
	return device->iommufd_device;
#else
	return false;
#endif
}

/**
 * vfio_pci_dma_fault_open() - Give a device that is being opened its regions
 * @vdev: the device
 *
 * Closing the device undoes it.
 *
 * Context: may sleep; nobody else uses @vdev yet.
 * Return: 0, also if the IOMMU reports no faults for it or an iommufd has it;
 * -ENOMEM.
 */
int vfio_pci_dma_fault_open(struct vfio_pci_core_device *vdev)
{
	struct vfio_pci_dma_fault *fault;
	struct iommu_nesting_info info;
	int ret;

	if (fault_is_iommufd(&vdev->vdev) ||
	    iommu_nesting_get_info(&vdev->pdev->dev, &info) ||
	    !(info.features & IOMMU_NESTING_FEAT_DMA_FAULT))
		return 0;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL_ACCOUNT);
	if (!fault)
		return -ENOMEM;

	fault->vdev = vdev;
	init_rwsem(&fault->lock);
	init_rwsem(&fault->map_lock);
	spin_lock_init(&fault->ring_lock);

	ret = vfio_pci_core_register_dev_region(vdev, VFIO_REGION_TYPE_NESTED,
						VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT_RESPONSE,
						&response_region_ops,
						sizeof(struct vfio_dma_fault_response) *
						VFIO_DMA_FAULT_MAX_DEPTH,
						VFIO_REGION_INFO_FLAG_WRITE,
						NULL);
	if (!ret)
		ret = vfio_pci_core_register_dev_region(vdev,
							VFIO_REGION_TYPE_NESTED,
							VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT,
							&fault_region_ops,
							FAULT_REGION_SIZE,
							VFIO_REGION_INFO_FLAG_READ |
							VFIO_REGION_INFO_FLAG_WRITE |
							VFIO_REGION_INFO_FLAG_MMAP,
							fault);
	if (ret) {
		kfree(fault);
		return ret;
	}

	vdev->dma_fault = fault;
	return 0;
}
