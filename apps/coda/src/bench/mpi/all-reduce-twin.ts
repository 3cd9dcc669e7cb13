/** The same all-reduce in C, compiled by the `mpicc` of the same MPI: what a call costs without us. */

/** Arguments: rounds, and numbers of floats. Rank 0 prints the fastest call of each in seconds. */
export const allReduceTwin = `
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  int rank, rounds = atoi(argv[1]);
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) printf("{\\"seconds\\":[");
  for (int i = 2; i < argc; i++) {
    int length = atoi(argv[i]);
    float *values = calloc(length, sizeof(float));
    double best = 1e9;
    for (int round = 0; round < rounds; round++) {
      MPI_Barrier(MPI_COMM_WORLD);
      double begin = MPI_Wtime();
      MPI_Allreduce(MPI_IN_PLACE, values, length, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      double time = MPI_Wtime() - begin;
      if (time < best) best = time;
    }
    if (rank == 0) printf("%s%.9f", i == 2 ? "" : ",", best);
    free(values);
  }
  if (rank == 0) printf("]}\\n");
  MPI_Finalize();
}
`;
