/** All benches by the order in which `coda bench` runs them. */
import type { Bench } from './bench.ts';
import { dauBenchCommand } from './dau/dau-bench-command.ts';
import { depthBench } from './depth/depth-bench.ts';

export const benches: readonly Bench[] = [dauBenchCommand, depthBench];
