// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_PASID_REQUEST: numbers that are unique on the host
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "nest_test.h"

#define MAX_PASID	0xfffffu
#define QUOTA		"/sys/module/iommu_pasid/parameters/quota"
#define CGROUP		"/sys/fs/cgroup"

FIXTURE(nesting_pasid)
{
	struct nest n;
};

/* A container that can allocate */
static void setup_alloc(struct __test_metadata *_metadata, struct nest *n,
			int index)
{
	nest_setup(_metadata, n, index);
	if (!_metadata->exit_code && !(n->info.cap.formats[0].features &
				       VFIO_NESTING_FEATURE_PASID_ALLOC))
		SKIP(return, "no PASID_ALLOC here");
}

FIXTURE_SETUP(nesting_pasid)
{
	setup_alloc(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(nesting_pasid)
{
}

static u32 used(struct __test_metadata *_metadata, struct nest *n)
{
	nest_read_info(_metadata, n);
	return n->info.cap.pasid_used;
}

static u32 charged(struct __test_metadata *_metadata, struct nest *n)
{
	nest_read_info(_metadata, n);
	return n->info.cap.pasid_charged;
}

/* The number after @key in a file of lines "KEY NUMBER"; without @key alone */
static long read_number(const char *path, const char *key)
{
	char line[128];
	long n = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (n < 0 && fgets(line, sizeof(line), f)) {
		size_t len = strlen(key);

		if (!len)
			n = atol(line);
		else if (!strncmp(line, key, len) && line[len] == ' ')
			n = atol(line + len);
	}
	fclose(f);
	return n;
}

TEST_F(nesting_pasid, range)
{
	const struct vfio_container *c = &self->n.c;
	int pasid;

	/* Exactly one number, then none is left there */
	EXPECT_EQ(0x500, nest_pasid_alloc(c, 0x500, 0x500));
	test_err(ENOSPC, nest_pasid_alloc(c, 0x500, 0x500));
	EXPECT_EQ(0x501, nest_pasid_alloc(c, 0x500, 0x501));
	test_err(ENOSPC, nest_pasid_alloc(c, 0x500, 0x501));
	EXPECT_EQ(2, used(_metadata, &self->n));

	pasid = nest_pasid_alloc(c, 1, MAX_PASID);
	EXPECT_LT(0, pasid);
	EXPECT_GE(MAX_PASID, pasid);
	EXPECT_EQ(MAX_PASID, nest_pasid_alloc(c, MAX_PASID, MAX_PASID));
	EXPECT_EQ(4, used(_metadata, &self->n));

	test_ok(nest_pasid_free(c, 0x500, 0x500));
	EXPECT_EQ(3, used(_metadata, &self->n));
	EXPECT_EQ(0x500, nest_pasid_alloc(c, 0x500, 0x501));

	/* All of them, whatever lies between */
	test_ok(nest_pasid_free(c, 1, MAX_PASID));
	EXPECT_EQ(0, used(_metadata, &self->n));
	EXPECT_EQ(0x501, nest_pasid_alloc(c, 0x501, 0x501));
}

/* None to free is no error, as often as you like */
TEST_F(nesting_pasid, free_nothing)
{
	const struct vfio_container *c = &self->n.c;

	test_ok(nest_pasid_free(c, 1, 1));
	test_ok(nest_pasid_free(c, 1, MAX_PASID));
	EXPECT_EQ(7, nest_pasid_alloc(c, 7, 7));
	test_ok(nest_pasid_free(c, 7, 7));
	test_ok(nest_pasid_free(c, 7, 7));
	EXPECT_EQ(0, used(_metadata, &self->n));
}

TEST_F(nesting_pasid, quota)
{
	const struct vfio_container *c = &self->n.c;
	u32 quota = self->n.info.cap.pasid_quota, i;
	int round;

	ASSERT_NE(0, quota);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < quota; i++)
			ASSERT_LT(0, nest_pasid_alloc(c, 1, MAX_PASID));
		EXPECT_EQ(quota, used(_metadata, &self->n));
		test_err(EDQUOT, nest_pasid_alloc(c, 1, MAX_PASID));
		/* One back, one more */
		test_ok(nest_pasid_free(c, 1, MAX_PASID));
		EXPECT_EQ(0, used(_metadata, &self->n));
	}
}

/*
 * Who is charged
 */
#define EXEC_FD		"NESTING_PASID_FD"

