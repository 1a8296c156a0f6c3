#include "tests/sim/faults.h"

#include "common/array.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/server.h"

static mono_ns faults_until;
static bool keep_alive;
static mono_ns boot_at[NODES_MAX];

/* ---- instances that are started again ---- */

static void look_at_node(int i, uint64_t token)
{
    (void)token;
    if (keep_alive && node_is_gone(i) && boot_at[i] == MONO_NEVER) {
        boot_at[i] = world.now + between(DUR_MS(100), DUR_S(5));
    }
    if (keep_alive && node_is_gone(i) && world.now >= boot_at[i]) {
        boot_at[i] = MONO_NEVER;
        node_boot(i);
    }
    world_call(world.now + DUR_MS(200), look_at_node, i, 0);
}

void faults_keep_alive(bool on)
{
    keep_alive = on;
}

/* ---- what is whole again after a while ---- */

static dur_ns a_while(void)
{
    return chance(300) ? between(DUR_MS(10), DUR_S(1))
                       : between(DUR_MS(500), 2 * world.settings.lease);
}

static void goes_on(int i, uint64_t process)
{
    node_continue_process(i, (enum process)process);
}

static void thaws(int i, uint64_t token)
{
    (void)token;
    node_thaw(i);
}

static void mends(int i, uint64_t token)
{
    (void)token;
    network_mend(i, DIRECTION_UP);
    network_mend(i, DIRECTION_DOWN);
}

static void is_fast(int i, uint64_t token)
{
    (void)token;
    network_slow(i, DUR_MS(1));
}

static void server_returns(int i, uint64_t token)
{
    (void)i;
    (void)token;
    if (!server_is_up()) {
        server_start();
    }
}

static void is_writable(int i, uint64_t token)
{
    (void)i;
    (void)token;
    server_read_only(false);
}

static void has_room(int i, uint64_t token)
{
    (void)i;
    (void)token;
    server_full(false);
}

/* ---- the faults ---- */

/* The leader's instance is worth more faults than the others. */
static int victim(void)
{
    int key = server_key_node();

    return key >= 0 && chance(600) ? key : (int)draw((uint64_t)world.nodes);
}

static enum process any_process(void)
{
    return (enum process)draw(PROCESS_COUNT);
}

static void kills_a_process(void)
{
    int i = victim();
    enum process p = any_process();

    trace("fault      node %d: process %d is killed", i, (int)p);
    node_kill(i, p);
}

static void stops_a_process(void)
{
    int i = victim();
    enum process p = any_process();

    node_stop_process(i, p);
    world_call(world.now + a_while(), goes_on, i, p);
}

static void kills_an_instance(void)
{
    node_kill_tree(victim());
}

static void cuts_the_power(void)
{
    node_power_off(victim());
}

static void freezes_an_instance(void)
{
    int i = victim();

    if (!nodes[i].frozen && !node_is_gone(i)) {
        node_freeze(i, chance(500));
        world_call(world.now + a_while(), thaws, i, 0);
    }
}

static void cuts_a_link(void)
{
    int i = victim();
    uint64_t which = draw(3);

    trace("fault      node %d: the link is cut%s", i,
          which == 0 ? "" : (which == 1 ? ", up" : ", down"));
    if (which != 2) {
        network_cut(i, DIRECTION_UP);
    }
    if (which != 1) {
        network_cut(i, DIRECTION_DOWN);
    }
    world_call(world.now + a_while(), mends, i, 0);
}

static void slows_a_link(void)
{
    int i = victim();

    trace("fault      node %d: the link is slow", i);
    network_slow(i, DUR_MS(250));
    world_call(world.now + a_while(), is_fast, i, 0);
}

static void restarts_the_server(void)
{
    if (server_is_up()) {
        server_stop(chance(500) ? SERVER_END_SAID : SERVER_END_SILENT);
        world_call(world.now + between(DUR_MS(50), DUR_S(5)), server_returns, 0, 0);
    }
}

static void changes_the_server(void)
{
    if (!server_is_up()) {
        return;
    }
    server_stop(chance(500) ? SERVER_END_SAID : SERVER_END_SILENT);
    if (chance(700)) {
        server_promote(chance(500) ? 0 : between(0, DUR_S(20)));
    } else {
        server_replace(chance(500) ? 0 : between(0, DUR_S(60)));
    }
    world_call(world.now + between(DUR_MS(50), DUR_S(5)), server_returns, 0, 0);
}

static void terminates_a_session(void)
{
    server_terminate((enum server_victim)draw(3));
}

static void steps_the_clock(void)
{
    static const dur_ns steps[] = {DUR_S(60), -DUR_S(3600), DUR_S(2), -DUR_S(2)};

    server_step_clock(steps[draw(ARRAY_LEN(steps))]);
}

static void blocks_the_row(void)
{
    server_block_row(a_while());
}

static void another_program_takes_the_key(void)
{
    server_foreign(between(DUR_MS(100), DUR_S(5)));
}

static void refuses_to_write(void)
{
    server_read_only(true);
    world_call(world.now + a_while(), is_writable, 0, 0);
}

static void refuses_connections(void)
{
    server_full(true);
    world_call(world.now + a_while(), has_room, 0, 0);
}

static void asks_to_stop(void)
{
    const struct note note = {.type = NOTE_SIGNAL, .status = chance(300) ? 1 : 0};

    node_post(victim(), PROCESS_SUPERVISOR, &note);
}

static void asks_to_step_down(void)
{
    const struct note note = {.type = NOTE_SIGNAL, .status = 2};

    node_post(victim(), PROCESS_SUPERVISOR, &note);
}

static const struct {
    unsigned weight;
    void (*happen)(void);
} faults[] = {
    {20, kills_a_process},     {20, stops_a_process},
    {8, kills_an_instance},    {5, cuts_the_power},
    {10, freezes_an_instance}, {15, cuts_a_link},
    {4, slows_a_link},         {6, restarts_the_server},
    {5, changes_the_server},   {8, terminates_a_session},
    {3, steps_the_clock},      {3, server_freeze_holder},
    {5, blocks_the_row},       {4, another_program_takes_the_key},
    {3, refuses_to_write},     {3, refuses_connections},
    {6, asks_to_stop},         {5, asks_to_step_down},
};

static void breaks(int unused, uint64_t token)
{
    unsigned sum = 0;

    (void)unused;
    (void)token;
    if (world.now >= faults_until) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        sum += faults[i].weight;
    }
    uint64_t drawn = draw(sum);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (drawn < faults[i].weight) {
            faults[i].happen();
            break;
        }
        drawn -= faults[i].weight;
    }
    /* Now and then two at once: what happens in the middle of something else finds the most. */
    world_call(world.now + (chance(250) ? between(0, DUR_MS(300))
                                        : between(DUR_MS(200), 2 * world.settings.lease)),
               breaks, 0, 0);
}

void faults_begin(mono_ns until)
{
    faults_until = until;
    for (int i = 0; i < world.nodes; i++) {
        boot_at[i] = MONO_NEVER;
        world_call(world.now + between(0, DUR_MS(500)), look_at_node, i, 0);
    }
    world_call(world.now + between(DUR_S(1), DUR_S(5)), breaks, 0, 0);
}

void faults_end(void)
{
    trace("fault      from here on nothing breaks");
    server_returns(0, 0);
    server_read_only(false);
    server_full(false);
    for (int i = 0; i < world.nodes; i++) {
        mends(i, 0);
        is_fast(i, 0);
        node_thaw(i);
        for (enum process p = 0; p < PROCESS_COUNT; p++) {
            node_continue_process(i, p);
        }
    }
}
