#include "worker/database/address.h"

#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/database/connect.h"

static const char default_port[] = "5432";

/* A value that libpq refuses after it has read the dsn, and before it connects. */
static const char refused_value[] = "enumerate";

static size_t entries_in(const char *list)
{
    size_t count = 1;

    if (list == NULL || *list == '\0') {
        return 0;
    }
    for (const char *c = list; *c != '\0'; c++) {
        count += *c == ',';
    }
    return count;
}

/* Copies entry number index; an absent one is "". */
static int copy_entry(const char *list, size_t index, char *ret_entry, size_t size)
{
    const char *begin = list == NULL ? "" : list;

    for (size_t i = 0; i < index && *begin != '\0'; i++) {
        begin += strcspn(begin, ",");
        begin += *begin == ',';
    }
    size_t length = strcspn(begin, ",");

    if (length >= size) {
        return -ERANGE;
    }
    memcpy(ret_entry, begin, length);
    ret_entry[length] = '\0';
    return 0;
}

static int split_entry(const char *hosts, const char *hostaddrs, const char *ports, size_t index,
                       struct server_address *ret_address)
{
    struct server_address address = {0};
    size_t port_index = entries_in(ports) == 1 ? 0 : index;
    int rc = copy_entry(hosts, index, address.host, sizeof(address.host));

    if (rc == 0) {
        rc = copy_entry(hostaddrs, index, address.hostaddr, sizeof(address.hostaddr));
    }
    if (rc == 0) {
        rc = copy_entry(ports, port_index, address.port, sizeof(address.port));
    }
    if (rc == 0 && address.port[0] == '\0') {
        memcpy(address.port, default_port, sizeof(default_port));
    }
    if (rc == 0) {
        *ret_address = address;
    }
    return rc;
}

static bool lists_match(size_t hosts, size_t hostaddrs, size_t ports, size_t count)
{
    return (hosts == 0 || hosts == count) && (hostaddrs == 0 || hostaddrs == count) &&
           (ports <= 1 || ports == count);
}

int address_split(const char *hosts, const char *hostaddrs, const char *ports,
                  struct address_list *ret_list)
{
    size_t count = entries_in(hostaddrs) > 0 ? entries_in(hostaddrs) : entries_in(hosts);
    struct address_list made = {0};

    count = count == 0 ? 1 : count;
    if (!lists_match(entries_in(hosts), entries_in(hostaddrs), entries_in(ports), count)) {
        return -EINVAL;
    }
    count = count > ADDRESS_MAX ? ADDRESS_MAX : count;
    made.list = calloc(count, sizeof(*made.list));
    if (made.list == NULL) {
        return -ENOMEM;
    }
    for (; made.count < count; made.count++) {
        int rc = split_entry(hosts, hostaddrs, ports, made.count, &made.list[made.count]);

        if (rc < 0) {
            address_list_release(&made);
            return rc;
        }
    }
    *ret_list = made;
    return 0;
}

bool address_needs_resolver(const struct server_address *name)
{
    return name->hostaddr[0] == '\0' && name->host[0] != '\0' && name->host[0] != '/' &&
           name->host[0] != '@';
}

static void add(struct address_list *to, const struct server_address *address)
{
    if (to->count < ADDRESS_MAX) {
        to->list[to->count++] = *address;
    }
}

/* One candidate for each address of a name; 0 or what getaddrinfo() said. */
static int resolve(const struct server_address *from, struct address_list *to)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(from->host, from->port, &hints, &found);

    if (rc != 0) {
        return rc;
    }
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        struct server_address address = *from;

        if (getnameinfo(a->ai_addr, a->ai_addrlen, address.hostaddr, sizeof(address.hostaddr), NULL,
                        0, NI_NUMERICHOST) == 0) {
            add(to, &address);
        }
    }
    freeaddrinfo(found);
    return 0;
}

/* What there is of these names, in one list; -ENXIO: nothing. */
static int resolve_all(const struct server_address *names, size_t count,
                       struct address_list *ret_list, char *reterr, size_t size)
{
    struct address_list made = {.list = calloc(ADDRESS_MAX, sizeof(*made.list))};

    if (made.list == NULL) {
        (void)snprintf(reterr, size, "out of memory");
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        if (!address_needs_resolver(&names[i])) {
            add(&made, &names[i]);
            continue;
        }
        int rc = resolve(&names[i], &made);
        if (rc != 0) {
            (void)snprintf(reterr, size, "could not resolve host name \"%s\": %s", names[i].host,
                           gai_strerror(rc));
        }
    }
    if (made.count == 0) {
        address_list_release(&made);
        return -ENXIO;
    }
    *ret_list = made;
    return 0;
}

int address_resolve(const struct server_address *name, struct address_list *ret_list, char *reterr,
                    size_t size)
{
    return resolve_all(name, 1, ret_list, reterr, size);
}

/* libpq says two kinds of "no": to our value, when all the rest could be read, and to the dsn. */
static bool refused_ours(const PGconn *conn)
{
    const char *text = PQerrorMessage(conn);

    return strstr(text, "channel_binding") != NULL && strstr(text, refused_value) != NULL;
}

static int split_conninfo(PGconn *conn, struct address_list *ret_list)
{
    const char *host = NULL;
    const char *hostaddr = NULL;
    const char *port = NULL;
    PQconninfoOption *options = PQconninfo(conn);

    if (options == NULL) {
        return -ENOMEM;
    }
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "host") == 0) {
            host = o->val;
        } else if (strcmp(o->keyword, "hostaddr") == 0) {
            hostaddr = o->val;
        } else if (strcmp(o->keyword, "port") == 0) {
            port = o->val;
        }
    }
    int rc = address_split(host, hostaddr, port, ret_list);

    PQconninfoFree(options);
    return rc;
}

static int split_dsn(const char *dsn, struct address_list *ret_list, char *reterr, size_t size)
{
    const char *keywords[] = {"dbname", "channel_binding", NULL};
    const char *values[] = {dsn, refused_value, NULL};
    PGconn *conn = PQconnectStartParams(keywords, values, 1);
    int rc;

    if (conn == NULL) {
        (void)snprintf(reterr, size, "out of memory");
        return -ENOMEM;
    }
    assert(PQsocket(conn) == -1);
    if (!refused_ours(conn)) {
        connect_one_line(PQerrorMessage(conn), reterr, size);
        rc = -EINVAL;
    } else {
        rc = split_conninfo(conn, ret_list);
        if (rc < 0) {
            (void)snprintf(reterr, size, "cannot use the hosts of the dsn: %s", strerror(-rc));
        }
    }
    PQfinish(conn);
    return rc;
}

int address_names(const char *dsn, struct address_list *ret_list, char *reterr, size_t size)
{
    int rc = connect_check_dsn(dsn, reterr, size);

    return rc < 0 ? rc : split_dsn(dsn, ret_list, reterr, size);
}

int address_enumerate(const char *dsn, struct address_list *ret_list, char *reterr, size_t size)
{
    struct address_list names;
    int rc = address_names(dsn, &names, reterr, size);

    if (rc < 0) {
        return rc;
    }
    rc = resolve_all(names.list, names.count, ret_list, reterr, size);
    address_list_release(&names);
    return rc;
}

void address_list_release(struct address_list *list)
{
    if (list != NULL) {
        free(list->list);
        *list = (struct address_list){0};
    }
}
