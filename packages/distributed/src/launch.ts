/** What started this process, by its environment: `mpirun` of Open MPI or MPICH, `srun`, or nobody. Loads nothing. */

/** Whose MPI it is; `any`: the launcher speaks PMIx or PMI and serves several. */
export type MpiFamily = 'openmpi' | 'mpich' | 'any';

export interface Launch {
  readonly family: MpiFamily;
  /** For people: `mpirun of Open MPI`. */
  readonly launcher: string;
  readonly size: number;
  readonly rank: number;
  /** Of the ranks, those on this machine; undefined where the launcher does not say. */
  readonly localSize: number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** In the order in which they are asked: Open MPI under `srun` sets its own variables beside those of Slurm. */
const launchers: readonly (Pick<Launch, 'family' | 'launcher'> & {
  readonly sizeIn: string;
  readonly rankIn: string;
  readonly besides?: string;
})[] = [
  { family: 'openmpi', launcher: 'mpirun of Open MPI', sizeIn: 'OMPI_COMM_WORLD_SIZE', rankIn: 'OMPI_COMM_WORLD_RANK' },
  // Slurm's own PMI-2 serves Open MPI as well; Hydra only MPICH and its kin
  { family: 'any', launcher: 'srun', sizeIn: 'PMI_SIZE', rankIn: 'PMI_RANK', besides: 'SLURM_STEP_ID' },
  { family: 'mpich', launcher: 'mpiexec of MPICH', sizeIn: 'PMI_SIZE', rankIn: 'PMI_RANK' },
  // sbatch alone, whose one process runs the script, sets no number of a step's tasks
  { family: 'any', launcher: 'srun', sizeIn: 'SLURM_STEP_NUM_TASKS', rankIn: 'SLURM_PROCID' },
];

/** Undefined where no launcher is seen. */
export function launchOf(environment: Environment): Launch | undefined {
  for (const { sizeIn, rankIn, besides, ...launch } of launchers) {
    const size = wholeNumber(environment[sizeIn]);
    const rank = wholeNumber(environment[rankIn]);
    if (size === undefined || size < 1 || rank === undefined || rank >= size) continue;
    if (besides !== undefined && environment[besides] === undefined) continue;
    return { ...launch, size, rank, localSize: localSizeOf(environment) };
  }
  return undefined;
}

/** Slurm writes `4(x2),3`: four on each of two machines, three on another. */
function localSizeOf(environment: Environment): number | undefined {
  const slurm = environment['SLURM_STEP_TASKS_PER_NODE'];
  const texts = [environment['OMPI_COMM_WORLD_LOCAL_SIZE'], environment['MPI_LOCALNRANKS'], slurm && /^\d+/.exec(slurm)?.[0]];
  return texts.map(wholeNumber).find((size) => size !== undefined && size > 0);
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
