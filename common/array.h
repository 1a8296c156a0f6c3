/*
 * array.h - how many elements an array has; not for pointers.
 */
#ifndef PGBATON_COMMON_ARRAY_H
#define PGBATON_COMMON_ARRAY_H

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
