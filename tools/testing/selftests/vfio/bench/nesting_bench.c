// SPDX-License-Identifier: GPL-2.0-only
/*
 * What nesting costs: guest instructions, system calls, what the IOMMU's queue
 * executed (descriptors of VT-d, commands of SMMUv3) and waits for it, for each
 * operation.
 *
 * Needs iommu-monitor, an emulated machine that counts instructions and one
 * processor; "make bench" boots it.  Prints one line for each operation,
 *
 *	KEY INSTRUCTIONS DESCRIPTORS WAITS DEVICE-TLB-DESCRIPTORS CALLS
 *
 * each number the median of REPEAT runs, and for an operation of several
 * steps one more line for each of them.  "format N" has the
 * VFIO_NESTING_FORMAT_* of the tables, 0 where the kernel has no nesting.  A
 * line "ats KEY N" says if the device had ATS enabled while KEY* was measured.
 * What the kernel does not have is left out, and so are numbers of an IDA where
 * IDA_MODULE is not.
 */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "ida_client.h"
#include "libvfio.h"
#include "mmio.h"

#define REPEAT		101
#define WARM_UP		20
#define MAX_STEPS	4
#define MAX_ENTRIES	256

#define MEM_SIZE	(8 * SZ_2M)
#define PASID		1
/* Where the stage-1 tables map something */
#define VA		0x7e0000000000ull
#define VA_PAGES	MAX_ENTRIES

#define MAP_SIZE	SZ_2M
#define MAP_IOVA	(16 * SZ_1G)

/* What is counted; instructions first */
enum { INSN, DESC, WAIT, DTLB, CALL, NR_COUNTS };

struct step {
	const char *name;
	int (*fn)(void);
};

static char bdfs[VFIO_MAX_DEVS + 1][VFIO_BDF_LEN];	/* the last: none */
static const char *bdf;			/* the device */
static struct imon mon;
static u64 overhead;			/* of reading the instruction count */
static union s1_inv_entry entries[MAX_ENTRIES];
static u32 nr_entries;

static void die(const char *what, int err)
{
	fprintf(stderr, "nesting-bench: %s: %s; last failure in the library: %s\n",
		what, strerror(-err), vfio_why());
	exit(1);
}

static void must(const char *what, int ret)
{
	if (ret < 0)
		die(what, ret);
}

/*
 * Measuring
 */
static u64 count_all(const u32 *events, unsigned int nr)
{
	u64 sum = 0;

	while (nr--)
		sum += imon_total(&mon, events[nr]);
	return sum;
}

/* A machine has one of the two IOMMUs, and counts nothing of the other */
static void read_counts(u64 *n)
{
	static const u32 descs[] = {
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_CC),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IOTLB),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IEC),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PC),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PGRP),
		/* IHI 0070F, chapter 4: CFGI_* */
		IOMMU_MON_EV_SMMU(0x03), IOMMU_MON_EV_SMMU(0x04),
		IOMMU_MON_EV_SMMU(0x05), IOMMU_MON_EV_SMMU(0x06),
		/* TLBI_NH_*, S12_VMALL, S2_IPA, NSNH_ALL */
		IOMMU_MON_EV_SMMU(0x10), IOMMU_MON_EV_SMMU(0x11),
		IOMMU_MON_EV_SMMU(0x12), IOMMU_MON_EV_SMMU(0x13),
		IOMMU_MON_EV_SMMU(0x28), IOMMU_MON_EV_SMMU(0x2a),
		IOMMU_MON_EV_SMMU(0x30),
		/* RESUME, STALL_TERM */
		IOMMU_MON_EV_SMMU(0x44), IOMMU_MON_EV_SMMU(0x45),
	};
	static const u32 dtlb[] = {
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_DTLB),
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB),
		IOMMU_MON_EV_SMMU(0x40),		/* ATC_INV */
	};
	static const u32 waits[] = {
		IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT),
		IOMMU_MON_EV_SMMU(0x46),		/* SYNC */
	};

	n[DTLB] = count_all(dtlb, ARRAY_SIZE(dtlb));
	n[DESC] = n[DTLB] + count_all(descs, ARRAY_SIZE(descs));
	n[WAIT] = count_all(waits, ARRAY_SIZE(waits));
	n[CALL] = nr_calls;
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *v)
{
	qsort(v, REPEAT, sizeof(*v), compare);
	return v[REPEAT / 2];
}

