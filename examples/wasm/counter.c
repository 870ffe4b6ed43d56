/* Counts the calls on each of its subjects, in the key-value bucket that belongs to it. */
#include <stdio.h>
#include <stdlib.h>
#include "nex.h"

static int fail(const char *what)
{
    char reason[256];
    reason[nex_read(reason, sizeof reason - 1)] = 0;
    fprintf(stderr, "%s: %s\n", what, reason);
    return 1;
}

int main(int count, char **arguments)
{
    const char *subject = count > 1 ? arguments[1] : "";
    char text[32] = "0";
    int32_t size = nex_kv_get(subject);
    if (size >= 0)
        text[nex_read(text, sizeof text - 1)] = 0;
    else if (size != -404)
        return fail("cannot read the count");
    int length = snprintf(text, sizeof text, "%ld", strtol(text, NULL, 10) + 1);
    if (nex_kv_set(subject, text, (size_t)length) < 0)
        return fail("cannot keep the count");
    printf("{\"%s\":%s}", subject, text);
    return 0;
}
