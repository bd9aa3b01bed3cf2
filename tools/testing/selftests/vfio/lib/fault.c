// SPDX-License-Identifier: GPL-2.0-only
/*
 * The consumer of a device's faults
 *
 * fault_pending(), fault_peek() and fault_consume() make no system call; what
 * orders them against the kernel is explained where it is done.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libvfio.h"

int fault_set(const struct vfio_device *d, u32 kinds, u32 depth, int eventfd)
{
	struct vfio_device_feature_dma_fault set = {
		.flags = kinds,
		.depth = depth,
		.eventfd = eventfd,
	};

	return vfio_device_feature_set(d, VFIO_DEVICE_FEATURE_DMA_FAULT, &set,
				       sizeof(set));
}

static void *map(struct fault_ring *r, int i, u64 offset, size_t len, int prot)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *p;

	r->map_len[i] = (len + page - 1) / page * page;
	p = mmap(NULL, r->map_len[i], prot, MAP_SHARED, r->dev->fd,
		 r->offset + offset);
	return p == MAP_FAILED ? NULL : p;
}

int fault_open(struct fault_ring *r, const struct vfio_device *d, u32 kinds,
	       u32 depth)
{
	struct vfio_region_info info;
	int ret;

	memset(r, 0, sizeof(*r));
	r->dev = d;
	r->depth = depth;
	r->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->eventfd < 0)
		return vfio_fail(-errno, "eventfd");
	ret = fault_set(d, kinds, depth, r->eventfd);
	if (ret) {
		close(r->eventfd);
		r->eventfd = -1;
		return vfio_fail(ret, "VFIO_DEVICE_FEATURE_DMA_FAULT of %s",
				 d->bdf);
	}

	ret = vfio_device_region(d, VFIO_REGION_TYPE_NESTED,
				 VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT_RESPONSE,
				 &info);
	r->response = info.offset;
	if (!ret)
		ret = vfio_device_region(d, VFIO_REGION_TYPE_NESTED,
					 VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT,
					 &info);
	r->offset = info.offset;
	if (ret) {
		fault_close(r);
		return vfio_fail(ret, "%s has no region of faults", d->bdf);
	}

	r->header = map(r, 0, 0, sizeof(*r->header), PROT_READ);
	if (r->header) {
		r->user = map(r, 1, r->header->user_offset, sizeof(*r->user),
			      PROT_READ | PROT_WRITE);
		r->entries = map(r, 2, r->header->ring_offset,
				 depth * sizeof(*r->entries), PROT_READ);
	}
	if (!r->header || !r->user || !r->entries) {
		ret = -errno;
		fault_close(r);
		return vfio_fail(ret, "cannot map the faults of %s", d->bdf);
	}
	/* Where another consumer stopped */
	r->index = r->user->consumer;
	return 0;
}

void fault_close(struct fault_ring *r)
{
	if (r->eventfd < 0)
		return;
	if (r->entries)
		munmap((void *)r->entries, r->map_len[2]);
	if (r->user)
		munmap(r->user, r->map_len[1]);
	if (r->header)
		munmap((void *)r->header, r->map_len[0]);
	if (r->dev->fd >= 0)
		fault_set(r->dev, 0, 0, -1);
	close(r->eventfd);
	memset(r, 0, sizeof(*r));
	r->eventfd = -1;
}

u32 fault_pending(const struct fault_ring *r)
{
	/* Acquire: what is before the index is read after it. */
	return __atomic_load_n(&r->header->producer, __ATOMIC_ACQUIRE) -
	       r->index;
}

const struct vfio_dma_fault *fault_peek(const struct fault_ring *r, u32 i)
{
	return &r->entries[(r->index + i) & (r->depth - 1)];
}

void fault_consume(struct fault_ring *r, u32 n)
{
	r->index += n;
	/* Release: the kernel may write there once it sees this. */
	__atomic_store_n(&r->user->consumer, r->index, __ATOMIC_RELEASE);
}

int fault_wait(struct fault_ring *r, int timeout_ms)
{
	struct pollfd p = { .fd = r->eventfd, .events = POLLIN };
	u64 count;
	u32 n;
	int ret;

	for (;;) {
		/*
		 * The kernel wakes us if it finds our index where it writes.
		 * So the index has to be there before we look once more: then
		 * either we see the entry or it sees the index.
		 */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		n = fault_pending(r);
		if (n)
			return n;
		ret = poll(&p, 1, timeout_ms);
		if (ret < 0)
			return -errno;
		if (!ret)
			return 0;
		/* Empty it before the next look, not after */
		if (read(r->eventfd, &count, sizeof(count)) < 0 &&
		    errno != EAGAIN)
			return -errno;
	}
}

int fault_next(struct fault_ring *r, struct vfio_dma_fault *f, int timeout_ms)
{
	int n = fault_wait(r, timeout_ms);

	if (n <= 0)
		return n;
	*f = *fault_peek(r, 0);
	fault_consume(r, 1);
	return 1;
}

int fault_respond(const struct fault_ring *r,
		  const struct vfio_dma_fault_response *responses, u32 n)
{
	ssize_t len = pwrite(r->dev->fd, responses, n * sizeof(*responses),
			     r->response);

	return len < 0 ? -errno : len / (ssize_t)sizeof(*responses);
}

int fault_answer(const struct fault_ring *r, const struct vfio_dma_fault *f,
		 u32 code)
{
	struct vfio_dma_fault_response response = {
		.cookie = f->cookie,
		.pasid = f->pasid,
		.group = f->group,
		.code = code,
	};
	int ret = fault_respond(r, &response, 1);

	return ret < 0 ? ret : 0;
}

int fault_drain(const struct vfio_device *d)
{
	return vfio_device_feature_set(d, VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN,
				       NULL, 0);
}

const char *fault_reason_name(u32 reason)
{
	static const char * const names[] = {
		[VFIO_DMA_FAULT_REASON_UNKNOWN] = "unknown",
		[VFIO_DMA_FAULT_REASON_PASID_FETCH] = "PASID cannot be read",
		[VFIO_DMA_FAULT_REASON_BAD_PASID] = "PASID is malformed",
		[VFIO_DMA_FAULT_REASON_NO_PASID] = "PASID is not there",
		[VFIO_DMA_FAULT_REASON_WALK] = "table cannot be read",
		[VFIO_DMA_FAULT_REASON_BAD_PTE] = "table entry is malformed",
		[VFIO_DMA_FAULT_REASON_TRANSLATION] = "not mapped",
		[VFIO_DMA_FAULT_REASON_PERMISSION] = "not permitted",
		[VFIO_DMA_FAULT_REASON_ACCESS] = "access flag",
		[VFIO_DMA_FAULT_REASON_OOR] = "address too large",
	};

	return reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}
