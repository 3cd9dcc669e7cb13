/** All benches by the order in which `coda bench` runs them. */
import type { Bench } from './bench.ts';
import { dataBenchCommand } from './data/data-bench-command.ts';
import { dauBenchCommand } from './dau/dau-bench-command.ts';
import { depthBench } from './depth/depth-bench.ts';
import { engineBenchCommand } from './engine/engine-bench-command.ts';
import { mpiBench } from './mpi/mpi-bench.ts';
import { trainingBench } from './training/training-bench.ts';

export const benches: readonly Bench[] = [dauBenchCommand, engineBenchCommand, depthBench, dataBenchCommand, trainingBench, mpiBench];