/* What the next program in a process does: its container is the last one's */
static void __attribute__((constructor)) after_exec(void)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req),
		.flags = VFIO_PASID_REQUEST_ALLOC,
		.min = 0x603,
		.max = 0x603,
	};
	const char *fd = getenv(EXEC_FD);

	if (fd)
		_exit(ioctl(atoi(fd), VFIO_IOMMU_PASID_REQUEST, &req) != 0x603);
}

/* A child, an exec, an exit: the container keeps what they allocated */
TEST_F(nesting_pasid, fork_exec_exit)
{
	struct nest *n = &self->n;
	const struct vfio_container *c = &n->c;
	char fd[16];
	int status;
	pid_t pid;

	EXPECT_EQ(0x600, nest_pasid_alloc(c, 0x600, 0x600));
	EXPECT_EQ(1, charged(_metadata, n));

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (charged(_metadata, n) != 0 ||
		    nest_pasid_alloc(c, 0x601, 0x601) != 0x601 ||
		    nest_pasid_alloc(c, 0x602, 0x602) != 0x602 ||
		    charged(_metadata, n) != 2)
			_exit(1);
		snprintf(fd, sizeof(fd), "%d", c->fd);
		setenv(EXEC_FD, fd, 1);
		fcntl(c->fd, F_SETFD, 0);
		execl("/proc/self/exe", "nesting_pasid", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);

	/* Nobody was charged for another */
	EXPECT_EQ(4, used(_metadata, n));
	EXPECT_EQ(1, charged(_metadata, n));
	test_err(ENOSPC, nest_pasid_alloc(c, 0x600, 0x603));

	/* Who frees need not be who allocated */
	test_ok(nest_pasid_free(c, 0x600, 0x603));
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(0, charged(_metadata, n));
}

/* The container has a quota of its own: children do not multiply it */
TEST_F(nesting_pasid, quota_of_children)
{
	struct nest *n = &self->n;
	unsigned int i, got = 0;
	char before[16];
	int status;
	pid_t pid;

	snprintf(before, sizeof(before), "%u", n->info.cap.pasid_quota);
	test_ok(vfio_write_file(QUOTA, "8"));
	for (i = 0; i < 4; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* All are gone when the next one asks */
			for (got = 0; got < 3; got++)
				if (nest_pasid_alloc(&n->c, 1, MAX_PASID) < 0)
					break;
			_exit(got);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		got += WEXITSTATUS(status);
	}
	test_ok(vfio_write_file(QUOTA, before));
	EXPECT_EQ(8, got);
	EXPECT_EQ(8, used(_metadata, n));
	test_ok(nest_pasid_free(&n->c, 1, MAX_PASID));
}

/* A child that frees what its parent is charged for */
TEST_F(nesting_pasid, child_frees)
{
	struct nest *n = &self->n;
	int status;
	pid_t pid;

	EXPECT_EQ(0x600, nest_pasid_alloc(&n->c, 0x600, 0x600));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(nest_pasid_free(&n->c, 0x600, 0x600) ||
		      charged(_metadata, n));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(0, charged(_metadata, n));
}

