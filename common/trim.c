#include "common/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Only segments that are not writable in the file: what was written by
 * relocation, and is protected again since, lies in one that is.
 */
static int let_go(struct dl_phdr_info *object, size_t size, void *ctx)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)ctx;
    if (strncmp(object->dlpi_name, "linux-", 6) == 0) {
        return 0; /* the kernel's own, of no file */
    }
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue;
        }
        /* Inwards to whole pages: the last one may be shared with the segment behind it. */
        uintptr_t from = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        uintptr_t to = (object->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~(page - 1);

        if (from < to) {
            (void)madvise((void *)from, to - from, MADV_DONTNEED);
        }
    }
    return 0;
}

void trim_memory(void)
{
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(let_go, NULL);
}
