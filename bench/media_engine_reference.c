// What C makes of the same work: a connected socket a call, a 5 ms tick, four phases, µ-law by tables.
//   reference CALLS BASE PORT SECONDS
// Call i is 127.0.0.1:BASE+2i and sends to 127.0.0.1:PORT. Prints READY, then its processor seconds as JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define PHASES 4
#define TICK_NS 5000000ull

typedef struct {
  int fd;
  uint16_t sequence, last;
  uint32_t timestamp, received;
  int16_t heard[160];
} Call;

static int16_t decoding[256], tone[160];
static uint8_t encoding[65536];

static void make_tables(void) {
  for (int code = 0; code < 256; code++) {
    int u = ~code & 255, magnitude = (((u & 15) << 3) + 0x84) << (u >> 4 & 7);
    decoding[code] = u & 0x80 ? 0x84 - magnitude : magnitude - 0x84;
  }
  for (int sample = -32768; sample < 32768; sample++) {
    int magnitude = ((sample < 0 ? ~sample : sample) >> 2) + 33, chord = 0;
    if (magnitude > 0x1fff) magnitude = 0x1fff;
    while (magnitude >> (chord + 6)) chord++;
    int code = (chord << 4 | (magnitude >> (chord + 1) & 15)) ^ 0x7f;
    encoding[(uint16_t)sample] = sample < 0 ? code : code | 0x80;
  }
  for (int i = 0; i < 160; i++) tone[i] = i * 397 % 16000 - 8000;
}

static void take(Call *call, const uint8_t *data, int size) {
  if (size < 12 || data[0] >> 6 != 2) return;
  call->last = ntohs(*(const uint16_t *)(data + 2));
  call->received++;
  for (int i = 0; i < size - 12 && i < 160; i++) call->heard[i] = decoding[data[12 + i]];
}

static void make(Call *call, uint8_t *out) {
  call->timestamp += 160;
  out[0] = 0x80;
  out[1] = 0;
  *(uint16_t *)(out + 2) = htons(++call->sequence);
  *(uint32_t *)(out + 4) = htonl(call->timestamp);
  *(uint32_t *)(out + 8) = htonl(1);
  for (int i = 0; i < 160; i++) out[12 + i] = encoding[(uint16_t)tone[i]];
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int count = atoi(argv[1]), base = atoi(argv[2]), size = 65536;
  struct rlimit files = {count + 100, count + 100};
  setrlimit(RLIMIT_NOFILE, &files);
  make_tables();
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer = here;
  peer.sin_port = htons(atoi(argv[3]));
  Call *calls = calloc(count, sizeof *calls);
  for (int i = 0; i < count; i++) {
    calls[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    here.sin_port = htons(base + 2 * i);
    setsockopt(calls[i].fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(calls[i].fd, (void *)&here, sizeof here) || connect(calls[i].fd, (void *)&peer, sizeof peer)) { perror("bind"); return 1; }
  }
  printf("READY\n");
  fflush(stdout);
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  uint64_t next = t.tv_sec * 1000000000ull + t.tv_nsec, end = next + (uint64_t)(atof(argv[4]) * 1e9);
  for (int phase = 0; next < end; phase = (phase + 1) % PHASES) {
    next += TICK_NS;
    t = (struct timespec){next / 1000000000ull, next % 1000000000ull};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0);
    uint8_t in[2048], out[172];
    for (int i = phase; i < count; i += PHASES) {
      for (int got; (got = recv(calls[i].fd, in, sizeof in, 0)) > 0;) take(calls + i, in, got);
      make(calls + i, out);
      send(calls[i].fd, out, sizeof out, 0);
    }
  }
  return 0;
}