/* Room for one descriptor */
union fd_message {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int sock, int fd)
{
	union fd_message control = { .header = {
		.cmsg_len = CMSG_LEN(sizeof(fd)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	} };
	struct iovec iov = { .iov_base = "", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	union fd_message control = {};
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, 0) != 1 ||
	    control.header.cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

/* Who got the container by a socket: 0, or the step that was wrong */
static int use_passed_fd(struct __test_metadata *_metadata, int sock)
{
	struct nest n = { .c.fd = receive_fd(sock) };
	char byte;

	if (n.c.fd < 0)
		return 1;
	if (nest_pasid_alloc(&n.c, 0x600, 0x600) != -ENOSPC ||
	    charged(_metadata, &n))
		return 2;
	if (nest_pasid_alloc(&n.c, 0x601, 0x601) != 0x601 ||
	    nest_pasid_alloc(&n.c, 0x602, 0x602) != 0x602 ||
	    charged(_metadata, &n) != 2)
		return 3;
	/* What the sender is charged for */
	if (nest_pasid_free(&n.c, 0x600, 0x601) ||
	    charged(_metadata, &n) != 1)
		return 4;
	/* The sender closes its own */
	if (send(sock, "", 1, 0) != 1 || recv(sock, &byte, 1, 0) != 1)
		return 5;
	if (nest_pasid_alloc(&n.c, 0x603, 0x603) != 0x603 ||
	    used(_metadata, &n) != 2)
		return 6;
	return send_fd(sock, n.c.fd) ? 7 : 0;
}

/* The container goes by a socket, and comes back when its receiver ends */
TEST_F(nesting_pasid, passed_fd)
{
	struct nest *n = &self->n;
	int sock[2], status;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock));
	EXPECT_EQ(0x600, nest_pasid_alloc(&n->c, 0x600, 0x600));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(n->c.fd);
		close(sock[0]);
		_exit(use_passed_fd(_metadata, sock[1]));
	}
	close(sock[1]);
	ASSERT_EQ(0, send_fd(sock[0], n->c.fd));
	ASSERT_EQ(1, recv(sock[0], &byte, 1, 0));
	EXPECT_EQ(1, used(_metadata, n));
	EXPECT_EQ(0, charged(_metadata, n));

	close(n->c.fd);
	ASSERT_EQ(1, send(sock[0], "", 1, 0));
	n->c.fd = receive_fd(sock[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_LE(0, n->c.fd);

	/* Still the container's, and charged to nobody who is here */
	EXPECT_EQ(2, used(_metadata, n));
	EXPECT_EQ(0, charged(_metadata, n));
	test_err(ENOSPC, nest_pasid_alloc(&n->c, 0x602, 0x603));
	test_ok(nest_pasid_free(&n->c, 1, MAX_PASID));
	EXPECT_EQ(0x603, nest_pasid_alloc(&n->c, 0x603, 0x603));
	close(sock[0]);
}

/* A cgroup of its own for the process, gone with the test */
FIXTURE(pasid_cgroup)
{
	struct nest n;
	char dir[64];
	char max[96], current[96], events[96];
};

static void join_cgroup(struct __test_metadata *_metadata, const char *dir)
{
	char procs[96];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	ASSERT_EQ(0, vfio_write_file(procs, "0"));
}

FIXTURE_SETUP(pasid_cgroup)
{
	char *dir = self->dir;

	if (vfio_write_file(CGROUP "/cgroup.subtree_control", "+misc") ||
	    read_number(CGROUP "/misc.capacity", "pasid") < 0)
		SKIP(return, "the misc cgroup has no PASIDs here");
	setup_alloc(_metadata, &self->n, 0);
	if (_metadata->exit_code)
		return;
	snprintf(dir, sizeof(self->dir), CGROUP "/pasid-%d", getpid());
	ASSERT_EQ(0, mkdir(dir, 0755));
	snprintf(self->max, sizeof(self->max), "%s/misc.max", dir);
	snprintf(self->current, sizeof(self->current), "%s/misc.current", dir);
	snprintf(self->events, sizeof(self->events), "%s/misc.events", dir);
}

FIXTURE_TEARDOWN(pasid_cgroup)
{
	if (!self->dir[0])
		return;
	join_cgroup(_metadata, CGROUP);
	nest_close(&self->n);
	/* An uncharged cgroup can go */
	EXPECT_EQ(0, rmdir(self->dir));
}

TEST_F(pasid_cgroup, capacity)
{
	EXPECT_EQ(MAX_PASID, read_number(CGROUP "/misc.capacity", "pasid"));
}

TEST_F(pasid_cgroup, limit)
{
	const struct vfio_container *c = &self->n.c;

	/* From before: of another cgroup, which goes on paying */
	EXPECT_EQ(0x600, nest_pasid_alloc(c, 0x600, 0x600));
	ASSERT_EQ(0, vfio_write_file(self->max, "pasid 2"));
	join_cgroup(_metadata, self->dir);
	EXPECT_EQ(0, read_number(self->current, "pasid"));

	EXPECT_EQ(0x601, nest_pasid_alloc(c, 0x601, 0x601));
	/* What fails for another reason is not charged */
	test_err(ENOSPC, nest_pasid_alloc(c, 0x601, 0x601));
	EXPECT_EQ(1, read_number(self->current, "pasid"));
	EXPECT_EQ(0, read_number(self->events, "pasid.max"));

	EXPECT_EQ(0x602, nest_pasid_alloc(c, 0x602, 0x602));
	test_err(EBUSY, nest_pasid_alloc(c, 0x603, 0x603));
	EXPECT_EQ(2, read_number(self->current, "pasid"));
	EXPECT_EQ(1, read_number(self->events, "pasid.max"));
	EXPECT_EQ(3, charged(_metadata, &self->n));
	EXPECT_EQ(3, used(_metadata, &self->n));

	ASSERT_EQ(0, vfio_write_file(self->max, "pasid 3"));
	EXPECT_EQ(0x603, nest_pasid_alloc(c, 0x603, 0x603));
	test_err(EBUSY, nest_pasid_alloc(c, 0x604, 0x604));

	/* Uncharged by whoever frees, also from elsewhere */
	join_cgroup(_metadata, CGROUP);
	test_ok(nest_pasid_free(c, 0x600, 0x602));
	EXPECT_EQ(1, read_number(self->current, "pasid"));
	nest_close(&self->n);
	EXPECT_EQ(0, read_number(self->current, "pasid"));
}

/* Bound when it is freed: charged until the last binding is gone */
TEST_F(pasid_cgroup, pending)
{
	struct nest *n = &self->n;
	struct s1_table t;

	if (n->ops->whole)
		SKIP(return, NOT_SEEN);
	join_cgroup(_metadata, self->dir);
	test_ok(s1_init(&t, n->ops, &n->g));
	EXPECT_EQ(7, nest_pasid_alloc(&n->c, 7, 7));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 7, &t));
	test_ok(nest_pasid_free(&n->c, 7, 7));
	EXPECT_EQ(1, read_number(self->current, "pasid"));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 7));
	EXPECT_EQ(0, read_number(self->current, "pasid"));
}

