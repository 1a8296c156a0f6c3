#include "worker/leader/run.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/process_tree.h"
#include "worker/leader/environment.h"
#include "worker/leader/spawn.h"

enum { OUTPUT_FILE_MODE = 0640 };

/* The ends that the job writes to; ours to close after the start. */
struct ends {
    int output;
    int error;
};

static void close_end(int fd)
{
    if (fd != -1) {
        (void)close(fd);
    }
}

/* One open file for both, so that they share its position. Opened without waiting for a pipe's
 * reader. We keep it: under its name may be another one when the run ends. */
static int open_file(struct run *run, const char *path, struct ends *ends, char *reterr,
                     size_t size)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  OUTPUT_FILE_MODE);

    if (fd != -1) {
        (void)fcntl(fd, F_SETFL, O_APPEND); /* the job expects to wait, like any program */
        ends->output = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        ends->error = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    if (ends->output == -1 || ends->error == -1) {
        (void)snprintf(reterr, size, "cannot open output file '%s': %s", path, strerror(errno));
    }
    if (fd != -1 && run->excerpt.head_max > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        run->file = fd;
        run->file_from = st.st_size;
    } else {
        close_end(fd);
    }
    return ends->output == -1 || ends->error == -1 ? -EIO : 0;
}

static int open_log(struct run_world *world, struct run *run, const char *job, struct ends *ends,
                    char *reterr, size_t size)
{
    run->standard_output = output_open(&world->outputs, job, "stdout", &ends->output);
    if (run->standard_output != NULL) {
        run->standard_error = output_open(&world->outputs, job, "stderr", &ends->error);
    }
    if (run->standard_error == NULL) {
        (void)snprintf(reterr, size, "cannot make a pipe for its output: %s", strerror(errno));
        return -EIO;
    }
    output_keep(run->standard_output, &run->excerpt);
    output_keep(run->standard_error, &run->excerpt);
    return 0;
}

static int open_outputs(struct run_world *world, struct run *run, const struct config_job *job,
                        struct ends *ends, char *reterr, size_t size)
{
    switch (job->output) {
    case OUTPUT_NONE:
        return 0;
    case OUTPUT_FILE:
        return open_file(run, job->output_file, ends, reterr, size);
    case OUTPUT_LOG:
        return open_log(world, run, job->name, ends, reterr, size);
    }
    return 0;
}

/* Without a cgroup a run is only harder to kill: that is no reason not to start it. */
static int enter_cgroup(const struct run_world *world, struct run *run)
{
    int fd = cgroup_make(&world->cgroup, run->number);

    run->in_cgroup = fd >= 0;
    return fd >= 0 ? fd : -1;
}

static int launch(struct run_world *world, struct run *run, const struct run_order *order,
                  char **environment, const struct ends *ends, char *reterr, size_t size)
{
    const struct config_job *job = order->job;
    struct spawn_failure failure;
    struct spawn what = {
        .words = job->words,
        .environment = environment,
        .directory = job->directory,
        .account = order->account,
        .umask = job->umask,
        .nice = job->nice,
        .output_fd = ends->output,
        .error_fd = ends->error,
        .cgroup_fd = enter_cgroup(world, run),
    };
    struct run_sql sql;
    int rc = -ECANCELED;

    if (job->action == ACTION_SQL) {
        run_sql_init(&sql, world->config, job, &world->server, order->epoch);
        rc = run_sql_open(&sql, &run->report_fd);
        if (rc < 0) {
            (void)snprintf(reterr, size, "cannot hand its statements on: %s", strerror(-rc));
            close_end(what.cgroup_fd);
            return rc;
        }
        run_sql_spawn(&sql, &what);
        rc = -ECANCELED;
    }

    /* After everything that can take its time: files, the making of a cgroup. */
    if (order->may_start(order->ctx)) {
        rc = spawn_start(&what, &run->pid, &failure);
        if (rc < 0) {
            spawn_explain(&what, &failure, reterr, size);
        }
    }
    if (job->action == ACTION_SQL) {
        run_sql_close(&sql);
    }
    close_end(what.cgroup_fd);
    return rc;
}

/* What was added to its file, from offset to the end. */
static void read_file(struct run *run, int fd, off_t from, off_t to)
{
    char bytes[16 * 1024];

    while (from < to) {
        size_t most = (size_t)(to - from) < sizeof(bytes) ? (size_t)(to - from) : sizeof(bytes);
        ssize_t count = pread(fd, bytes, most, from);

        if (count <= 0) {
            return; /* it was cut meanwhile, or cannot be read */
        }
        excerpt_add(&run->excerpt, bytes, (size_t)count);
        from += count;
    }
}

static void excerpt_file_from(struct run *run, int fd, off_t from, off_t to)
{
    off_t head_end = from + (off_t)run->excerpt.head_max;
    off_t tail_from = to - (off_t)run->excerpt.tail_max;

    if (tail_from <= head_end) {
        read_file(run, fd, from, to);
        return;
    }
    read_file(run, fd, from, head_end);
    excerpt_skip(&run->excerpt, (uint64_t)(tail_from - head_end));
    read_file(run, fd, tail_from, to);
}

/* It was opened for writing only, which may be all that its mode allows: then nothing is kept. */
static void excerpt_file(struct run *run)
{
    char path[40];
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", run->file);

    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd != -1 && fstat(fd, &st) == 0) {
        /* One that is shorter than it was has been cut, by a rotation of logs. */
        excerpt_file_from(run, fd, st.st_size < run->file_from ? 0 : run->file_from, st.st_size);
    }
    close_end(fd);
}

