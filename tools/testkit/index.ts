/** What the tests of every package share; private, and part of no published package. */
export { expectClose, type Comparable, type Tolerance } from './expect-close.ts';
export { expectNoLeak } from './expect-no-leak.ts';
export { expectOnlyResult } from './expect-only-result.ts';
export { finiteDifference } from './finite-difference.ts';
export { fromSource, mpiLaunchers, runRanks, type MpiLauncher, type RankRun } from './mpi-launchers.ts';
export { rankImages, rankTraining } from './rank-training.mjs';
export { randomTensor, randomValues } from './random-tensor.ts';
export { nameSoftwareGpu } from './software-gpu.ts';
export { hasBackend, useBackend, useReference, type TestBackend } from './use-backend.ts';