/* Run the steps in their order; other counters are read before and after */
static void measure(const char *key, const struct step *steps)
{
	static u64 insn[MAX_STEPS][REPEAT], sum[NR_COUNTS][REPEAT];
	u64 before[NR_COUNTS], after[NR_COUNTS], at[MAX_STEPS + 1];
	int run, nr = 0, i, ret = 0;

	while (nr < MAX_STEPS && steps[nr].fn)
		nr++;
	for (run = -WARM_UP; run < REPEAT; run++) {
		read_counts(before);
		at[0] = imon_read64(&mon, IMON_ICOUNT);
		for (i = 0; i < nr; i++) {
			ret = steps[i].fn();
			at[i + 1] = imon_read64(&mon, IMON_ICOUNT);
			if (ret)
				die(steps[i].name, ret);
		}
		read_counts(after);
		if (run < 0)
			continue;
		sum[INSN][run] = at[nr] - at[0] - nr * overhead;
		for (i = DESC; i < NR_COUNTS; i++)
			sum[i][run] = after[i] - before[i];
		for (i = 0; i < nr; i++)
			insn[i][run] = at[i + 1] - at[i] - overhead;
	}
	printf("%s", key);
	for (i = 0; i < NR_COUNTS; i++)
		printf(" %llu", (unsigned long long)median(sum[i]));
	printf("\n");
	for (i = 0; i < nr && nr > 1; i++)
		printf("%s.%s %llu\n", key, steps[i].name,
		       (unsigned long long)median(insn[i]));
}

static int nothing(void)
{
	return 0;
}

static void calibrate(void)
{
	static u64 v[REPEAT];
	u64 at;
	int i;

	for (i = 0; i < REPEAT; i++) {
		at = imon_read64(&mon, IMON_ICOUNT);
		nothing();
		v[i] = imon_read64(&mon, IMON_ICOUNT) - at;
	}
	overhead = median(v);
}

/*
 * MAP_DMA and UNMAP_DMA of a container of an old type
 */
static struct vfio_container container;
static struct vfio_iommu_type1_dma_map dma_map;
static struct vfio_iommu_type1_dma_unmap dma_unmap;

static int map(void)
{
	return vfio_ioctl(container.fd, VFIO_IOMMU_MAP_DMA, &dma_map);
}

static int unmap(void)
{
	int ret = vfio_ioctl(container.fd, VFIO_IOMMU_UNMAP_DMA, &dma_unmap);

	return ret ?: dma_unmap.size == dma_map.size ? 0 : -EIO;
}

/* Base pages, there before they are counted */
static void *memory(size_t size)
{
	void *va = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (va == MAP_FAILED)
		die("mmap", -errno);
	return va;
}

static void measure_map(const char *who)
{
	static const struct step steps[] = {
		{ "map", map }, { "unmap", unmap }, {},
	};
	static const u32 pages[] = { 1, 16, MAP_SIZE / SZ_4K };
	/* The same each time: what is sent depends on what lies side by side */
	static void *va;
	unsigned int i;
	char key[32];

	if (!va)
		va = memory(MAP_SIZE);
	dma_map = (struct vfio_iommu_type1_dma_map){
		.argsz = sizeof(dma_map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va,
		.iova = MAP_IOVA,
	};
	dma_unmap = (struct vfio_iommu_type1_dma_unmap){
		.argsz = sizeof(dma_unmap),
		.iova = MAP_IOVA,
	};
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		dma_map.size = pages[i] * SZ_4K;
		dma_unmap.size = pages[i] * SZ_4K;
		snprintf(key, sizeof(key), "%s-%u", who, pages[i]);
		measure(key, steps);
	}
}

static void bench_map(void)
{
	struct vfio_device dev;

	must("open /dev/vfio/vfio", vfio_container_open(&container));
	must("open the device", vfio_device_open(&dev, &container,
						 VFIO_TYPE1v2_IOMMU, bdf));
	measure_map("map");
	vfio_device_close(&dev);
	vfio_container_close(&container);
}

/*
 * A guest with a stage-1 table, the same for both sides
 */
static struct guest guest;
static struct s1_table table;
/* Two, so that one replaces another */
static union s1_bind_data bind_data[2];
static struct cd_table cd_tables[2];
static union s1_inv_entry dtlb_entries[MAX_ENTRIES], range_entry;
/* Its device TLB is invalidated by entries of its own */
static bool separate_dtlb;
static u64 src, dst;

/* IHI 0070F, 5.2: EATS, the device may use its TLB */
#define STE_1_EATS	BIT_ULL(28)

/* SMMUv3: tables of all PASIDs, with stage 1 for PASID and for none */
static void make_cd_tables(void)
{
	struct cd_table *ct;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cd_tables); i++) {
		ct = &cd_tables[i];
		if (!ct->base)
			must("context descriptors",
			     cd_table_init(ct, &guest, CD_64K,
					   guest.pasid_bits));
		must("context descriptor",
		     cd_set(ct, NEST_RID, &table, table.asid));
		must("context descriptor",
		     cd_set(ct, PASID, &table, table.asid));
		cd_ste(ct, &bind_data[i].smmu);
		bind_data[i].smmu.ste[1] |= htole64(STE_1_EATS);
	}
}

