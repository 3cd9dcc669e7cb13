/** The group this process belongs to: of MPI where a launcher of MPI has started it with others, else itself. */
import { CodaError, oneProcess, type ProcessGroup } from '@coda-nets/core';
import { launchOf } from './launch.ts';

export interface ProcessGroupOptions {
  /** Default: the process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Seconds that a rank waits for others before it aborts the job; default: CODA_MPI_TIMEOUT, else 600. */
  readonly timeout?: number;
  /** Throws where no launcher is seen, in the place of going on alone. */
  readonly required?: boolean;
}

const defaultTimeout = 600;
/** 24 days. A timer of Node that is to wait for 2³¹ milliseconds goes off at once; the seconds after the time-out are taken off. */
const longestTimeout = 2_147_000;

/** Loads no library where there is one process. Throws a CodaError: see `mpiGroup`. */
export async function openProcessGroup({
  environment = process.env,
  timeout,
  required = false,
}: ProcessGroupOptions = {}): Promise<ProcessGroup> {
  const launch = launchOf(environment);
  if (launch === undefined && required) {
    throw new CodaError({
      kind: 'argument',
      where: 'distributed',
      problem: 'no launcher of MPI has started this process',
      expected: '`mpirun -np N …` or `srun …`',
    });
  }
  if (launch === undefined || launch.size === 1) return oneProcess;
  const seconds = secondsOf(timeout ?? environment['CODA_MPI_TIMEOUT']);
  // only here: who runs alone needs no foreign functions
  const { mpiGroup } = await import('./mpi-group.ts');
  return mpiGroup({ launch, environment, timeout: 1000 * seconds });
}

function secondsOf(given: number | string | undefined): number {
  if (given === undefined || given === '') return defaultTimeout;
  const seconds = Number(given);
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= longestTimeout) return seconds;
  throw new CodaError({
    kind: 'argument',
    where: 'CODA_MPI_TIMEOUT',
    problem: 'no time to wait',
    expected: `seconds, above 0 and at most ${longestTimeout}`,
    got: JSON.stringify(given),
  });
}
