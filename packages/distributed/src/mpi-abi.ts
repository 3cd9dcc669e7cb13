/**
 * The two binary interfaces of MPI: what `MPI_COMM_WORLD`, `MPI_FLOAT` and the others are once compiled. Open MPI: addresses of its symbols
 * `ompi_mpi_comm_world` and so on. MPICH and its kin (Intel MPI, MVAPICH, Cray MPICH; the MPICH ABI initiative): integers. Calls nothing but the symbols' look-up.
 */
import type { LibraryHandle } from 'koffi';

type Handle = bigint | number;

export interface MpiAbi {
  readonly family: 'openmpi' | 'mpich';
  /** How a handle is declared to the foreign-function interface. */
  readonly handleType: 'void *' | 'int';
  readonly world: Handle;
  readonly errorsReturn: Handle;
  readonly types: Readonly<Record<ElementType, Handle>>;
  readonly reductions: Readonly<Record<'sum' | 'max' | 'min', Handle>>;
  /** In the place of a buffer. */
  readonly inPlace: bigint;
}

export type ElementType = 'float32' | 'float64' | 'int32' | 'int64' | 'byte';

/** All ones in a pointer: MPICH writes it (void *) -1. */
const minusOne = 0xffff_ffff_ffff_ffffn;

const mpich: MpiAbi = {
  family: 'mpich',
  handleType: 'int',
  world: 0x4400_0000,
  errorsReturn: 0x5400_0001,
  types: { float32: 0x4c00_040a, float64: 0x4c00_080b, int32: 0x4c00_0405, int64: 0x4c00_0809, byte: 0x4c00_010d },
  reductions: { max: 0x5800_0001, min: 0x5800_0002, sum: 0x5800_0003 },
  inPlace: minusOne,
};

/** Undefined for a library that has neither. `version` is what MPI_Get_library_version says. */
export function abiOf(library: LibraryHandle, version: string): MpiAbi | undefined {
  const address = (name: string): bigint => library.symbol(name, 'void') as bigint;
  try {
    address('ompi_mpi_comm_world');
  } catch {
    // an MPI of the standard interface of MPI-5 has integers too, and other ones
    return /MPICH|MVAPICH|Intel\(R\) MPI|CRAY/i.test(version) ? mpich : undefined;
  }
  return {
    family: 'openmpi',
    handleType: 'void *',
    world: address('ompi_mpi_comm_world'),
    errorsReturn: address('ompi_mpi_errors_return'),
    types: {
      float32: address('ompi_mpi_float'),
      float64: address('ompi_mpi_double'),
      int32: address('ompi_mpi_int'),
      int64: address('ompi_mpi_long_long_int'),
      byte: address('ompi_mpi_byte'),
    },
    reductions: { sum: address('ompi_mpi_op_sum'), max: address('ompi_mpi_op_max'), min: address('ompi_mpi_op_min') },
    inPlace: 1n,
  };
}