static void make_table(const struct s1_ops *ops)
{
	union s1_inv_entry e[S1_MAX_INV] = {};
	unsigned int i;

	must("stage-1 table", s1_init(&table, ops, &guest));
	src = guest_alloc(&guest, VA_PAGES * SZ_4K, SZ_4K);
	dst = guest_alloc(&guest, SZ_4K, SZ_4K);
	if (!src || !dst)
		die("guest memory", -ENOMEM);
	must("stage-1 map", s1_map(&table, VA, src, VA_PAGES * SZ_4K, SZ_4K,
				   S1_RW));
	must("stage-1 map", s1_map(&table, VA + SZ_1G, dst, SZ_4K, SZ_4K,
				   S1_RW));
	if (ops->whole) {
		make_cd_tables();
	} else {
		must("data of a bind", ops->bind_data(&table, &bind_data[0]));
		bind_data[1] = bind_data[0];
	}
	/* Each a page of its own: nothing to merge */
	for (i = 0; i < MAX_ENTRIES; i++) {
		separate_dtlb = s1_inv_range(&table, e, NEST_RID,
					     VA + i * SZ_4K, 1) > 1;
		entries[i] = e[0];
		dtlb_entries[i] = e[1];
	}
	ops->inv_entry(&table, &range_entry, VA, VA_PAGES);
}

/* The device really uses the table that is about to be measured */
static void check_dma(struct ptd *ptd, u32 pasid)
{
	static u64 pattern = 0x1122334455667788ull;
	struct ptd_record r;

	pattern++;
	*(u64 *)guest_va(&guest, src) = pattern;
	must("DMA", ptd_copy(ptd, pasid, VA + SZ_1G, VA, SZ_4K, &r));
	if (r.status != PTD_ST_OK ||
	    *(u64 *)guest_va(&guest, dst) != pattern) {
		fprintf(stderr, "nesting-bench: PASID %u: DMA did not go through stage 1 (%s)\n",
			pasid, ptd_status_name(r.status));
		exit(1);
	}
}

static void show_ats(const char *key, struct ptd *ptd)
{
	printf("ats %s %d\n", key,
	       !!(ptd_read32(ptd, PTD_STATUS) & PTD_STATUS_ATS));
}

static const u32 batches[] = { 1, 16, MAX_ENTRIES };

/* @nr is how many the steps handle in one run */
static void measure_batches(const char *key, const struct step *steps, u32 *nr)
{
	char name[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(batches); i++) {
		*nr = batches[i];
		snprintf(name, sizeof(name), "%s-%u", key, *nr);
		measure(name, steps);
	}
}

static void measure_inval(const char *key, int (*fn)(void))
{
	const struct step steps[] = { { "invalidate", fn }, {} };

	measure_batches(key, steps, &nr_entries);
}

/*
 * This series
 */
static struct vfio_iommu_type1_bind bind_arg;
static struct vfio_iommu_type1_cache_invalidate inval_arg;

static int bind(void)
{
	static unsigned int which;

	which = !which;
	bind_arg.op = VFIO_BIND_OP_BIND;
	bind_arg.format = table.ops->format;
	bind_arg.data_len = table.ops->data_len;
	bind_arg.data_uptr = (uintptr_t)&bind_data[which];
	return vfio_ioctl(container.fd, VFIO_IOMMU_BIND, &bind_arg);
}

static int unbind(void)
{
	bind_arg.op = VFIO_BIND_OP_UNBIND;
	bind_arg.format = 0;
	bind_arg.data_len = 0;
	bind_arg.data_uptr = 0;
	return vfio_ioctl(container.fd, VFIO_IOMMU_BIND, &bind_arg);
}

/* As a guest that changes one descriptor of a table that is bound */
static int bind_one(void)
{
	return nest_bind(&container, NEST_ALL_GROUPS, PASID, &table);
}

static int unbind_one(void)
{
	return nest_unbind(&container, NEST_ALL_GROUPS, PASID);
}

static int invalidate(void)
{
	int ret;

	inval_arg.entry_num = nr_entries;
	ret = vfio_ioctl(container.fd, VFIO_IOMMU_CACHE_INVALIDATE,
			 &inval_arg);
	return ret ?: inval_arg.entry_num == nr_entries ? 0 : -EIO;
}

static void bench_type1_inval(const char *who, u32 pasid)
{
	static const struct step range[] = { { "invalidate", invalidate }, {} };
	char key[32];

	inval_arg = (struct vfio_iommu_type1_cache_invalidate){
		.argsz = sizeof(inval_arg),
		.target = VFIO_INVALIDATE_TARGET_PASID,
		.pasid = pasid,
		.format = table.ops->format,
		.entry_len = sizeof(entries[0]),
		.entry_uptr = (uintptr_t)entries,
	};
	snprintf(key, sizeof(key), "type1-%s-inval", who);
	measure_inval(key, invalidate);
	inval_arg.entry_uptr = (uintptr_t)&range_entry;
	nr_entries = 1;
	snprintf(key, sizeof(key), "type1-%s-range", who);
	measure(key, range);
	if (!separate_dtlb)
		return;
	inval_arg.entry_uptr = (uintptr_t)dtlb_entries;
	snprintf(key, sizeof(key), "type1-%s-dtlb", who);
	measure_inval(key, invalidate);
}