/* It exits, and the container lives on in another process. */
TEST_F(pasid_cgroup, exit)
{
	struct nest *n = &self->n;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		join_cgroup(_metadata, self->dir);
		_exit(nest_pasid_alloc(&n->c, 9, 9) != 9);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, read_number(self->current, "pasid"));
	test_ok(nest_pasid_free(&n->c, 1, MAX_PASID));
	EXPECT_EQ(0, read_number(self->current, "pasid"));
}

/*
 * On all processors processes allocate and free, in both containers, and are
 * killed in the middle of it.
 */
#define CROWD		4
#define CROWD_KILLS	16
#define CROWD_FIRST	0x800
/* Each that is killed may leave one behind */
#define CROWD_LAST	(CROWD_FIRST + CROWD_KILLS + 2 * CROWD - 1)

struct crowd {
	int owners[CROWD_LAST - CROWD_FIRST + 1];
	int wrong;
	volatile int cycles;
};

static void crowd_member(const struct vfio_container *c, struct crowd *crowd,
			 int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (;;) {
		int pasid = nest_pasid_alloc(c, CROWD_FIRST, CROWD_LAST);
		int *owners = &crowd->owners[pasid - CROWD_FIRST];

		if (pasid < CROWD_FIRST || pasid > CROWD_LAST ||
		    __atomic_add_fetch(owners, 1, __ATOMIC_SEQ_CST) != 1 ||
		    __atomic_sub_fetch(owners, 1, __ATOMIC_SEQ_CST) ||
		    nest_pasid_free(c, pasid, pasid))
			__atomic_add_fetch(&crowd->wrong, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&crowd->cycles, 1, __ATOMIC_SEQ_CST);
	}
}

TEST_F(pasid_cgroup, crowd)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct nest other = {}, *n[2] = { &self->n, &self->n };
	pid_t pids[CROWD];
	struct crowd *crowd;
	int i, k;

	if (test_nr > 1) {
		n[1] = &other;
		nest_setup(_metadata, &other, 1);
	}
	crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)crowd);
	join_cgroup(_metadata, self->dir);
	for (i = 0; i < CROWD + CROWD_KILLS; i++) {
		k = i % CROWD;
		if (i >= CROWD) {
			usleep(30 * 1000);
			/* However slow they are, they get on */
			EXPECT_TRUE(wait_until(crowd->cycles > i));
			kill(pids[k], SIGKILL);
			ASSERT_EQ(pids[k], waitpid(pids[k], NULL, 0));
		}
		pids[k] = fork();
		ASSERT_LE(0, pids[k]);
		if (!pids[k])
			crowd_member(&n[k % 2]->c, crowd, k / 2 % cpus);
	}
	for (k = 0; k < CROWD; k++) {
		kill(pids[k], SIGKILL);
		ASSERT_EQ(pids[k], waitpid(pids[k], NULL, 0));
	}
	EXPECT_EQ(0, crowd->wrong);
	EXPECT_LT(CROWD_KILLS, crowd->cycles);

	/* What is charged is what those have left behind, and no more */
	i = used(_metadata, n[0]);
	if (n[1] != n[0])
		i += used(_metadata, n[1]);
	EXPECT_GE(CROWD + CROWD_KILLS, i);
	EXPECT_EQ(i, read_number(self->current, "pasid"));
	EXPECT_EQ(0, charged(_metadata, n[0]));
	for (k = 0; k < 2; k++) {
		test_ok(nest_pasid_free(&n[k]->c, 1, MAX_PASID));
		EXPECT_EQ(0, used(_metadata, n[k]));
	}
	EXPECT_EQ(0, read_number(self->current, "pasid"));
	for (i = CROWD_FIRST; i <= CROWD_LAST; i++)
		EXPECT_EQ(i, nest_pasid_alloc(&n[0]->c, i, i));
}

