/*
 * A service that echoes: subscribes ECHO_SUBJECT (default "echo.service") on the NATS server of NATS_URL and answers
 * each request with its payload. Speaks the NATS client protocol itself, so that it needs nothing but libc:
 *
 *     gcc -O2 -static -o echo echo.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096, PAYLOAD_BYTES_MAX = 1 << 20 };

static volatile sig_atomic_t stopping = 0;

static void on_signal(int signal) {
  (void)signal;
  stopping = 1;
}

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value != NULL && *value != '\0' ? value : otherwise;
}

/* Splits nats://[user:password@]host[:port]; the parts point into url. */
static void parse_url(char *url, char **user, char **password, char **host, char **port) {
  char *at;
  if (strncmp(url, "nats://", 7) == 0) url += 7;
  *user = *password = NULL;
  *port = "4222";
  if ((at = strrchr(url, '@')) != NULL) {
    *at = '\0';
    *user = url;
    url = at + 1;
    if ((at = strchr(*user, ':')) != NULL) {
      *at = '\0';
      *password = at + 1;
    }
  }
  *host = url;
  if ((at = strrchr(url, ':')) != NULL) {
    *at = '\0';
    *port = at + 1;
  }
}

/* The host must be an address, or localhost: a static libc can't look up other names everywhere. */
static int dial(const char *host, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  if (strcmp(host, "localhost") == 0) host = "127.0.0.1";
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) return -1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/* Answers one MSG line, whose payload follows it. Returns 0 when the connection is broken. */
static int answer(FILE *in, FILE *out, const char *line) {
  static char payload[PAYLOAD_BYTES_MAX + 2];
  char subject[1024], sid[32], reply[1024];
  unsigned long bytes;
  int fields = sscanf(line, "MSG %1023s %31s %1023s %lu", subject, sid, reply, &bytes);
  if (fields != 4) {
    if (sscanf(line, "MSG %1023s %31s %lu", subject, sid, &bytes) != 3) return 0;
    reply[0] = '\0';
  }
  if (bytes > PAYLOAD_BYTES_MAX || fread(payload, 1, bytes + 2, in) != bytes + 2) return 0;
  if (reply[0] == '\0') return 1;
  fprintf(out, "PUB %s %lu\r\n", reply, bytes);
  fwrite(payload, 1, bytes + 2, out);
  printf("echoed %lu bytes\n", bytes);
  return fflush(out) == 0;
}

int main(void) {
  char *url = strdup(setting("NATS_URL", "nats://127.0.0.1:4222"));
  const char *subject = setting("ECHO_SUBJECT", "echo.service");
  char *user, *password, *host, *port, line[LINE_BYTES_MAX];
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);

  parse_url(url, &user, &password, &host, &port);
  int fd = dial(host, port);
  if (fd < 0) {
    fprintf(stderr, "Cannot reach the NATS server at %s:%s\n", host, port);
    return 1;
  }
  FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
  fprintf(out, "CONNECT {\"verbose\":false,\"name\":\"echo\"");
  if (user != NULL && password == NULL) fprintf(out, ",\"auth_token\":\"%s\"", user);
  if (password != NULL) fprintf(out, ",\"user\":\"%s\",\"pass\":\"%s\"", user, password);
  fprintf(out, "}\r\nSUB %s 1\r\nPING\r\n", subject);
  fflush(out);

  int serving = 0;
  while (!stopping && fgets(line, sizeof line, in) != NULL) {
    if (strncmp(line, "MSG ", 4) == 0) {
      if (!answer(in, out, line)) break;
    } else if (strncmp(line, "PING", 4) == 0) {
      fprintf(out, "PONG\r\n");
      fflush(out);
    } else if (strncmp(line, "PONG", 4) == 0 && !serving) {
      serving = 1;
      printf("echo service listens on %s\n", subject);
    } else if (strncmp(line, "-ERR", 4) == 0) {
      fprintf(stderr, "The NATS server says: %s", line);
      return 1;
    }
  }
  printf("%s\n", stopping ? "asked to stop" : "the NATS server closed the connection");
  return stopping ? 0 : 1;
}