const struct excerpt *run_excerpt(struct run *run)
{
    if (run->file != -1) {
        excerpt_file(run);
        close_end(run->file);
        run->file = -1;
        run->report_fd = -1;
    }
    excerpt_settle(&run->excerpt);
    return &run->excerpt;
}

static void remove_cgroup(const struct run_world *world, struct run *run)
{
    if (run->in_cgroup) { /* one that leftovers live in stays until the term is swept */
        (void)cgroup_remove(&world->cgroup, run->number);
    }
}

static void forget(struct run *run)
{
    close_end(run->file);
    close_end(run->report_fd);
    excerpt_release(&run->excerpt);
    family_release(&run->family);
    free(run);
}

struct run *run_start(struct run_world *world, const struct run_order *order, void *owner,
                      char *reterr, size_t size)
{
    struct ends ends = {.output = -1, .error = -1};
    struct run *run = calloc(1, sizeof(*run));
    int rc;

    if (run == NULL) {
        (void)snprintf(reterr, size, "out of memory");
        return NULL;
    }
    run->file = -1;
    run->report_fd = -1;
    excerpt_init(&run->excerpt, (size_t)world->config->runs.output_limit);
    run->owner = owner;
    run->is_sql = order->job->action == ACTION_SQL;
    run->number = order->number;
    run->started_at = clock_now();
    run->started_wall = clock_wall();
    (void)snprintf(run->id, sizeof(run->id), "%s", order->id);

    struct environment_run about = {
        .run_id = run->id,
        .epoch = order->epoch,
        .scheduled_at = order->scheduled_at,
        .attempt = order->attempt,
        .more = order->more,
    };
    char **environment = order->job->action == ACTION_SQL
                             ? run_sql_environment(world->config, order->job->name, reterr, size)
                             : environment_build(world->config, order->job, order->account, &about,
                                                 environ, reterr, size);
    if (environment == NULL) {
        free(run);
        return NULL;
    }
    rc = open_outputs(world, run, order->job, &ends, reterr, size);
    if (rc == 0) {
        rc = launch(world, run, order, environment, &ends, reterr, size);
    }
    close_end(ends.output);
    close_end(ends.error);
    environment_free(environment);
    if (rc < 0) {
        output_drop(run->standard_output);
        output_drop(run->standard_error);
        remove_cgroup(world, run);
        forget(run);
        return NULL;
    }
    return run;
}

void run_free(struct run_world *world, struct run *run)
{
    if (run->standard_output != NULL) {
        output_let_go(run->standard_output);
    }
    if (run->standard_error != NULL) {
        output_let_go(run->standard_error);
    }
    remove_cgroup(world, run);
    forget(run);
}

static void look(const struct run_world *world, struct run *run, const struct snapshot *now)
{
    struct pid_set inside = {.pids = NULL};

    if (now == NULL) {
        return;
    }
    if (run->in_cgroup) {
        (void)cgroup_processes(&world->cgroup, run->number, &inside);
    }
    if (family_update(&run->family, now, run->reaped ? 0 : run->pid, run->pid, &inside) < 0) {
        log_debug("run_family_unknown", "run=%s", run->id); /* no memory: the next look may do */
    }
    pid_set_release(&inside);
}

void run_signal(const struct run_world *world, struct run *run, int signal_number,
                const struct snapshot *now)
{
    struct pid_set tree = {.pids = NULL};

    assert(run->pid > 1);
    look(world, run, now);
    if (signal_number == SIGKILL && run->in_cgroup) {
        (void)cgroup_kill(&world->cgroup, run->number);
    }
    /* Until it is reaped the number of its group is its own, and this reaches
     * even what forks between our looks at /proc. */
    if (!run->reaped) {
        (void)kill(-run->pid, signal_number);
        (void)kill(-run->pid, SIGCONT); /* or a stopped one would not take notice */
    }
    for (size_t i = 0; i < run->family.count; i++) {
        (void)pid_set_add(&tree, run->family.members[i].pid);
    }
    for (size_t i = 0; i < run->family.count; i++) {
        const struct snapshot_process *member = &run->family.members[i];

        if (run->reaped || member->group != run->pid) {
            (void)process_signal(member->pid, signal_number, &tree);
            (void)process_signal(member->pid, SIGCONT, &tree);
        }
    }
    pid_set_release(&tree);
}

pid_t run_example(const struct run *run)
{
    return run->family.count > 0 ? run->family.members[0].pid : run->pid;
}

void run_reaped(const struct run_world *world, struct run *run, const struct snapshot *now)
{
    look(world, run, now); /* the last while the number of the group can only be ours */
    run->reaped = true;
    if (run->report_fd != -1) {
        run_sql_read(run->report_fd, &run->report);
        close_end(run->report_fd);
        run->report_fd = -1;
    }
}

const char *run_result(const struct run *run)
{
    return run->report.result;
}

const char *run_reason(const struct run *run)
{
    return run->report.reason;
}

bool run_is_gone(const struct run_world *world, struct run *run, const struct snapshot *now)
{
    if (!run->reaped) {
        return false;
    }
    if (run->family.count > 0) {
        look(world, run, now);
    }
    /* The kernel's own word: even one that was born since we looked keeps its cgroup. */
    return run->family.count == 0 &&
           !(run->in_cgroup && cgroup_remove(&world->cgroup, run->number) == -EBUSY);
}

int run_code(const struct run *run)
{
    assert(run->reaped);
    return WIFEXITED(run->status) ? WEXITSTATUS(run->status) : 128 + WTERMSIG(run->status);
}
