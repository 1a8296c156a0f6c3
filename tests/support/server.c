#include "tests/support/server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/text.h"
#include "tests/support/wait.h"

const char *server_user(void)
{
    return geteuid() == 0 ? "postgres" : NULL;
}

/* The newest of /usr/lib/postgresql/NN/bin, as Debian has it; else what pg_config says; else PATH.
 */
static const char *bin_dir(void)
{
    static char dir[256];
    glob_t found;

    if (dir[0] != '\0') {
        return dir;
    }
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        (void)snprintf(dir, sizeof dir, "%s", found.gl_pathv[found.gl_pathc - 1]);
        *strrchr(dir, '/') = '\0';
        globfree(&found);
        return dir;
    }
    FILE *config = popen("pg_config --bindir 2>/dev/null", "re");
    if (config != NULL) {
        if (fgets(dir, sizeof dir, config) != NULL) {
            dir[strcspn(dir, "\n")] = '\0';
        }
        (void)pclose(config);
    }
    cr_assert(dir[0] != '\0', "no PostgreSQL server is installed");
    return dir;
}

const char *server_bin(const char *name)
{
    static char path[320];

    (void)snprintf(path, sizeof path, "%s/%s", bin_dir(), name);
    return path;
}

unsigned free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &length), 0);
    (void)close(fd);
    return ntohs(at.sin_port);
}

/* A shell command as the server's user; $1 and $2 are given. */
static void shell(const char *script, const char *first, const char *second, const char *log)
{
    const char *argv[] = {"/bin/sh", "-ec", script, "sh", first, second, NULL};
    struct program_spec spec = {.argv = argv, .output = log, .errors = log, .user = server_user()};

    cr_assert_eq(program_run(&spec), 0, "%s", text_tail(log));
}

#define INITDB_SCRIPT                                                                              \
    "initdb=$1; dir=$2; bin=${initdb%/*}\n"                                                        \
    "\"$initdb\" -D \"$dir/data\" -A trust -U postgres -E UTF8 --locale=C -N --wal-segsize=1\n"    \
    "cd \"$dir/data\"\n"                                                                           \
    "printf '%s\\n' \"CREATE ROLE baton LOGIN PASSWORD '" SERVER_PASSWORD "'\""                    \
    " 'CREATE DATABASE " SERVER_DATABASE " OWNER baton'"                                           \
    " | \"$bin/postgres\" --single -F -D \"$dir/data\" postgres\n"

static const char template_script[] =
    INITDB_SCRIPT "openssl req -new -x509 -days 3650 -nodes -newkey rsa:2048 -subj /CN=localhost"
                  " -keyout server.key -out server.crt\n"
                  "chmod 600 server.key\n"
                  "cat >>postgresql.conf <<END\n"
                  "fsync = off\n"
                  "full_page_writes = off\n"
                  "autovacuum = off\n"
                  "shared_buffers = 16MB\n"
                  "dynamic_shared_memory_type = mmap\n"
                  "ssl = on\n"
                  "listen_addresses = '127.0.0.1'\n"
                  "unix_socket_permissions = 0777\n"
                  "log_line_prefix = '%m [%p] %q%a '\n"
                  "log_lock_waits = on\n"
                  "log_connections = on\n"
                  "END\n"
                  "cat >pg_hba.conf <<END\n"
                  "local all all trust\n"
                  "local replication all trust\n"
                  "hostssl all baton 127.0.0.1/32 scram-sha-256\n"
                  "hostssl all baton 10.77.0.0/16 scram-sha-256\n"
                  "host all postgres 127.0.0.1/32 trust\n"
                  "END\n";

/* Made by the first test of a run that needs it; the others wait for the lock. */
static void template_of_run(char *ret_data, size_t size)
{
    struct workdir shared;
    char ready[128];
    char log[128];
    char dir[128];
    int lock;

    workdir_of_run(&shared, &lock);
    (void)snprintf(ready, sizeof ready, "%s/ready", shared.path);
    (void)snprintf(log, sizeof log, "%s/initdb.log", shared.path);
    (void)snprintf(dir, sizeof dir, "%s/template", shared.path);
    if (access(ready, F_OK) != 0) {
        (void)mkdir(dir, 0755);
        cr_assert_eq(chmod(dir, 0777), 0);
        shell(template_script, server_bin("initdb"), dir, log);
        text_write(ready, "");
    }
    (void)close(lock);
    (void)snprintf(ret_data, size, "%s/data", dir);
}