/* One PASID, or requests without; where a table is bound, that */
static void bench_type1_pasid(struct ptd *ptd, const char *who, u32 pasid)
{
	static const struct step cycle[] = {
		{ "bind", bind }, { "unbind", unbind }, {},
	};
	static const struct step replace[] = { { "bind", bind }, {} };
	char key[32];

	bind_arg = (struct vfio_iommu_type1_bind){
		.argsz = sizeof(bind_arg),
		.target = table.ops->whole ? VFIO_BIND_TARGET_PASID_TABLE :
					     VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = pasid,
	};
	snprintf(key, sizeof(key), "type1-%s-cycle", who);
	measure(key, cycle);
	must("bind", bind());
	check_dma(ptd, pasid ?: PTD_NO_PASID);
	snprintf(key, sizeof(key), "type1-%s-replace", who);
	measure(key, replace);
	check_dma(ptd, pasid ?: PTD_NO_PASID);
	bench_type1_inval(who, pasid);
	must("unbind", unbind());
}

/* One descriptor of a table that stays bound */
static void bench_type1_descriptor(struct ptd *ptd)
{
	static const struct step cycle[] = {
		{ "bind", bind_one }, { "unbind", unbind_one }, {},
	};
	static const struct step replace[] = { { "bind", bind_one }, {} };

	must("bind", nest_bind(&container, NEST_ALL_GROUPS, NEST_RID, &table));
	measure("type1-pasid-cycle", cycle);
	must("bind", bind_one());
	check_dma(ptd, PASID);
	measure("type1-pasid-replace", replace);
	check_dma(ptd, PASID);
	must("unbind", unbind_one());
	must("unbind", nest_unbind(&container, NEST_ALL_GROUPS, NEST_RID));
}

/*
 * Faults and page requests of a container: N come, then all are read, then
 * all are answered.  The interrupt's thread runs as soon as the device has
 * raised them, on the one processor there is.
 */
static struct fault_ring ring;
static struct ptd fault_ptd;
static u32 fault_pasid;
static u32 nr_faults;
static bool have_faults;	/* this kernel has the series */
static struct vfio_dma_fault_response answers[MAX_ENTRIES];

static int raise_faults(void)
{
	struct ptd_desc d = {
		.op = PTD_OP_CRC32,
		.flags = PTD_F_NO_ATS,
		.pasid = ptd_pasid(fault_pasid),
		.src = 0x1000,
		.len = 8,
	};
	u32 i;

	for (i = 0; i < nr_faults; i++)
		ptd_submit(&fault_ptd, 0, &d);
	/* The device is done, and so is the kernel with what it raised */
	while (ptd_read32(&fault_ptd, PTD_QUEUE(0) + PTD_Q_CPL_COUNT) <
	       nr_faults)
		;
	return 0;
}

static int drop_completions(void)
{
	u32 i;

	for (i = 0; i < nr_faults; i++)
		ptd_write32(&fault_ptd, PTD_QUEUE(0) + PTD_Q_CPL_POP, 1);
	return 0;
}

static int raise_requests(void)
{
	ptd_write32(&fault_ptd, PTD_PR_SEND, nr_faults);
	return 0;
}

static int ring_read(void)
{
	u32 i;

	while (fault_pending(&ring) < nr_faults)
		;
	for (i = 0; i < nr_faults; i++) {
		const struct vfio_dma_fault *f = fault_peek(&ring, i);

		answers[i].cookie = f->cookie;
		answers[i].pasid = f->pasid;
		answers[i].group = f->group;
	}
	fault_consume(&ring, nr_faults);
	return 0;
}

static int ring_respond(void)
{
	int ret = fault_respond(&ring, answers, nr_faults);

	return ret == (int)nr_faults ? 0 : -EIO;
}

static void request_setup(u32 pasid)
{
	ptd_write32(&fault_ptd, PTD_PR_ADDR, (u32)VA);
	ptd_write32(&fault_ptd, PTD_PR_ADDR + 4, VA >> 32);
	ptd_write32(&fault_ptd, PTD_PR_PASID, ptd_pasid(pasid));
	ptd_write32(&fault_ptd, PTD_PR_FLAGS,
		    PTD_PR_READ | PTD_PR_LAST | PTD_PR_EACH);
}

static u64 signals(void)
{
	u64 n = 0;

	return read(ring.eventfd, &n, sizeof(n)) < 0 ? 0 : n;
}

static void measure_requests(const char *key, const struct step *steps)
{
	measure_batches(key, steps, &nr_faults);
}

/*
 * An access waits for its page: one for each queue of the device
 */
#define NO_PAGE		(VA + 2 * SZ_1G)

static int raise_stalls(void)
{
	struct ptd_desc d = {
		.op = PTD_OP_CRC32,
		.flags = PTD_F_NO_ATS,
		.pasid = ptd_pasid(fault_pasid),
		.src = NO_PAGE,
		.len = 8,
	};
	u32 i;

	for (i = 0; i < nr_faults; i++)
		ptd_submit(&fault_ptd, i, &d);
	while (fault_pending(&ring) < nr_faults)
		;
	return 0;
}

/* INVALID, for the next run to find the queues empty */
static int ring_refuse(void)
{
	u32 i;

	for (i = 0; i < nr_faults; i++)
		answers[i].code = VFIO_DMA_FAULT_RESPONSE_INVALID;
	return ring_respond();
}

