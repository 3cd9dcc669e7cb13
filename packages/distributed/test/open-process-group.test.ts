/** What is decided without MPI: who started this process, where a library may be, and one process on its own. */
import { launchOf, openProcessGroup } from '@coda-nets/distributed';
import { describe, expect, it } from 'vitest';
import { libraryPaths } from '../src/library-paths.ts';

describe('launchOf', () => {
  it.each([
    [{}, undefined],
    [
      { OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_LOCAL_SIZE: '2' },
      { family: 'openmpi', launcher: 'mpirun of Open MPI', size: 4, rank: 3, localSize: 2 },
    ],
    [
      { PMI_SIZE: '2', PMI_RANK: '0', MPI_LOCALNRANKS: '2' },
      { family: 'mpich', launcher: 'mpiexec of MPICH', size: 2, rank: 0, localSize: 2 },
    ],
    [
      { PMI_SIZE: '2', PMI_RANK: '0' },
      { family: 'mpich', launcher: 'mpiexec of MPICH', size: 2, rank: 0, localSize: undefined },
    ],
    [
      { PMI_SIZE: '2', PMI_RANK: '1', SLURM_STEP_ID: '0' },
      { family: 'any', launcher: 'srun', size: 2, rank: 1, localSize: undefined },
    ],
    [
      { SLURM_STEP_NUM_TASKS: '8', SLURM_PROCID: '7', SLURM_STEP_TASKS_PER_NODE: '4(x2)' },
      { family: 'any', launcher: 'srun', size: 8, rank: 7, localSize: 4 },
    ],
    // the script of an sbatch, which no srun has started
    [{ SLURM_NTASKS: '8', SLURM_PROCID: '0' }, undefined],
    [{ OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_RANK: '4' }, undefined],
    [{ PMI_SIZE: 'two', PMI_RANK: '0' }, undefined],
  ])('of %j', (environment, expected) => expect(launchOf(environment)).toEqual(expected));
});

describe('libraryPaths', () => {
  const search = { family: 'openmpi', environment: {}, platform: 'linux' } as const;
  it('takes what is named, and nothing else', () => {
    expect(libraryPaths({ ...search, environment: { CODA_MPI_LIBRARY: '/opt/mpi/libmpi.so' } })).toEqual(['/opt/mpi/libmpi.so']);
  });
  it('looks for the launcher’s own kind first', () => {
    expect(libraryPaths(search)[0]).toBe('libmpi.so.40');
    expect(libraryPaths({ ...search, family: 'mpich' })[0]).toBe('libmpich.so.12');
    expect(libraryPaths({ ...search, family: 'any' })).toEqual(expect.arrayContaining(['libmpi.so.40', 'libmpich.so.12']));
    expect(libraryPaths({ ...search, platform: 'darwin' })).toContain('libmpi.40.dylib');
  });
});

describe('openProcessGroup', () => {
  it('is one process without a launcher, or with a launcher of one, and loads nothing', async () => {
    for (const environment of [{}, { PMI_SIZE: '1', PMI_RANK: '0', CODA_MPI_LIBRARY: '/nowhere' }]) {
      const group = await openProcessGroup({ environment });
      expect([group.rank, group.size]).toEqual([0, 1]);
      const values = Float32Array.of(1, 2);
      await group.allReduce(values, 'sum', 'alone');
      await group.broadcast(values, 'alone');
      await group.barrier('alone');
      expect(await group.allGather(values, 'alone')).toEqual([Float32Array.of(1, 2)]);
      expect(group.report().calls).toBe(0);
      await expect(group.abort(new Error('reason'))).rejects.toThrow('reason');
      await group.close();
    }
  });

  it('can be told that there must be a launcher', async () => {
    await expect(openProcessGroup({ environment: {}, required: true })).rejects.toThrow(
      'distributed: no launcher of MPI has started this process; expected `mpirun -np N …` or `srun …`',
    );
  });

  const two = { OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_RANK: '0' };
  it('says what it looked for where there is no library', async () => {
    await expect(openProcessGroup({ environment: { ...two, CODA_MPI_LIBRARY: '/nowhere/libmpi.so' } })).rejects.toThrow(
      /^CODA_MPI_LIBRARY: this library could not be loaded; got \/nowhere\/libmpi\.so \(.*No such file.*\)$/,
    );
  });

  it('refuses a library that is no MPI', async () => {
    await expect(openProcessGroup({ environment: { ...two, CODA_MPI_LIBRARY: 'libm.so.6' } })).rejects.toThrow(
      'libm.so.6: an MPI whose binary interface is not known here; expected Open MPI, MPICH, or one with the interface of MPICH: Intel MPI, MVAPICH, Cray MPICH, got unknown',
    );
  });

  it.each(['0', 'soon', '2147001', '1e300'])('refuses a time-out of %s', async (text) => {
    await expect(openProcessGroup({ environment: { ...two, CODA_MPI_TIMEOUT: text } })).rejects.toThrow(
      `CODA_MPI_TIMEOUT: no time to wait; expected seconds, above 0 and at most 2147000, got ${JSON.stringify(text)}`,
    );
  });
});
