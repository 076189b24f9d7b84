// Load for the media engine: N G.711 streams from one socket, and what comes back measured against a 20 ms grid.
//   load CALLS BASE PORT WARM SECONDS
// Call i goes to 127.0.0.1:BASE+2i from PORT. Prints READY, then one JSON line; times are the kernel's receive stamps.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 256
#define PACKET 172
#define FRAME_NS 20000000ll

typedef struct {
  uint8_t packet[PACKET];
  struct sockaddr_in to;
  uint16_t sequence;
  int64_t first_at, last_at;
  uint16_t first_sequence;
  int count;
  double *deviation;
} Call;

static Call *calls;
static int call_count, base, capacity, measuring;
static uint64_t received;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void take(int i, const uint8_t *packet, int64_t at) {
  if (i < 0 || i >= call_count || !measuring) return;
  Call *call = calls + i;
  uint16_t sequence = ntohs(*(const uint16_t *)(packet + 2));
  received++;
  call->last_at = at;
  if (!call->count) { call->first_at = at; call->first_sequence = sequence; }
  int16_t steps = (int16_t)(sequence - call->first_sequence);
  if (call->count < capacity) call->deviation[call->count++] = (double)(at - call->first_at - steps * FRAME_NS) / 1000.0;
}

static void drain(int fd) {
  static struct mmsghdr messages[BATCH];
  static struct iovec vectors[BATCH];
  static struct sockaddr_in from[BATCH];
  static uint8_t data[BATCH][256];
  static char control[BATCH][128];
  for (int got = BATCH; got == BATCH;) {
    for (int k = 0; k < BATCH; k++) {
      vectors[k] = (struct iovec){data[k], sizeof data[k]};
      messages[k].msg_hdr = (struct msghdr){.msg_iov = &vectors[k], .msg_iovlen = 1, .msg_name = &from[k],
        .msg_namelen = sizeof from[k], .msg_control = control[k], .msg_controllen = sizeof control[k]};
    }
    got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, 0);
    for (int k = 0; k < got; k++) {
      int64_t at = 0;
      for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[k].msg_hdr); c; c = CMSG_NXTHDR(&messages[k].msg_hdr, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
          struct timespec *t = (void *)CMSG_DATA(c);
          at = t->tv_sec * 1000000000ll + t->tv_nsec;
        }
      if (messages[k].msg_len >= 12) take((ntohs(from[k].sin_port) - base) / 2, data[k], at);
    }
  }
}

static void send_phase(int fd, int phase) {
  static struct mmsghdr messages[BATCH];
  static struct iovec vectors[BATCH];
  int k = 0;
  for (int i = phase; i < call_count; i += 20) {
    Call *call = calls + i;
    *(uint16_t *)(call->packet + 2) = htons(++call->sequence);
    *(uint32_t *)(call->packet + 4) = htonl(call->sequence * 160u);
    vectors[k] = (struct iovec){call->packet, PACKET};
    messages[k].msg_hdr = (struct msghdr){.msg_iov = &vectors[k], .msg_iovlen = 1, .msg_name = &call->to, .msg_namelen = sizeof call->to};
    if (++k < BATCH && i + 20 < call_count) continue;
    for (int done = 0; done < k;) {
      int sent = sendmmsg(fd, messages + done, k - done, 0);
      done += sent > 0 ? sent : 1;
    }
    k = 0;
  }
}

// A call that fell silent before the end is charged for what it did not send; the edges of the window are not.
static double expected(int64_t ended, double seconds) {
  double sum = 0;
  for (int i = 0; i < call_count; i++) {
    Call *call = calls + i;
    int64_t last = call->count && ended - call->last_at < 5 * FRAME_NS ? call->last_at : ended;
    sum += call->count ? 1 + round((last - call->first_at) / (double)FRAME_NS) : 50 * seconds;
  }
  return sum;
}

static void report(double seconds) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  double due = expected(t.tv_sec * 1000000000ll + t.tv_nsec, seconds);
  size_t total = 0;
  for (int i = 0; i < call_count; i++) total += calls[i].count;
  double *all = malloc(sizeof(double) * (total + 1)), *sorted = malloc(sizeof(double) * capacity);
  total = 0;
  for (int i = 0; i < call_count; i++) {
    Call *call = calls + i;
    if (call->count < 10) continue;
    memcpy(sorted, call->deviation, sizeof(double) * call->count);
    qsort(sorted, call->count, sizeof(double), ascending);
    for (int j = 0; j < call->count; j++) all[total++] = fabs(call->deviation[j] - sorted[call->count / 2]);
  }
  qsort(all, total, sizeof(double), ascending);
  double p50 = total ? all[total / 2] : -1, p99 = total ? all[(size_t)(total * .99)] : -1, most = total ? all[total - 1] : -1;
  printf("{\"calls\": %d, \"share_sent\": %.5f, \"error_p50_ms\": %.3f, \"error_p99_ms\": %.3f, \"error_max_ms\": %.3f}\n",
         call_count, received / due, p50 / 1000, p99 / 1000, most / 1000);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  call_count = atoi(argv[1]);
  base = atoi(argv[2]);
  int warm = atof(argv[4]) * 1000, ticks = warm + atof(argv[5]) * 1000, one = 1, big = 256 << 20;
  capacity = (ticks - warm) / 20 + 100;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big);
  setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (void *)&here, sizeof here)) { perror("bind"); return 1; }
  calls = calloc(call_count, sizeof *calls);
  for (int i = 0; i < call_count; i++) {
    calls[i].packet[0] = 0x80;
    memset(calls[i].packet + 12, 0x55 + i % 64, 160);
    *(uint32_t *)(calls[i].packet + 8) = htonl(i + 1);
    calls[i].to = here;
    calls[i].to.sin_port = htons(base + 2 * i);
    calls[i].deviation = malloc(sizeof(double) * capacity);
  }
  printf("READY\n");
  fflush(stdout);
  uint64_t start = now() + 50000000, began = 0, ended = 0;
  for (int tick = 0; tick < ticks; tick++) {
    uint64_t due = start + tick * 1000000ull;
    struct timespec t = {due / 1000000000ull, due % 1000000000ull};
    drain(fd);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0);
    if (tick == warm) { drain(fd); measuring = 1; began = now(); }
    send_phase(fd, tick % 20);
  }
  drain(fd);
  ended = now();
  report((ended - began) / 1e9);
  return 0;
}
