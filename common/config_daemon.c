#include <errno.h>
#include <string.h>

#include "common/config_ini.h"
#include "common/config_private.h"

/* The file as far as it can be read; its problems are those of the daemon's next reload. */
static void read_leniently(struct config *cfg, const struct config_sources *sources,
                           struct config_problems *of_options)
{
    struct config_entries *entries = &cfg->private->entries;
    struct config_problems *of_file = entries->problems;
    struct origin include_origin;
    const char *include = config_include_override(sources, &include_origin);

    cfg->private->file = config_memory_text(&entries->memory, config_file_of(sources));
    if (!config_ini_read(entries, cfg->private->file, include, include_origin)) {
        entries->run_dir_hidden = true;
    }
    config_entries_environment(entries, sources->environment);
    entries->problems = of_options;
    config_take_options(entries, sources);
    entries->problems = of_file;
}

/* A value that is wrong gives way to the default: which one the daemon has is not known. */
static void build_pgbaton(struct config *cfg, struct config_problems *of_run_dir)
{
    struct config_entries *entries = &cfg->private->entries;
    struct config_problems *of_file = entries->problems;
    struct config_setting ignored;

    for (size_t i = 0; i < config_job_row_first(); i++) {
        const struct config_row *row = &config_rows[i];
        bool is_run_dir = strcmp(row->key, "run_dir") == 0;

        if (row->section != SECTION_PGBATON) {
            continue;
        }
        entries->problems = is_run_dir ? of_run_dir : of_file;
        if (!config_apply(cfg, row, "pgbaton", NULL, cfg, &ignored)) {
            (void)config_apply(cfg, row, "", NULL, cfg, &ignored); /* nobody has said it there */
        }
    }
    entries->problems = of_file;
}

/* Where run_dir may be in what was not understood, everything that was not understood counts. */
static void check_hidden(const struct config *cfg, struct config_problems *of_file,
                         struct config_problems *problems)
{
    if (!cfg->private->entries.run_dir_hidden || cfg->pgbaton.run_dir != NULL ||
        problems->errors > 0) {
        return;
    }
    config_problems_release(problems);
    *problems = *of_file;
    *of_file = (struct config_problems){0};
    config_problem_add(problems, false, (struct origin){.file = cfg->private->file}, "pgbaton",
                       "run_dir",
                       "cannot be told; put the file right, or say where the daemon is: "
                       "-o pgbaton.run_dir=DIRECTORY");
}

int config_read_daemon(const struct config_sources *sources, struct config **ret_config,
                       struct config_problems *ret_problems)
{
    struct config_problems of_file = {0};
    struct config *cfg = config_new(&of_file);
    int rc = 0;

    *ret_problems = (struct config_problems){0};
    if (cfg == NULL) {
        return -ENOMEM;
    }
    read_leniently(cfg, sources, ret_problems);
    build_pgbaton(cfg, ret_problems);
    check_hidden(cfg, &of_file, ret_problems);
    cfg->private->entries.problems = NULL;
    config_problems_release(&of_file);
    if (config_memory_failed(&cfg->private->entries.memory)) {
        rc = -ENOMEM;
    } else if (ret_problems->errors > 0) {
        rc = -EINVAL;
    }
    if (rc < 0) {
        config_free(cfg);
        return rc;
    }
    *ret_config = cfg;
    return 0;
}
