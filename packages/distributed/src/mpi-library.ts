/** Functions of an installed libmpi, called from the one thread that loads it. Blocking, and for addresses: who waits for whom is `mpi-thread.ts`. */
import { CodaError } from '@coda-nets/core';
import koffi, { type LibraryHandle } from 'koffi';
import { libraryPaths, type LibrarySearch } from './library-paths.ts';
import { abiOf, type ElementType } from './mpi-abi.ts';

/** What an MPI call reads or writes: so many elements from an address on. */
export interface Memory {
  readonly address: bigint;
  readonly count: number;
  readonly type: ElementType;
}

/** Every function throws a CodaError with MPI's own words where MPI fails. */
export interface MpiLibrary {
  readonly path: string;
  /** The first line of what it says of itself. */
  readonly version: string;
  readonly rank: number;
  readonly size: number;
  allReduce(memory: Memory, reduction: 'sum' | 'max' | 'min'): void;
  broadcast(memory: Memory, root: number): void;
  /** `counts` and `starts` in elements, one for each rank; those of this rank say where `from` goes. */
  allGather(from: Memory, to: Memory, counts: Int32Array, starts: Int32Array): void;
  /** A barrier that is entered now; the function it gives says whether all are there, and is called until it says yes. */
  startBarrier(): () => boolean;
  abort(code: number): void;
  finalise(): void;
}

const maxVersionText = 8192;
const maxErrorText = 512;
/** MPI_THREAD_FUNNELED: one thread makes all calls. The number is the same in both interfaces. */
const funnelled = 1;
/** MPI_Status is 24 bytes in Open MPI and 20 in MPICH. */
const statusBytes = 64;

/** Loads and initialises. Throws a CodaError of kind `unavailable` where there is no MPI, `unsupported` where it is of another kind. */
export function openMpiLibrary(search: LibrarySearch): MpiLibrary {
  const { library, path } = load(search);
  const version = versionOf(library);
  const abi = abiOf(library, version);
  if (abi === undefined) {
    throw new CodaError({
      kind: 'unsupported',
      where: path,
      problem: 'an MPI whose binary interface is not known here',
      expected: 'Open MPI, MPICH, or one with the interface of MPICH: Intel MPI, MVAPICH, Cray MPICH',
      got: version,
    });
  }
  const { world, handleType, types, reductions, inPlace } = abi;
  const call = declare(library, path);
  const checked = (name: string, parameters: readonly string[]): ((...args: unknown[]) => void) => {
    const fn = call(`int ${name}(${parameters.join(', ')})`);
    return (...args) => {
      const code = fn(...args) as number;
      if (code !== 0) throw new CodaError({ kind: 'unavailable', where: name, problem: errorText(code) });
    };
  };
  const toText = call('int MPI_Error_string(int, void *, void *)');
  const errorText = (code: number): string => {
    const text = new Uint8Array(maxErrorText);
    const length = new Int32Array(1);
    return toText(code, text, length) === 0 ? new TextDecoder().decode(text.subarray(0, length[0])) : `error ${code}`;
  };

  const int = new Int32Array(1);
  const numberOf = (read: (into: Int32Array) => void): number => {
    read(int);
    return int[0] as number;
  };
  checked('MPI_Init_thread', ['void *', 'void *', 'int', 'void *'])(null, null, funnelled, int);
  checked('MPI_Comm_set_errhandler', [handleType, handleType])(world, abi.errorsReturn);
  const commRank = checked('MPI_Comm_rank', [handleType, 'void *']);
  const commSize = checked('MPI_Comm_size', [handleType, 'void *']);
  const allReduce = checked('MPI_Allreduce', ['void *', 'void *', 'int', handleType, handleType, handleType]);
  const broadcast = checked('MPI_Bcast', ['void *', 'int', handleType, 'int', handleType]);
  const allGather = checked('MPI_Allgatherv', ['void *', 'int', handleType, 'void *', 'void *', 'void *', handleType, handleType]);
  const barrier = checked('MPI_Ibarrier', [handleType, 'void *']);
  const test = checked('MPI_Test', ['void *', 'void *', 'void *']);
  const abort = call(`int MPI_Abort(${handleType}, int)`);
  const finalise = checked('MPI_Finalize', []);

  return {
    path,
    version,
    rank: numberOf((into) => commRank(world, into)),
    size: numberOf((into) => commSize(world, into)),
    allReduce: ({ address, count, type }, reduction) => allReduce(inPlace, address, count, types[type], reductions[reduction], world),
    broadcast: ({ address, count, type }, root) => broadcast(address, count, types[type], root, world),
    allGather: (from, to, counts, starts) =>
      allGather(from.address, from.count, types[from.type], to.address, counts, starts, types[to.type], world),
    startBarrier: () => {
      // a request is a pointer or an int: either fits
      const request = new BigInt64Array(1);
      const flag = new Int32Array(1);
      const status = new Uint8Array(statusBytes);
      barrier(world, request);
      return () => {
        test(request, flag, status);
        return flag[0] !== 0;
      };
    },
    abort: (code) => void abort(world, code),
    finalise: () => finalise(),
  };
}

function load(search: LibrarySearch): { readonly library: LibraryHandle; readonly path: string } {
  const tried: string[] = [];
  let cause: unknown;
  for (const path of libraryPaths(search)) {
    try {
      // its own plug-ins look for its symbols
      return { library: koffi.load(path, { global: true }), path };
    } catch (error) {
      cause = error;
      tried.push(path);
    }
  }
  const named = search.environment['CODA_MPI_LIBRARY'] !== undefined;
  throw new CodaError({
    kind: 'unavailable',
    where: named ? 'CODA_MPI_LIBRARY' : 'distributed',
    problem: named ? 'this library could not be loaded' : 'no MPI library was found',
    got: named ? `${tried.join()} (${cause instanceof Error ? cause.message : String(cause)})` : `none of ${tried.join(', ')}`,
    hint: named
      ? undefined
      : 'Install one (Debian: openmpi-bin and libopenmpi3, or mpich and libmpich12; clusters: `module load`), or name its file in CODA_MPI_LIBRARY.',
    cause,
  });
}

/** Declares functions by their prototypes; one that is not there says so with the library's name. */
function declare(library: LibraryHandle, path: string): (prototype: string) => (...args: unknown[]) => unknown {
  return (prototype) => {
    try {
      return library.func(prototype) as (...args: unknown[]) => unknown;
    } catch (cause) {
      throw new CodaError({ kind: 'unsupported', where: path, problem: `has no function ${prototype}: no MPI of version 3`, cause });
    }
  };
}

function versionOf(library: LibraryHandle): string {
  const text = new Uint8Array(maxVersionText);
  const length = new Int32Array(1);
  try {
    library.func('int MPI_Get_library_version(void *, void *)')(text, length);
  } catch {
    return 'unknown';
  }
  const [line = ''] = new TextDecoder().decode(text.subarray(0, length[0])).split(/[\n\0]/);
  return line.replaceAll(/\s+/g, ' ').trim();
}