static int drop_each(void)
{
	u32 i;

	for (i = 0; i < nr_faults; i++) {
		while (!ptd_read32(&fault_ptd, PTD_QUEUE(i) + PTD_Q_CPL_COUNT))
			;
		ptd_write32(&fault_ptd, PTD_QUEUE(i) + PTD_Q_CPL_POP, 1);
	}
	return 0;
}

/* As many as there are records, or queues */
static const u32 bursts[] = { 1, 8 };

static void measure_bursts(const char *key, const struct step *steps, u32 pasid)
{
	char name[64];
	unsigned int i;

	fault_pasid = pasid;
	for (i = 0; i < ARRAY_SIZE(bursts); i++) {
		nr_faults = bursts[i];
		snprintf(name, sizeof(name), "%s-%u", key, nr_faults);
		measure(name, steps);
	}
}

static void bench_stalls(void)
{
	static const struct step stalls[] = {
		{ "raise", raise_stalls }, { "read", ring_read },
		{ "respond", ring_refuse }, { "drop", drop_each }, {},
	};

	table.demand = true;
	make_cd_tables();
	must("bind", bind());
	measure_bursts("ring-stall-rid", stalls, PTD_NO_PASID);
	measure_bursts("ring-stall-pasid", stalls, PASID);
	signals();
	nr_faults = bursts[ARRAY_SIZE(bursts) - 1];
	raise_stalls();
	printf("ring-wakeups-%u %llu\n", nr_faults, signals());
	ring_read();
	must("answer", ring_refuse());
	drop_each();
}

static void bench_requests(void)
{
	static const struct step requests[] = {
		{ "raise", raise_requests }, { "read", ring_read },
		{ "respond", ring_respond }, {},
	};

	request_setup(PTD_NO_PASID);
	measure_requests("ring-request-rid", requests);
	request_setup(PASID);
	measure_requests("ring-request-pasid", requests);
	signals();
	nr_faults = MAX_ENTRIES;
	raise_requests();
	printf("ring-wakeups-%u %llu\n", nr_faults, signals());
	ring_read();
	ring_respond();
	have_faults = true;
}

/* A table is bound, for requests with PASID and without */
static void bench_faults(struct vfio_device *dev, u32 max_requests)
{
	static const struct step faults[] = {
		{ "raise", raise_faults }, { "read", ring_read },
		{ "drop", drop_completions }, {},
	};

	must("faults", fault_open(&ring, dev, VFIO_DMA_FAULT_UNRECOVERABLE |
				  (max_requests ? VFIO_DMA_FAULT_PAGE_REQUEST :
						  0), 512));
	must("device", ptd_init(&fault_ptd, dev));
	measure_bursts("ring-fault", faults, PASID);
	if (ptd_read32(&fault_ptd, PTD_STATUS) & PTD_STATUS_PRI)
		bench_requests();
	else if (max_requests)
		bench_stalls();
	fault_close(&ring);
}

/* The first device that asks for pages, or the last one */
static void open_nesting(struct vfio_device *dev,
			 struct vfio_device_feature_nesting *feat)
{
	union nest_info info;
	unsigned int i;

	for (i = 0;; i++) {
		must("open /dev/vfio/vfio", vfio_container_open(&container));
		must("open the device",
		     vfio_device_open(dev, &container,
				      VFIO_TYPE1_NESTING_IOMMU, bdfs[i]));
		must("nesting", nest_info(&container, &info));
		must("nesting", nest_device_info(dev, feat, NULL));
		if (feat->max_requests || !bdfs[i + 1][0])
			break;
		vfio_device_close(dev);
		vfio_container_close(&container);
	}
	table.ops = s1_ops_find(info.cap.formats[0].format);
	if (!table.ops)
		die("a table of this format", -EOPNOTSUPP);
}

static void bench_type1(void)
{
	struct vfio_device_feature_nesting feat;
	struct vfio_device dev;
	struct ptd ptd;
	bool nests;

	must("open /dev/vfio/vfio", vfio_container_open(&container));
	nests = vfio_check_extension(&container, VFIO_TYPE1_NESTING_API) == 1;
	vfio_container_close(&container);
	if (!nests) {
		printf("format 0\n");
		return;
	}
	open_nesting(&dev, &feat);
	printf("format %u\n", table.ops->format);
	must("device", ptd_init(&ptd, &dev));
	must("guest memory", guest_init(&guest, &container, GUEST_GPA,
					MEM_SIZE));
	guest.pasid_bits = feat.pasid_bits;
	make_table(table.ops);
	show_ats("type1", &ptd);
	if (table.ops->whole)
		bench_type1_descriptor(&ptd);
	else
		bench_type1_pasid(&ptd, "pasid", PASID);
	bench_type1_pasid(&ptd, "rid", NEST_RID);

	must("bind", bind());
	check_dma(&ptd, PTD_NO_PASID);
	measure_map("map-nested");
	if (!table.ops->whole) {
		bind_arg.pasid = PASID;
		must("bind", bind());
	}
	bench_faults(&dev, feat.max_requests);
	must("unbind", unbind());
	guest_exit(&guest);
	vfio_device_close(&dev);
	vfio_container_close(&container);
}

