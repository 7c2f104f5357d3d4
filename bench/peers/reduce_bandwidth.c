/* Bandwidth of MPI_Allreduce over float32 sums, as bench/reduce-bandwidth.ts measures it through the library of the project. */

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 100000000;
  int rounds = argc > 2 ? atoi(argv[2]) : 5;
  int rank, size;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  float *own = malloc(count * sizeof(float));
  float *sum = malloc(count * sizeof(float));
  for (long i = 0; i < count; i++) own[i] = (float)(rank + 1);
  for (int round = 0; round < rounds; round++) {
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    MPI_Allreduce(own, sum, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    double seconds = MPI_Wtime() - start;
    if (sum[count - 1] != (float)(size * (size + 1) / 2)) MPI_Abort(MPI_COMM_WORLD, 1);
    if (rank == 0) printf("%f\n", seconds);
  }
  free(own);
  free(sum);
  MPI_Finalize();
  return 0;
}