static bool answers(void *ctx)
{
    const struct server *s = ctx;
    char conninfo[256];

    (void)snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=postgres dbname=postgres",
                   s->dir, s->port);
    PGPing ping = PQping(conninfo);
    return ping == PQPING_OK || !process_lives(s->postmaster.pid);
}

/* False: it has ended already. */
static bool starts(struct server *s)
{
    const char *argv[] = {server_bin("postgres"), "-D", s->data, NULL};
    struct program_spec spec = {.argv = argv,
                                .environment = s->environment,
                                .output = s->log,
                                .errors = s->log,
                                .user = server_user(),
                                .end_signal = SIGQUIT};

    program_start(&s->postmaster, &spec);
    cr_assert(wait_until(answers, s, WAIT_LIMIT), "the server does not answer: %s",
              text_tail(s->log));
    return process_lives(s->postmaster.pid);
}

void server_resume(struct server *s)
{
    cr_assert(starts(s), "the server did not start: %s", text_tail(s->log));
}

static void append_settings(const struct server *s, const char *settings)
{
    char conf[200];

    (void)snprintf(conf, sizeof conf, "%s/postgresql.conf", s->data);
    text_append(conf, settings);
}

static void set_port(const struct server *s)
{
    char *port = text_format("port = %u\n", s->port);

    append_settings(s, port);
    free(port);
}

/* Between our look and its start somebody else may have taken the port: then it gets another. */
static void server_begin(struct server *s)
{
    enum { TRIES_MAX = 5 };

    for (int i = 1; !starts(s); i++) {
        char *log = text_read(s->log);
        bool taken = strstr(log, "Address already in use") != NULL;

        free(log);
        cr_assert(taken && i < TRIES_MAX, "the server did not start: %s", text_tail(s->log));
        (void)program_wait(&s->postmaster, WAIT_LIMIT);
        text_write(s->log, "");
        s->port = free_port();
        set_port(s);
    }
}

/* Its place, without data. */
static void server_place(struct server *s, const struct workdir *w, const char *name)
{
    *s = (struct server){.port = free_port()};
    s->postmaster.line = -1;
    (void)snprintf(s->dir, sizeof s->dir, "%s/%s", w->path, name);
    (void)snprintf(s->data, sizeof s->data, "%s/data", s->dir);
    (void)snprintf(s->log, sizeof s->log, "%s/log", s->dir);
    cr_assert_eq(mkdir(s->dir, 0755), 0);
    cr_assert_eq(chmod(s->dir, 0777), 0);
}

static void configure(const struct server *s, const char *settings)
{
    char *own = text_format("unix_socket_directories = '%s'\n%s\n", s->dir,
                            settings == NULL ? "" : settings);

    append_settings(s, own);
    free(own);
    set_port(s);
}

static void server_make(struct server *s, const struct workdir *w, const char *name,
                        const char *settings)
{
    char template[160];

    server_place(s, w, name);
    template_of_run(template, sizeof template);
    shell("cp -a \"$1\" \"$2\"", template, s->data, s->log);
    configure(s, settings);
}

void server_start_with(struct server *s, const struct workdir *w, const char *name,
                       const struct server_options *options)
{
    server_make(s, w, name, options->settings);
    s->environment = options->environment;
    server_begin(s);
}

void server_start(struct server *s, const struct workdir *w, const char *name, const char *settings)
{
    server_start_with(s, w, name, &(struct server_options){.settings = settings});
}

static void stay_in_recovery(const struct server *s)
{
    char signal_file[200];

    (void)snprintf(signal_file, sizeof signal_file, "%s/standby.signal", s->data);
    text_write(signal_file, "");
}

void server_start_standby(struct server *s, const struct workdir *w, const char *name)
{
    server_make(s, w, name, "hot_standby = on\n");
    stay_in_recovery(s);
    server_begin(s);
}