/*
 * PASIDs of the host, with more and more of them given out
 */
#define PASID_LAST	0xfffffu
#define NR_OWNED	10
#define QUOTA		"/sys/module/iommu_pasid/parameters/quota"

static struct vfio_container other;	/* who has NR_OWNED */

static int bare_ioctl(void)
{
	return ioctl(container.fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION ?
		0 : -EIO;
}

static int last_pasid;

static int pasid_alloc(void)
{
	last_pasid = nest_pasid_alloc(&container, 1, PASID_LAST);
	return last_pasid < 0 ? last_pasid : 0;
}

static int pasid_free(void)
{
	return nest_pasid_free(&container, last_pasid, last_pasid);
}

static int owned[NR_OWNED];

static int own_some(void)
{
	int i;

	for (i = 0; i < NR_OWNED; i++) {
		owned[i] = nest_pasid_alloc(&other, 1, PASID_LAST);
		if (owned[i] < 0)
			return owned[i];
	}
	return 0;
}

static int free_each(void)
{
	int i, ret = 0;

	for (i = 0; i < NR_OWNED && !ret; i++)
		ret = nest_pasid_free(&other, owned[i], owned[i]);
	return ret;
}

static int free_range(void)
{
	return nest_pasid_free(&other, 1, PASID_LAST);
}

/* All slabs of the kernel, in bytes */
static u64 slab_bytes(void)
{
	unsigned long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Slab: %lu", &kib) == 1)
			break;
	}
	if (!kib)
		die("/proc/meminfo", -EIO);
	fclose(f);
	return (u64)kib * 1024;
}

static void set_quota(const char *text)
{
	must(QUOTA, vfio_write_file(QUOTA, text));
}

/* A cycle while more and more are given out; returns how many at the end */
static u32 measure_levels(const char *what, const struct step *cycle)
{
	/* The last leaves room for one, or for what the other has */
	static const u32 levels[] = { 1, 1000, 100000, PASID_LAST - 1 };
	unsigned int i;
	char key[32];
	u32 n = 0;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		for (; n < levels[i]; n++)
			must(cycle->name, cycle->fn());
		snprintf(key, sizeof(key), "%s-cycle-%u", what, levels[i]);
		measure(key, cycle);
	}
	return n;
}

/*
 * Beside it: numbers of an IDA, an ioctl for each
 */
#define IDA_MODULE	"/bin/ida_client.ko"

static int ida_fd;
static int last_id;

static int id_alloc(void)
{
	last_id = ioctl(ida_fd, IDA_CLIENT_ALLOC);
	return last_id < 0 ? -errno : 0;
}

static int id_free(void)
{
	return ioctl(ida_fd, IDA_CLIENT_FREE, last_id) ? -errno : 0;
}

static void bench_ida(void)
{
	static const struct step cycle[] = {
		{ "alloc", id_alloc }, { "free", id_free }, {},
	};
	int module = open(IDA_MODULE, O_RDONLY | O_CLOEXEC);

	if (module < 0)
		return;
	if (syscall(SYS_finit_module, module, "", 0))
		die(IDA_MODULE, -errno);
	close(module);
	ida_fd = open("/dev/ida_client", O_RDWR | O_CLOEXEC);
	if (ida_fd < 0)
		die("open /dev/ida_client", -errno);
	measure_levels("ida", cycle);
	close(ida_fd);
}

static void bench_pasids(void)
{
	static const struct step bare[] = { { "ioctl", bare_ioctl }, {} };
	static const struct step cycle[] = {
		{ "alloc", pasid_alloc }, { "free", pasid_free }, {},
	};
	static const struct step each[] = {
		{ "alloc", own_some }, { "free", free_each }, {},
	};
	static const struct step range[] = {
		{ "alloc", own_some }, { "free", free_range }, {},
	};
	struct vfio_device dev, dev2;
	unsigned int i;
	u64 slabs;
	u32 n;

	must("open /dev/vfio/vfio", vfio_container_open(&container));
	if (vfio_check_extension(&container, VFIO_TYPE1_NESTING_API) != 1) {
		vfio_container_close(&container);
		return;
	}
	if (!bdfs[1][0])
		die("two devices are needed", -ENODEV);
	must("open the device", vfio_device_open(&dev, &container,
						 VFIO_TYPE1_NESTING_IOMMU,
						 bdfs[0]));
	must("open /dev/vfio/vfio", vfio_container_open(&other));
	must("open the device", vfio_device_open(&dev2, &other,
						 VFIO_TYPE1_NESTING_IOMMU,
						 bdfs[1]));
	set_quota("1048576");
	measure("pasid-bare", bare);
	slabs = slab_bytes();
	n = measure_levels("pasid", cycle);
	printf("pasid-bytes %llu\n",
	       (unsigned long long)(slab_bytes() - slabs) / n);
	/* Room for the other, all over the space */
	for (i = 1; i < NR_OWNED; i++)
		must("free", nest_pasid_free(&container, i * 100000,
					     i * 100000));
	measure("pasid-each", each);
	measure("pasid-range", range);
	vfio_device_close(&dev2);
	vfio_container_close(&other);
	vfio_device_close(&dev);
	vfio_container_close(&container);
	set_quota("1000");
}

