// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-nest faults: follow the faults of a device
 *
 * The ring of faults belongs to the VMM.  This looks at the kernel's trace
 * events beside it, in an instance of their own, and takes nothing away.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "json.h"
#include "libvfio.h"

static const char * const tracing[] = {
	"/sys/kernel/tracing", "/sys/kernel/debug/tracing",
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = sig;
}

/* The value of NAME= in @line */
static bool field(const char *line, const char *name, unsigned long long *value)
{
	char key[32];
	const char *at;
	char *end;

	snprintf(key, sizeof(key), " %s=", name);
	at = strstr(line, key);
	if (!at)
		return false;
	at += strlen(key);
	*value = strtoull(at, &end, 0);
	return end != at;
}

static void access_name(unsigned int perm, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s%s%s",
		 perm & VFIO_DMA_FAULT_PERM_PRIV ? "privileged " : "",
		 perm & VFIO_DMA_FAULT_PERM_EXEC ? "execute" :
		 perm & VFIO_DMA_FAULT_PERM_READ ? "read" : "",
		 (perm & VFIO_DMA_FAULT_PERM_READ) &&
		 (perm & VFIO_DMA_FAULT_PERM_WRITE) ? " and " : "",
		 perm & VFIO_DMA_FAULT_PERM_WRITE ? "write" : "",
		 perm & 7 ? "" : "access");
}

static void print_json(const char *event, double time, const char *line)
{
	static const char * const names[] = {
		"addr", "pasid", "perm", "reason", "stage", "code", "cookie",
		"group", "pages",
	};
	unsigned long long value;
	struct json j = {};
	char text[32];
	unsigned int i;

	json_object(&j, NULL);
	json_string(&j, "event", event);
	snprintf(text, sizeof(text), "%.6f", time);
	json_string(&j, "time", text);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!field(line, names[i], &value) ||
		    (!strcmp(names[i], "pasid") && value == -1ull))
			continue;
		if (!strcmp(names[i], "addr"))
			json_hex(&j, names[i], value);
		else
			json_number(&j, names[i], value);
	}
	json_bool(&j, "muted", strstr(line, " muted"));
	json_end(&j);
	json_done(&j);
}

static void print_text(const char *event, double time, const char *line)
{
	unsigned long long addr = 0, pasid = -1ull, perm = 0, reason = 0;
	unsigned long long stage = 0, code = 0, group = 0, pages = 0;
	char who[32] = "no PASID", what[48];

	field(line, "addr", &addr);
	field(line, "perm", &perm);
	field(line, "reason", &reason);
	field(line, "stage", &stage);
	field(line, "code", &code);
	field(line, "group", &group);
	field(line, "pages", &pages);
	if (field(line, "pasid", &pasid) && pasid != -1ull)
		snprintf(who, sizeof(who), "PASID 0x%llx", pasid);
	access_name(perm, what, sizeof(what));

	printf("[%12.6f] %s: ", time, who);
	if (!strcmp(event, "iommu_page_request")) {
		printf("asks for %llu page%s, the last at 0x%llx (group %llu)%s\n",
		       pages, pages == 1 ? "" : "s", addr, group,
		       strstr(line, "cookie=0 ") ? ", dropped" : "");
	} else if (!strcmp(event, "iommu_page_response")) {
		printf("group %llu is told \"%s\"\n", group,
		       code == VFIO_DMA_FAULT_RESPONSE_SUCCESS ? "success" :
		       code == VFIO_DMA_FAULT_RESPONSE_INVALID ? "invalid" :
		       "failure");
	} else {
		printf("%s at 0x%llx: %s", what, addr,
		       fault_reason_name(reason));
		if (stage)
			printf(" in stage %llu", stage);
		printf(" (0x%llx)%s%s\n", code,
		       strstr(line, " muted") ?
		       "; no more are reported" : "",
		       !strcmp(event, "iommu_fault_drop") ?
		       "; not given to the VMM" : "");
	}
}

/* "task-pid [cpu] flags time: event: device ..."; true if it is of @bdf */
static bool show(char *line, const char *bdf, bool json)
{
	char *event = strstr(line, ": iommu_"), *rest, *at;
	double time;

	if (!event)
		return false;
	*event = 0;
	at = strrchr(line, ' ');
	time = at ? atof(at) : 0;
	event += 2;
	rest = strchr(event, ':');
	if (!rest || strncmp(rest + 2, bdf, strlen(bdf)))
		return false;
	*rest++ = 0;
	if (json)
		print_json(event, time, rest);
	else
		print_text(event, time, rest);
	return true;
}

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int follow(const char *dir, const char *bdf, bool json,
		  unsigned long count)
{
	unsigned long seen = 0;
	char path[256], *line = NULL;
	size_t size = 0;
	FILE *pipe;
	int ret;

	ret = write_file(dir, "events/iommu_fault/enable", "1");
	if (ret)
		return vfio_fail(ret,
				 "this kernel has no trace events of faults");
	snprintf(path, sizeof(path), "%s/trace_pipe", dir);
	pipe = fopen(path, "re");
	if (!pipe)
		return vfio_fail(-errno, "%s", path);
	while (!stopped && (!count || seen < count) &&
	       getline(&line, &size, pipe) > 0)
		seen += show(line, bdf, json);
	free(line);
	fclose(pipe);
	return 0;
}

int faults_follow(const char *bdf, bool json, unsigned long count)
{
	struct sigaction action = { .sa_handler = on_signal };
	char dir[128];
	unsigned int i;
	int ret = -ENOENT;

	/* Without SA_RESTART: a read ends, and what was made is removed */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);

	for (i = 0; i < ARRAY_SIZE(tracing); i++) {
		snprintf(dir, sizeof(dir), "%s/instances/vfio-nest-%d",
			 tracing[i], getpid());
		ret = mkdir(dir, 0700) ? -errno : 0;
		if (ret != -ENOENT)
			break;
	}
	if (ret)
		return vfio_fail(ret, "cannot trace in %s/instances",
				 tracing[0]);
	ret = follow(dir, bdf, json, count);
	rmdir(dir);
	return ret;
}