/*
 * Containers, one for each device
 */

FIXTURE(pasid_owners)
{
	struct nest n[2];
};

FIXTURE_SETUP(pasid_owners)
{
	if (test_nr < 2)
		SKIP(return, "needs two devices");
	setup_alloc(_metadata, &self->n[0], 0);
	if (!_metadata->exit_code)
		setup_alloc(_metadata, &self->n[1], 1);
}

FIXTURE_TEARDOWN(pasid_owners)
{
}

TEST_F(pasid_owners, unique)
{
	const struct vfio_container *a = &self->n[0].c, *b = &self->n[1].c;
	int i, got[64], j;

	for (i = 0; i < 64; i++) {
		got[i] = nest_pasid_alloc(i & 1 ? a : b, 1, MAX_PASID);
		ASSERT_LT(0, got[i]);
		for (j = 0; j < i; j++)
			ASSERT_NE(got[j], got[i]);
	}
}

/* The quota is the process's, whichever of its containers asks */
TEST_F(pasid_owners, quota)
{
	const struct vfio_container *a = &self->n[0].c, *b = &self->n[1].c;
	long quota = read_number(QUOTA, "");
	char text[24];

	ASSERT_LT(0, quota);
	ASSERT_EQ(0, vfio_write_file(QUOTA, "3"));
	EXPECT_EQ(0x700, nest_pasid_alloc(a, 0x700, 0x700));
	EXPECT_EQ(0x701, nest_pasid_alloc(b, 0x701, 0x701));
	EXPECT_EQ(0x702, nest_pasid_alloc(b, 0x702, 0x702));
	test_err(EDQUOT, nest_pasid_alloc(a, 0x703, 0x703));
	test_err(EDQUOT, nest_pasid_alloc(b, 0x703, 0x703));
	EXPECT_EQ(3, charged(_metadata, &self->n[0]));
	EXPECT_EQ(3, charged(_metadata, &self->n[1]));
	EXPECT_EQ(3, self->n[0].info.cap.pasid_quota);
	EXPECT_EQ(1, used(_metadata, &self->n[0]));
	nest_close(&self->n[1]);
	EXPECT_EQ(1, charged(_metadata, &self->n[0]));
	EXPECT_EQ(0x703, nest_pasid_alloc(a, 0x703, 0x703));

	/* Lowered below what is there: nothing is taken away */
	EXPECT_EQ(0, vfio_write_file(QUOTA, "1"));
	test_err(EDQUOT, nest_pasid_alloc(a, 0x704, 0x704));
	EXPECT_EQ(2, used(_metadata, &self->n[0]));
	snprintf(text, sizeof(text), "%ld", quota);
	EXPECT_EQ(0, vfio_write_file(QUOTA, text));
}

/* Nobody frees what is another's, and a close frees it */
TEST_F(pasid_owners, owner)
{
	struct vfio_container *a = &self->n[0].c, *b = &self->n[1].c;

	EXPECT_EQ(0x700, nest_pasid_alloc(a, 0x700, 0x700));
	test_err(ENOSPC, nest_pasid_alloc(b, 0x700, 0x700));
	test_ok(nest_pasid_free(b, 0x700, 0x700));
	test_ok(nest_pasid_free(b, 1, MAX_PASID));
	test_err(ENOSPC, nest_pasid_alloc(b, 0x700, 0x700));
	EXPECT_EQ(1, used(_metadata, &self->n[0]));
	EXPECT_EQ(0, used(_metadata, &self->n[1]));

	nest_close(&self->n[0]);
	EXPECT_EQ(0x700, nest_pasid_alloc(b, 0x700, 0x700));
}

