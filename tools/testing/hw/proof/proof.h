/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the proofs share: KTAP, the test device behind VFIO, the monitor
 *
 * They judge the emulated hardware with an unmodified kernel, so they stay
 * apart from the library that the selftests of the series use.
 */
#ifndef PROOF_H
#define PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "pasid_testdev.h"
#include "iommu_monitor.h"

#define PAGE		4096ul
#define SZ_2M		(2ul << 20)

/* KTAP.  A check that fails tells where and ends the test it is in. */
struct test {
	const char *name;
	void (*fn)(void);
	bool named;			/* runs only when it is named */
};

/* All that are not @named; or those that the command line names, if any */
int run_tests(const struct test *tests, unsigned int n);
int run_tests_argv(const struct test *tests, unsigned int n, char **argv);
void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...);
void __attribute__((noreturn, format(printf, 1, 2))) skip(const char *fmt, ...);
void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...);
void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...);

#define check(cond, fmt, ...)						\
	do {								\
		if (!(cond))						\
			fail("%s:%d: %s: " fmt, __FILE__, __LINE__,	\
			     #cond, ##__VA_ARGS__);			\
	} while (0)

#define check_eq(a, b)							\
	do {								\
		unsigned long long _a = (a), _b = (b);			\
									\
		if (_a != _b)						\
			fail("%s:%d: %s is %#llx, not %s = %#llx",	\
			     __FILE__, __LINE__, #a, _a, #b, _b);	\
	} while (0)

/* How long the emulated device may take, whatever else the host does */
#define PATIENCE_S	120

static inline time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Does @cond come true before patience is at an end? */
#define wait_until(cond) ({						\
	const time_t _end = now_s() + PATIENCE_S;			\
	bool _is;							\
									\
	while (!(_is = (cond)) && now_s() <= _end)			\
		usleep(200);						\
	_is;								\
})

/* PCI functions, by sysfs */
#define BDF_LEN		16

bool pci_find(uint16_t vendor, uint16_t device, int nth, char bdf[BDF_LEN]);
uint32_t pci_sid(const char *bdf);
void pci_bind(const char *bdf, const char *driver);
uint32_t pci_config_read(const char *bdf, int off, int size);
void pci_config_write(const char *bdf, int off, int size, uint32_t val);
int pci_ext_cap(const char *bdf, uint16_t id);
int write_file(const char *path, const char *val);

/* The test device: registers mapped through VFIO */
struct ptd {
	char bdf[BDF_LEN];
	uint32_t sid;
	int fd;
	uint32_t devid;			/* iommufd's, with ptd_open_cdev() */
	volatile uint8_t *bar;
};

void ptd_open_cdev(struct ptd *d, const char *bdf, int iommufd);
void ptd_open_group(struct ptd *d, const char *bdf, int container,
		    int *group);
/* Registers alone, whatever driver has the device */
void ptd_open_sysfs(struct ptd *d, const char *bdf);
void ptd_map(struct ptd *d);
/* Once it has a page table: registers, bus master, reset */
void ptd_start(struct ptd *d);
void ptd_close(struct ptd *d);
void ptd_bus_master(struct ptd *d, bool on);
void ptd_enable_irqs(struct ptd *d, const int *eventfds, int n);

static inline uint32_t ptd_r32(struct ptd *d, unsigned int reg)
{
	return *(volatile uint32_t *)(d->bar + reg);
}

static inline uint64_t ptd_r64(struct ptd *d, unsigned int reg)
{
	return *(volatile uint64_t *)(d->bar + reg);
}

static inline void ptd_w32(struct ptd *d, unsigned int reg, uint32_t val)
{
	*(volatile uint32_t *)(d->bar + reg) = val;
}

void ptd_reset(struct ptd *d);
void ptd_submit(struct ptd *d, int q, const struct ptd_desc *desc);
/* The oldest completion of the queue; waits for it */
struct ptd_record ptd_wait(struct ptd *d, int q);
/* Submit to queue 0, and wait */
struct ptd_record ptd_do(struct ptd *d, const struct ptd_desc *desc);
struct ptd_record ptd_copy(struct ptd *d, uint64_t src, uint64_t dst,
			   uint32_t len);

/* The monitor; dies if the machine has none */
void mon_open(void);
uint64_t mon_r64(unsigned int reg);
uint32_t mon_r32(unsigned int reg);
void mon_w32(unsigned int reg, uint32_t val);
void mon_w64(unsigned int reg, uint64_t val);
uint64_t mon_count(uint32_t event, uint32_t sid, uint32_t pasid);

void *page_alloc(size_t len, size_t align);
void fill(void *p, size_t len, uint8_t seed);
/* Does @p hold what fill() with this @seed wrote? */
bool filled(const void *p, size_t len, uint8_t seed);

#endif
