/**
 * The binary interfaces of MPI's libraries: how each hands communicators, types and operations to functions. Open MPI has addresses of
 * variables; MPICH and those that keep its ABI (Intel MPI, MVAPICH, Cray MPICH) have numbers in an int; the standard ABI of MPI 5 has
 * small numbers in a pointer (MPI Forum, MPI 5.0, chapter 20).
 */

export type HandleName = 'world' | 'float' | 'double' | 'byte' | 'sum' | 'max' | 'min';

export interface MpiKind {
  readonly name: string;
  /** C type of a handle. */
  readonly handle: 'int' | 'intptr_t';
  /** Value of MPI_THREAD_SERIALIZED: several threads call the library, one at a time. */
  readonly threadSerialized: number;
  /** Numbers, or names of variables whose addresses they are. */
  readonly handles: Readonly<Record<HandleName, number | string>>;
}

const openMpi: MpiKind = {
  name: 'Open MPI',
  handle: 'intptr_t',
  threadSerialized: 2,
  handles: {
    world: 'ompi_mpi_comm_world',
    float: 'ompi_mpi_float',
    double: 'ompi_mpi_double',
    byte: 'ompi_mpi_byte',
    sum: 'ompi_mpi_op_sum',
    max: 'ompi_mpi_op_max',
    min: 'ompi_mpi_op_min',
  },
};

const mpich: MpiKind = {
  name: "MPICH's ABI",
  handle: 'int',
  threadSerialized: 2,
  handles: {
    world: 0x44000000,
    float: 0x4c00040a,
    double: 0x4c00080b,
    byte: 0x4c00010d,
    sum: 0x58000003,
    max: 0x58000001,
    min: 0x58000002,
  },
};

const standard: MpiKind = {
  name: "MPI 5's ABI",
  handle: 'intptr_t',
  threadSerialized: 2048,
  handles: { world: 0x101, float: 0x210, double: 0x214, byte: 0x247, sum: 0x21, max: 0x23, min: 0x22 },
};

export interface LibraryFacts {
  readonly path: string;
  readonly hasSymbol: (name: string) => boolean;
  /** Of MPI_Get_library_version. */
  readonly version: string;
}

/** The kind of a library, or undefined for one that is not known. */
export function kindOfLibrary({ path, hasSymbol, version }: LibraryFacts): MpiKind | undefined {
  // Libraries of the standard ABI have its name, whoever made them.
  if (path.split(/[/\\]/).at(-1)?.includes('mpi_abi')) return standard;
  if (hasSymbol('ompi_mpi_comm_world')) return openMpi;
  return /MPICH|Intel\(R\) MPI|MVAPICH/i.test(version) ? mpich : undefined;
}

type Launched = 'open-mpi' | 'mpich' | undefined;

const linux = {
  'open-mpi': ['libmpi.so.40', 'libmpi.so'],
  mpich: ['libmpich.so.12', 'libmpi.so.12', 'libmpich.so'],
  standard: ['libmpi_abi.so.0', 'libmpi_abi.so'],
} as const;
const mac = {
  'open-mpi': [
    'libmpi.40.dylib',
    '/opt/homebrew/opt/open-mpi/lib/libmpi.dylib',
    '/usr/local/opt/open-mpi/lib/libmpi.dylib',
  ],
  mpich: ['libmpi.12.dylib', '/opt/homebrew/opt/mpich/lib/libmpi.dylib', '/usr/local/opt/mpich/lib/libmpi.dylib'],
  standard: ['libmpi_abi.0.dylib', 'libmpi_abi.dylib'],
} as const;

/** Names of libraries to try, in order: those of the launcher's MPI, then of the standard ABI; of all where the launcher is of none. */
export function libraryNames(launched: Launched, platform: string): readonly string[] {
  const names = platform === 'darwin' ? mac : linux;
  const own = launched ? names[launched] : [...names['open-mpi'], ...names.mpich];
  return [...own, ...names.standard];
}
