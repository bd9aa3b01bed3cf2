// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loop of vfio-nesting.rst: vfio-nesting-faults GROUP BDF
 *
 * Prints the faults of a device until none came for a second, and answers
 * page requests with "invalid".  A VMM would map the page, or hand the fault
 * to its guest.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>
#include <linux/vfio_nesting.h>

#define DEPTH	256

struct ring {
	const struct vfio_dma_fault_header *header;
	const struct vfio_dma_fault *entries;
	struct vfio_dma_fault_user *user;
	__u32 index;		/* of the next entry to read */
	__u64 seq;		/* of the last one read */
	int eventfd;
	int device;
	off_t response;		/* where answers are written */
};

/* The offset of a region of faults in the device file */
static off_t find_region(int device, __u32 subtype)
{
	union {
		struct vfio_region_info info;
		__u8 raw[1024];
	} r;
	struct vfio_device_info dev = { .argsz = sizeof(dev) };
	const struct vfio_region_info_cap_type *cap;
	__u32 i, off;

	if (ioctl(device, VFIO_DEVICE_GET_INFO, &dev))
		err(1, "VFIO_DEVICE_GET_INFO");
	for (i = VFIO_PCI_NUM_REGIONS; i < dev.num_regions; i++) {
		r.info = (struct vfio_region_info){
			.argsz = sizeof(r), .index = i,
		};
		if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r.info))
			err(1, "VFIO_DEVICE_GET_REGION_INFO");
		for (off = r.info.cap_offset; off; off = cap->header.next) {
			cap = (const void *)(r.raw + off);
			if (cap->header.id == VFIO_REGION_INFO_CAP_TYPE &&
			    cap->type == VFIO_REGION_TYPE_NESTED &&
			    cap->subtype == subtype)
				return r.info.offset;
		}
	}
	errx(1, "the device has no such region");
}

/* Faults, and page requests where the device can make them */
static void ring_open(struct ring *ring, int device)
{
	struct {
		struct vfio_device_feature f;
		struct vfio_device_feature_dma_fault set;
	} on = {
		.f = {
			.argsz = sizeof(on),
			.flags = VFIO_DEVICE_FEATURE_SET |
				 VFIO_DEVICE_FEATURE_DMA_FAULT,
		},
		.set = {
			.flags = VFIO_DMA_FAULT_UNRECOVERABLE |
				 VFIO_DMA_FAULT_PAGE_REQUEST,
			.depth = DEPTH,
		},
	};
	off_t base;
	int ret;

	ring->device = device;
	ring->index = 0;
	ring->seq = 0;
	ring->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	on.set.eventfd = ring->eventfd;
	ret = ioctl(device, VFIO_DEVICE_FEATURE, &on);
	if (ret && errno == EOPNOTSUPP) {
		on.set.flags = VFIO_DMA_FAULT_UNRECOVERABLE;
		ret = ioctl(device, VFIO_DEVICE_FEATURE, &on);
	}
	if (ret)
		err(1, "VFIO_DEVICE_FEATURE_DMA_FAULT");

	base = find_region(device, VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT);
	ring->response = find_region(device,
				     VFIO_REGION_SUBTYPE_NESTED_DMA_FAULT_RESPONSE);
	ring->header = mmap(NULL, sizeof(*ring->header), PROT_READ, MAP_SHARED,
			    device, base);
	if (ring->header == MAP_FAILED)
		err(1, "mmap of the header");
	ring->user = mmap(NULL, sizeof(*ring->user), PROT_READ | PROT_WRITE,
			  MAP_SHARED, device, base + ring->header->user_offset);
	ring->entries = mmap(NULL, DEPTH * sizeof(*ring->entries), PROT_READ,
			     MAP_SHARED, device,
			     base + ring->header->ring_offset);
	if (ring->user == MAP_FAILED || ring->entries == MAP_FAILED)
		err(1, "mmap of the ring");
}

static void handle(struct ring *ring, const struct vfio_dma_fault *f)
{
	struct vfio_dma_fault_response no = {
		.cookie = f->cookie,
		.pasid = f->pasid,
		.group = f->group,
		.code = VFIO_DMA_FAULT_RESPONSE_INVALID,
	};

	if (f->seq != ring->seq + 1)
		printf("%llu dropped\n", f->seq - ring->seq - 1);
	ring->seq = f->seq;
	printf("type %u PASID %u address 0x%llx reason %u (0x%x)\n", f->type,
	       f->pasid, f->addr, f->reason, f->hw_reason);
	if (f->type == VFIO_DMA_FAULT_TYPE_PAGE_REQUEST &&
	    f->flags & VFIO_DMA_FAULT_F_LAST &&
	    pwrite(ring->device, &no, sizeof(no), ring->response) < 0)
		warn("answer");
}

static void ring_loop(struct ring *ring)
{
	struct pollfd p = { .fd = ring->eventfd, .events = POLLIN };
	__u64 count;
	__u32 producer;

	for (;;) {
		/* acquire: entries before the index are read after it */
		producer = __atomic_load_n(&ring->header->producer,
					   __ATOMIC_ACQUIRE);
		if (producer != ring->index) {
			for (; ring->index != producer; ring->index++)
				handle(ring, &ring->entries[ring->index %
							    DEPTH]);
			/* release: they were read before they are given back */
			__atomic_store_n(&ring->user->consumer, ring->index,
					 __ATOMIC_RELEASE);
			/* "I have read all" before the last look */
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			continue;
		}
		if (poll(&p, 1, 1000) <= 0)
			return;
		if (read(ring->eventfd, &count, sizeof(count)) < 0)
			continue;
	}
}

int main(int argc, char **argv)
{
	int container, group, device;
	struct ring ring;
	char path[64];

	if (argc != 3)
		errx(2, "usage: %s GROUP BDF", argv[0]);
	container = open("/dev/vfio/vfio", O_RDWR);
	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	group = open(path, O_RDWR);
	if (container < 0 || group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_NESTING_IOMMU))
		err(1, "VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, argv[2]);
	if (device < 0)
		err(1, "%s", argv[2]);

	ring_open(&ring, device);
	ring_loop(&ring);
	printf("%llu dropped for want of room, %llu times by hardware\n",
	       ring.header->lost, ring.header->hw_lost);
	return 0;
}
