/*
 * Reads 4 KiB pieces of a file at random places, so many at once: random-reader FILE READS DEPTH.
 * A thread for each that is under way; what it costs itself is far below what any file system takes.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 4096 };

static int file;
static uint64_t pieces;
static long reads_each;

static void *work(void *seed) {
  uint64_t state = (uint64_t)(uintptr_t)seed * 0x9e3779b97f4a7c15u;
  char piece[PIECE];
  for (long count = 0; count < reads_each; count++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (pread(file, piece, PIECE, (off_t)(state % pieces) * PIECE) != PIECE) {
      perror("pread");
      exit(1);
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  long depth = atol(argv[3]);
  struct stat status;
  pthread_t threads[64];
  file = open(argv[1], O_RDONLY);
  if (file < 0 || fstat(file, &status) != 0 || depth < 1 || depth > 64) {
    perror(argv[1]);
    return 1;
  }
  pieces = (uint64_t)status.st_size / PIECE;
  reads_each = atol(argv[2]) / depth;
  for (long index = 0; index < depth; index++)
    if (pthread_create(&threads[index], NULL, work, (void *)(uintptr_t)(index + 1)) != 0) return 1;
  for (long index = 0; index < depth; index++) pthread_join(threads[index], NULL);
  return 0;
}
