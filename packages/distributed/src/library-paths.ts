/** Where libmpi may be: what the user names, beside the launcher, in the usual folders. Names files; opens none. */
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { MpiFamily } from './launch.ts';

export interface LibrarySearch {
  readonly family: MpiFamily;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
}

/** The number is the version of the binary interface: 40 of Open MPI 4 and 5; 12 of MPICH, Intel MPI, MVAPICH and Cray MPICH, which share theirs. */
const names: Readonly<Record<'linux' | 'darwin', Readonly<Record<Exclude<MpiFamily, 'any'>, readonly string[]>>>> = {
  linux: {
    openmpi: ['libmpi.so.40', 'libmpi.so'],
    mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpi_cray.so.12', 'libmpich.so', 'libmpi.so'],
  },
  darwin: { openmpi: ['libmpi.40.dylib', 'libmpi.dylib'], mpich: ['libmpi.12.dylib', 'libpmpi.12.dylib', 'libmpi.dylib'] },
};

const usualFolders: readonly string[] = [
  '/usr/lib64/openmpi/lib',
  '/usr/lib64/mpich/lib',
  '/usr/lib/x86_64-linux-gnu/openmpi/lib',
  '/usr/lib/aarch64-linux-gnu/openmpi/lib',
  '/opt/amazon/openmpi/lib64',
  '/opt/amazon/openmpi/lib',
  '/usr/local/mpi/lib',
  '/usr/local/lib',
  '/opt/homebrew/lib',
];

/** Names for the system's loader, which knows LD_LIBRARY_PATH and the system's folders, and files that exist; the likeliest first. */
export function libraryPaths({ family, environment, platform }: LibrarySearch): readonly string[] {
  const named = environment['CODA_MPI_LIBRARY'];
  if (named !== undefined && named !== '') return [named];
  const ofPlatform = names[platform === 'darwin' ? 'darwin' : 'linux'];
  const wanted = family === 'any' ? [...ofPlatform.openmpi, ...ofPlatform.mpich] : ofPlatform[family];
  const folders = [...launcherFolders(environment), ...usualFolders];
  const files = folders.flatMap((folder) => wanted.map((name) => join(folder, name)).filter((file) => existsSync(file)));
  const [firstOf] = wanted;
  // beside the launcher before the system's, which may be of another version
  const besideLauncher = files.filter((file) => launcherFolders(environment).includes(dirname(file)));
  return [...new Set([...besideLauncher, ...(firstOf === undefined ? [] : wanted), ...files])];
}

/** What modules and launchers tell of their place. */
function launcherFolders(environment: LibrarySearch['environment']): readonly string[] {
  const roots = ['OPAL_PREFIX', 'MPI_HOME', 'MPI_ROOT', 'MPICH_DIR', 'EBROOTOPENMPI', 'I_MPI_ROOT']
    .map((name) => environment[name])
    .filter((root) => root !== undefined && isAbsolute(root));
  const launcher = (environment['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'mpirun'))
    .find((file) => existsSync(file));
  // an mpirun of the system's own folder says nothing that the loader does not know
  const home = launcher === undefined ? undefined : dirname(dirname(realpathSync(launcher)));
  const all = home === undefined || home === '/usr' ? roots : [...roots, home];
  return all.flatMap((root) => [join(root as string, 'lib'), join(root as string, 'lib64'), join(root as string, 'lib', 'release')]);
}