/* The number of another container may be bound: tables are per device */
TEST_F(pasid_owners, bind_without_owning)
{
	struct nest *a = &self->n[0], *b = &self->n[1];
	struct s1_table t;

	EXPECT_EQ(0x700, nest_pasid_alloc(&a->c, 0x700, 0x700));
	test_ok(s1_init(&t, b->ops, &b->g));
	test_ok(nest_bind(&b->c, NEST_ALL_GROUPS, 0x700, &t));
	test_ok(nest_unbind(&b->c, NEST_ALL_GROUPS, 0x700));
	EXPECT_EQ(1, used(_metadata, a));
}

/*
 * Freed while bound
 */

FIXTURE(pasid_pending)
{
	struct nest n;
	struct space s;
	int pasid;
};

FIXTURE_SETUP(pasid_pending)
{
	struct nest *n = &self->n;

	nest_setup_ptd(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (n->ops->whole)
		SKIP(return, NOT_SEEN);
	space_init(_metadata, n, &self->s, 0xa1);
	self->pasid = nest_pasid_alloc(&n->c, 1, nest_last_pasid(n));
	ASSERT_LT(0, self->pasid);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid, &self->s.t));
	test_ok(nest_pasid_free(&n->c, self->pasid, self->pasid));
}

FIXTURE_TEARDOWN(pasid_pending)
{
}

TEST_F(pasid_pending, last_binding_frees)
{
	struct nest *n = &self->n;
	int pasid = self->pasid;

	/* It works on, but can be neither given to another nor bound again */
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
	EXPECT_EQ(1, used(_metadata, n));
	test_err(ENOSPC, nest_pasid_alloc(&n->c, pasid, pasid));
	test_err(EBUSY, nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
	/* A second free changes nothing */
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(1, used(_metadata, n));

	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
	dma_refused(_metadata, &n->ptd, pasid);
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(pasid, nest_pasid_alloc(&n->c, pasid, pasid));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
}

/* A bind that fails keeps nothing of it */
TEST_F(pasid_pending, failed_bind)
{
	struct nest *n = &self->n;
	struct s1_table t = self->s.t;
	int pasid = nest_pasid_alloc(&n->c, 0x300, 0x300);

	ASSERT_EQ(0x300, pasid);
	/* A root that the hardware cannot reach */
	t.root |= 1ull << 63;
	test_err(EINVAL, nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &t));
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(1, used(_metadata, n));
	EXPECT_EQ(pasid, nest_pasid_alloc(&n->c, pasid, pasid));
}

/* Bound as a number that was nobody's, then allocated, then freed */
TEST_F(pasid_pending, bound_before)
{
	struct nest *n = &self->n;
	int pasid = self->pasid + 1;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	EXPECT_EQ(pasid, nest_pasid_alloc(&n->c, pasid, pasid));
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	test_err(ENOSPC, nest_pasid_alloc(&n->c, pasid, pasid));
	test_err(EBUSY, nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
	EXPECT_EQ(pasid, nest_pasid_alloc(&n->c, pasid, pasid));
	EXPECT_EQ(2, used(_metadata, n));
}

TEST_F(pasid_pending, close_frees)
{
	struct nest *n = &self->n, again = {};

	nest_close(n);
	nest_setup(_metadata, &again, 0);
	EXPECT_EQ(self->pasid, nest_pasid_alloc(&again.c, self->pasid,
						self->pasid));
}

/* Bound on two devices: the second one to go frees it */
TEST_F(pasid_pending, two_groups)
{
	struct nest *n = &self->n;
	struct vfio_device d2;
	struct ptd ptd2;
	int pasid;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_add_device(_metadata, n, &d2, &ptd2, 1);
	pasid = nest_pasid_alloc(&n->c, 0x300, 0x300);
	ASSERT_EQ(0x300, pasid);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(2, used(_metadata, n));
	test_ok(nest_unbind(&n->c, n->d.group_fd, pasid));
	EXPECT_EQ(2, used(_metadata, n));
	dma_copies(_metadata, n, &ptd2, pasid, &self->s);
	test_ok(nest_unbind(&n->c, d2.group_fd, pasid));
	EXPECT_EQ(1, used(_metadata, n));
}

VFIO_TEST_MAIN
