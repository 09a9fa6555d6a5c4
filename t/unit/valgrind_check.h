/*
 * Under valgrind a test takes fifty times as long. What is repeated only to be sure of
 * every place or number is repeated less there; elsewhere, and under sanitizers, it is
 * done in full.
 */
#ifndef VALGRIND_CHECK_H
#define VALGRIND_CHECK_H

#include <stddef.h>
#include <valgrind/valgrind.h>

/* From one cut to the next: prime, so that no period of the text is met in step. */
__attribute__((unused)) static size_t check_cut_step(void)
{
    return RUNNING_ON_VALGRIND ? 13 : 1;
}

__attribute__((unused)) static size_t check_fewer(size_t number)
{
    return RUNNING_ON_VALGRIND ? number / 20 : number;
}

#endif
