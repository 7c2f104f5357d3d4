/** MPI's library through koffi, a foreign function interface: found, loaded, its functions declared, its handles resolved. */

import { StableDiffusionError } from '../errors.ts';
import type { Launch } from './launch.ts';
import { type HandleName, kindOfLibrary, libraryNames, type MpiKind } from './mpi-kinds.ts';

/** A handle of the library: a number, or an address. */
export type Handle = number | bigint;
/** Arguments of its functions: handles, counts, and arrays for pointers. */
export type Argument = Handle | ArrayBufferView | null;

export interface MpiFunction {
  (...values: readonly Argument[]): number;
  async(...values: readonly unknown[]): void;
}

/** What is used of koffi, which is an optional peer. */
interface Koffi {
  config(settings: { readonly async_stack_size: number; readonly sync_stack_size: number }): void;
  load(path: string | null): KoffiLibrary;
  address(symbol: unknown): bigint;
}
interface KoffiLibrary {
  func(declaration: string): MpiFunction;
  symbol(name: string, type: string): unknown;
}

/** Declarations of the functions in use; H is the type of a handle. */
const declarations = {
  MPI_Init_thread: 'void*, void*, int, void*',
  MPI_Finalize: '',
  MPI_Abort: 'H, int',
  MPI_Comm_rank: 'H, void*',
  MPI_Comm_size: 'H, void*',
  MPI_Test: 'void*, void*, void*',
  MPI_Ibarrier: 'H, void*',
  MPI_Ibcast: 'void*, int, H, int, H, void*',
  MPI_Iallreduce: 'void*, void*, int, H, H, H, void*',
  MPI_Iallgatherv: 'void*, int, H, void*, void*, void*, H, H, void*',
  MPI_Bcast: 'void*, int, H, int, H',
  MPI_Allreduce: 'void*, void*, int, H, H, H',
  MPI_Allgatherv: 'void*, int, H, void*, void*, void*, H, H',
  MPI_Reduce_scatter: 'void*, void*, void*, H, H, H',
  MPI_Alltoallv: 'void*, void*, void*, H, void*, void*, void*, H, H',
} as const;

export interface MpiLibrary {
  readonly kind: MpiKind;
  /** First line of what it says about itself. */
  readonly version: string;
  readonly path: string;
  readonly call: Readonly<Record<keyof typeof declarations, MpiFunction>>;
  readonly handles: Readonly<Record<HandleName, Handle>>;
}

let loaded: Promise<Koffi> | undefined;

/** koffi with the settings that MPI needs, which it takes before its first library alone. */
async function prepareKoffi(): Promise<Koffi> {
  try {
    const koffi = ((await import('koffi')) as unknown as { readonly default: Koffi }).default;
    // MPI's functions need more stack than koffi gives by default.
    koffi.config({ async_stack_size: 2 ** 23, sync_stack_size: 2 ** 23 });
    setTransport(koffi);
    return koffi;
  } catch (cause) {
    throw new StableDiffusionError(
      'engine-unavailable',
      'Work over several processes on MPI needs a package that is not installed. Install it: npm install koffi',
      { cause },
    );
  }
}

/** Settings of UCX, the transport of many MPIs, that must be in place before it starts; what the user has set stays. */
const transportSettings = {
  // It would patch the functions that map memory, on which V8 then crashes now and then.
  UCX_MEM_MMAP_HOOK_MODE: 'none',
  // Node handles these signals.
  UCX_ERROR_SIGNALS: '',
} as const;

function setTransport(koffi: Koffi): void {
  if (process.platform === 'win32') return;
  // A thread of Node has a copy of the environment; the library reads the process's.
  const setenv = koffi.load(null).func('int setenv(const char*, const char*, int)') as unknown as (
    name: string,
    value: string,
    replace: number,
  ) => number;
  for (const [name, value] of Object.entries(transportSettings)) setenv(name, value, 0);
}

function open(koffi: Koffi, names: readonly string[], given: string | undefined, launch: Launch | undefined) {
  const failures: string[] = [];
  for (const path of names) {
    try {
      return { path, library: koffi.load(path) };
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new StableDiffusionError(
    'engine-unavailable',
    given === undefined
      ? `${launch ? `${launch.launcher} started this process, but` : 'MPI was asked for, but'} no library of MPI was found (${names.join(', ')}). Install Open MPI or MPICH, or give the library's path in SD_MPI_LIBRARY.`
      : `The library of MPI in SD_MPI_LIBRARY could not be loaded: ${failures.join('; ')}.`,
  );
}

/** Loads the library of SD_MPI_LIBRARY, or that of the launcher's MPI. Throws `engine-unavailable`. */
export async function loadMpi(
  launch: Launch | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<MpiLibrary> {
  loaded ??= prepareKoffi();
  const koffi = await loaded;
  const given = environment['SD_MPI_LIBRARY'] || undefined;
  const names = given === undefined ? libraryNames(launch?.kind, process.platform) : [given];
  const { path, library } = open(koffi, names, given, launch);
  const symbol = (name: string): unknown => {
    try {
      return library.symbol(name, 'void');
    } catch {
      return undefined;
    }
  };
  const version = versionOf(library, path);
  const kind = kindOfLibrary({ path, version, hasSymbol: (name) => symbol(name) !== undefined });
  if (!kind)
    throw new StableDiffusionError(
      'engine-unavailable',
      `${path} is an MPI of a kind that is not known: ${JSON.stringify(version)}. Known are Open MPI, MPICH and those with its ABI (Intel MPI, MVAPICH), and libmpi_abi of MPI 5.`,
    );
  const handle = (value: number | string): Handle => (typeof value === 'number' ? value : koffi.address(symbol(value)));
  return {
    kind,
    version,
    path,
    call: Object.fromEntries(
      Object.entries(declarations).map(([name, parameters]) => [
        name,
        library.func(`int ${name}(${parameters.replaceAll(/\bH\b/g, kind.handle)})`),
      ]),
    ) as MpiLibrary['call'],
    handles: Object.fromEntries(
      Object.entries(kind.handles).map(([name, value]) => [name, handle(value)]),
    ) as MpiLibrary['handles'],
  };
}

/** MPI_MAX_LIBRARY_VERSION_STRING of all of them is at most this. */
const versionLength = 8192;

function versionOf(library: KoffiLibrary, path: string): string {
  try {
    const [text, length] = [new Uint8Array(versionLength), new Int32Array(1)];
    library.func('int MPI_Get_library_version(void*, void*)')(text, length);
    const end = Math.min(versionLength, Math.max(0, length[0] ?? 0));
    return (new TextDecoder('latin1').decode(text.subarray(0, end)).split(/[\n\0]/)[0] ?? '').trim();
  } catch (cause) {
    throw new StableDiffusionError(
      'engine-unavailable',
      `${path} is not a library of MPI: it has no MPI_Get_library_version.`,
      { cause },
    );
  }
}