/*
 * iommufd, requests without PASID: it has nothing else in 6.12
 */
static int ifd, cdev;
static u32 dev_id, parent;
static u32 nested, previous;		/* HWPTs, 0: none */

static int hwpt_alloc(u32 pt, u32 flags, u32 *hwpt)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = dev_id,
		.pt_id = pt,
	};
	int ret;

	if (!flags) {
		cmd.data_type = IOMMU_HWPT_DATA_VTD_S1;
		cmd.data_len = sizeof(bind_data[0].vtd);
		cmd.data_uptr = (uintptr_t)&bind_data[0];
	}
	ret = vfio_ioctl(ifd, IOMMU_HWPT_ALLOC, &cmd);
	*hwpt = cmd.out_hwpt_id;
	return ret;
}

static int attach(u32 pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.pt_id = pt,
	};

	return vfio_ioctl(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);
}

static int destroy(u32 id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return vfio_ioctl(ifd, IOMMU_DESTROY, &cmd);
}

static int nested_alloc(void)
{
	previous = nested;
	return hwpt_alloc(parent, 0, &nested);
}

static int nested_attach(void)
{
	return attach(nested);
}

static int nested_destroy(void)
{
	return destroy(nested);
}

static int previous_destroy(void)
{
	return destroy(previous);
}

static int parent_attach(void)
{
	return attach(parent);
}

static int detach(void)
{
	struct vfio_device_detach_iommufd_pt cmd = { .argsz = sizeof(cmd) };

	return vfio_ioctl(cdev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd);
}

static struct iommu_hwpt_invalidate hwpt_inval;

static int hwpt_invalidate(void)
{
	int ret;

	hwpt_inval.entry_num = nr_entries;
	ret = vfio_ioctl(ifd, IOMMU_HWPT_INVALIDATE, &hwpt_inval);
	return ret ?: hwpt_inval.entry_num == nr_entries ? 0 : -EIO;
}

static int open_cdev(void)
{
	char path[512];
	struct dirent *e;
	int fd = -ENOENT;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(path);
	if (!dir)
		return vfio_fail(-errno, "open %s", path);
	while (fd < 0 && (e = readdir(dir))) {
		if (strncmp(e->d_name, "vfio", 4))
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
			 e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = vfio_fail(-errno, "open %s", path);
	}
	closedir(dir);
	return fd;
}

/* Whether there is anything to measure: 6.12 nests on VT-d alone */
static bool open_iommufd(struct vfio_device *dev)
{
	struct vfio_device_bind_iommufd cmd = { .argsz = sizeof(cmd) };
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	struct iommu_hw_info hw = { .size = sizeof(hw) };
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map io_map = {
		.size = sizeof(io_map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.length = MEM_SIZE,
		.iova = GUEST_GPA,
	};

	ifd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (ifd < 0)
		die("open /dev/iommu", -errno);
	cdev = open_cdev();
	must("open the device's cdev", cdev);
	cmd.iommufd = ifd;
	must("VFIO_DEVICE_BIND_IOMMUFD",
	     vfio_ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &cmd));
	dev_id = cmd.out_devid;
	hw.dev_id = dev_id;
	must("IOMMU_GET_HW_INFO", vfio_ioctl(ifd, IOMMU_GET_HW_INFO, &hw));
	if (hw.out_data_type != IOMMU_HW_INFO_TYPE_INTEL_VTD) {
		close(cdev);
		close(ifd);
		return false;
	}

	must("IOMMU_IOAS_ALLOC", vfio_ioctl(ifd, IOMMU_IOAS_ALLOC, &ioas));
	guest = (struct guest){
		.va = memory(MEM_SIZE),
		.gpa = GUEST_GPA,
		.size = MEM_SIZE,
	};
	io_map.ioas_id = ioas.out_ioas_id;
	io_map.user_va = (uintptr_t)guest.va;
	must("IOMMU_IOAS_MAP", vfio_ioctl(ifd, IOMMU_IOAS_MAP, &io_map));
	must("nest parent", hwpt_alloc(ioas.out_ioas_id,
				       IOMMU_HWPT_ALLOC_NEST_PARENT, &parent));

	memset(dev, 0, sizeof(*dev));
	memcpy(dev->bdf, bdf, VFIO_BDF_LEN);
	dev->fd = cdev;
	must("config space",
	     vfio_ioctl(cdev, VFIO_DEVICE_GET_REGION_INFO, &info));
	dev->config_off = info.offset;
	dev->config_size = info.size;
	return true;
}

/*
 * iommufd's fault queue, requests without PASID
 */
