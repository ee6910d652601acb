/* Where a test program writes, and how it ends: standard output, or a debugger's semihosting. */
#ifndef CONSOLE_H
#define CONSOLE_H

#ifdef __arm__

static int semihosting(int operation, const void *argument)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;

    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void say(const char *text)
{
    (void)semihosting(0x04, text); /* SYS_WRITE0 */
}

static void end(void)
{
    (void)semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
}

#else

#include <stdio.h>

static void say(const char *text)
{
    fputs(text, stdout);
}

static void end(void)
{
    fflush(stdout);
}

#endif
#endif