void server_start_replica(struct server *s, const struct workdir *w, const char *name,
                          const struct server *primary)
{
    char *from =
        text_format("host=%s port=%u user=postgres dbname=postgres", primary->dir, primary->port);
    char *settings = text_format("hot_standby = on\nprimary_conninfo = '%s'\n"
                                 "wal_retrieve_retry_interval = 100ms\n",
                                 from);
    char *script = text_format("\"%s\" -c fast -D \"$1\" -d \"$2\"", server_bin("pg_basebackup"));

    server_place(s, w, name);
    shell(script, s->data, from, s->log);
    configure(s, settings);
    stay_in_recovery(s);
    server_begin(s);
    free(script);
    free(settings);
    free(from);
}

void server_promote(const struct server *s)
{
    PGconn *conn = server_connect(s, "promote");

    cr_assert_str_eq(server_scalar(conn, "SELECT pg_promote(true, 60)"), "t", "%s",
                     text_tail(s->log));
    PQfinish(conn);
}

void server_renew(struct server *s)
{
    static const char script[] = "old=$2/data.old; mv \"$2/data\" \"$old\"\n" INITDB_SCRIPT
                                 "cp \"$old/postgresql.conf\" \"$old/pg_hba.conf\""
                                 " \"$old/server.key\" \"$old/server.crt\" .\n"
                                 "rm -rf \"$old\"\n";

    shell(script, server_bin("initdb"), s->dir, s->log);
}

static void server_end(struct server *s, int signal_number)
{
    program_signal(&s->postmaster, signal_number);
    cr_assert(program_wait(&s->postmaster, WAIT_LIMIT) >= 0, "the server does not stop: %s",
              text_tail(s->log));
    cr_assert(program_wait_all(&s->postmaster, WAIT_LIMIT));
}

void server_stop(struct server *s)
{
    server_end(s, SIGINT);
}

void server_crash(struct server *s)
{
    server_end(s, SIGQUIT);
}

void server_reload(struct server *s, const char *settings)
{
    PGconn *conn = server_connect(s, "reload");

    append_settings(s, settings);
    server_do(conn, "SELECT pg_reload_conf()");
    PQfinish(conn);
}

const char *server_conninfo_at(const struct server *s, unsigned port)
{
    static char conninfo[320];

    (void)s;
    (void)snprintf(conninfo, sizeof conninfo,
                   "host=127.0.0.1 port=%u user=baton password=" SERVER_PASSWORD
                   " dbname=" SERVER_DATABASE " sslmode=require",
                   port);
    return conninfo;
}

const char *server_conninfo(const struct server *s, enum server_way way)
{
    static char by_unix[320];
    static char by_tcp[320];

    switch (way) {
    case SERVER_UNIX:
        (void)snprintf(by_unix, sizeof by_unix,
                       "host=%s port=%u user=baton dbname=" SERVER_DATABASE, s->dir, s->port);
        return by_unix;
    case SERVER_TCP:
        (void)snprintf(by_tcp, sizeof by_tcp,
                       "host=127.0.0.1 port=%u user=postgres dbname=" SERVER_DATABASE
                       " sslmode=disable",
                       s->port);
        return by_tcp;
    case SERVER_TLS:
        return server_conninfo_at(s, s->port);
    }
    return NULL;
}

PGconn *server_connect(const struct server *s, const char *application_name)
{
    char conninfo[320];

    (void)snprintf(conninfo, sizeof conninfo,
                   "host=%s port=%u user=postgres dbname=" SERVER_DATABASE " application_name='%s'",
                   s->dir, s->port, application_name);
    PGconn *conn = PQconnectdb(conninfo);
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    return conn;
}

const char *server_scalar(PGconn *conn, const char *sql)
{
    static char value[4096];
    const char *answer = NULL;
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0 &&
        !PQgetisnull(result, 0, 0)) {
        (void)snprintf(value, sizeof value, "%s", PQgetvalue(result, 0, 0));
        answer = value;
    }
    PQclear(result);
    return answer;
}

void server_do(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    cr_assert(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
              PQerrorMessage(conn));
    PQclear(result);
}
