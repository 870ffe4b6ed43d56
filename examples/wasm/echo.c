/* Answers with what it was sent. */
#include <unistd.h>

int main(void)
{
    char part[4096];
    for (ssize_t size; (size = read(STDIN_FILENO, part, sizeof part)) > 0;)
        for (ssize_t at = 0; at < size;) {
            ssize_t written = write(STDOUT_FILENO, part + at, size - at);
            if (written < 0)
                return 1;
            at += written;
        }
    return 0;
}
