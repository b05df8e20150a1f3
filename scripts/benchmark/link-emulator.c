/*
 * One emulated link between two network namespaces, for kernels without sch_netem: a TUN device in each, joined by this
 * process, which delays, limits and loses packets in both directions alike.
 *
 *     link-emulator SPACE_A SPACE_B DEVICE DELAY_US LOSS_PPM RATE_KBIT QUEUE_BYTES SEED
 *
 * Prints "ready" once both devices exist; ends by SIGTERM or with its input. RATE_KBIT 0: no limit. A packet that finds
 * QUEUE_BYTES waiting is dropped.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_BYTES = 1600, RING = 1 << 16, AT_ONCE = 128 };
static const uint64_t SECOND = 1000000000ull;

struct packet {
  uint64_t due;
  uint32_t length;
  unsigned char bytes[PACKET_BYTES];
};

struct direction {
  int from, to;
  struct packet *ring;
  uint32_t head, tail;
  uint64_t sending_until;
};

static uint64_t delay, loss_ppm, bits_per_second, queue_bytes, seed;
static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
  (void)signal_number;
  stopped = 1;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t clock_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* xorshift64 (Marsaglia, 2003). */
static uint64_t next_random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static int open_device(const char *space, const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", space);
  int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (own < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0) die(path);
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0) die("/dev/net/tun");
  if (setns(own, CLONE_NEWNET) < 0) die("setns");
  close(there);
  close(own);
  return device;
}

/* Takes packets that have come; says when each is due at the other side. */
static void receive(struct direction *way) {
  for (int count = 0; count < AT_ONCE; count++) {
    struct packet *packet = &way->ring[way->head % RING];
    int is_full = way->head - way->tail == RING;
    unsigned char dropped[PACKET_BYTES];
    ssize_t length = read(way->from, is_full ? dropped : packet->bytes, PACKET_BYTES);
    if (length <= 0) return;
    if (is_full || next_random() % 1000000 < loss_ppm) continue;
    uint64_t now = clock_now();
    uint64_t free_at = way->sending_until > now ? way->sending_until : now;
    if (bits_per_second > 0) {
      uint64_t waiting = (free_at - now) / 1000 * bits_per_second / 8000000;
      if (waiting > queue_bytes) continue;
      free_at += (uint64_t)length * 8 * SECOND / bits_per_second;
      way->sending_until = free_at;
    }
    packet->length = (uint32_t)length;
    packet->due = free_at + delay;
    way->head++;
  }
}

/* Hands over what is due. @returns when the next packet is. */
static uint64_t deliver(struct direction *way) {
  while (way->head != way->tail) {
    struct packet *packet = &way->ring[way->tail % RING];
    if (packet->due > clock_now()) return packet->due;
    /* A device that takes nothing now loses the packet, as a network card does. */
    if (write(way->to, packet->bytes, packet->length) < 0) (void)0;
    way->tail++;
  }
  return UINT64_MAX;
}

int main(int count, char **arguments) {
  if (count != 9) {
    fprintf(stderr, "link-emulator SPACE_A SPACE_B DEVICE DELAY_US LOSS_PPM RATE_KBIT QUEUE_BYTES SEED\n");
    return 2;
  }
  delay = strtoull(arguments[4], NULL, 10) * 1000;
  loss_ppm = strtoull(arguments[5], NULL, 10);
  bits_per_second = strtoull(arguments[6], NULL, 10) * 1000;
  queue_bytes = strtoull(arguments[7], NULL, 10);
  seed = 88172645463325252ull ^ (strtoull(arguments[8], NULL, 10) * 2654435761ull);
  int a = open_device(arguments[1], arguments[3]);
  int b = open_device(arguments[2], arguments[3]);
  struct direction ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
  for (int i = 0; i < 2; i++)
    if ((ways[i].ring = calloc(RING, sizeof(struct packet))) == NULL) die("calloc");
  prctl(PR_SET_TIMERSLACK, 1000);
  /* It stands for hardware: what runs beside it must not slow it down. Without the right to, it stays as it is. */
  if (setpriority(PRIO_PROCESS, 0, -19) < 0) (void)0;
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  puts("ready");
  fflush(stdout);
  while (!stopped) {
    uint64_t first = deliver(&ways[0]), second = deliver(&ways[1]);
    uint64_t due = first < second ? first : second, now = clock_now();
    uint64_t left = due > now ? due - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
    struct pollfd polled[3] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {STDIN_FILENO, 0, 0}};
    if (ppoll(polled, 3, due == UINT64_MAX ? NULL : &wait, NULL) <= 0) continue;
    if (polled[2].revents & (POLLHUP | POLLERR)) break;
    if (polled[0].revents & POLLIN) receive(&ways[0]);
    if (polled[1].revents & POLLIN) receive(&ways[1]);
  }
  return 0;
}
