/* Counts its calls in the key-value bucket that belongs to it. */
#include <stdio.h>
#include <stdlib.h>
#include "nex.h"

int main(void)
{
    char text[32] = "0";
    int32_t size = nex_kv_get("count");
    if (size >= 0) {
        text[nex_read(text, sizeof text - 1)] = 0;
    } else if (size != -404) {
        char reason[256];
        reason[nex_read(reason, sizeof reason - 1)] = 0;
        fprintf(stderr, "cannot read the count: %s\n", reason);
        return 1;
    }
    int length = snprintf(text, sizeof text, "%ld", strtol(text, NULL, 10) + 1);
    if (nex_kv_set("count", text, (size_t)length) < 0)
        return 1;
    printf("{\"count\":%s}", text);
    return 0;
}