static int fault_fd = -1;
static struct iommu_hwpt_pgfault pgfaults[MAX_ENTRIES];
static struct iommu_hwpt_page_response pgresponses[MAX_ENTRIES];

static int queue_read(void)
{
	ssize_t want = nr_faults * sizeof(pgfaults[0]), got = 0, n;
	u32 i;

	while (got < want) {
		n = read(fault_fd, (char *)pgfaults + got, want - got);
		if (n < 0)
			return -errno;
		got += n;
	}
	for (i = 0; i < nr_faults; i++)
		pgresponses[i].cookie = pgfaults[i].cookie;
	return 0;
}

static int queue_respond(void)
{
	ssize_t want = nr_faults * sizeof(pgresponses[0]);

	return write(fault_fd, pgresponses, want) == want ? 0 : -EIO;
}

static void bench_iommufd_faults(struct vfio_device *dev)
{
	static const struct step requests[] = {
		{ "raise", raise_requests }, { "read", queue_read },
		{ "respond", queue_respond }, {},
	};
	struct iommu_fault_alloc queue = { .size = sizeof(queue) };
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = IOMMU_HWPT_FAULT_ID_VALID,
		.dev_id = dev_id,
		.pt_id = parent,
		.data_type = IOMMU_HWPT_DATA_VTD_S1,
		.data_len = sizeof(bind_data[0].vtd),
		.data_uptr = (uintptr_t)&bind_data[0],
	};
	int ret;

	must("IOMMU_FAULT_QUEUE_ALLOC",
	     vfio_ioctl(ifd, IOMMU_FAULT_QUEUE_ALLOC, &queue));
	fault_fd = queue.out_fault_fd;
	alloc.fault_id = queue.out_fault_id;
	ret = vfio_ioctl(ifd, IOMMU_HWPT_ALLOC, &alloc);
	if (!ret)
		ret = attach(alloc.out_hwpt_id);
	must("a HWPT with a fault queue", ret);
	must("device", ptd_init(&fault_ptd, dev));
	request_setup(PTD_NO_PASID);

	measure_requests("iommufd-request-rid", requests);
	must("detach", detach());
	must("destroy", destroy(alloc.out_hwpt_id));
	close(fault_fd);
}

static void bench_iommufd(void)
{
	static const struct step cycle[] = {
		{ "alloc", nested_alloc }, { "attach", nested_attach },
		{ "attach-parent", parent_attach },
		{ "destroy", nested_destroy }, {},
	};
	static const struct step detach_cycle[] = {
		{ "alloc", nested_alloc }, { "attach", nested_attach },
		{ "detach", detach }, { "destroy", nested_destroy }, {},
	};
	static const struct step replace[] = {
		{ "alloc", nested_alloc }, { "attach", nested_attach },
		{ "destroy", previous_destroy }, {},
	};
	struct vfio_device dev;
	struct ptd ptd;

	if (!open_iommufd(&dev))
		return;
	make_table(&s1_vtd_ops);

	/* From blocked to blocked, as with a PASID */
	measure("iommufd-blocked-cycle", detach_cycle);

	/* From stage 2 alone to stage 2 alone */
	must("attach", parent_attach());
	measure("iommufd-cycle", cycle);

	must("alloc", nested_alloc());
	must("attach", nested_attach());
	must("device", ptd_init(&ptd, &dev));
	check_dma(&ptd, PTD_NO_PASID);
	show_ats("iommufd", &ptd);
	measure("iommufd-replace", replace);
	check_dma(&ptd, PTD_NO_PASID);
	hwpt_inval = (struct iommu_hwpt_invalidate){
		.size = sizeof(hwpt_inval),
		.hwpt_id = nested,
		.data_uptr = (uintptr_t)entries,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
		.entry_len = sizeof(entries[0]),
	};
	measure_inval("iommufd-inval", hwpt_invalidate);

	must("attach", parent_attach());
	must("destroy", nested_destroy());
	/* The unmodified kernel refuses page requests without PASID. */
	if (have_faults)
		bench_iommufd_faults(&dev);
	vfio_device_close(&dev);
	close(ifd);
	munmap(guest.va, MEM_SIZE);
}

int main(void)
{
	static char out[32768];
	int ret = imon_open(&mon);

	/* Nothing is written before the end: output takes its own time */
	setvbuf(stdout, out, _IOFBF, sizeof(out));
	if (ret)
		die("iommu-monitor", ret);
	if (!imon_read32(&mon, IMON_ICOUNT_VALID))
		die("the machine does not count instructions (-icount)",
		    -EOPNOTSUPP);
	if (sysconf(_SC_NPROCESSORS_ONLN) != 1)
		die("the count is exact with one processor only", -EINVAL);
	if (!vfio_find_bound(bdfs, VFIO_MAX_DEVS))
		die("vfio-pci has no device", -ENODEV);
	bdf = bdfs[0];
	if (mlockall(MCL_CURRENT))
		die("mlockall", -errno);
	calibrate();

	/* The first thing both kernels do, in the same state */
	bench_map();
	bench_type1();
	bench_iommufd();
	bench_pasids();
	bench_ida();
	return 0;
}
