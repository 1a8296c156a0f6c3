/*
 * stamp - the command that a measure waits for: its first instruction is to
 * look at the clock, its second to append what it saw to the file in argv[1].
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"

int main(int argc, char **argv)
{
    mono_ns first = clock_now();
    char line[32];

    if (argc != 2) {
        return 64;
    }
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int length = snprintf(line, sizeof line, "%lld\n", (long long)first);
    return fd == -1 || write(fd, line, (size_t)length) != length;
}
